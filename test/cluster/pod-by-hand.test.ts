// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { LAB_KEY } from '../../lab/cloud/seed.ts'
import { labImages } from '../../lab/defaults.ts'
import { Lab } from '../../lab/lab.ts'
import { until } from '../../lab/process.ts'
import type { Wish } from './attach-eni.ts'

/*
 * What Terway does for a pod, done by hand with iproute2: proof that the simulated cloud, the fabric and a node carry a pod's
 * VPC address before any of our own networking exists.
 *
 *   node1                                                   node2        internet
 *   pod ns: eth0 10.1.0.50 ── calihand ── eth1 (ENI) ── fabric ── eth0         203.0.113.254, EIP 203.0.113.7 → 10.1.0.50
 */
const name = `hand-${process.pid}`
const pod4 = '10.1.0.50'
const eip = '203.0.113.7'
const seed = {
  region: 'cn-lab',
  zones: ['cn-lab-a'],
  keys: [LAB_KEY],
  vpc: { id: 'vpc-hand', cidr4: '10.0.0.0/8', eips: [{ public4: eip, private4: pod4 }] },
  vSwitches: [
    { id: 'vsw-node', zone: 'cn-lab-a', cidr4: '10.0.0.0/24' },
    { id: 'vsw-pod', zone: 'cn-lab-a', cidr4: '10.1.0.0/24' },
  ],
  securityGroups: [
    {
      id: 'sg-hand',
      rules: [{ direction: 'ingress', policy: 'accept', priority: 1, protocol: 'tcp', ports: [80, 80], peer: { cidr: '203.0.113.0/24' } }],
    },
  ],
}
const server = join(import.meta.dirname, '..', '..', 'sim', 'fabric', 'internet-host.ts')
const inPod = ['nsenter', '--net=/run/netns/pod', '--']
const children: ChildProcess[] = []
let lab: Lab

before(async () => {
  lab = await Lab.up({ name, nodes: 2, seed, images: await labImages() })
})
after(async () => {
  for (const child of children) child.kill('SIGKILL')
  await Lab.down(name)
})

async function on(node: string, ...argv: string[]): Promise<string> {
  const ran = await lab.node(node).exec(argv)
  assert.equal(ran.code, 0, `${argv.join(' ')}: ${ran.stderr}`)
  return ran.stdout.trim()
}

/** Body of a GET, run by `run`; the servers answer with their client's address. */
const fetcher = (url: string) => [process.execPath, '-e', 'fetch(process.argv[1]).then(async r => console.log(await r.text()))', url]

test('an ENI attached by the SDK appears on the node under the MAC that the API tells, down and bare', async () => {
  const { identity } = lab.node('node1')
  const wish: Wish = {
    accessKeyId: LAB_KEY.id,
    accessKeySecret: LAB_KEY.secret,
    endpoint: '100.100.0.10',
    regionId: 'cn-lab',
    vSwitchId: 'vsw-pod',
    securityGroupId: 'sg-hand',
    instanceId: identity.instanceId,
    primaryIpAddress: '10.1.0.49',
    secondary: [pod4],
  }
  const ran = await lab.onControl([process.execPath, join(import.meta.dirname, 'attach-eni.ts')], JSON.stringify(wish))
  assert.equal(ran.code, 0, ran.stderr)
  const { mac } = JSON.parse(ran.stdout) as { mac: string }
  const links = JSON.parse(await on('node1', 'ip', '-json', 'address')) as {
    ifname: string
    address: string
    operstate: string
    addr_info: unknown[]
  }[]
  const eni = links.find(l => l.address === mac)
  assert.deepEqual([eni?.ifname, eni?.operstate, eni?.addr_info], ['eth1', 'DOWN', []])
  const path = `/latest/meta-data/network/interfaces/macs/${mac}/private-ipv4s`
  await until('the metadata service knows the ENI', 120_000, async () =>
    (await on('node1', ...fetcher(`http://100.100.100.200${path}`))).includes(pod4),
  )
})

test('a namespace wired as Terway wires a pod has a VPC address', async () => {
  const { identity } = lab.node('node1')
  const index = Number(await on('node1', 'cat', '/sys/class/net/eth1/ifindex'))
  const table = String(1000 + index)
  await on('node1', 'ip', 'netns', 'add', 'pod')
  await on(
    'node1',
    'sh',
    '-e',
    '-c',
    [
      'ip link add calihand type veth peer name eth0 netns pod',
      'ip link set calihand up',
      `ip link set eth1 up`,
      `ip address add ${identity.address}/32 dev eth1`,
      `ip route add default via 10.1.0.253 dev eth1 onlink table ${table}`,
      `ip route add ${pod4}/32 dev calihand scope link`,
      `ip rule add to ${pod4} lookup main priority 512`,
      `ip rule add from ${pod4} lookup ${table} priority 2048`,
      'sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.eth1.rp_filter=0 net.ipv4.conf.calihand.rp_filter=0',
      'ip -n pod link set lo up',
      'ip -n pod link set eth0 up',
      `ip -n pod address add ${pod4}/32 dev eth0`,
      'ip -n pod route add default via 169.254.1.1 dev eth0 onlink',
      'ip -n pod neighbour add 169.254.1.1 lladdr $(cat /sys/class/net/calihand/address) dev eth0 nud permanent',
    ].join('\n'),
  )
  const [file = '', ...args] = await lab.node('node1').argv([...inPod, process.execPath, server])
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  await new Promise(resolve => child.stdout.once('data', resolve))

  assert.equal(await on('node2', ...fetcher(`http://${pod4}/`)), lab.node('node2').identity.address, 'another node, no translation')
  assert.equal((await lab.onControl(fetcher(`http://${pod4}/`))).stdout.trim(), lab.state.control.address)
  assert.equal(await on('node1', ...fetcher(`http://${pod4}/`)), identity.address, 'its own node')
})

test('the pod reaches the internet, and the internet the pod, by its elastic address', async () => {
  assert.equal(await on('node1', ...inPod, ...fetcher('http://203.0.113.254/')), eip)
  assert.equal((await lab.onInternet(fetcher(`http://${eip}/`))).stdout.trim(), '203.0.113.254')
})

test('when the ENI is detached its address is gone', async () => {
  const links = await lab.cloud.send('/fabric/links', {})
  const [id = ''] = Object.entries(links).find(([, device]) => device.dev === 'eth1') ?? []
  await lab.cloud.openapi('DetachNetworkInterface', { NetworkInterfaceId: id, InstanceId: lab.node('node1').identity.instanceId })
  await until('eth1 is gone', 120_000, async () => !(await on('node1', 'ip', '-brief', 'link')).includes('eth1'))
  const refused = await lab.onInternet(['timeout', '2', ...fetcher(`http://${eip}/`)])
  assert.notEqual(refused.code, 0)
})
