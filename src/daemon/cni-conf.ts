// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { makeConflist } from '#config/conflist.ts'
import type { Host, Options } from '#daemon/deps.ts'

const target = '10-terway.conflist'

/**
 * Writes the CNI configuration list for the container runtime, unless it is there already: the runtime takes the node as
 * network-ready from then on, so it is called only when the daemon serves. Throws `bad-config`.
 */
export function installConflist(host: Host, options: Pick<Options, 'cniConfDir' | 'hostCniDir'>): 'written' | 'unchanged' {
  const text = makeConflist({
    conflist: host.read(join(options.cniConfDir, '10-terway.conflist')),
    conf: host.read(join(options.cniConfDir, '10-terway.conf')),
  })
  const path = join(options.hostCniDir, target)
  if (host.read(path) === text) return 'unchanged'
  host.writeAtomically(path, text)
  return 'written'
}
