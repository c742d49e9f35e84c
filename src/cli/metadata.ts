// SPDX-License-Identifier: Apache-2.0
import type { CliDeps } from '#cli/deps.ts'
import { type Tree, treeLines } from '#cli/tree.ts'
import type { Metadata } from '#cloud/metadata.ts'
import { AppError } from '#lib/errors.ts'

/** What the cloud's metadata service says of this instance's ENIs: vSwitch → ENI → addresses. Needs no daemon. */
export async function metadata(deps: CliDeps): Promise<void> {
  const service = deps.metadata()
  const primary = await service.get('mac')
  if (primary === undefined) throw new AppError('no-metadata', 'the metadata service knows no MAC; is this an ECS instance?')
  const macs = ((await service.get('network/interfaces/macs/')) ?? '').split('\n').map(mac => mac.replace(/\/$/, ''))
  const enis = await Promise.all(macs.filter(mac => mac !== '').map(mac => eniOf(service, mac, mac === primary)))
  const vSwitches = [...new Set(enis.map(eni => eni.vSwitch))].sort()
  const trees = vSwitches.map(id => ({ text: id, children: enis.filter(eni => eni.vSwitch === id).map(eni => eni.tree) }))
  for (const line of treeLines(trees)) deps.out(line)
}

async function eniOf(service: Metadata, mac: string, primary: boolean): Promise<{ vSwitch: string; tree: Tree }> {
  const read = async (key: string) => (await service.get(`network/interfaces/macs/${mac}/${key}`)) ?? ''
  const [id, vSwitch, first] = [await read('network-interface-id'), await read('vswitch-id'), await read('primary-ip-address')]
  const secondary = listOf(await read('private-ipv4s')).filter(ip => ip !== first)
  const ipv6 = listOf(await read('ipv6s'))
  const children: Tree[] = [{ text: `primary: ${primary}` }, { text: `primary_ipv4: ${first}` }]
  if (secondary.length > 0) children.push({ text: 'secondary_ipv4s', children: secondary.map(text => ({ text })) })
  if (ipv6.length > 0) children.push({ text: 'ipv6', children: ipv6.map(text => ({ text })) })
  return { vSwitch, tree: { text: `${id} (${mac})`, children } }
}

/** private-ipv4s is a JSON array, ipv6s is `[a,b]` without quotes. */
function listOf(text: string): string[] {
  return text
    .replace(/^\[|\]$/g, '')
    .split(',')
    .map(item => item.trim().replace(/^"|"$/g, ''))
    .filter(item => item !== '')
}
