// SPDX-License-Identifier: Apache-2.0
import type { Lab, LabNode } from '../lab.ts'
import { leasesOf } from '../ledger.ts'

/** Somebody who holds an address, as one witness has it: a pod's network namespace in a kernel, or a container in a ledger. */
export interface Holding {
  readonly witness: 'kernel' | 'ledger'
  readonly node: string
  readonly holder: string
  readonly address: string
}

/** Addresses that one witness gives to two holders, on one node or on two; one line each. Pure. */
export function heldTwice(all: readonly Holding[]): string[] {
  const byAddress = Map.groupBy(all, h => `${h.witness} ${h.address}`)
  return [...byAddress.values()].flatMap(holders => {
    const [first, second] = holders
    if (first === undefined || second === undefined) return []
    return `${first.address} is held twice (${first.witness}): ${holders.map(h => `${h.node}/${h.holder}`).join(' and ')}`
  })
}

/** Every holder of an address on every node now. A node that cannot be asked at this moment has none. */
export async function holdings(lab: Lab): Promise<readonly Holding[]> {
  const all = await Promise.all(lab.nodes().map(async node => [...(await inKernel(node)), ...inLedger(lab, node.name)]))
  return all.flat()
}

const eachNamespace = `for ns in $(ls /run/netns 2>/dev/null); do
  for a in $(ip -n "$ns" -o addr show dev eth0 scope global 2>/dev/null | awk '{print $4}'); do echo "$ns $a"; done
done`

async function inKernel(node: LabNode): Promise<Holding[]> {
  const { stdout } = await node.exec(['sh', '-c', eachNamespace])
  return stdout
    .split('\n')
    .filter(line => line !== '')
    .map(line => {
      const [holder = '', address = ''] = line.split(' ')
      return { witness: 'kernel', node: node.name, holder, address: address.replace(/\/.*/, '') }
    })
}

function inLedger(lab: Lab, node: string): Holding[] {
  return (leasesOf(lab, node) ?? []).flatMap(({ attachment, containerId: holder }) =>
    [attachment.v4, attachment.v6].flatMap((ip): Holding[] =>
      ip === undefined ? [] : [{ witness: 'ledger', node, holder, address: ip.address }],
    ),
  )
}
