// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CliDeps } from '#cli/deps.ts'
import { makeConflist } from '#config/conflist.ts'
import { deviceMtu } from '#config/device-mtu.ts'

/** Writes the CNI list that the daemon would write, from a directory with 10-terway.conflist or 10-terway.conf (eni-config mounted). */
export async function cni(deps: Pick<CliDeps, 'out'>, configDir: string, output: string): Promise<void> {
  const read = (path: string) => {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return undefined
    }
  }
  const list = makeConflist({
    conflist: read(join(configDir, '10-terway.conflist')),
    conf: read(join(configDir, '10-terway.conf')),
    deviceMtu: deviceMtu(read),
  })
  await writeFile(`${output}.new`, list.text, { mode: 0o600 })
  await rename(`${output}.new`, output)
  if (list.unknownKeys.length > 0) deps.out(`keys that nobody knows, without effect: ${list.unknownKeys.join(', ')}`)
  deps.out(`${output} written`)
}
