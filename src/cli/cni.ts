// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CliDeps } from '#cli/deps.ts'
import { capabilitiesPath, parseCapabilities } from '#config/capabilities.ts'
import { conflistText, readConflist } from '#config/conflist.ts'
import { deviceMtu } from '#config/device-mtu.ts'
import { storedMode } from '#config/eni-mode.ts'

/**
 * Writes the CNI list that the daemon would write, from a directory with 10-terway.conflist or 10-terway.conf (eni-config mounted). How the node
 * forwards, and whether its pods share ENIs, is what the daemon noted in the capability file.
 */
export async function cni(deps: Pick<CliDeps, 'out'>, configDir: string, output: string): Promise<void> {
  const read = (path: string) => {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return undefined
    }
  }
  const list = readConflist({
    conflist: read(join(configDir, '10-terway.conflist')),
    conf: read(join(configDir, '10-terway.conf')),
    deviceMtu: deviceMtu(read),
  })
  const capabilities = parseCapabilities(read(capabilitiesPath) ?? '')
  const datapath = capabilities.get('datapath') === 'datapathv2' ? 'v2' : 'veth'
  await writeFile(`${output}.new`, conflistText(list, datapath, storedMode(capabilities)), { mode: 0o600 })
  await rename(`${output}.new`, output)
  if (list.unknownKeys.length > 0) deps.out(`keys that nobody knows, without effect: ${list.unknownKeys.join(', ')}`)
  if (list.dropped.length > 0) deps.out(`plugins that are left out: ${list.dropped.join(', ')}`)
  deps.out(`${output} written`)
}
