// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Api } from './api.ts'
import { hierarchies } from './cgroup.ts'
import { CloudClient } from './cloud/client.ts'
import { type Names, netnsOf, nodeDir } from './names.ts'
import type { Machine } from './node/boot.ts'
import type { NodeServices, ProxyMode } from './node/services.ts'
import type { Pki } from './pki.ts'
import { serviceRange } from './service-range.ts'
import type { LabState, NodeState } from './state.ts'
import { SupervisorClient } from './supervisor/client.ts'

/** Everything that a step needs to know of a lab that runs. */
export interface Context {
  readonly names: Names
  readonly supervisor: SupervisorClient
  readonly cloud: CloudClient
  readonly pki: Pki
  readonly api: Api
}

export function contextOf(names: Names, apiPort: number): Context {
  return {
    names,
    supervisor: new SupervisorClient(names.supervisorSocket),
    cloud: new CloudClient(names),
    pki: { dir: names.pki },
    api: new Api(apiPort, names.pki),
  }
}

function machineOf(names: Names, bin: string, node: string): Machine {
  const programs = [join(import.meta.dirname, '..'), bin]
  return { name: node, dir: nodeDir(names, node), netns: netnsOf(names, node), hierarchies: hierarchies(), programs }
}

export function servicesOf(
  names: Names,
  state: Pick<LabState, 'bin' | 'pauseImage' | 'control' | 'proxy' | 'stack'>,
  { name: node, identity, labels }: Pick<NodeState, 'name' | 'identity' | 'labels'>,
): NodeServices {
  const { bin, pauseImage, control, proxy, stack } = state
  return {
    names,
    pki: { dir: names.pki },
    bin,
    machine: machineOf(names, bin, node),
    identity,
    labels,
    proxy,
    pauseImage,
    apiServer: `https://${control.address}:6443`,
    clusterDns: serviceRange(stack).dns,
  }
}

/** What works on this machine; `off` is never chosen by itself. */
export function proxyModeHere(): ProxyMode {
  const path = (process.env.PATH ?? '').split(':')
  return path.some(dir => existsSync(join(dir, 'iptables'))) ? 'iptables' : 'nftables'
}
