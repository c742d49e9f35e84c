// SPDX-License-Identifier: Apache-2.0
import { address, addressKey } from '#kernel/bpf/structs.ts'
import { addressState } from '#kernel/bpf/words.ts'
import { modeOf, turnOff } from '#kernel/mode.ts'
import type { BpfProbe, Kernel } from '#kernel/port.ts'
import type { Ip } from '#net/ip.ts'

/** What the daemon asks about the programs of DataPath V2, beside what its datapath does with them. */
export interface Programs {
  /** Whether the kernel has what they need. */
  probe(): Promise<readonly BpfProbe[]>
  /** The word that every program reads first, 0 = off; undefined while none is loaded. */
  mode(): Promise<number | undefined>
  /** Leaves every packet to the host stack; devices, programs and entries stay as they are. Those of Services are translated on only if `services` says so. */
  turnOff(services: boolean): Promise<void>
  /** Addresses of pods that they leave to the host stack. */
  leftToHostStack(): Promise<readonly Ip[]>
}

export function programsOf(kernel: Pick<Kernel, 'probePrograms' | 'mapEntries' | 'observe' | 'apply'>): Programs {
  return {
    probe: () => kernel.probePrograms(),
    mode: () => modeOf(kernel),
    turnOff: services => turnOff(kernel, services ? undefined : 0),
    leftToHostStack: async () =>
      (await kernel.mapEntries('addresses')).flatMap(({ key, value }) => {
        const { ip } = addressKey.decode(key)
        return ip !== undefined && address.decode(value).state === addressState.stack ? [ip] : []
      }),
  }
}
