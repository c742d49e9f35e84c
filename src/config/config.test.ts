// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { makeConflist } from '#config/conflist.ts'
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
        maxPoolSize: 5,
        minPoolSize: 2,
        vswitchSelectionPolicy: 'most',
        extraRoutes: [],
      },
      unknownKeys: [],
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

  test('keys that nobody knows are reported, keys of other modes are not', () => {
    assert.deepEqual(parse({ Max_Pool_Size: 3, min_eni: 1, rate_limit: {} }).unknownKeys, ['Max_Pool_Size'])
  })

  for (const [key, value] of [
    ['ipam_type', ''],
    ['ip_stack', 'dual'],
    ['ip_stack', 'ipv6'],
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

  test('one plugin: CNI 1.1 is offered', () => {
    assert.deepEqual(JSON.parse(makeConflist({ conflist: undefined, conf })), {
      cniVersion: '1.0.0',
      cniVersions: ['0.3.1', '0.4.0', '1.0.0', '1.1.0'],
      name: 'terway-chainer',
      plugins: [{ type: 'terway', capabilities: { bandwidth: true }, eniip_virtual_type: 'veth', bandwidth_mode: 'tc' }],
    })
  })

  test('plugins beside it keep their place and their keys, and old ones are not asked for CNI 1.1', () => {
    const conflist = JSON.stringify({
      cniVersion: '0.4.0',
      plugins: [
        { type: 'terway', eniip_virtual_type: 'Veth' },
        { type: 'portmap', capabilities: { portMappings: true }, snat: true },
      ],
    })
    const list = JSON.parse(makeConflist({ conflist, conf }))
    assert.deepEqual(list.cniVersions, ['0.3.1', '0.4.0', '1.0.0'])
    assert.deepEqual(list.plugins, [
      { type: 'terway', eniip_virtual_type: 'veth', bandwidth_mode: 'tc' },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true },
    ])
  })

  test('a list that claims 1.1.0 for all of its plugins is believed', () => {
    const conflist = JSON.stringify({ cniVersion: '1.1.0', plugins: [{ type: 'terway' }, { type: 'portmap' }] })
    assert.ok(JSON.parse(makeConflist({ conflist, conf })).cniVersions.includes('1.1.0'))
  })

  for (const [what, input, message] of [
    ['nothing at all', undefined, /10-terway.conf is missing/],
    ['no JSON', '{', /10-terway.conflist is not JSON/],
    ['no terway', '{"plugins":[{"type":"ptp"}]}', /no plugin of type terway/],
    ['no plugins', '{"plugins":{}}', /plugins is not a list/],
    ['a plugin without type', '{"plugins":[{}]}', /plugins\[0\]\.type is missing/],
    [
      'another datapath',
      '{"plugins":[{"type":"terway","eniip_virtual_type":"datapathv2"}]}',
      /plugins\[0\]\.eniip_virtual_type is "datapathv2"/,
    ],
    ['symmetric routing', '{"plugins":[{"type":"terway","symmetric_routing":true}]}', /symmetric_routing is true/],
  ] as const) {
    test(`refused: ${what}`, () =>
      assert.match(
        errorOf(() => makeConflist({ conflist: input, conf: undefined })),
        message,
      ))
  }
})
