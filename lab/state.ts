// SPDX-License-Identifier: Apache-2.0
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { Stack } from '../src/net/stack.ts'
import type { Names } from './names.ts'
import type { Identity, Labels } from './node/config.ts'
import type { ProxyMode } from './node/services.ts'

/** What a lab consists of; written by whoever changes it, read by every later command. */
export interface LabState {
  readonly name: string
  /** Port of the API server on this machine's loopback. */
  readonly apiPort: number
  /** Directory of the Kubernetes and containerd binaries. */
  readonly bin: string
  /** Prepared containerd directory with the lab's images. */
  readonly imageStore: string
  readonly pauseImage: string
  readonly instanceType: string
  readonly vSwitchIds: readonly string[]
  readonly stack: Stack
  readonly proxy: ProxyMode
  readonly control: Identity
  readonly nodes: readonly NodeState[]
}

export interface NodeState {
  readonly name: string
  readonly identity: Identity
  readonly labels: Labels
  readonly powered: boolean
}

/** Throws, naming the lab, when there is none. */
export function readState(names: Names): LabState {
  try {
    return JSON.parse(readFileSync(names.state, 'utf8')) as LabState
  } catch (cause) {
    throw new Error(`no lab ${names.lab} in ${names.dir}: start it with 'up --name ${names.lab}'`, { cause })
  }
}

export function writeState(names: Names, state: LabState): void {
  writeFileSync(`${names.state}.new`, JSON.stringify(state, null, 1))
  renameSync(`${names.state}.new`, names.state)
}
