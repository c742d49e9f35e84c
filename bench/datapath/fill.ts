// SPDX-License-Identifier: Apache-2.0
import { closeSync } from 'node:fs'
import { join } from 'node:path'
import { incarnationOf } from '#datapath/mode/ebpf.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { seenNow } from '#kernel/bpf/seen.ts'
import { flowFlag, flowState, flowWay, reservedIdentity } from '#kernel/bpf/words.ts'
import { openPin, updateEntry } from '#kernel/ffi-bpf.ts'
import { type KernelOp, pinOfMap } from '#kernel/op.ts'
import { parseIpv4 } from '#net/ip.ts'
import { protocols, serviceOps } from '../../test/kernel/bpf-services.ts'
import { type BenchService, servicePort } from './services.ts'
import type { BenchPod } from './world.ts'

export function serviceEntries(services: readonly BenchService[]): KernelOp[] {
  return services.flatMap(({ protocol, ips, endpoints }, i) =>
    (['v4', 'v6'] as const).flatMap((family, f) =>
      serviceOps({
        number: 2 * i + f + 1,
        protocol: protocols[protocol === 'TCP' ? 'tcp' : 'udp'],
        frontends: [{ ip: ips[family], port: servicePort }],
        backends: endpoints.map(({ ips, port }) => ({ ip: ips[family], port })),
      }),
    ),
  )
}

/** Open connections of this pod with others of the world, in the table of this node. A million operations of a list would take a minute. */
export function fillFlows(pins: string, count: number, pod: BenchPod): void {
  const { key: keys, value: values } = maps.flows
  const fd = openPin(join(pins, pinOfMap('flows')))
  const remote = keys.fields.find(f => f.name === 'remote')
  if (fd === undefined || remote === undefined) throw new Error(`${pins} has no table of flows`)
  const value = values.encode({
    seen: seenNow(),
    state: flowState.open,
    way: flowWay.direct,
    flags: flowFlag.answered,
    localIncarnation: incarnationOf(pod),
    identity: reservedIdentity.world,
  })
  const first = parseIpv4('11.0.0.0')
  const key = keys.encode({ local: pod.v4.address, remote: first, localPort: 40_000, remotePort: 443, protocol: protocols.tcp })
  const last = remote.offset + remote.size - 4
  const base = key.readUInt32BE(last)
  for (let i = 0; i < count; i++) {
    key.writeUInt32BE(base + i, last)
    updateEntry(fd, key, value)
  }
  closeSync(fd)
}
