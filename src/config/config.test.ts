// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { conflistText, readConflist } from '#config/conflist.ts'
import { deviceMtu } from '#config/device-mtu.ts'
import { parseEniConf } from '#config/eni-conf.ts'
import { messageOf } from '#lib/errors.ts'

const good = {
  version: '1',
  ipam_type: 'crd',
  service_cidr: '172.16.0.0/16,fd00::/108',
  vswitches: { 'zone-a': ['vsw-1', 'vsw-2'] },
  security_group: 'sg-b',
  security_groups: ['sg-a', 'sg-b'],
  max_pool_size: 5,
  min_pool_size: 2,
}
const parse = (change: object = {}) => parseEniConf(JSON.stringify({ ...good, ...change }))
const errorOf = (fn: () => unknown): string => {
  try {
    fn()
  } catch (e) {
    return messageOf(e)
  }
  return ''
}

describe('eni_conf', () => {
  test('a usual one', () => {
    assert.deepEqual(parse({ ip_warm_up_size: null, vswitch_selection_policy: 'ordered' }), {
      conf: {
        serviceCidr4: '172.16.0.0/16',
        serviceCidr6: 'fd00::/108',
        vswitches: { 'zone-a': ['vsw-1', 'vsw-2'] },
        securityGroups: ['sg-a', 'sg-b'],
        eniTags: { creator: 'terway' },
        eniTagBlockList: [
          { key: 'creator', value: 'alibabacloud-erdma-controller' },
          { key: 'terway.alibabacloud.com/excluded', value: 'true' },
        ],
        ipStack: 'ipv4',
        maxPoolSize: 5,
        minPoolSize: 2,
        vswitchSelectionPolicy: 'most',
        extraRoutes: [],
      },
      unknownKeys: [],
      idleKeys: [],
    })
  })

  test('reclaim is one thing: nothing, or all of it with defaults', () => {
    assert.equal(parse({ idle_ip_reclaim_batch_size: 3 }).conf.reclaim, undefined)
    assert.deepEqual(parse({ idle_ip_reclaim_after: '30m' }).conf.reclaim, {
      after: '30m',
      interval: '10m',
      batchSize: 5,
      jitterFactor: '0.1',
    })
  })

  test('a minimum above the maximum is lowered, as Terway does', () => {
    assert.equal(parse({ min_pool_size: 9 }).conf.minPoolSize, 5)
  })

  test('every error at once, each with its path', () => {
    const text = errorOf(() =>
      parse({
        max_pool_size: '5',
        vswitches: { 'zone-a': 'vsw-1' },
        service_cidr: '172.16.0.0',
        extra_routes: [{ dst: 'x' }, 1],
        idle_ip_reclaim_interval: '10 minutes',
        eni_tags: { a: 1 },
      }),
    )
    for (const part of [
      /max_pool_size is "5"/,
      /vswitches\.zone-a is "vsw-1", must be a list/,
      /service_cidr "172.16.0.0" is not a CIDR/,
      /extra_routes\[0\]\.dst "x" is not a CIDR/,
      /extra_routes\[1\] is 1/,
      /idle_ip_reclaim_interval is "10 minutes"/,
      /eni_tags\.a is 1/,
    ]) {
      assert.match(text, part)
    }
  })

  test('keys that nobody knows are reported, and apart from them those of Terway that have no effect here', () => {
    const { unknownKeys, idleKeys } = parse({ Max_Pool_Size: 3, min_eni: 1, rate_limit: {}, access_key: '' })
    assert.deepEqual([unknownKeys, idleKeys], [['Max_Pool_Size'], ['min_eni']])
    const clients = parse({ enable_patch_pod_ips: true, kube_client_qps: 2.5, kube_client_burst: 10 })
    assert.deepEqual(clients.idleKeys, ['enable_patch_pod_ips', 'kube_client_qps', 'kube_client_burst'])
    assert.deepEqual(parse({ enable_patch_pod_ips: false }).idleKeys, [])
  })

  test('a key without effect must have its type all the same, and a secret is not shown', () => {
    const text = errorOf(() => parse({ kube_client_qps: 'x', min_eni: 'x', enable_patch_pod_ips: 'true', access_secret: 4711 }))
    for (const part of [
      /kube_client_qps is "x", must be a number/,
      /min_eni is "x", must be a whole number/,
      /enable_patch_pod_ips is "true", must be true or false/,
      /access_secret must be text/,
    ])
      assert.match(text, part)
    assert.doesNotMatch(text, /4711/)
  })

  test('a bare 0 is a duration, but no period', () => {
    assert.equal(parse({ idle_ip_reclaim_after: '0' }).conf.reclaim?.after, '0')
    assert.match(
      errorOf(() => parse({ ip_pool_sync_period: '0s' })),
      /ip_pool_sync_period is "0s", must be over 0/,
    )
  })

  test('pods have IPv4, both families or IPv6 alone', () => {
    const stackIn = (text: string | undefined) => parse(text === undefined ? {} : { ip_stack: text }).conf.ipStack
    assert.deepEqual([undefined, '', 'ipv4', 'dual', 'ipv6'].map(stackIn), ['ipv4', 'ipv4', 'ipv4', 'dual', 'ipv6'])
    assert.match(
      errorOf(() => stackIn('ipv5')),
      /ip_stack is "ipv5", must be ipv4, dual or ipv6/,
    )
  })

  test('two networks of one family cannot both be the network of Services', () => {
    assert.match(
      errorOf(() => parse({ service_cidr: '172.16.0.0/16,172.17.0.0/16,fd00::/108' })),
      /service_cidr names 2 IPv4 networks, at most one is allowed/,
    )
  })

  test('an empty name of a vSwitch or a security group is refused', () => {
    const text = errorOf(() => parse({ vswitches: { z: [''] }, security_groups: ['sg-1', ''] }))
    assert.match(text, /vswitches\.z\[0\] is empty/)
    assert.match(text, /security_groups\[1\] is empty/)
  })

  for (const [key, value] of [
    ['ipam_type', ''],
    ['enable_eni_trunking', true],
    ['enable_ip_prefix', true],
    ['enable_erdma', true],
  ] as const) {
    test(`${key}: ${value} is refused by name`, () => {
      assert.match(
        errorOf(() => parse({ [key]: value })),
        new RegExp(`${key} is .*supported`),
      )
    })
  }

  test('eleven security groups are too many', () => {
    assert.match(
      errorOf(() => parse({ security_groups: Array.from({ length: 11 }, (_, i) => `sg-${i}`) })),
      /security_groups names 12/,
    )
  })

  test('what is not JSON, or no object', () => {
    assert.match(
      errorOf(() => parseEniConf('{')),
      /^eni_conf is not JSON/,
    )
    assert.match(
      errorOf(() => parseEniConf('[]')),
      /^eni_conf: eni_conf is not a JSON object/,
    )
  })
})

describe('the CNI list', () => {
  const conf = '{"cniVersion":"0.4.0","name":"terway","type":"terway","capabilities":{"bandwidth":true},"auto_mtu":true}'
  const make = (conflist: string | undefined, single: string | undefined = conf) =>
    readConflist({ conflist, conf: single, deviceMtu: 8500 })
  const listOf = (conflist: string | undefined, single?: string) => JSON.parse(conflistText(make(conflist, single), 'veth'))

  test('one plugin: CNI 1.1 is offered, and auto_mtu becomes the MTU of the device', () => {
    assert.deepEqual(listOf(undefined), {
      cniVersion: '1.0.0',
      cniVersions: ['0.3.1', '0.4.0', '1.0.0', '1.1.0'],
      name: 'terway-chainer',
      plugins: [{ type: 'terway', capabilities: { bandwidth: true }, mtu: 8500, bandwidth_mode: 'tc', eniip_virtual_type: 'veth' }],
    })
    assert.deepEqual(make(undefined).unknownKeys, [])
  })

  test('an MTU that is written wins over auto_mtu; with neither there is none', () => {
    assert.equal(listOf(undefined, '{"type":"terway","mtu":1400,"auto_mtu":true}').plugins[0].mtu, 1400)
    assert.equal(listOf(undefined, '{"type":"terway","auto_mtu":false}').plugins[0].mtu, undefined)
  })

  test('plugins beside it keep their place and their keys, and old ones are not asked for CNI 1.1', () => {
    const conflist = JSON.stringify({
      cniVersion: '0.4.0',
      plugins: [
        { type: 'terway', eniip_virtual_type: 'Veth' },
        { type: 'portmap', capabilities: { portMappings: true }, snat: true, mtu: 'theirs' },
      ],
    })
    const list = listOf(conflist)
    assert.deepEqual(list.cniVersions, ['0.3.1', '0.4.0', '1.0.0'])
    assert.deepEqual(list.plugins, [
      { type: 'terway', eniip_virtual_type: 'veth', bandwidth_mode: 'tc' },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true, mtu: 'theirs' },
    ])
    assert.deepEqual(make(conflist).unknownKeys, [])
  })

  test('a list that claims 1.1.0 for all of its plugins is believed', () => {
    const conflist = JSON.stringify({ cniVersion: '1.1.0', plugins: [{ type: 'terway' }, { type: 'portmap' }] })
    assert.ok(listOf(conflist).cniVersions.includes('1.1.0'))
  })

  test('keys that nobody knows are reported with their place', () => {
    const conflist = JSON.stringify({
      plugins: [
        { type: 'portmap', x: 1 },
        { type: 'terway', MTU: 1 },
      ],
      disableCheque: true,
    })
    assert.deepEqual(make(conflist).unknownKeys, ['disableCheque', 'plugins[1].MTU'])
    assert.deepEqual(make(undefined, '{"type":"terway","ip_stack":"ipv4"}').unknownKeys, ['ip_stack'])
  })

  test("the keys of Terway's charts for veth pairs are taken", () => {
    const plugin = {
      type: 'terway',
      capabilities: { bandwidth: true, portMappings: false },
      network_policy_provider: 'iptables',
      host_stack_cidrs: ['169.254.20.10/32'],
      vlan_strip_type: 'filter',
      symmetric_routing: false,
      cilium_args: '',
      cilium_enable_hubble: 'false',
      cilium_hubble_metrics: 'drop',
      veth_prefix: 'cali',
      debug: false,
    }
    assert.deepEqual(make(undefined, JSON.stringify(plugin)).unknownKeys, [])
  })

  test('the datapath is written into it, and shaping is by tc whatever was asked for', () => {
    const asked = '{"type":"terway","eniip_virtual_type":"IPVlan","bandwidth_mode":"edt","host_stack_cidrs":["169.254.20.10/32"]}'
    const list = make(undefined, asked)
    assert.deepEqual(list.settings, { virtualType: 'IPVlan', policyProvider: 'iptables', hostStackCidrs: ['169.254.20.10/32'] })
    const [plugin] = JSON.parse(conflistText(list, 'v2')).plugins
    assert.deepEqual([plugin.eniip_virtual_type, plugin.bandwidth_mode], ['datapathv2', 'tc'])
  })

  test('cilium-cni is left out and named, and CNI 1.1 is offered again', () => {
    const list = make(JSON.stringify({ cniVersion: '0.4.0', plugins: [{ type: 'terway' }, { type: 'cilium-cni', 'enable-debug': false }] }))
    assert.deepEqual(list.dropped, ['cilium-cni (there is no agent that it could ask)'])
    const { plugins, cniVersions } = JSON.parse(conflistText(list, 'v2'))
    assert.deepEqual(
      plugins.map((p: { type: string }) => p.type),
      ['terway'],
    )
    assert.ok(cniVersions.includes('1.1.0'))
  })

  test('every wrong key of the plugin at once', () => {
    const plugin = {
      ...{ type: 'terway', mtu: '1500', capabilities: 'x', disable_host_peer: 'yes', host_stack_cidrs: ['x'], bandwidth_mode: 'fq' },
      ...{ enable_network_priority: 1, debug: 'yes', auto_mtu: 'yes', cilium_args: '--debug', ipam: { type: 'host-local' } },
    }
    const text = errorOf(() => make(JSON.stringify({ plugins: [plugin] })))
    for (const part of [
      /^10-terway\.conflist: /,
      /plugins\[0\]\.mtu is "1500", must be a whole number between 576 and 65535/,
      /plugins\[0\]\.capabilities is "x", must be an object/,
      /plugins\[0\]\.disable_host_peer is "yes", must be true or false/,
      /plugins\[0\]\.host_stack_cidrs\[0\] "x" is not a CIDR/,
      /plugins\[0\]\.bandwidth_mode is "fq"; supported: "", "tc", "edt"/,
      /plugins\[0\]\.enable_network_priority is 1/,
      /plugins\[0\]\.debug is "yes"/,
      /plugins\[0\]\.auto_mtu is "yes"/,
      /plugins\[0\]\.cilium_args is "--debug"/,
      /plugins\[0\]\.ipam must be removed/,
    ])
      assert.match(text, part)
  })

  for (const [what, input, message] of [
    ['nothing at all', undefined, /10-terway.conf is missing/],
    ['no JSON', '{', /10-terway.conflist is not JSON/],
    ['no terway', '{"plugins":[{"type":"ptp"}]}', /no plugin of type terway/],
    ['no plugins', '{"plugins":{}}', /plugins is {}, must be a list/],
    ['an empty list', '{"plugins":[]}', /plugins names no plugin/],
    ['a plugin without type', '{"plugins":[{}]}', /plugins\[0\]\.type is missing/],
    ['a wrong version', '{"cniVersion":1,"plugins":[{"type":"terway"}]}', /cniVersion is 1, must be text/],
    ['an MTU that no device has', '{"plugins":[{"type":"terway","mtu":9000000}]}', /plugins\[0\]\.mtu is 9000000/],
    ['another datapath', '{"plugins":[{"type":"terway","eniip_virtual_type":"macvlan"}]}', /plugins\[0\]\.eniip_virtual_type is "macvlan"/],
    ['symmetric routing', '{"plugins":[{"type":"terway","symmetric_routing":true}]}', /symmetric_routing is true/],
  ] as const) {
    test(`refused: ${what}`, () =>
      assert.match(
        errorOf(() => readConflist({ conflist: input, conf: undefined, deviceMtu: 1500 })),
        message,
      ))
  }
})

describe('the MTU of the node', () => {
  const route = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\nens5\t00000000\tFD00A8C0\t3\t0\t0\t0\t00000000\n'
  const mtu = (files: Readonly<Record<string, string>>) => deviceMtu(path => files[path])

  test("eth0's, else that of the default route's device, else 1500", () => {
    assert.equal(mtu({ '/sys/class/net/eth0/mtu': '8500\n', '/proc/net/route': route, '/sys/class/net/ens5/mtu': '1400\n' }), 8500)
    assert.equal(mtu({ '/proc/net/route': route, '/sys/class/net/ens5/mtu': '1400\n' }), 1400)
    assert.equal(mtu({ '/proc/net/route': route }), 1500)
    assert.equal(mtu({}), 1500)
  })
})
