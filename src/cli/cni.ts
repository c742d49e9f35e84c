// SPDX-License-Identifier: Apache-2.0
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CliDeps } from '#cli/deps.ts'
import { makeConflist } from '#config/conflist.ts'

/** Writes the CNI list that the daemon would write, from a directory with 10-terway.conflist or 10-terway.conf (eni-config mounted). */
export async function cni(deps: Pick<CliDeps, 'out'>, configDir: string, output: string): Promise<void> {
  const read = (name: string) => readFile(join(configDir, name), 'utf8').catch(() => undefined)
  const list = makeConflist({ conflist: await read('10-terway.conflist'), conf: await read('10-terway.conf') })
  await writeFile(`${output}.new`, list, { mode: 0o600 })
  await rename(`${output}.new`, output)
  deps.out(`${output} written`)
}
