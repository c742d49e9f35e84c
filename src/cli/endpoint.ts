// SPDX-License-Identifier: Apache-2.0

import type { CliDeps } from '#cli/deps.ts'
import { nameOf, type PodNames, podNames, requirePrograms } from '#cli/node-view.ts'
import { type Output, print } from '#cli/output.ts'
import { tableLines } from '#cli/table.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { addressState, endpointFlag } from '#kernel/bpf/words.ts'
import { observeHost } from '#kernel/host.ts'
import type { RawEntry } from '#kernel/state.ts'

/** A pod as the programs know it. */
export interface EndpointRow {
  /** Of the host end. */
  readonly number: number
  readonly device: string
  readonly pod?: string
  readonly addresses: readonly string[]
  /** Whether packets to it go past the host stack, when the node forwards so. */
  readonly state: string
  readonly mtu: number
  readonly outIfIndex: number
  readonly shaped: boolean
}

export async function endpointList(deps: CliDeps, socket: string, output: Output): Promise<void> {
  const pods = await podNames(deps, socket)
  const kernel = await deps.kernel()
  try {
    await requirePrograms(kernel)
    const [endpoints, addresses] = [await kernel.mapEntries('endpoints'), await kernel.mapEntries('addresses')]
    const { links } = await observeHost(kernel, { links: 'all', families: [] })
    const devices = new Map(links.map(l => [l.index, `${l.name}`]))
    print(deps, output, endpointRows(endpoints, addresses, devices, pods), rows => tableLines(heading, rows.map(cells)))
  } finally {
    await kernel.close()
  }
}

/** One row for each host end that an endpoint or an address names. */
export function endpointRows(
  endpoints: readonly RawEntry[],
  addresses: readonly RawEntry[],
  devices: ReadonlyMap<number, string>,
  pods: PodNames,
): EndpointRow[] {
  const known = new Map(endpoints.map(e => [maps.endpoints.key.decode(e.key).ifIndex, maps.endpoints.value.decode(e.value)]))
  const ips = addresses.map(e => ({ ip: `${maps.addresses.key.decode(e.key).ip ?? ''}`, ...maps.addresses.value.decode(e.value) }))
  const numbers = [...new Set([...known.keys(), ...ips.map(a => a.endpoint)])].sort((a, b) => a - b)
  return numbers.map(number => {
    const [endpoint, own] = [known.get(number), ips.filter(a => a.endpoint === number)]
    const pod = own.map(a => pods.get(a.ip)).find(name => name !== undefined)
    return {
      number,
      device: devices.get(number) ?? 'gone',
      ...(pod !== undefined && { pod }),
      addresses: own.map(a => a.ip),
      state: own[0] === undefined ? 'no address' : nameOf(addressState, own[0].state),
      mtu: endpoint?.mtu ?? 0,
      outIfIndex: endpoint?.outIfIndex ?? 0,
      shaped: ((endpoint?.flags ?? 0) & endpointFlag.shaped) !== 0,
    }
  })
}

const heading = ['NUMBER', 'DEVICE', 'POD', 'ADDRESSES', 'STATE', 'MTU', 'ENI', 'SHAPED']

function cells(r: EndpointRow): string[] {
  const eni = r.outIfIndex === 0 ? '-' : String(r.outIfIndex)
  return [String(r.number), r.device, r.pod ?? '-', r.addresses.join(','), r.state, String(r.mtu), eni, r.shaped ? 'yes' : 'no']
}
