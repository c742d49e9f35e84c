// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { acquire, type Wanted } from '#ipam/acquire.ts'
import { addressesOf, Book } from '#ipam/book.ts'
import type { Lease, LedgerChange } from '#ipam/ledger.ts'
import { isCooling, limitsOf, type PoolView, poolView } from '#ipam/node-pool.ts'
import { answerMarks, bindingOf, boundPods, localBindingAnnotation } from '#ipam/release.ts'
import { eniModeLabel, type Nic, type NicIp, type NodeCr } from '#kube/crd/node.ts'
import { type Ip, parseIp, parseIpv4 } from '#net/ip.ts'
import { leaseOf } from '../../test/support/leases.ts'
import { LedgerMemory } from '../../test/support/ledger-memory.ts'

const floor = 30_000
const ip = (n: number) => parseIp(`10.0.0.${n}`)

function nic(id: string, addresses: readonly Partial<NicIp>[], change: Partial<Nic> = {}): Nic {
  const ipv4 = Object.fromEntries(addresses.map(a => [a.ip, { primary: false, status: 'Valid', ...a } as NicIp]))
  return {
    id,
    status: 'InUse',
    macAddress: `02:00:00:00:00:0${id.slice(-1)}`,
    networkInterfaceType: 'Secondary',
    ipv4CIDR: '10.0.0.0/16',
    ipv4,
    ...change,
  }
}

function nodeOf(...nics: readonly Nic[]): NodeCr {
  const metadata = { name: 'n', annotations: { [localBindingAnnotation]: 'v1' } }
  const networkInterfaces = Object.fromEntries(nics.map(n => [n.id, n]))
  return { apiVersion: 'network.alibabacloud.com/v1beta1', kind: 'Node', metadata, spec: {}, status: { networkInterfaces } }
}

const bookOf = (...changes: readonly LedgerChange[]) => {
  const book = new Book(new LedgerMemory())
  book.commit(changes)
  return book
}
const view = (node: NodeCr, book: Book, now = 0, live: (id: string) => boolean = () => false): PoolView =>
  poolView({ node, book, now, coolingFloor: floor, liveWithoutLease: live })
const want = (change: Partial<Wanted> = {}): Wanted => ({
  containerId: 'c1',
  ifName: 'eth0',
  podUid: 'u1',
  podId: 'default/web',
  families: [4],
  binding: 'local',
  ...change,
})

describe('the limits of a node', () => {
  const limits = (spec: NodeCr['spec']) => limitsOf({ ...nodeOf(), spec })
  const standard = { networkInterfaceType: 'Secondary', networkInterfaceTrafficMode: 'Standard' } as const

  test('are unknown while the controller has not said them', () => {
    const unknown = { enis: undefined, ipv4PerEni: undefined, ipv6PerEni: undefined, stack: 'ipv4' }
    assert.deepEqual(limitsOf(undefined), unknown)
    assert.deepEqual(limits({ flavor: [{ ...standard, count: 2 }] }), unknown)
  })

  test('are what the instance type has room for, and no more than what is planned', () => {
    const nodeCap = { adapters: 4, ipv4PerAdapter: 10, ipv6PerAdapter: 2 }
    const eni = { vSwitchOptions: [], securityGroupIDs: [], vSwitchSelectPolicy: 'ordered', enableIPv6: true } as const
    assert.deepEqual(limits({ nodeCap, eni }), { enis: 3, ipv4PerEni: 10, ipv6PerEni: 2, stack: 'dual' })
    assert.equal(limits({ nodeCap, flavor: [{ ...standard, count: 2 }] }).enis, 2)
    assert.equal(limits({ nodeCap, flavor: [{ ...standard, count: 9 }] }).enis, 3)
  })

  test('are one address per ENI where each pod has an ENI of its own', () => {
    const nodeCap = { adapters: 4, ipv4PerAdapter: 10, ipv6PerAdapter: 0 }
    const { metadata, ...node } = nodeOf()
    const found = limitsOf({ ...node, metadata: { ...metadata, labels: { [eniModeLabel]: 'eniOnly' } }, spec: { nodeCap } })
    assert.deepEqual(found, { enis: 3, ipv4PerEni: 1, ipv6PerEni: 0, stack: 'ipv4' })
  })
})

describe('the pool', () => {
  test('each address is in exactly one state, and says why', () => {
    const node = nodeOf(
      nic('eni-1', [
        { ip: '10.0.0.1' },
        { ip: '10.0.0.2' },
        { ip: '10.0.0.3' },
        { ip: '10.0.0.4', status: 'Deleting', releaseNonce: 'n' },
        { ip: '10.0.0.5' },
        { ip: '10.0.0.6', podID: 'default/alive', podUID: 'u6' },
        { ip: '10.0.0.7', status: 'Invalid' },
      ]),
      nic('eni-2', [{ ip: '10.0.1.1' }], { status: 'Attaching' }),
      nic('eni-3', [{ ip: '10.0.2.1' }], { unschedulable: true }),
      nic('eni-4', [{ ip: '10.0.3.1' }], { macAddress: 'x' }),
    )
    const book = bookOf(
      { put: 'lease', lease: leaseOf('c2', '10.0.0.2') },
      { put: 'cooling', cooling: { ip: ip(3), since: 0 } },
      { put: 'release', release: { ip: ip(5), nonce: 'old', answer: 'acked', since: 0 } },
    )
    const pool = view(node, book, 1_000, id => id === 'default/alive')
    const states = Object.fromEntries(pool.enis.flatMap(e => e.addresses.map(a => [a.ip, a.state])))
    assert.deepEqual(states, {
      '10.0.0.1': 'idle',
      '10.0.0.2': 'leased',
      '10.0.0.3': 'cooling',
      '10.0.0.4': 'releasing',
      '10.0.0.5': 'barred',
      '10.0.0.6': 'barred',
      '10.0.0.7': 'releasing',
      '10.0.1.1': 'barred',
      '10.0.2.1': 'barred',
      '10.0.3.1': 'barred',
    })
    assert.deepEqual(pool.counts[4], { idle: 1, leased: 1, cooling: 1, releasing: 2, barred: 5 })
  })

  test('cooling survives a clock that is set back, but not for ever', () => {
    assert.equal(isCooling(1_000, 30_999, floor), true)
    assert.equal(isCooling(1_000, 31_000, floor), false)
    assert.equal(isCooling(1_000, 0, floor), true)
    assert.equal(isCooling(10_000_000, 0, floor), false)
  })
})

describe('acquire', () => {
  test('the address that was released longest ago, and among equals the fullest ENI', () => {
    const node = nodeOf(nic('eni-1', [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }]), nic('eni-2', [{ ip: '10.0.1.1' }, { ip: '10.0.1.2' }]))
    const book = bookOf({ put: 'lease', lease: leaseOf('x', '10.0.1.1') }, { put: 'cooling', cooling: { ip: ip(1), since: 5 } })
    const first = acquire(want(), view(node, book, floor * 2), book)
    assert.equal(first.kind === 'chosen' && first.addresses[0]?.ip, '10.0.1.2')
    book.commit([{ put: 'lease', lease: leaseOf('y', '10.0.1.2') }])
    const second = acquire(want(), view(node, book, floor * 2), book)
    assert.equal(second.kind === 'chosen' && second.addresses[0]?.ip, '10.0.0.2')
  })

  test('both families come from one ENI', () => {
    const v6 = { ipv6CIDR: 'fd00::/64', ipv6: { 'fd00::1': { ip: 'fd00::1', primary: false, status: 'Valid' } } } as const
    const node = nodeOf(nic('eni-1', [{ ip: '10.0.0.1' }]), nic('eni-2', [{ ip: '10.0.1.1' }], v6))
    const book = bookOf()
    const choice = acquire(want({ families: [4, 6] }), view(node, book), book)
    assert.deepEqual(choice.kind === 'chosen' && choice.addresses.map(a => a.ip), ['10.0.1.1', 'fd00::1'])
    const none = acquire(want({ families: [4, 6] }), view(nodeOf(nic('eni-1', [{ ip: '10.0.0.1' }])), book), book)
    assert.equal(none.kind, 'dry')
  })

  test('a pod that needs a whole ENI gets none on which another one is, in whatever state', () => {
    const node = nodeOf(nic('eni-1', [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }]), nic('eni-2', [{ ip: '10.0.1.1' }]))
    const chosen = (...changes: readonly LedgerChange[]) => {
      const book = bookOf({ put: 'lease', lease: leaseOf('c2', '10.0.0.1', { state: 'dying' }) }, ...changes)
      return acquire(want({ wholeEni: true }), view(node, book, 1_000), book)
    }
    const free = chosen()
    assert.equal(free.kind === 'chosen' && free.eni.eniId, 'eni-2')
    const taken = chosen({ put: 'lease', lease: leaseOf('c3', '10.0.1.1') })
    assert.ok(taken.kind === 'dry')
    assert.equal(taken.missing[0], 'each pod takes a whole ENI: 2 of 2 have theirs')
  })

  test('the book refuses a second pod on an ENI that one has for itself', () => {
    const own = (container: string, ip: string): LedgerChange => {
      const lease = leaseOf(container, ip)
      return {
        put: 'lease',
        lease: { ...lease, attachment: { ...lease.attachment, kind: 'exclusive-eni', hostRoutes: [], hostPeer: true } },
      }
    }
    const book = bookOf(own('c1', '10.0.0.1'))
    book.commit([own('c1', '10.0.0.1')])
    assert.throws(() => book.commit([own('c2', '10.0.0.2')]), /ENI eni-1 is container c1's, so c2 cannot have it for itself/)
  })

  test("a container's own lease, another pod's container, and one that is being taken down", () => {
    const lease = leaseOf('c1', '10.0.0.1')
    const own = want({ podUid: lease.podUid, podId: 'default/pod-c1' })
    const node = nodeOf(nic('eni-1', [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }]))
    const book = bookOf({ put: 'lease', lease })
    assert.deepEqual(acquire(own, view(node, book), book), { kind: 'existing', lease })
    const foreign = acquire(want(), view(node, book), book)
    assert.ok(foreign.kind === 'refused' && !foreign.waitHelps && foreign.reason.includes('default/pod-c1'))
    const second = acquire({ ...own, ifName: 'net1' }, view(node, book), book)
    assert.ok(second.kind === 'refused' && !second.waitHelps && second.reason.includes('has its network as eth0'))
    book.commit([{ put: 'lease', lease: { ...lease, state: 'dying' } }])
    const dying = acquire(own, view(node, book), book)
    assert.ok(dying.kind === 'refused' && dying.waitHelps)
  })

  test('an address that is reserved for a live pod serves that pod only', () => {
    const node = nodeOf(nic('eni-1', [{ ip: '10.0.0.1', podID: 'default/web', podUID: 'u1' }]))
    const book = bookOf()
    const pool = view(node, book, 0, id => id === 'default/web')
    assert.equal(acquire(want(), pool, book).kind, 'chosen')
    assert.equal(acquire(want({ podId: 'default/other', podUid: 'u2' }), pool, book).kind, 'dry')
  })

  test('foreign binding: bound to this pod, by name and UID, or by name alone', () => {
    const choose = (record: Partial<NicIp>) => {
      const book = bookOf()
      return acquire(want({ binding: 'foreign' }), view(nodeOf(nic('eni-1', [{ ip: '10.0.0.1', ...record }])), book), book).kind
    }
    assert.equal(choose({}), 'dry')
    assert.equal(choose({ podID: 'default/web' }), 'chosen')
    assert.equal(choose({ podID: 'default/web', podUID: 'u1' }), 'chosen')
    assert.equal(choose({ podID: 'default/web', podUID: 'u9' }), 'dry')
    assert.equal(choose({ podID: 'default/other', podUID: 'u1' }), 'dry')
  })

  test('dry says what is missing of two families, and never that idle addresses are not idle', () => {
    const missing = (families: Wanted['families'], ...nics: readonly Nic[]) => {
      const book = bookOf({ put: 'lease', lease: leaseOf('x', '10.0.0.1') })
      const choice = acquire(want({ families }), view(nodeOf(...nics), book), book)
      return choice.kind === 'dry' && choice.missing
    }
    const v6 = { ipv4CIDR: '', ipv6CIDR: 'fd00::/64', ipv6: { 'fd00::1': { ip: 'fd00::1', primary: false, status: 'Valid' } } } as const
    const four = nic('eni-1', [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }])
    assert.deepEqual(missing([4, 6], four), [
      'IPv4: 1 idle, 1 leased',
      'IPv6: no address on this node',
      'ENI eni-1: its vSwitch has no IPv6 CIDR block',
    ])
    assert.deepEqual(missing([6], four), ['IPv6: no address on this node', 'ENI eni-1: its vSwitch has no IPv6 CIDR block'])
    assert.deepEqual(missing([4, 6], { ...four, ipv6CIDR: 'fd00::/64' }, nic('eni-2', [], v6)), [
      'no ENI has a free address of both families',
      'IPv4: 1 idle, 1 leased',
      'IPv6: 1 idle',
      'ENI eni-2: its vSwitch has no IPv4 CIDR block',
    ])
  })

  test('dry says what is missing', () => {
    const node = nodeOf(
      nic('eni-1', [{ ip: '10.0.0.1' }], { conditions: { InsufficientIP: { message: 'vsw-1 has no free address' } } }),
      nic('eni-2', [], { status: 'Attaching' }),
    )
    const book = bookOf({ put: 'lease', lease: leaseOf('x', '10.0.0.1') })
    const choice = acquire(want(), view(node, book), book)
    assert.deepEqual(choice.kind === 'dry' && choice.missing, [
      'IPv4: no idle address (1 leased)',
      'ENI eni-1: InsufficientIP: vsw-1 has no free address',
      'ENI eni-2 is Attaching, not InUse',
    ])
  })
})

describe('marks', () => {
  const answers = (node: NodeCr, book: Book, mode: 'local' | 'foreign' = 'local', live: (id: string) => boolean = () => false) =>
    answerMarks(node, book, { mode, now: 9, liveWithoutLease: live })
  const marked = (nonce: string, change: Partial<NicIp> = {}) =>
    nodeOf(nic('eni-1', [{ ip: '10.0.0.1', status: 'Deleting', releaseNonce: nonce, ...change }]))
  const release = (nonce: string, answer: 'acked' | 'refused') =>
    ({ put: 'release', release: { ip: ip(1), nonce, answer, since: 9 } }) as const

  test('idle and cooling are acked; a lease in any state is refused; each nonce is answered once', () => {
    assert.deepEqual(answers(marked('n1'), bookOf()), [release('n1', 'acked')])
    assert.deepEqual(answers(marked('n1'), bookOf({ put: 'cooling', cooling: { ip: ip(1), since: 9 } })), [release('n1', 'acked')])
    for (const state of ['pending', 'held', 'dying'] as const) {
      assert.deepEqual(answers(marked('n1'), bookOf({ put: 'lease', lease: leaseOf('c', '10.0.0.1', { state }) })), [
        release('n1', 'refused'),
      ])
    }
    assert.deepEqual(answers(marked('n1'), bookOf(release('n1', 'acked'))), [])
    assert.deepEqual(answers(marked('n2'), bookOf(release('n1', 'refused'))), [release('n2', 'acked')])
  })

  test('however often is answered, the addresses of one Node.status are gone through once', () => {
    let looks = 0
    const node = marked('n1')
    const counted: NodeCr = {
      ...node,
      get status() {
        looks++
        return node.status ?? {}
      },
    }
    const book = bookOf()
    for (let i = 0; i < 3; i++) book.commit(answers(counted, book))
    assert.deepEqual([book.releases().length, looks], [1, 1])
  })

  test('of an address that two ENIs show, the marked one is answered, and only a lease of that ENI keeps it', () => {
    const deleted = nic('eni-1', [{ ip: '10.0.0.1', status: 'Deleting', releaseNonce: 'n1' }])
    const node = nodeOf(deleted, nic('eni-2', [{ ip: '10.0.0.1' }]))
    const own = leaseOf('c', '10.0.0.1')
    const other: Lease = { ...own, attachment: { ...own.attachment, eni: { ...own.attachment.eni, eniId: 'eni-2' } } }
    assert.deepEqual(answers(node, bookOf()), [release('n1', 'acked')])
    assert.deepEqual(answers(node, bookOf({ put: 'lease', lease: other })), [release('n1', 'acked')])
    assert.deepEqual(answers(node, bookOf({ put: 'lease', lease: own })), [release('n1', 'refused')])
    const both = nodeOf(deleted, nic('eni-2', [{ ip: '10.0.0.1', status: 'Deleting', releaseNonce: 'n2' }]))
    assert.deepEqual(answers(both, bookOf()), [release('n1', 'acked')])
    assert.deepEqual(answers(both, bookOf(release('n1', 'acked'))), [], 'the other one waits until the first has gone')
  })

  test('of an address that two ENIs show, both pods are known as bound', () => {
    const shown = (podUID: string) => [{ ip: '10.0.0.1', podID: `default/${podUID}`, podUID }]
    const bound = boundPods(nodeOf(nic('eni-1', shown('a')), nic('eni-2', shown('b'))))
    assert.deepEqual(
      [...bound],
      [
        ['a', 'default/a'],
        ['b', 'default/b'],
      ],
    )
  })

  test('a live pod without lease keeps its address; foreign binding acks nothing', () => {
    const bound = marked('n1', { podID: 'default/web', podUID: 'u' })
    assert.deepEqual(
      answers(bound, bookOf(), 'local', () => true),
      [release('n1', 'refused')],
    )
    assert.deepEqual(answers(marked('n1'), bookOf(), 'foreign'), [])
    assert.deepEqual(answers(marked(''), bookOf()), [])
  })

  test('the bar falls when the address has been absent, not because it is shown valid again', () => {
    const valid = nodeOf(nic('eni-1', [{ ip: '10.0.0.1' }]))
    assert.deepEqual(answers(valid, bookOf(release('n1', 'acked'))), [])
    assert.deepEqual(answers(nodeOf(nic('eni-1', [])), bookOf(release('n1', 'acked'))), [{ drop: 'release', ip: ip(1) }])
    assert.deepEqual(answers(valid, bookOf(release('n1', 'refused'))), [{ drop: 'release', ip: ip(1) }])
  })

  test('binding is local only when all three conditions hold', () => {
    const node = nodeOf()
    const good = { node, leader: 'terway-ts_x', readBack: 'kept' } as const
    assert.equal(bindingOf(good).mode, 'local')
    for (const bad of [
      { node: undefined },
      { node: { ...node, metadata: { name: 'n' } } },
      { leader: undefined },
      { leader: 'terway-controlplane-abc' },
      { readBack: 'pending' },
      { readBack: 'pruned' },
    ] as const) {
      const binding = bindingOf({ ...good, ...bad })
      assert.equal(binding.mode, 'foreign')
      assert.notEqual(binding.reason, '')
    }
  })
})

/**
 * Random lives of eight addresses: leases come and go, the controller marks, unassigns and assigns, time passes. After each step:
 * no address in two leases, no lease on an address that was acked and is still the controller's, and each lease was
 * made from an address that was Valid and free at that moment.
 */
test('property: 20 seeds × 400 steps', () => {
  for (let seed = 1; seed <= 20; seed++) simulate(seed, 400)
})

function simulate(seed: number, steps: number): void {
  let a = seed
  const random = () => {
    a = (Math.imul(a, 1664525) + 1013904223) >>> 0
    return a / 2 ** 32
  }
  const any = <T>(items: readonly T[]): T | undefined => items[Math.floor(random() * items.length)]
  const records = new Map<Ip, NicIp>(Array.from({ length: 8 }, (_, i) => [ip(i + 1), { ip: ip(i + 1), primary: false, status: 'Valid' }]))
  const book = bookOf()
  let now = 0
  let next = 0
  const node = () => nodeOf(nic('eni-1', [...records.values()]))
  let previous = node()
  for (let step = 0; step < steps; step++) {
    now += Math.floor(random() * 8_000)
    const action = Math.floor(random() * 6)
    if (action <= 1) {
      // One time in four from an API server that lags behind: what was acked since may still look Valid there.
      const stale = random() < 0.25
      const pool = view(stale ? previous : node(), book, now)
      const choice = acquire(want({ containerId: `c${next++}`, podUid: `u${next}`, podId: `default/p${next}` }), pool, book)
      if (choice.kind === 'chosen') {
        const [address] = choice.addresses
        assert.ok(address !== undefined)
        if (!stale) assert.equal(records.get(address.ip)?.status, 'Valid')
        assert.notEqual(book.release(address.ip)?.answer, 'acked', `seed ${seed}: ${address.ip} was given back`)
        const idle = pool.counts[4].idle
        assert.equal(choice.waived, idle === 0, `seed ${seed}: waived with ${idle} idle`)
        book.commit([
          { put: 'lease', lease: leaseOf(`c${next - 1}`, address.ip, { state: 'pending' }) },
          { drop: 'cooling', ip: address.ip },
        ])
      } else assert.equal(pool.counts[4].idle + pool.counts[4].cooling, 0)
    } else if (action === 2) {
      const lease = any(book.leases())
      if (lease !== undefined) book.commit(advance(lease, now))
    } else if (action === 3) {
      const record = any([...records.values()].filter(r => r.status === 'Valid'))
      if (record !== undefined) records.set(parseIpv4(record.ip), { ...record, status: 'Deleting', releaseNonce: `n${step}` })
    } else if (action === 4) {
      const record = any([...records.values()].filter(r => r.status === 'Deleting'))
      const answer = record === undefined ? undefined : book.release(parseIp(record.ip))
      if (record !== undefined && answer?.nonce === record.releaseNonce) {
        if (answer?.answer === 'acked') {
          assert.equal(book.holder(parseIp(record.ip)), undefined, `seed ${seed}: an acked address is leased`)
          records.delete(parseIp(record.ip))
        } else records.set(parseIp(record.ip), { ip: record.ip, primary: false, status: 'Valid' })
      }
    } else {
      const absent = Array.from({ length: 8 }, (_, i) => ip(i + 1)).filter(i => !records.has(i))
      const back = any(absent)
      if (back !== undefined) records.set(back, { ip: back, primary: false, status: 'Valid' })
    }
    if (random() < 0.3) previous = node()
    // The daemon sees each state of Node.status: a watch may skip some, which only delays answers.
    book.commit(answerMarks(node(), book, { mode: 'local', now, liveWithoutLease: () => false }))
    const held = book.leases().flatMap(addressesOf)
    assert.equal(new Set(held).size, held.length)
    for (const r of book.releases()) if (r.answer === 'acked') assert.equal(book.holder(r.ip), undefined)
  }
}

function advance(lease: Lease, now: number): readonly LedgerChange[] {
  if (lease.state === 'pending') return [{ put: 'lease', lease: { ...lease, state: 'held' } }]
  if (lease.state === 'held') return [{ put: 'lease', lease: { ...lease, state: 'dying' } }]
  return [
    { drop: 'lease', containerId: lease.containerId },
    ...addressesOf(lease).map((i): LedgerChange => ({ put: 'cooling', cooling: { ip: i, since: now } })),
  ]
}
