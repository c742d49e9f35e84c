// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serviceFlag } from '#kernel/bpf/words.ts'
import type { Service } from '#kube/reflect/service.ts'
import { sliceRow } from '#state/endpoint-row.ts'
import { nameOfTarget } from '#state/target.ts'
import { type Endpoints, here, type PortInput, service, slice } from '../../../test/support/service-objects.ts'
import { algorithmAnnotation, compileService, type FrontendPlan, type Use } from './plan.ts'

const pods: Endpoints = { '10.0.0.1': {}, '10.0.0.2': { node: here.name }, '10.0.0.3': { node: here.name, ready: false } }
const pods6: Endpoints = { 'fd00:1::1': {} }
const rows = (...slices: readonly (readonly [Endpoints, (readonly PortInput[])?])[]) =>
  slices.flatMap(([endpoints, ports], i) => sliceRow(slice('d/a', `s${i}`, endpoints, ports)) ?? [])
const plan = (s: Service, slices = rows([pods], [pods6])) => compileService(s, slices, here)
const spec = {
  type: 'LoadBalancer',
  clusterIPs: ['10.96.0.1', 'fd10::1'],
  ports: [{ port: 80, nodePort: 30080 }],
  externalIPs: ['203.0.113.1'],
}
const balancer = { ingress: [{ ip: '203.0.113.9' }, { ip: '2001:db8::9', ipMode: 'VIP' }, { hostname: 'lb.example' }] }

function words({ set, flags, affinitySeconds }: Use): string {
  const names = Object.entries(serviceFlag).flatMap(([name, bit]) => ((flags & bit) !== 0 ? [name] : []))
  return [set.slice(set.lastIndexOf(' ') + 1), ...names, ...(affinitySeconds ? [affinitySeconds] : [])].join(' ')
}

function line(f: FrontendPlan): string {
  const from = f.sourceRanges.length > 0 ? ` from ${f.sourceRanges.join(' ')}` : ''
  return `${f.kind} ${nameOfTarget(f)} | ${words(f.inside)} | ${f.outside === undefined ? '-' : words(f.outside)}${from}`
}

const lines = (s: Service, slices?: ReturnType<typeof rows>) => plan(s, slices).frontends.map(line)

test('a Service is reached everywhere it says, in its own families', () => {
  assert.deepEqual(lines(service('d/a', spec, balancer)), [
    'ClusterIP 10.96.0.1:80/TCP | cluster | -',
    'NodePort 192.168.0.10:30080/TCP | cluster | cluster',
    'ExternalIP 203.0.113.1:80/TCP | cluster | cluster',
    'LoadBalancer 203.0.113.9:80/TCP | cluster | cluster',
    'ClusterIP [fd10::1]:80/TCP | cluster | -',
    'NodePort [fd00::10]:30080/TCP | cluster | cluster',
    'LoadBalancer [2001:db8::9]:80/TCP | cluster | cluster',
  ])
  const v6 = service('d/a', { ...spec, clusterIPs: ['fd10::1'] }, balancer)
  assert.deepEqual(
    lines(v6).map(l => l.split(' ', 2).join(' ')),
    ['ClusterIP [fd10::1]:80/TCP', 'NodePort [fd00::10]:30080/TCP', 'LoadBalancer [2001:db8::9]:80/TCP'],
  )
  // Of an old API server.
  assert.equal(lines(service('d/a', { clusterIPs: undefined, clusterIP: '10.96.0.7' })).length, 1)
})

test('the policy for clients outside holds outside: pods and the node come to every backend', () => {
  assert.deepEqual(lines(service('d/a', { ...spec, clusterIPs: ['10.96.0.1'], externalTrafficPolicy: 'Local' }, balancer)), [
    'ClusterIP 10.96.0.1:80/TCP | cluster | -',
    'NodePort 192.168.0.10:30080/TCP | cluster | local local keepSource',
    'ExternalIP 203.0.113.1:80/TCP | cluster | local local keepSource',
    'LoadBalancer 203.0.113.9:80/TCP | cluster | local local keepSource',
  ])
})

test('the policy for clients inside holds for its own address alone', () => {
  assert.deepEqual(lines(service('d/a', { ...spec, clusterIPs: ['10.96.0.1'], internalTrafficPolicy: 'Local' })), [
    'ClusterIP 10.96.0.1:80/TCP | local local | -',
    'NodePort 192.168.0.10:30080/TCP | cluster | cluster',
    'ExternalIP 203.0.113.1:80/TCP | cluster | cluster',
  ])
})

test('without a backend anywhere a client is refused, whatever the policy; one elsewhere is reason for silence', () => {
  const s = service('d/a', {
    ...spec,
    clusterIPs: ['10.96.0.1'],
    externalIPs: [],
    internalTrafficPolicy: 'Local',
    externalTrafficPolicy: 'Local',
  })
  assert.deepEqual(lines(s, rows([{ '10.0.0.1': { ready: false } }])), [
    'ClusterIP 10.96.0.1:80/TCP | local | -',
    'NodePort 192.168.0.10:30080/TCP | cluster | local keepSource',
  ])
  assert.deepEqual(lines(s, rows([{ '10.0.0.1': {} }])), [
    'ClusterIP 10.96.0.1:80/TCP | local local | -',
    'NodePort 192.168.0.10:30080/TCP | cluster | local local keepSource',
  ])
})

test('a set exists when somebody uses it', () => {
  const names = (s: Service) => plan(s).sets.map(x => `${x.name}: ${x.backends.map(nameOfTarget).join(' ')}`)
  assert.deepEqual(names(service('d/a', { internalTrafficPolicy: 'Local' })), [' TCP 4 local: 10.0.0.2:8080/TCP'])
  assert.deepEqual(names(service('d/a')), [' TCP 4 cluster: 10.0.0.1:8080/TCP 10.0.0.2:8080/TCP'])
  const both = service('d/a', { ...spec, clusterIPs: ['10.96.0.1'], externalTrafficPolicy: 'Local' })
  assert.deepEqual(
    names(both).map(n => n.split(':')[0]),
    [' TCP 4 cluster', ' TCP 4 local'],
  )
})

test('who may come to a load balancer, by family', () => {
  const ranges = { ...spec, externalIPs: [], loadBalancerSourceRanges: [' 198.51.100.0/24', '198.51.100.0/24 ', '203.0.113.77/32'] }
  const limited = lines(service('d/a', ranges, balancer)).filter(l => l.startsWith('Load'))
  assert.deepEqual(limited, [
    'LoadBalancer 203.0.113.9:80/TCP | cluster sourceRanges | cluster sourceRanges from 198.51.100.0/24 203.0.113.77/32',
    'LoadBalancer [2001:db8::9]:80/TCP | cluster | cluster',
  ])
  // One address said twice has the limit.
  const twice = service('d/a', { ...ranges, externalIPs: ['203.0.113.9'] }, balancer)
  assert.equal(lines(twice).filter(l => l.includes('203.0.113.9:80')).length, 1)
  assert.match(lines(twice).find(l => l.includes('203.0.113.9:80')) ?? '', /from 198/)
})

test('addresses and ranges as old objects may have them', () => {
  const spec = {
    clusterIPs: ['010.96.0.1'],
    externalIPs: ['203.000.113.01', '::ffff:203.0.113.2'],
    loadBalancerSourceRanges: ['010.0.0.0/8'],
  }
  assert.deepEqual(lines(service('d/a', spec, { ingress: [{ ip: '203.0.113.009' }] })), [
    'ClusterIP 10.96.0.1:80/TCP | cluster | -',
    'ExternalIP 203.0.113.1:80/TCP | cluster | cluster',
    'ExternalIP 203.0.113.2:80/TCP | cluster | cluster',
    'LoadBalancer 203.0.113.9:80/TCP | cluster sourceRanges | cluster sourceRanges from 10.0.0.0/8',
  ])
})

test('a balancer that speaks to nodes itself is not short-circuited', () => {
  const proxy = service('d/a', { ...spec, clusterIPs: ['10.96.0.1'] }, { ingress: [{ ip: '203.0.113.9', ipMode: 'Proxy' }] })
  assert.ok(!lines(proxy).some(l => l.startsWith('LoadBalancer')))
})

test('clients that stay', () => {
  const [f] = plan(service('d/a', { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } })).frontends
  assert.equal(f?.inside.affinitySeconds, 60)
  const usual = plan(service('d/a', { sessionAffinity: 'ClientIP' }))
  assert.equal(usual.frontends[0]?.inside.affinitySeconds, 10800)
  assert.deepEqual(
    usual.sets.map(s => s.affinity),
    [true],
  )
})

test('nothing for a Service without an address, or of a name elsewhere', () => {
  for (const s of [
    service('d/a', { clusterIPs: ['None'] }),
    service('d/a', { type: 'ExternalName' }),
    service('d/a', { clusterIPs: [''] }),
  ])
    assert.deepEqual(plan(s), { sets: [], frontends: [], unsupported: [], localOnly: [], maglev: undefined, health: undefined })
})

test('TCP and UDP on one port are two', () => {
  const ports = [
    { name: 'dns', protocol: 'UDP', port: 53 },
    { name: 'dns-tcp', protocol: 'TCP', port: 53 },
  ]
  const s = service('d/a', { ports })
  assert.deepEqual(
    plan(s, rows([{ '10.0.0.1': {} }, ports])).sets.map(x => x.backends.map(nameOfTarget)),
    [['10.0.0.1:53/UDP'], ['10.0.0.1:53/TCP']],
  )
})

test('SCTP is served where its ports stay', () => {
  const s = service('d/a', { type: 'NodePort', ports: [{ name: 's', protocol: 'SCTP', port: 8080, nodePort: 30080 }] })
  const at = (port: number) => rows([{ '10.0.0.1': {} }, [{ name: 's', protocol: 'SCTP', port }]])
  const told = (slices: ReturnType<typeof rows>) => plan(s, slices).unsupported.map(nameOfTarget)
  assert.deepEqual(lines(s, at(8080)), ['ClusterIP 10.96.0.1:8080/SCTP | cluster | -'])
  assert.deepEqual(told(at(8080)), ['192.168.0.10:30080/SCTP'])
  assert.deepEqual(lines(s, at(9999)), [])
  assert.deepEqual(told(at(9999)), ['10.96.0.1:8080/SCTP', '192.168.0.10:30080/SCTP'])
  // Nobody there: refused, which needs no translation.
  assert.equal(lines(s, []).length, 2)
})

test('clients outside reach SCTP where its backends are, and what was to be everywhere is told', () => {
  const spec = { ports: [{ name: 's', protocol: 'SCTP', port: 8080 }], externalIPs: ['203.0.113.1'] }
  const slices = rows([{ '10.0.0.1': {} }, [{ name: 's', protocol: 'SCTP', port: 8080 }]])
  const told = (more: object, of = slices) => plan(service('d/a', { ...spec, ...more }), of).localOnly.map(nameOfTarget)
  assert.deepEqual(lines(service('d/a', spec), slices), [
    'ClusterIP 10.96.0.1:8080/SCTP | cluster | -',
    'ExternalIP 203.0.113.1:8080/SCTP | cluster | local local keepSource',
  ])
  assert.deepEqual(told({}), ['203.0.113.1:8080/SCTP'])
  assert.deepEqual(told({ externalTrafficPolicy: 'Local' }), [])
  assert.deepEqual(told({}, []), [])
})

test("numbers that no port and no time can be are nobody's", () => {
  const port = (port: number, nodePort?: number) => service('d/a', { ports: [{ port, nodePort }] })
  for (const n of [0, -1, 65_536, 2 ** 40]) {
    assert.deepEqual(lines(port(n)), [])
    assert.deepEqual(lines(port(80, n)), lines(port(80)))
    assert.deepEqual(
      plan(port(80), rows([{ '10.0.0.1': {} }, [{ port: n }]])).sets.map(s => s.backends),
      [[]],
    )
  }
  const affinity = (timeoutSeconds: number) =>
    plan(service('d/a', { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds } } })).frontends[0]?.inside
      .affinitySeconds
  assert.deepEqual([-5, 0, 2 ** 40].map(affinity), [0, 0, 86_400])
})

test('health: how many ready pods are here, each once, of the first family', () => {
  const s = { ...spec, healthCheckNodePort: 32000, externalTrafficPolicy: 'Local' }
  const slices = rows(
    [{ ...pods, '10.0.0.4': { node: here.name } }],
    [{ '10.0.0.4': { node: here.name } }, [{ name: 'other', port: 1 }]],
    [{ 'fd00:1::4': { node: here.name } }],
  )
  assert.deepEqual(plan(service('d/a', s), slices).health, { port: 32000, localEndpoints: 2 })
  assert.equal(plan(service('d/a', { ...s, externalTrafficPolicy: 'Cluster' })).health, undefined)
  assert.equal(plan(service('d/a', { ...s, type: 'NodePort' })).health, undefined)
})

test('a Service says how its backends are chosen', () => {
  const of = (value: string) => plan(service('d/a', {}, { annotations: { [algorithmAnnotation]: value } })).maglev
  assert.deepEqual([of('maglev'), of('random'), plan(service('d/a')).maglev], [true, false, undefined])
})
