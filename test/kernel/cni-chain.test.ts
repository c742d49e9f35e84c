// SPDX-License-Identifier: Apache-2.0
// needs: root
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { maps } from '#kernel/bpf/maps.ts'
import { openMap } from '#kernel/bpf/pins.ts'
import { close } from '#kernel/ffi.ts'
import { lookupEntry } from '#kernel/ffi-bpf.ts'
import { bpfFileSystem } from '../support/bpf-fs.ts'
import { CniChain, inside } from '../support/cni-chain.ts'
import { ipsOf } from '../support/daemon-world.ts'
import { NetnsNode } from '../support/netns-node.ts'
import { until } from '../support/until.ts'

/*
 * Real plugins before and behind terway. What a pod says with another MAC than the programs know is dropped, and a new MAC costs it the neighbour that
 * is its gateway: that it answers at once is what the second terway is for.
 */
const skip = process.getuid?.() !== 0 && 'needs root'
const mac = '02:11:22:33:44:55'
const rate = 80_000_000
const asked = {
  portMappings: [{ hostPort: 18_080, containerPort: 8080, protocol: 'tcp' }],
  bandwidth: { ingressRate: rate, ingressBurst: rate, egressRate: rate, egressBurst: rate },
}

const [loopback, sysctl] = [{ type: 'loopback' }, { 'net.core.somaxconn': '777' }]
// Where one tuning makes an interface promiscuous, CHECK of another fails.
const cases = [
  { kind: 'veth', before: [loopback, { type: 'tuning', sysctl }], behind: { type: 'tuning', mac, mtu: 1400 } },
  { kind: 'datapathv2', before: [loopback], behind: { type: 'tuning', mac, mtu: 1400, promisc: true, sysctl } },
]
for (const { kind, before: first, behind } of cases) {
  const types = [...first, { type: 'terway' }, behind, { type: 'portmap' }].map(p => p.type)
  test(`${kind}: ${types.join(', ')} and bandwidth`, { skip }, async () => {
    using files = bpfFileSystem()
    await using node = new NetnsNode(['10.0.0.1', 'fd00:1::1', '10.0.0.2', 'fd00:1::2'], {}, 'dual')
    const dataDir = join(node.dir, 'tuning')
    mkdirSync(dataDir)
    const plugins = [
      ...first,
      { type: 'terway', eniip_virtual_type: kind },
      { ...behind, dataDir },
      { type: 'bandwidth', capabilities: { bandwidth: true } },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true },
    ]
    writeFileSync(join(node.options.cniConfDir, '10-terway.conflist'), JSON.stringify({ cniVersion: '1.0.0', name: 'x', plugins }))
    node.cluster.configure({ ip_stack: 'dual', service_cidr: '10.96.0.0/12,fd00:10:96::/108' })
    const pins = join(files.directory, 'terway')
    await node.started({ pins })
    const chain = new CniChain(node, asked)
    assert.deepEqual(
      chain.plugins.map(p => p.type),
      [...types, 'terway'],
    )
    assert.match(node.model.events.find(e => e.reason === 'CniPluginDropped')?.message ?? '', /bandwidth \(Terway limits pods itself/)
    // With its first pod the ENI changes, which is a reason for repair to look at pods.
    node.cluster.pod('first')
    assert.equal((await node.add('first')).exit, 0)
    const left = () => [...node.state(), ...node.ip('-o', 'link').map(l => l.split(':')[1]), ...rules(node.name)]
    const before = left()

    node.cluster.pod('web')
    const result = await chain.add('web')
    const pod = `${node.name}-c-web`
    const addresses = ipsOf({ exit: 0, body: result }).filter(ip => ip !== '127.0.0.1' && ip !== '::1')
    assert.equal(addresses.length, 2, JSON.stringify(result))
    assert.equal(result.interfaces?.find(i => i.name === 'eth0')?.mac, mac)
    assert.match(inside(pod, 'ip', 'neigh'), /^169\.254\.1\.1 .* PERMANENT/m)
    for (const address of addresses) assert.ok(node.reaches(address), address)
    assert.match(inside(pod, 'ip', 'link', 'show', 'eth0'), new RegExp(`${behind.promisc ? 'PROMISC' : ''}.* mtu 1400 [^]*${mac}`))
    assert.equal(inside(pod, 'sysctl', '-n', 'net.core.somaxconn'), '777\n')
    const hostDev = result.interfaces?.find(i => i.name.startsWith('cali'))?.name ?? ''
    const [host = ''] = node.ip('-o', 'link', 'show', hostDev)
    assert.match(host, / mtu 1400 /)
    for (const [ns, dev] of [
      [node.name, hostDev],
      [pod, 'eth0'],
    ] as const)
      assert.match(inside(ns, 'tc', 'qdisc', 'show', 'dev', dev), /tbf .*rate 80Mbit/)
    if (kind === 'datapathv2') {
      const { podMac, mtu, outMtu } = endpoint(pins, Number.parseInt(host, 10))
      assert.deepEqual([podMac, mtu, outMtu], [mac, 1400, 1400])
    }

    await using _ = await serve(pod)
    for (const address of addresses) assert.equal(hear(`${node.name}-f`, address, 8080), 'pod\n')
    assert.equal(hear(`${node.name}-f`, '192.168.0.10', 18_080), 'pod\n', 'by a port of the node')

    // Its CHECK looks for rules of IPv4 among those of IPv6.
    await chain.check('web', result, 'portmap')
    await chain.del('web', result)
    await until(() => left().join() === before.join())
    assert.deepEqual(readdirSync(dataDir), [])
  })
}

/** What is translated to one pod; that for all of them stays. */
function rules(ns: string): readonly string[] {
  return ['iptables-save', 'ip6tables-save']
    .flatMap(program => inside(ns, program, '-t', 'nat').split('\n'))
    .filter(l => l.includes('CNI-DN-'))
}

function endpoint(pins: string, ifIndex: number) {
  const map = openMap('endpoints', pins) ?? assert.fail('no programs')
  try {
    const value = Buffer.alloc(maps.endpoints.value.size)
    assert.ok(lookupEntry(map, maps.endpoints.key.encode({ ifIndex }), value))
    return maps.endpoints.value.decode(value)
  } finally {
    close(map)
  }
}

/** Says `pod` to whoever connects to port 8080. */
async function serve(ns: string): Promise<AsyncDisposable> {
  const code = "require('node:net').createServer(s => s.end('pod\\n')).listen(8080, '::', () => console.log('up'))"
  const child = spawn('nsenter', [`--net=/run/netns/${ns}`, process.execPath, '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  const gone = new Promise(resolve => child.once('exit', resolve))
  await new Promise(resolve => child.stdout.once('data', resolve))
  return {
    [Symbol.asyncDispose]: async () => {
      child.kill()
      await gone
    },
  }
}

function hear(ns: string, address: string, port: number): string {
  return inside(ns, 'timeout', '60', 'bash', '-c', `exec 3<>/dev/tcp/${address}/${port}; cat <&3`)
}
