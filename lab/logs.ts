// SPDX-License-Identifier: Apache-2.0
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Lab } from './lab.ts'

/** Copies the programs' logs, and each node's pod logs. Works on a lab that is half dead. */
export function collectLogs(lab: Lab, directory: string): void {
  mkdirSync(directory, { recursive: true })
  cpSync(lab.names.logs, directory, { recursive: true })
  for (const { name } of lab.state.nodes) {
    const pods = join(lab.names.dir, 'nodes', name, 'disk', 'log', 'pods')
    if (existsSync(pods)) cpSync(pods, join(directory, `${name}-pods`), { recursive: true })
  }
}

const objects = [
  'pods',
  'events',
  'configmaps',
  'leases.coordination.k8s.io',
  'nodes',
  'nodes.network.alibabacloud.com',
  'noderuntimes.network.alibabacloud.com',
]
const kernel = [
  ['ip', '-details', 'address'],
  ['ip', 'rule'],
  ['ip', 'route', 'show', 'table', 'all'],
  ['ip', 'netns'],
]

/** The logs, and beside them what the cluster and the kernels say now: what one needs to understand a failure later. */
export async function collectAll(lab: Lab, directory: string): Promise<void> {
  collectLogs(lab, directory)
  const save = (name: string, ran: { readonly stdout: string; readonly stderr: string }) =>
    writeFileSync(join(directory, name), ran.stdout + ran.stderr)
  for (const kind of objects)
    save(`${kind}.yaml`, await lab.kubectlRaw(['get', kind, '--all-namespaces', '--ignore-not-found', '-o', 'yaml']))
  for (const node of lab.nodes()) {
    for (const argv of kernel) save(`${node.name}-${argv.join('-')}.txt`, await node.exec(argv))
  }
}
