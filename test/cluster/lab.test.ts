// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { processesIn } from '../../lab/cgroup.ts'
import { defaultSeed } from '../../lab/cloud/seed.ts'
import { labImages } from '../../lab/defaults.ts'
import { tracesOf } from '../../lab/down.ts'
import { Lab } from '../../lab/lab.ts'
import { identify, signal, until } from '../../lab/process.ts'

const name = `labt-${process.pid}`
const clean = { processes: [], namespaces: [], cgroups: [], mounts: [], directory: false }
let lab: Lab

before(async () => {
  lab = await Lab.up({ name, images: await labImages() })
})
after(() => Lab.down(name))

/** A pod on the node's own network, so that no CNI plugin is needed. */
function hostPod(pod: string, script: string): string {
  const container = { name: 'c', image: 'terway-lab/app:1', command: ['sh', '-c', script], securityContext: { privileged: true } }
  const volumes = ['/', '/proc', '/run'].map((path, i) => ({ name: `v${i}`, hostPath: { path } }))
  const volumeMounts = volumes.map((v, i) => ({ name: v.name, mountPath: ['/host', '/host-proc', '/host-run'][i] }))
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: pod },
    spec: {
      nodeName: 'node1',
      hostNetwork: true,
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
      tolerations: [{ operator: 'Exists' }],
      containers: [{ ...container, volumeMounts }],
      volumes,
    },
  })
}

async function runPod(pod: string, script: string): Promise<string> {
  await until(
    'the default service account',
    120_000,
    async () => (await lab.kubectlRaw(['get', 'serviceaccount', 'default'])).code === 0,
    100,
  )
  await lab.kubectl(['apply', '-f', '-'], hostPod(pod, script))
  await lab.kubectl(['wait', '--for=jsonpath={.status.phase}=Succeeded', `pod/${pod}`, '--timeout=300s'])
  const log = await lab.kubectl(['logs', pod])
  await lab.kubectl(['delete', 'pod', pod, '--now'])
  return log.trim()
}

const FETCH = 'fetch(process.argv[1]).then(async r => console.log(r.status, (await r.text()).trim()))'

/** GET from the node itself. */
async function fetchOn(url: string): Promise<string> {
  return (await lab.node('node1').exec([process.execPath, '-e', FETCH, url])).stdout.trim()
}

const bootId = async () => (await lab.node('node1').exec(['cat', '/proc/sys/kernel/random/boot_id'])).stdout.trim()

test('a node carries the identity that the cloud gave it', async () => {
  interface Node {
    readonly metadata: { readonly labels: Readonly<Record<string, string>> }
    readonly spec: { readonly providerID: string }
    readonly status: { readonly addresses: readonly { readonly type: string; readonly address: string }[] }
  }
  const node: Node = JSON.parse(await lab.kubectl(['get', 'node', 'node1', '-o', 'json']))
  const { instanceId, regionId, zoneId, instanceType, address } = lab.node('node1').identity
  assert.equal(node.spec.providerID, `${regionId}.${instanceId}`)
  assert.equal(node.metadata.labels['topology.kubernetes.io/region'], regionId)
  assert.equal(node.metadata.labels['topology.kubernetes.io/zone'], zoneId)
  assert.equal(node.metadata.labels['node.kubernetes.io/instance-type'], instanceType)
  assert.deepEqual(
    node.status.addresses.filter(a => a.type === 'InternalIP').map(a => a.address),
    [address],
  )
  assert.equal(await fetchOn('http://100.100.100.200/latest/meta-data/instance-id'), `200 ${instanceId}`)
  assert.equal(await fetchOn('http://203.0.113.254/'), '200 203.0.113.1', 'the internet sees the SNAT address')
})

test('a privileged pod writes on its node, not on this machine', async () => {
  const log = await runPod('writer', `echo ${name} > /host/etc/${name}; cat /host/etc/${name}; cat /host-proc/sys/kernel/random/boot_id`)
  assert.deepEqual(log.split('\n').slice(0, 2), [name, await bootId()])
  assert.ok(!existsSync(`/etc/${name}`))
  assert.equal((await lab.node('node1').exec(['cat', `/etc/${name}`])).stdout.trim(), name)
})

test('a program that is killed comes back, and the simulated cloud goes on where it was', async () => {
  for (const [machine, program] of [
    ['node1', 'kubelet'],
    ['node1', 'containerd'],
    ['cloud', 'simulator'],
  ] as const) {
    const { pid } = await lab.process(machine, program)
    process.kill(pid, 'SIGKILL')
    const again = await until(`${program} comes back`, 120_000, () =>
      lab.process(machine, program).then(
        p => p.pid !== pid && p,
        () => undefined,
      ),
    )
    assert.equal(again.restarts, 1)
  }
  const { instanceId } = lab.node('node1').identity
  await until(
    'the metadata service answers',
    120_000,
    async () => (await fetchOn('http://100.100.100.200/latest/meta-data/instance-id')) === `200 ${instanceId}`,
  )
  assert.equal(await runPod('again', 'echo works'), 'works')
})

test('a Service of type LoadBalancer gets a balancer of the cloud, which outlives its manager and goes with the Service', async () => {
  const labels = { 'kubernetes.io/service-name': 'balanced' }
  const spec = { type: 'LoadBalancer', ports: [{ name: 'http', port: 80 }] }
  // Without a CNI plugin a node forwards nothing: what answers is the node itself, where kube-proxy says how it is.
  const endpoints = [{ addresses: [lab.node('node1').identity.address] }]
  const slice = { addressType: 'IPv4', ports: [{ name: 'http', port: 10256 }], endpoints }
  const items = [
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'balanced' }, spec },
    { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 'balanced', labels }, ...slice },
  ]
  await lab.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))
  const ingress = () => lab.kubectl(['get', 'service', 'balanced', '-o', 'jsonpath={.status.loadBalancer.ingress[0].ip}'])
  const address = await until('the Service has an address', 120_000, async () => (await ingress()) || undefined, 250)
  assert.match(address, /^203\.0\.113\./)
  const leads = async () => /^200 /.test((await lab.onControl([process.execPath, '-e', FETCH, `http://${address}/healthz`])).stdout)
  await until('the balancer leads to the node', 120_000, leads, 250)
  process.kill((await lab.process('control', 'cloud-controller-manager')).pid, 'SIGKILL')
  assert.ok(await leads())
  await lab.kubectl(['annotate', 'service', 'balanced', 'a=b'])
  await until(
    'it is managed again',
    120_000,
    async () => (await lab.process('control', 'cloud-controller-manager').catch(() => undefined))?.restarts === 1,
  )
  assert.equal(await ingress(), address)
  await lab.kubectl(['delete', 'service', 'balanced'])
  await until('the balancer is gone', 120_000, async () => (await lab.cloud.send('/balancer/list', {})).length === 0, 250)
})

test('faults of the cloud are made by its operator socket', async () => {
  const url = 'http://100.100.100.200/latest/meta-data/instance-id'
  const { id } = await lab.cloud.admin<{ id: string }>('POST', '/faults', { kind: 'metadata-outage' })
  assert.match(await fetchOn(url), /^503/)
  await lab.cloud.admin('DELETE', `/faults/${id}`)
  assert.equal(await fetchOn(url), `200 ${lab.node('node1').identity.instanceId}`)
})

test('orphans of a node are collected by its first process', async () => {
  const node = lab.node('node1')
  await node.exec(['sh', '-c', 'for i in 1 2 3; do (sleep 0.1 &) ; done'])
  assert.ok(node.programs().some(p => p.argv[0]?.endsWith('/kubelet')))
  const listed = async () => (await node.exec(['ps', '-eo', 'stat,args'])).stdout
  await until('the orphans end', 120_000, async () => !(await listed()).includes('sleep 0.1'))
  await until('no orphan stays a zombie', 120_000, async () => !/^Z.*sleep/m.test(await listed()))
})

test('a reboot gives a new boot id and an empty /run, and keeps disk and ENIs', async () => {
  const node = lab.node('node1')
  await node.exec(['sh', '-c', 'echo x > /run/gone; echo x > /var/lib/cni/kept'])
  const [before, devices] = [await bootId(), await lab.cloud.send('/fabric/links', {})]
  await node.kill()
  assert.deepEqual(processesIn(`${lab.names.cgroup}/node1`), [])
  await assert.rejects(node.exec(['true']), /node1\/init does not run/)
  await node.restart()
  assert.notEqual(await bootId(), before)
  assert.equal((await node.exec(['sh', '-c', 'ls /run/gone /var/lib/cni/kept'])).stdout.trim(), '/var/lib/cni/kept')
  assert.deepEqual(await lab.cloud.send('/fabric/links', {}), devices)
  assert.equal(await runPod('after-boot', 'echo works'), 'works')
})

test('a node joins and leaves without a trace', async () => {
  const node = await lab.join('extra', 'ecs.lab.medium')
  const { instanceId, instanceType } = node.identity
  assert.deepEqual([instanceType, lab.node('node1').identity.instanceType], ['ecs.lab.medium', 'ecs.g7.xlarge'])
  assert.match(await lab.kubectl(['get', 'nodes', '-o', 'name']), /node\/extra/)
  await node.leave()
  assert.doesNotMatch(await lab.kubectl(['get', 'nodes', '-o', 'name']), /node\/extra/)
  await until('the cloud forgets the instance', 120_000, async () => {
    const described = JSON.stringify(await lab.cloud.openapi('DescribeInstances', { InstanceIds: JSON.stringify([instanceId]) }))
    return !described.includes(instanceId)
  })
  assert.deepEqual(
    tracesOf(lab.names).namespaces.filter(n => n.endsWith('.extra')),
    [],
  )
})

test('two labs with the same addresses do not meet; down leaves nothing, even when everything was killed', async () => {
  const other = await Lab.up({ name: `${name}-b`, nodes: 0, stack: 'dual', images: await labImages() })
  try {
    assert.equal(other.state.control.address, lab.state.control.address)
    assert.notEqual(other.state.apiPort, lab.state.apiPort)
    assert.equal((await other.kubectl(['get', 'nodes', '-o', 'name'])).trim(), '')
    const dual = { spec: { ipFamilyPolicy: 'RequireDualStack', ports: [{ port: 80 }] } }
    await other.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'dual' }, ...dual }))
    assert.match(await other.kubectl(['get', 'service', 'dual', '-o', 'jsonpath={.spec.clusterIPs}']), /"172\.21\..*","fd00:172:21:/)
    const seen = await other.onControl([process.execPath, '-e', FETCH, 'http://[2001:db8:113::254]/'])
    assert.equal(seen.stdout.trim(), `200 ${other.state.control.address6}`, 'IPv6 leaves without translation')
    for (const pid of processesIn(other.names.cgroup)) {
      const id = identify(pid)
      if (id !== undefined) signal(id, 'SIGKILL')
    }
  } finally {
    await other.down()
  }
  assert.deepEqual(tracesOf(other.names), clean)
  assert.match(await lab.kubectl(['get', 'nodes', '-o', 'name']), /node\/node1/)
})

test('in a lab of IPv6 Services the machines keep IPv4 for control', async () => {
  interface Service {
    readonly spec: { readonly clusterIPs: readonly string[]; readonly ipFamilies: readonly string[] }
  }
  const six = await Lab.up({ name: `${name}-6`, stack: 'ipv6', images: await labImages() })
  try {
    const kubernetes: Service = JSON.parse(await six.kubectl(['get', 'service', 'kubernetes', '-o', 'json']))
    assert.deepEqual(kubernetes.spec.clusterIPs, ['fd00:172:21::1'])
    const { address, address6 } = six.node('node1').identity
    const internal = '{.status.addresses[?(@.type=="InternalIP")].address}'
    assert.equal(await six.kubectl(['get', 'node', 'node1', '-o', `jsonpath=${internal}`]), `${address} ${address6}`)
    // kube-proxy leads to the API server's IPv6 address, and the certificate names the Service's.
    const trusting = ['env', `NODE_EXTRA_CA_CERTS=${six.names.pki}/ca.crt`, process.execPath, '-e', FETCH]
    await until(
      'the Service kubernetes leads to the API server',
      120_000,
      async () => (await six.node('node1').exec([...trusting, 'https://[fd00:172:21::1]/readyz'])).stdout.trim() === '200 ok',
      250,
    )
    assert.match(await six.kubectl(['get', '--raw', '/api/v1/nodes/node1/proxy/healthz']), /ok/, 'the API server asks the kubelet')
  } finally {
    await six.down()
  }
  assert.deepEqual(tracesOf(six.names), clean)
})

test('a lab with IPv6 does not start in a vSwitch that has none', async () => {
  const seed = { ...defaultSeed(), vSwitches: [{ id: 'vsw-4', zone: 'cn-hangzhou-a', cidr4: '10.0.0.0/24' }] }
  await assert.rejects(Lab.up({ name: `${name}-4`, nodes: 0, stack: 'dual', seed, images: await labImages() }), /IPv6/i)
})

test('down removes a lab in use', async () => {
  await lab.down()
  assert.deepEqual(tracesOf(lab.names), clean)
})
