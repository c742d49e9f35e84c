// SPDX-License-Identifier: Apache-2.0
import { address, addressKey } from '#kernel/bpf/structs.ts'
import { addressState } from '#kernel/bpf/words.ts'
import type { BpfProbe, Kernel } from '#kernel/port.ts'
import type { Ip } from '#net/ip.ts'

/** What the daemon asks about the programs of DataPath V2, beside what its datapath does with them. */
export interface Programs {
  /** Whether the kernel has what they need. */
  probe(): Promise<readonly BpfProbe[]>
  /** Addresses of pods that they leave to the host stack. */
  leftToHostStack(): Promise<readonly Ip[]>
}

export function programsOf(kernel: Pick<Kernel, 'probePrograms' | 'mapEntries'>): Programs {
  return {
    probe: () => kernel.probePrograms(),
    leftToHostStack: async () =>
      (await kernel.mapEntries('addresses')).flatMap(({ key, value }) => {
        const { ip } = addressKey.decode(key)
        return ip !== undefined && address.decode(value).state === addressState.stack ? [ip] : []
      }),
  }
}
