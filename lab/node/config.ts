// SPDX-License-Identifier: Apache-2.0
import { stringify } from 'yaml'
import { eniModeLabel } from '../../src/kube/crd/node.ts'

/** What the cloud controller manager knows of an instance. */
export interface Identity {
  readonly instanceId: string
  readonly instanceType: string
  readonly regionId: string
  readonly zoneId: string
  /** Primary address. */
  readonly address: string
  /** Absent in a lab without IPv6. */
  readonly address6?: string
}

/** IPv4 first: in any lab a machine is known, and asked by the API server, by that. */
export function addressesOf({ address, address6 }: Identity): readonly string[] {
  return address6 === undefined ? [address] : [address, address6]
}

export function containerdConfig(pauseImage: string): string {
  return `version = 3
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/opt/cni/bin"]
  conf_dir = "/etc/cni/net.d"
  # No plugin but Terway's is installed: containerd itself brings a pod's loopback up.
  use_internal_loopback = true
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "${pauseImage}"
`
}

/** Kubelet configuration; certificates are read from the lab's pki directory, which the node sees through its root. */
export function kubeletConfig(node: string, pki: string, identity: Identity, clusterDns: string): string {
  return stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    cgroupDriver: 'cgroupfs',
    failCgroupV1: false,
    failSwapOn: false,
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    resolvConf: '/etc/resolv.conf',
    providerID: `${identity.regionId}.${identity.instanceId}`,
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: `${pki}/ca.crt` } },
    authorization: { mode: 'Webhook' },
    clusterDNS: [clusterDns],
    clusterDomain: 'cluster.local',
    tlsCertFile: `${pki}/${node}.crt`,
    tlsPrivateKeyFile: `${pki}/${node}.key`,
    evictionHard: { 'memory.available': '0%', 'nodefs.available': '0%', 'imagefs.available': '0%', 'nodefs.inodesFree': '0%' },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    serializeImagePulls: false,
    nodeStatusUpdateFrequency: '5s',
    maxPods: 250,
    featureGates: { KubeletCrashLoopBackOffMax: true },
    crashLoopBackOff: { maxContainerRestartPeriod: '10s' },
  })
}

/** What a pool of nodes gives its nodes before they join. */
export type Labels = Readonly<Record<string, string>>

/** Of a node whose pods have an ENI each for themselves. */
export const exclusive: Labels = { [eniModeLabel]: 'eniOnly' }

/** Labels with which a node registers: those that ACK sets on every node, and those of its pool. */
export function nodeLabels(identity: Identity, pool: Labels): string {
  return Object.entries({
    ...pool,
    'topology.kubernetes.io/region': identity.regionId,
    'topology.kubernetes.io/zone': identity.zoneId,
    'node.kubernetes.io/instance-type': identity.instanceType,
  })
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}

export const RESOLV_CONF = 'nameserver 100.100.2.136\nnameserver 100.100.2.138\noptions timeout:2 attempts:3\n'
