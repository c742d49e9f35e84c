// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Lab } from '../../lab/lab.ts'
import { nodeDir } from '../../lab/names.ts'
import { until } from '../../lab/process.ts'

/** Where an API server that moves was, and where it goes. */
const [oldPort, newPort] = [6443, 7443]

async function onControl(lab: Lab, argv: readonly string[], input = ''): Promise<void> {
  const ran = await lab.onControl(argv, input)
  if (ran.code !== 0) throw new Error(`${argv.join(' ')}: ${ran.stderr.trim()}`)
}

const addresses = (lab: Lab) => lab.nodes().map(node => node.identity.address)

/** The API server is at another port from now on, and answers at the old one, too. Every node has been told. */
export async function moveApiServer(lab: Lab): Promise<void> {
  const redirect = `tcp dport ${oldPort} redirect to :${newPort}`
  const chains = ['prerouting', 'output'].map(hook => `chain ${hook} { type nat hook ${hook} priority -100; ${redirect}; }`)
  await onControl(lab, ['nft', '-f', '-'], `table ip moved {\n${chains.join('\n')}\n}`)
  await lab.restartApiServer(`--secure-port=${newPort}`)
  for (const { name } of lab.nodes()) await until(`${name} knows where the API server is`, 120_000, () => remembers(lab, name), 250)
}

function remembers(lab: Lab, node: string): boolean {
  const file = join(nodeDir(lab.names, node), 'disk', 'cni', 'terway', 'endpoints.json')
  return existsSync(file) && readFileSync(file, 'utf8') === JSON.stringify([`https://${lab.state.control.address}:${newPort}`])
}

/** Nothing of a node is answered at the old port any more, and what was connected there has lost its connection. */
export async function closeOldAddress(lab: Lab): Promise<void> {
  const rule = `ip saddr { ${addresses(lab).join(', ')} } meta l4proto tcp ct original proto-dst ${oldPort} reject with tcp reset`
  await onControl(lab, ['nft', '-f', '-'], `table ip closed {\nchain input { type filter hook input priority 0; ${rule}; }\n}`)
  for (const address of addresses(lab)) await onControl(lab, ['ss', '-K', 'dst', address, 'sport', '=', `:${newPort}`])
}

export function openOldAddress(lab: Lab): Promise<void> {
  return onControl(lab, ['nft', 'delete', 'table', 'ip', 'closed'])
}

/** As an operator does it: the kubelets' kubeconfigs name the new address, and the kubelets begin anew. */
export async function moveKubelets(lab: Lab, nodes: readonly string[]): Promise<void> {
  const move = async (node: string) => {
    const file = join(nodeDir(lab.names, node), 'kubernetes', 'kubelet.conf')
    writeFileSync(file, readFileSync(file, 'utf8').replace(`:${oldPort}`, `:${newPort}`))
    await lab.node(node).start('kubelet')
  }
  await Promise.all(nodes.map(move))
}
