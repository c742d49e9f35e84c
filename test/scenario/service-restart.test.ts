// SPDX-License-Identifier: Apache-2.0
import { deepEqual as equal } from 'node:assert/strict'
import { test } from 'node:test'
import { drainMs } from '#compile/service/backends.ts'
import { number } from '../support/service-maps.ts'
import { ServiceCluster } from './service-cluster.ts'

const service = (name: string, ip: string, more = '') => `
kind: Service
metadata: { namespace: d, name: ${name}, uid: u-${name}, creationTimestamp: '2026-01-01T00:00:00Z' }
spec:
  clusterIP: ${ip}
  clusterIPs: [${ip}]
  ports: [{ protocol: TCP, port: 80 }]
${more}
`
const slice = (name: string, ...ips: readonly string[]) => `
kind: EndpointSlice
metadata: { namespace: d, name: ${name}-1, labels: { kubernetes.io/service-name: ${name} } }
addressType: IPv4
ports: [{ name: '', protocol: TCP, port: 8080 }]
endpoints: [${ips.map(ip => `{ addresses: [${ip}] }`).join(', ')}]
`

function cluster(): ServiceCluster {
  const c = new ServiceCluster()
  c.apply(
    [service('a', '10.96.0.1'), slice('a', '10.0.0.1', '10.0.0.2', '10.0.0.3'), service('b', '10.96.0.2'), slice('b', '10.0.0.3')].join(
      '---\n',
    ),
  )
  return c
}

test('a process that comes back to the same cluster changes nothing', () => {
  const c = cluster()
  c.apply(slice('a', '10.0.0.3', '10.0.0.1'))
  equal(c.restart(), {})
  c.expect(`
    10.96.0.1:80/TCP inside -> [10.0.0.1:8080/TCP 10.0.0.3:8080/TCP]
    10.96.0.2:80/TCP inside -> [10.0.0.3:8080/TCP]
    10.0.0.2:8080/TCP draining
  `)
  // It drains from now on: nobody knows since when it does.
  equal(c.later(drainMs - 1), {})
  equal(c.later(1), { backends: 1 })
})

test('what changed while it was away costs what it changes; numbers stay', () => {
  const c = cluster()
  const frontend = c.maps.get('frontends').get(number(1))
  const changed = c.restart([slice('a', '10.0.0.1', '10.0.0.3', '10.0.0.9'), service('b', '10.96.0.7')].join('---\n'))
  // One endpoint for another in its slot; b has another address: a frontend, an entry and a set more, and the old entry and set less.
  equal(changed, { backends: 2, frontends: 1, backend_slots: 3, backend_sets: 2, services: 2 })
  c.expect(`
    10.96.0.1:80/TCP inside -> [10.0.0.1:8080/TCP 10.0.0.3:8080/TCP 10.0.0.9:8080/TCP]
    10.96.0.7:80/TCP inside -> [10.0.0.3:8080/TCP]
    10.0.0.2:8080/TCP draining
  `)
  equal(c.maps.get('frontends').get(number(1)), frontend)
  equal(c.maps.get('frontends').size, 3)
})

test('one set becomes two while nobody looks: one of them keeps the number', () => {
  const c = new ServiceCluster()
  const web = (policy: string) => service('a', '10.96.0.1', `  externalIPs: [203.0.113.1]\n  externalTrafficPolicy: ${policy}`)
  c.apply([web('Cluster'), slice('a', '10.0.0.1', '10.0.0.2')].join('---\n'))
  equal(c.restart(web('Local')), { backend_sets: 1, services: 1 })
  c.expect(`
    10.96.0.1:80/TCP inside -> [10.0.0.1:8080/TCP 10.0.0.2:8080/TCP]
    203.0.113.1:80/TCP inside -> [10.0.0.1:8080/TCP 10.0.0.2:8080/TCP]
    203.0.113.1:80/TCP outside local keepSource -> []
  `)
  equal(c.restart(), {})
})

test('damaged entries are put right by the next process', () => {
  const c = cluster()
  const lines = c.maps.lines()
  const [first = ''] = c.maps.get('services').keys()
  // Of everybody: a set that is not there, a slot to nowhere, a count too high, another address.
  c.maps.set({ map: 'services', key: first, value: number(99).padEnd(48, '0') })
  c.maps.set({ map: 'backend_slots', key: number(1) + number(1), value: number(77) })
  c.maps.set({ map: 'backend_sets', key: number(2), value: number(3) + number(0) })
  c.maps.set({ map: 'backends', key: number(2), value: ''.padEnd(48, '0') })
  c.maps.set({ map: 'frontends', key: number(2), value: undefined })
  c.restart()
  equal(c.maps.lines(), lines)
  equal(c.restart(), {})
})

test('two Services want one address: the older one has it, before and after a restart', () => {
  const c = cluster()
  c.facts()
  c.apply(service('a', '10.96.0.1', '  externalIPs: [203.0.113.1]'))
  c.apply(service('b', '10.96.0.2', '  externalIPs: [203.0.113.1]').replace('2026-01-01', '2025-12-31'))
  const mine = '203.0.113.1:80/TCP outside -> [10.0.0.3:8080/TCP]'
  equal(
    c.maps.lines().filter(l => l.includes('outside')),
    [mine],
  )
  equal(c.facts(), ['d/a ServiceFrontendConflict: 203.0.113.1:80/TCP is served for d/b, which is older'])
  equal(c.restart(), {})
  equal(c.facts().length, 1)
  c.remove('Service d/b')
  equal(
    c.maps.lines().filter(l => l.includes('outside')),
    ['203.0.113.1:80/TCP outside -> [10.0.0.1:8080/TCP 10.0.0.2:8080/TCP 10.0.0.3:8080/TCP]'],
  )
})
