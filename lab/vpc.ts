// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'

/** vpc.yaml as a value, and what the lab's users need of it. */
export const seed: {
  readonly region: string
  readonly keys: readonly { readonly id: string; readonly secret: string }[]
  readonly vpc: { readonly id: string; readonly cidr4: string; readonly cidr6: string }
  readonly vSwitches: readonly { readonly id: string; readonly zone: string }[]
  readonly timing: Readonly<Record<string, number>>
} = parse(readFileSync(join(import.meta.dirname, 'vpc.yaml'), 'utf8'))

/** Where the nodes' primary addresses come from, in turn: two zones. */
export const nodeVSwitches: readonly string[] = ['vsw-a1', 'vsw-a1', 'vsw-b1']
