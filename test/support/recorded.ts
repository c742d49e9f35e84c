// SPDX-License-Identifier: Apache-2.0

import { networkInterfaces } from '#kube/crd/network-interface.ts'
import { nodeCrs } from '#kube/crd/node.ts'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { podEnis } from '#kube/crd/pod-eni.ts'
import { podNetworkings } from '#kube/crd/pod-networking.ts'
import type { KubeObject, Resource } from '#kube/port.ts'

/** Objects as Terway (Go) writes them: each of its kinds with every field set that it knows. */
export const apiVersion = 'network.alibabacloud.com/v1beta1'

export const node = {
  apiVersion,
  kind: 'Node',
  metadata: {
    name: 'cn-hangzhou.10.0.0.5',
    uid: 'b0f2a4d0-63b1-4d5e-a8ba-111111111111',
    resourceVersion: '8123',
    generation: 3,
    creationTimestamp: '2026-05-01T08:00:00Z',
    labels: { name: 'cn-hangzhou.10.0.0.5', 'k8s.aliyun.com/exclusive-mode-eni-type': 'default' },
    finalizers: ['network.alibabacloud.com/node-controller'],
    ownerReferences: [
      { apiVersion: 'v1', kind: 'Node', name: 'cn-hangzhou.10.0.0.5', uid: 'u1', controller: true, blockOwnerDeletion: true },
    ],
  },
  spec: {
    nodeMetadata: { regionID: 'cn-hangzhou', instanceType: 'ecs.g7.xlarge', instanceID: 'i-1', zoneID: 'cn-hangzhou-k' },
    nodeCap: {
      adapters: 3,
      eriQuantity: 1,
      totalAdapters: 6,
      ipv4PerAdapter: 15,
      ipv6PerAdapter: 15,
      memberAdapterLimit: 60,
      maxMemberAdapterLimit: 70,
      instanceBandwidthRx: 10240000,
      instanceBandwidthTx: 10240000,
      networkCards: [{ index: 0 }, { index: 1 }],
      networkCardsCount: 2,
    },
    datapath: { type: 'veth' },
    eni: {
      vSwitchOptions: ['vsw-1', 'vsw-2'],
      securityGroupIDs: ['sg-1'],
      vSwitchSelectPolicy: 'ordered',
      tag: { team: 'net' },
      tagFilter: { pool: 'a' },
      tagBlockList: [{ key: 'owner', value: 'other' }],
      resourceGroupID: 'rg-1',
      enableIPv4: true,
      enableIPv6: true,
      enableERDMA: false,
      enableTrunk: true,
      enableIPPrefix: true,
      ipv4PrefixCount: 1,
      ipv6PrefixCount: 1,
    },
    pool: {
      maxPoolSize: 5,
      minPoolSize: 0,
      warmUpSize: 2,
      poolSyncPeriod: '120s',
      reclaim: { after: '5m0s', interval: '1m0s', batchSize: 5, jitterFactor: '0.1' },
    },
    flavor: [{ networkInterfaceType: 'Secondary', networkInterfaceTrafficMode: 'Standard', count: 2 }],
  },
  status: {
    nextSyncOpenAPITime: '2026-05-01T12:00:00Z',
    lastSyncOpenAPITime: '2026-05-01T00:00:00Z',
    lastModifiedTime: '2026-05-01T11:59:00Z',
    nextIdleIPReclaimTime: '2026-05-01T12:10:00Z',
    warmUpTarget: 2,
    warmUpAllocatedCount: 1,
    warmUpCompleted: false,
    networkInterfaces: {
      'eni-1': {
        id: 'eni-1',
        status: 'InUse',
        macAddress: '00:16:3e:00:00:01',
        vSwitchID: 'vsw-1',
        securityGroupIDs: ['sg-1'],
        primaryIPAddress: '10.0.1.1',
        networkInterfaceTrafficMode: 'Standard',
        networkInterfaceType: 'Secondary',
        ipv4CIDR: '10.0.1.0/24',
        ipv6CIDR: 'fd00:1::/64',
        unschedulable: true,
        ipv4: {
          '10.0.1.1': { ip: '10.0.1.1', primary: true, status: 'Valid', ipName: 'ip-1' },
          '10.0.1.2': { ip: '10.0.1.2', primary: false, status: 'Valid', podID: 'default/web-0', podUID: 'p1' },
          '10.0.1.3': { ip: '10.0.1.3', primary: false, status: 'Deleting' },
          '10.0.1.4': { ip: '10.0.1.4', primary: false, status: 'Invalid' },
        },
        ipv6: { 'fd00:1::2': { ip: 'fd00:1::2', primary: false, status: 'Valid', podID: 'default/web-0', podUID: 'p1' } },
        ipv4Prefix: [{ prefix: '10.0.1.16/28', status: 'Frozen', frozenExpireAt: '2026-05-01T12:00:00Z' }],
        ipv6Prefix: [{ prefix: 'fd00:1::1:0/80', status: 'Valid' }],
        conditions: { InsufficientIP: { observedTime: '2026-05-01T11:00:00Z', message: 'vSwitch vsw-1 is full' } },
      },
    },
  },
}

export const nodeRuntime = {
  apiVersion,
  kind: 'NodeRuntime',
  metadata: { name: 'cn-a', labels: { name: 'cn-a' } },
  spec: {},
  status: {
    pods: {
      p1: {
        podID: 'default/web-0',
        status: { initial: { lastUpdateTime: '2026-05-01T11:00:00Z' }, deleted: { lastUpdateTime: '2026-05-01T11:10:00Z' } },
      },
    },
  },
}

export const podNetworking = {
  apiVersion,
  kind: 'PodNetworking',
  metadata: { name: 'stateful' },
  spec: {
    eniOptions: { eniType: 'Trunk' },
    allocationType: { type: 'Fixed', releaseStrategy: 'TTL', releaseAfter: '10m0s' },
    selector: {
      podSelector: { matchLabels: { app: 'db' }, matchExpressions: [{ key: 'tier', operator: 'In', values: ['a', 'b'] }] },
      namespaceSelector: { matchLabels: { team: 'data' } },
    },
    securityGroupIDs: ['sg-1'],
    vSwitchOptions: ['vsw-1'],
    vSwitchSelectOptions: { vSwitchSelectionPolicy: 'most' },
  },
  status: { status: 'Ready', vSwitches: [{ id: 'vsw-1', zone: 'cn-hangzhou-k' }], updateAt: '2026-05-01T11:00:00Z', message: '' },
}

export const podEni = {
  apiVersion,
  kind: 'PodENI',
  metadata: {
    name: 'web-0',
    namespace: 'default',
    labels: { 'k8s.aliyun.com/node': 'cn-a' },
    annotations: { 'k8s.aliyun.com/pod-uid': 'p1' },
    finalizers: ['network.alibabacloud.com/pod-eni'],
  },
  spec: {
    zone: 'cn-hangzhou-k',
    allocations: [
      {
        allocationType: { type: 'Fixed', releaseStrategy: 'Never', releaseAfter: '5m0s' },
        eni: {
          id: 'eni-9',
          vpcID: 'vpc-1',
          mac: '00:16:3e:00:00:09',
          zone: 'cn-hangzhou-k',
          vSwitchID: 'vsw-1',
          resourceGroupID: 'rg-1',
          securityGroupIDs: ['sg-1'],
          attachmentOptions: { trunk: true },
        },
        ipv4: '10.0.1.9',
        ipv6: 'fd00:1::9',
        ipv4CIDR: '10.0.1.0/24',
        ipv6CIDR: 'fd00:1::/64',
        interface: 'eth0',
        defaultRoute: true,
        extraRoutes: [{ dst: '192.168.0.0/16' }],
        extraConfig: { x: 'y' },
      },
    ],
  },
  status: {
    phase: 'Bind',
    instanceID: 'i-1',
    trunkENIID: 'eni-1',
    msg: 'bound',
    podLastSeen: '2026-05-01T11:00:00Z',
    eniInfos: { 'eni-9': { id: 'eni-9', type: 'Member', vid: 101, status: 'Bind', networkCardIndex: 0, vfID: 7 } },
  },
}

export const networkInterface = {
  apiVersion,
  kind: 'NetworkInterface',
  metadata: { name: 'eni-9', finalizers: ['network.alibabacloud.com/eni'] },
  spec: {
    eni: { id: 'eni-9', vSwitchID: 'vsw-1' },
    ipv4: '10.0.1.9',
    ipv6: 'fd00:1::9',
    ipv4CIDR: '10.0.1.0/24',
    ipv6CIDR: 'fd00:1::/64',
    extraConfig: { x: 'y' },
    managePolicy: { cache: true, unManaged: false },
    podENIRef: { kind: 'Pod', namespace: 'default', name: 'web-0', uid: 'p1' },
  },
  status: {
    phase: 'Bind',
    eniInfo: { id: 'eni-9', type: 'Member', vid: 101, status: 'Bind', networkCardIndex: 0, vfID: 7 },
    instanceID: 'i-1',
    trunkENIID: 'eni-1',
    networkCardIndex: 0,
    nodeName: 'cn-a',
  },
}

export const recorded: readonly (readonly [Resource<KubeObject>, KubeObject])[] = [
  [nodeCrs, node],
  [nodeRuntimes, nodeRuntime],
  [podNetworkings, podNetworking],
  [podEnis, podEni],
  [networkInterfaces, networkInterface],
]
