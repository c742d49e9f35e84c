// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cniNumber } from '#rpc/cni-error.ts'
import { type CniResult, cniVersions, formatResult, parseRequest, splitFrame, versionForErrors } from '#rpc/cni-message.ts'

const env = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/x',
  CNI_IFNAME: 'eth0',
  CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_UID=u1',
}
const conf = { cniVersion: '1.1.0', name: 'terway', type: 'terway' }
const parse = (e: Record<string, string | undefined> = {}, c: object | string = {}) =>
  parseRequest({
    env: Object.fromEntries(Object.entries({ ...env, ...e }).filter((p): p is [string, string] => p[1] !== undefined)),
    stdin: typeof c === 'string' ? c : JSON.stringify({ ...conf, ...c }),
  })

test('ADD is read whole', () => {
  assert.deepEqual(parse({}, { mtu: 8500, runtimeConfig: { bandwidth: { ingressRate: 8000, egressRate: 0 } } }), {
    verb: 'ADD',
    containerId: 'c1',
    ifName: 'eth0',
    netns: '/run/netns/x',
    pod: { namespace: 'default', name: 'web-0', uid: 'u1' },
    config: { cniVersion: '1.1.0', name: 'terway', mtu: 8500, ingressBytesPerSecond: 1000 },
  })
})

test('ADD passes on what plugins before ours answered, and refuses what is no result', () => {
  const previous = {
    interfaces: [{ name: 'x0' }],
    ips: [{ address: '192.0.2.1/32' }],
    routes: [{ dst: '192.0.2.0/24' }],
    dns: { nameservers: ['1'] },
  }
  const request = parse({}, { prevResult: { cniVersion: '1.1.0', ...previous } })
  assert.deepEqual(request.verb === 'ADD' && request.previous, previous)
  assert.equal(
    JSON.stringify(formatResult('1.0.0', { interfaces: [], ips: [] }, previous)),
    `{"cniVersion":"1.0.0",${JSON.stringify(previous).slice(1)}`,
  )
})

test('DEL needs neither namespace nor pod', () => {
  assert.equal(parse({ CNI_COMMAND: 'DEL', CNI_NETNS: undefined, CNI_ARGS: undefined }).verb, 'DEL')
})

describe('what is wrong is named, with the number of the specification', () => {
  const gc = { CNI_COMMAND: 'GC' }
  const check = { CNI_COMMAND: 'CHECK' }
  const cases: readonly [string, Record<string, string | undefined>, object | string, number, RegExp][] = [
    ['no JSON', {}, '{"cniVersion":', 6, /^standard input: .*not JSON/],
    ['no object', {}, '[]', 6, /^standard input/],
    ['an unknown version', {}, { cniVersion: '2.0.0' }, 1, /^cniVersion: "2.0.0"/],
    ['no version', {}, { cniVersion: undefined }, 1, /^cniVersion: nothing/],
    ['no name', {}, { name: '' }, 7, /^name/],
    ['an ipam section', {}, { ipam: { type: 'host-local' } }, 2, /^ipam: .*host-local/],
    ['a wrong mtu', {}, { mtu: '1500' }, 7, /^mtu: "1500"/],
    ['a wrong rate', {}, { runtimeConfig: { bandwidth: { egressRate: -1 } } }, 7, /^runtimeConfig.bandwidth.egressRate: -1/],
    ['an unknown verb', { CNI_COMMAND: 'UPDATE' }, {}, 4, /^CNI_COMMAND/],
    ['no container', { CNI_CONTAINERID: undefined }, {}, 4, /^CNI_CONTAINERID: not set/],
    ['a container id with a slash', { CNI_CONTAINERID: '../x' }, {}, 4, /^CNI_CONTAINERID/],
    ['a long interface name', { CNI_IFNAME: 'sixteen-letters-' }, {}, 4, /^CNI_IFNAME: .*over 15 bytes/],
    ['an interface name with a slash', { CNI_IFNAME: 'a/b' }, {}, 4, /^CNI_IFNAME/],
    ['no namespace', { CNI_NETNS: '' }, {}, 4, /^CNI_NETNS: not set/],
    ['a relative namespace', { CNI_NETNS: 'netns/x' }, {}, 4, /^CNI_NETNS/],
    ['a namespace with dots', { CNI_NETNS: '/run/../etc' }, {}, 4, /^CNI_NETNS/],
    ['no pod', { CNI_ARGS: 'K8S_POD_NAME=a' }, {}, 4, /^CNI_ARGS: K8S_POD_NAMESPACE is missing/],
    ['an odd pod name', { CNI_ARGS: 'K8S_POD_NAME=A b;K8S_POD_NAMESPACE=x' }, {}, 4, /^CNI_ARGS: K8S_POD_NAME /],
    ['a chain whose result is none', {}, { prevResult: [] }, 7, /^prevResult: not an object/],
    ['a chain with an odd interface', {}, { prevResult: { interfaces: ['eth0'] } }, 7, /^prevResult.interfaces\[0\]: not an object/],
    ['CHECK without result', check, {}, 7, /^prevResult/],
    ['CHECK of an odd address', check, { prevResult: { ips: [{ address: 'x' }] } }, 7, /^prevResult.ips\[0\].address/],
    ['CHECK with an old version', check, { cniVersion: '0.3.1' }, 1, /^cniVersion: CHECK needs 0.4.0/],
    ['GC without list', gc, {}, 7, /^cni.dev\/valid-attachments: nothing is not a list/],
    ['GC with an odd entry', gc, { 'cni.dev/valid-attachments': [{ ifname: 'eth0' }] }, 7, /\[0\]\.containerID/],
    ['GC with an old version', gc, { cniVersion: '1.0.0' }, 1, /^cniVersion: GC needs 1.1.0/],
    ['STATUS with an old version', { CNI_COMMAND: 'STATUS' }, { cniVersion: '1.0.0' }, 1, /^cniVersion: STATUS/],
  ]
  for (const [name, e, c, number, message] of cases) {
    test(name, () => {
      assert.throws(
        () => parse(e, c),
        (error: unknown) => {
          assert.ok(error instanceof Error)
          assert.match(error.message, message)
          assert.equal(cniNumber(error), number)
          return true
        },
      )
    })
  }
})

test('the frame of the shim', () => {
  const frame = Buffer.from('CNI_COMMAND=ADD\0CNI_ARGS=a=b;c=d\0\0{"x":"\0"}')
  assert.deepEqual(splitFrame(frame), { env: { CNI_COMMAND: 'ADD', CNI_ARGS: 'a=b;c=d' }, stdin: '{"x":"\0"}' })
  assert.throws(() => splitFrame(Buffer.from('CNI_COMMAND=ADD\0')), { code: 'bad-content' })
  assert.throws(() => splitFrame(Buffer.from('')), { code: 'bad-content' })
})

test('the version of an error never comes from an odd text', () => {
  assert.equal(versionForErrors('{"cniVersion":"0.4.0"}'), '0.4.0')
  for (const text of ['', 'null', '{"cniVersion":7}', '{"cniVersion":"a\\"b"}', '[]']) assert.equal(versionForErrors(text), '1.0.0')
})

describe('the result in each version of the specification', () => {
  const result: CniResult = {
    interfaces: [
      { name: 'cali0123456789a', mac: '0a:00:00:00:00:01', sandbox: '', mtu: 1500 },
      { name: 'eth0', mac: '0a:00:00:00:00:02', sandbox: '/run/netns/x', mtu: 1500 },
    ],
    ips: [
      { address: '10.0.0.5/24', gateway: '10.0.0.253', interface: 1 },
      { address: 'fd00::5/64', gateway: 'fd00::fffd', interface: 1 },
    ],
  }
  const plain =
    '"interfaces":[{"name":"cali0123456789a","mac":"0a:00:00:00:00:01"},{"name":"eth0","mac":"0a:00:00:00:00:02","sandbox":"/run/netns/x"}]'
  const withMtu =
    '"interfaces":[{"name":"cali0123456789a","mac":"0a:00:00:00:00:01","mtu":1500},{"name":"eth0","mac":"0a:00:00:00:00:02","sandbox":"/run/netns/x","mtu":1500}]'
  const old =
    '"ips":[{"version":"4","interface":1,"address":"10.0.0.5/24","gateway":"10.0.0.253"},{"version":"6","interface":1,"address":"fd00::5/64","gateway":"fd00::fffd"}],"dns":{}'
  const now =
    '"ips":[{"interface":1,"address":"10.0.0.5/24","gateway":"10.0.0.253"},{"interface":1,"address":"fd00::5/64","gateway":"fd00::fffd"}],"dns":{}'
  const golden = {
    '0.3.0': `{"cniVersion":"0.3.0",${plain},${old}}`,
    '0.3.1': `{"cniVersion":"0.3.1",${plain},${old}}`,
    '0.4.0': `{"cniVersion":"0.4.0",${plain},${old}}`,
    '1.0.0': `{"cniVersion":"1.0.0",${plain},${now}}`,
    '1.1.0': `{"cniVersion":"1.1.0",${withMtu},${now}}`,
  }
  for (const version of cniVersions) test(version, () => assert.equal(JSON.stringify(formatResult(version, result)), golden[version]))

  test('IPv6 alone', () => {
    const six = { interfaces: [], ips: result.ips.slice(1) }
    const entry = '"interface":1,"address":"fd00::5/64","gateway":"fd00::fffd"'
    assert.equal(
      JSON.stringify(formatResult('0.4.0', six)),
      `{"cniVersion":"0.4.0","interfaces":[],"ips":[{"version":"6",${entry}}],"dns":{}}`,
    )
    assert.equal(JSON.stringify(formatResult('1.0.0', six)), `{"cniVersion":"1.0.0","interfaces":[],"ips":[{${entry}}],"dns":{}}`)
  })
})
