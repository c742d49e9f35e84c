// SPDX-License-Identifier: Apache-2.0
import { localBindingAnnotation } from '#ipam/release.ts'
import { eniModeLabel, type Nic, type NicIp, type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import { configMaps } from '#kube/reflect/config-map.ts'
import { leases } from '#kube/reflect/lease.ts'
import { nodes } from '#kube/reflect/node.ts'
import { type Pod, pods } from '#kube/reflect/pod.ts'
import type { Stack } from '#net/stack.ts'
import type { KubeModel } from './kube-model.ts'

export const nodeName = 'node-1'
export const eniConf = {
  version: '1',
  ipam_type: 'crd',
  vswitches: { 'zone-a': ['vsw-1'] },
  security_group: 'sg-1',
  max_pool_size: 5,
  min_pool_size: 0,
}
/** The ENI that the world begins with, in a vSwitch of both families. */
export const eni = { id: 'eni-1', mac: '02:00:00:00:00:01', cidr: '10.0.0.0/24', cidr6: 'fd00:1::/64' } as const

/** The cluster's side of one node whose controller is ours: what exists before terwayd starts. */
export class NodeWorld {
  readonly model: KubeModel

  /** `addresses`: of either family, all of eni-1. */
  constructor(model: KubeModel, addresses: readonly string[], stack: Stack = 'ipv4') {
    this.model = model
    model.put(nodes, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: nodeName, uid: 'node-uid', labels: {} },
      spec: {},
    })
    this.configure({ ip_stack: stack })
    this.lead('terway-ts_controller-1')
    model.put(nodeCrs, {
      apiVersion: 'network.alibabacloud.com/v1beta1',
      kind: 'Node',
      metadata: { name: nodeName, annotations: { [localBindingAnnotation]: 'v1' } },
      spec: {
        nodeMetadata: { regionID: 'r', instanceType: 't', instanceID: 'i-1', zoneID: 'zone-a' },
        nodeCap: { adapters: 3, ipv4PerAdapter: 10, ipv6PerAdapter: 10 },
      },
      status: { networkInterfaces: { [eni.id]: nicOf(addresses) } },
    })
  }

  /** What the ConfigMap eni-config says beyond `eniConf`. */
  configure(change: object): void {
    this.model.put(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'eni-config', namespace: 'kube-system' },
      data: { eni_conf: JSON.stringify({ ...eniConf, ...change }) },
    })
  }

  lead(holder: string): void {
    this.model.put(leases, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'terway-controlplane', namespace: 'kube-system' },
      spec: { holderIdentity: holder },
    })
  }

  /** The node is one whose pods have an ENI each: eni-1 and the others have one address of each family that is asked for. */
  exclusive(enis: readonly (readonly string[])[]): void {
    const node = this.node()
    const networkInterfaces = Object.fromEntries(
      enis.map((ips, i) => [`eni-${i + 1}`, nicOf(ips, { id: `eni-${i + 1}`, macAddress: macOfEni(i + 1) })]),
    )
    const metadata = { ...node.metadata, labels: { ...node.metadata.labels, [eniModeLabel]: 'eniOnly' } }
    this.model.put(nodeCrs, { ...node, metadata, status: { ...node.status, networkInterfaces } })
    this.label('eniOnly')
  }

  /** The Kubernetes node's own label; undefined takes it away. */
  label(mode: string | undefined): void {
    const metadata = { name: nodeName, uid: 'node-uid', labels: mode === undefined ? {} : { [eniModeLabel]: mode } }
    this.model.put(nodes, { apiVersion: 'v1', kind: 'Node', metadata, spec: {} })
  }

  node(): NodeCr {
    const node = this.model.read(nodeCrs, nodeName)
    if (node === undefined) throw new Error('the Node CR is gone')
    return node
  }

  /** Changes one address as the controller would, of eni-1 when no ENI has it; undefined removes it. */
  address(ip: string, change: Partial<NicIp> | undefined): void {
    const node = this.node()
    const key = keyOf(ip)
    const nics = node.status?.networkInterfaces ?? {}
    const nic = Object.values(nics).find(n => n[key]?.[ip] !== undefined) ?? nics[eni.id]
    if (nic === undefined) throw new Error('eni-1 is gone')
    const { [ip]: before, ...others } = nic[key] ?? {}
    const records =
      change === undefined ? others : { ...others, [ip]: { ip, primary: false, status: 'Valid', ...before, ...change } as NicIp }
    this.model.put(nodeCrs, { ...node, status: { ...node.status, networkInterfaces: { ...nics, [nic.id]: { ...nic, [key]: records } } } })
  }

  pod(name: string, change: { uid?: string; spec?: Partial<Pod['spec']>; annotations?: Record<string, string> } = {}): Pod {
    const { uid = `uid-${name}`, spec = {}, annotations = {} } = change
    return this.model.put(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default', uid, annotations },
      spec: { nodeName, ...spec },
      status: { phase: 'Pending' },
    })
  }

  removePod(name: string): void {
    this.model.remove(pods, name, 'default')
  }
}

/** Of eni-1, eni-2, … */
export function macOfEni(n: number): string {
  return `02:00:00:00:00:0${n}`
}

function keyOf(ip: string): 'ipv4' | 'ipv6' {
  return ip.includes(':') ? 'ipv6' : 'ipv4'
}

export function nicOf(addresses: readonly string[], change: Partial<Nic> = {}): Nic {
  const records = (key: 'ipv4' | 'ipv6') =>
    Object.fromEntries(addresses.filter(ip => keyOf(ip) === key).map(ip => [ip, { ip, primary: false, status: 'Valid' } as const]))
  return {
    id: eni.id,
    status: 'InUse',
    macAddress: eni.mac,
    vSwitchID: 'vsw-1',
    networkInterfaceType: 'Secondary',
    networkInterfaceTrafficMode: 'Standard',
    ipv4CIDR: eni.cidr,
    ipv6CIDR: eni.cidr6,
    ipv4: records('ipv4'),
    ipv6: records('ipv6'),
    ...change,
  }
}
