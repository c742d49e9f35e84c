// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Names } from '../names.ts'
import { issue, type Pki, writeKubeconfig } from '../pki.ts'
import type { ProcessSpec } from '../supervisor/spec.ts'
import { type Machine, nodePath, onNode } from './boot.ts'
import { addressesOf, containerdConfig, type Identity, kubeletConfig, type Labels, nodeLabels } from './config.ts'

/** How kube-proxy translates Services on this machine: nftables where the iptables program is missing. */
export type ProxyMode = 'iptables' | 'nftables' | 'off'

export interface NodeServices {
  readonly names: Names
  readonly pki: Pki
  readonly bin: string
  readonly machine: Machine
  readonly identity: Identity
  readonly labels: Labels
  readonly proxy: ProxyMode
  readonly pauseImage: string
  readonly apiServer: string
  /** Where a resolver would answer, inside the range of Services; the lab runs none. */
  readonly clusterDns: string
}

/** Certificates and configuration files of a node, on its disk. Made once; a reboot finds them. */
export async function writeNodeFiles(node: NodeServices): Promise<void> {
  const { machine, pki, identity, apiServer } = node
  const { name } = machine
  await issue(pki, {
    name,
    subject: `/O=system:nodes/CN=system:node:${name}`,
    alternative: [`DNS:${name}`, ...addressesOf(identity).map(ip => `IP:${ip}`)],
  })
  const kubernetes = join(machine.dir, 'kubernetes')
  mkdirSync(kubernetes, { recursive: true })
  writeKubeconfig(pki, name, apiServer, join(kubernetes, 'kubelet.conf'))
  writeFileSync(join(kubernetes, 'containerd.toml'), containerdConfig(node.pauseImage))
  writeFileSync(join(kubernetes, 'kubelet.yaml'), kubeletConfig(name, pki.dir, identity, node.clusterDns))
}

/** containerd, kubelet and kube-proxy, in start order. */
export function serviceSpecs(node: NodeServices, init: number): readonly ProcessSpec[] {
  const { machine, identity, names, bin, pki } = node
  const kubernetes = join(machine.dir, 'kubernetes')
  const spec = (program: string, args: readonly string[]): ProcessSpec => ({
    name: `${machine.name}/${program}`,
    argv: onNode(init, [join(bin, program), ...args]),
    env: { PATH: nodePath(bin) },
    log: join(names.logs, `${machine.name}-${program}.log`),
    cgroup: machine.name,
    restart: true,
    wrapped: true,
  })
  const proxy = [`--kubeconfig=${join(pki.dir, 'kube-proxy.kubeconfig')}`, ...proxyFlags(node.proxy, machine.name)]
  return [
    spec('containerd', [`--config=${join(kubernetes, 'containerd.toml')}`]),
    spec('kubelet', [
      `--config=${join(kubernetes, 'kubelet.yaml')}`,
      `--kubeconfig=${join(kubernetes, 'kubelet.conf')}`,
      `--hostname-override=${machine.name}`,
      `--node-ip=${addressesOf(identity).join(',')}`,
      `--node-labels=${nodeLabels(identity, node.labels)}`,
    ]),
    ...(node.proxy === 'off' ? [] : [spec('kube-proxy', proxy)]),
  ]
}

/** What kube-proxy is told, beside where the API server is. */
export function proxyFlags(mode: ProxyMode, node: string): readonly string[] {
  return [
    `--proxy-mode=${mode}`,
    `--hostname-override=${node}`,
    '--detect-local-mode=InterfaceNamePrefix',
    '--pod-interface-name-prefix=cali',
    '--conntrack-max-per-core=0',
    '--conntrack-min=0',
    '--conntrack-tcp-timeout-established=0',
    '--conntrack-tcp-timeout-close-wait=0',
  ]
}
