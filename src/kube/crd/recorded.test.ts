// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubeObject, Resource } from '../port.ts'
import { networkInterfaces } from './network-interface.ts'
import { nodeCrs } from './node.ts'
import { nodeRuntimes } from './node-runtime.ts'
import { podEnis } from './pod-eni.ts'
import { podNetworkings } from './pod-networking.ts'

/** Objects as Terway writes them, with a field of a future version in each place where one may appear. */
const apiVersion = 'network.alibabacloud.com/v1beta1'

const node = {
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
    nodeCap: { adapters: 3, totalAdapters: 6, ipv4PerAdapter: 15, ipv6PerAdapter: 15, networkCards: [{ index: 0 }], networkCardsCount: 1 },
    datapath: { type: 'veth' },
    eni: {
      vSwitchOptions: ['vsw-1', 'vsw-2'],
      securityGroupIDs: ['sg-1'],
      vSwitchSelectPolicy: 'ordered',
      tag: { team: 'net' },
      tagBlockList: [{ key: 'owner', value: 'other' }],
      enableIPv4: true,
      futureOption: { a: [1, 2] },
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
        ipv4: {
          '10.0.1.1': { ip: '10.0.1.1', primary: true, status: 'Valid' },
          '10.0.1.2': { ip: '10.0.1.2', primary: false, status: 'Valid', podID: 'default/web-0', podUID: 'p1', future: true },
          '10.0.1.3': { ip: '10.0.1.3', primary: false, status: 'Deleting' },
        },
        ipv4Prefix: [{ prefix: '10.0.1.16/28', status: 'Frozen', frozenExpireAt: '2026-05-01T12:00:00Z' }],
        conditions: { InsufficientIP: { observedTime: '2026-05-01T11:00:00Z', message: 'vSwitch vsw-1 is full' } },
      },
    },
  },
}

const nodeRuntime = {
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

const podNetworking = {
  apiVersion,
  kind: 'PodNetworking',
  metadata: { name: 'stateful' },
  spec: {
    eniOptions: { eniType: 'Trunk' },
    allocationType: { type: 'Fixed', releaseStrategy: 'TTL', releaseAfter: '10m0s' },
    selector: { podSelector: { matchLabels: { app: 'db' }, matchExpressions: [{ key: 'tier', operator: 'In', values: ['a', 'b'] }] } },
    securityGroupIDs: ['sg-1'],
    vSwitchOptions: ['vsw-1'],
    vSwitchSelectOptions: { vSwitchSelectionPolicy: 'most' },
  },
  status: { status: 'Ready', vSwitches: [{ id: 'vsw-1', zone: 'cn-hangzhou-k' }], updateAt: '2026-05-01T11:00:00Z', message: '' },
}

const podEni = {
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
        allocationType: { type: 'Elastic' },
        eni: {
          id: 'eni-9',
          vpcID: 'vpc-1',
          mac: '00:16:3e:00:00:09',
          zone: 'cn-hangzhou-k',
          vSwitchID: 'vsw-1',
          securityGroupIDs: ['sg-1'],
          attachmentOptions: { trunk: true },
        },
        ipv4: '10.0.1.9',
        ipv4CIDR: '10.0.1.0/24',
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
    podLastSeen: '2026-05-01T11:00:00Z',
    eniInfos: { 'eni-9': { id: 'eni-9', type: 'Member', vid: 101, status: 'Bind', networkCardIndex: 0, vfID: 7 } },
  },
}

const networkInterface = {
  apiVersion,
  kind: 'NetworkInterface',
  metadata: { name: 'eni-9', finalizers: ['network.alibabacloud.com/eni'] },
  spec: {
    eni: { id: 'eni-9', vSwitchID: 'vsw-1' },
    ipv4: '10.0.1.9',
    ipv4CIDR: '10.0.1.0/24',
    managePolicy: { cache: true },
    podENIRef: { kind: 'Pod', namespace: 'default', name: 'web-0', uid: 'p1' },
  },
  status: { phase: '', eniInfo: {}, nodeName: 'cn-a' },
}

const recorded: readonly (readonly [Resource<KubeObject>, KubeObject])[] = [
  [nodeCrs, node],
  [nodeRuntimes, nodeRuntime],
  [podNetworkings, podNetworking],
  [podEnis, podEni],
  [networkInterfaces, networkInterface],
]

for (const [r, object] of recorded)
  test(`${r.plural}: what Terway wrote survives parse unchanged, unknown fields included`, () => {
    assert.deepEqual(r.parse(structuredClone(object)), object)
  })

test('managedFields and nulls are dropped, a missing spec is empty', () => {
  const parsed = nodeCrs.parse({ metadata: { name: 'a', managedFields: [{ manager: 'x' }] }, status: { nextSyncOpenAPITime: null } })
  assert.deepEqual(parsed, { apiVersion, kind: 'Node', metadata: { name: 'a' }, spec: {}, status: {} })
})

test('a pod networking from before eniOptions means the default', () => {
  const { eniOptions: _, ...spec } = podNetworking.spec
  assert.deepEqual(podNetworkings.parse({ ...podNetworking, spec }).spec.eniOptions, { eniType: 'Default' })
})

test('the fields that docs/addresses.md adds are typed', () => {
  const parsed = nodeCrs.parse({
    ...node,
    status: {
      networkInterfaces: {
        'eni-1': {
          id: 'eni-1',
          status: 'InUse',
          ipv4: { '10.0.1.3': { ip: '10.0.1.3', primary: false, status: 'Deleting', releaseNonce: 'n1' } },
        },
      },
      intents: { t1: { token: 't1', kind: 'create-eni', vSwitchID: 'vsw-1', ipv4Count: 10, ipv6Count: 0, since: '2026-05-01T11:00:00Z' } },
    },
  })
  assert.equal(parsed.status?.networkInterfaces?.['eni-1']?.ipv4?.['10.0.1.3']?.releaseNonce, 'n1')
  assert.equal(parsed.status?.intents?.t1?.kind, 'create-eni')
  const runtime = nodeRuntimes.parse({
    ...nodeRuntime,
    status: {
      pods: { p1: { podID: 'a/b', status: {}, ipv4: '10.0.1.2', ipv6: 'fd00::2', eniID: 'eni-1', containerID: 'c1' } },
      releases: { '10.0.1.3': { nonce: 'n1', answer: 'acked', lastUpdateTime: '2026-05-01T11:00:00Z' } },
    },
  })
  assert.equal(runtime.status?.pods?.p1?.containerID, 'c1')
  assert.equal(runtime.status?.releases?.['10.0.1.3']?.answer, 'acked')
})

test('a bad object names every wrong field by its path', () => {
  const bad = structuredClone(node) as {
    status: { networkInterfaces: Record<string, { status?: unknown; ipv4: Record<string, unknown> }> }
  }
  bad.status.networkInterfaces['eni-1'] = { ipv4: { '10.0.1.1': { ip: '10.0.1.1', primary: 'yes', status: 'Stale' } } }
  assert.throws(() => nodeCrs.parse(bad), {
    code: 'bad-object',
    message:
      'Node cn-hangzhou.10.0.0.5: status.networkInterfaces.eni-1.id is missing, must be present; ' +
      'status.networkInterfaces.eni-1.status is missing, must be present; ' +
      'status.networkInterfaces.eni-1.ipv4["10.0.1.1"].primary is "yes", must be true or false; ' +
      'status.networkInterfaces.eni-1.ipv4["10.0.1.1"].status is "Stale", must be one of Valid, Invalid, Deleting',
  })
})

test('a wrong kind, a missing name and a non-object are bad objects', () => {
  assert.throws(() => nodeCrs.parse({ kind: 'Pod', metadata: { name: 'a' } }), {
    code: 'bad-object',
    message: 'kind is "Pod", must be Node',
  })
  assert.throws(() => nodeCrs.parse({ metadata: {} }), { code: 'bad-object', message: 'Node ?: metadata.name is missing, must be present' })
  assert.throws(() => nodeCrs.parse('x'), { code: 'bad-object' })
})
