// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { datapathOff, datapathOn, datapathStatus, datapathSwitch } from '#cli/datapath.ts'
import type { CliDeps } from '#cli/deps.ts'
import { counter, index, word } from '#kernel/bpf/structs.ts'
import { block, dropReasons, mode, path } from '#kernel/bpf/words.ts'
import { modeEntry } from '#kernel/mode.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import type { NsState } from '#kernel/state.ts'
import { AppError } from '#lib/errors.ts'
import type { TerwayClient } from '#rpc/grpc/client.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const counted = (...cpus: bigint[]) => Buffer.concat(cpus.map(packets => counter.encode({ packets, bytes: packets * 100n })))

/** A node: its kernel (`mode` undefined = nothing is pinned, `insists` = somebody puts it back), its switch file, and a daemon that obeys it, or none. */
async function node(t: TestContext, o: { mode?: number; daemon?: (switched: string) => string; insists?: boolean }) {
  const dir = await mkdtemp(join(tmpdir(), 'terway-datapath-'))
  t.after(() => rm(dir, { recursive: true }))
  const switchPath = join(dir, 'lib', 'datapath')
  const lines: string[] = []
  let word0 = o.mode
  const host = {
    hooks: [{ ifIndex: 7, ingress: block.podIn, egress: block.podOut, foreign: false }],
    links: [{ index: 7, name: 'cali0123456789a' }],
    filters: [{ block: block.podIn, name: 'pod_in.0123456789ab' }],
    sockets: [{ program: 'connect4', name: 'connect4.0123456789ab' }],
  } as unknown as NsState
  const kernel = {
    observe: async () => [
      { ...host, entries: word0 === undefined ? [] : [{ ...modeEntry, value: hex(word.encode({ value: BigInt(word0) })) }] },
    ],
    apply: async (ops: readonly KernelOp[]) => {
      for (const op of ops) if (op.op === 'map-put' && o.insists !== true) word0 = Number(word.decode(Buffer.from(op.value, 'hex')).value)
      return { done: ops }
    },
    probePrograms: async () => [{ feature: 'maps', ok: true, explanation: '' }],
    mapEntries: async (map: string) =>
      map === 'paths'
        ? [
            { key: index.encode({ index: path.podToRemote }), value: counted(3n, 4n) },
            { key: index.encode({ index: path.tooLong }), value: counted(0n, 0n) },
          ]
        : [{ key: index.encode({ index: dropReasons['spoofed-source'] }), value: counted(0n, 2n) }],
    close: async () => {},
  } as unknown as Kernel
  const daemon = {
    trace: async () => {
      const text = (await readFile(switchPath, 'utf8').catch(() => '')).trim()
      if (o.daemon === undefined) throw new AppError('daemon-unreachable', 'nobody listens')
      return [
        { Key: 'datapath_switch', Value: text },
        { Key: 'datapath', Value: o.daemon(text) },
      ]
    },
    close: () => {},
  } as unknown as TerwayClient
  const deps: CliDeps = {
    out: line => lines.push(line),
    connect: () => daemon,
    kernel: async () => kernel,
    switchPath,
    metadata: () => ({ get: async () => undefined }),
    events: async () => ({ read: () => ({ events: [], lost: false }), close: () => {} }),
    stopped: () => AbortSignal.abort(),
    findPod: async () => undefined,
    findService: async () => undefined,
    findNode: async () => undefined,
    policy: async () => undefined,
  }
  return { deps, lines, mode: () => word0, file: () => readFile(switchPath, 'utf8') }
}

const obeys = (switched: string) => (switched === 'veth' ? 'veth: told' : switched.includes('off') ? 'v2 (off): told' : 'v2: told')

test('status: what the daemon says, and what the kernel has and counts, by name', async t => {
  const n = await node(t, { mode: mode.guard | mode.forward, daemon: obeys })
  await datapathStatus(n.deps, 's')
  assert.deepEqual(n.lines, [
    'datapath: v2: told',
    'switch: auto',
    'kernel: has everything that programs need',
    'mode: guard, forward',
    'blocks',
    '├─ podIn: pod_in.0123456789ab',
    '│  └─ cali0123456789a',
    '├─ podOut: no program',
    '│  └─ cali0123456789a',
    '├─ eniIn: no program',
    '│  └─ no device',
    '├─ nodeIn: no program',
    '│  └─ no device',
    '└─ nodeOut: no program',
    '   └─ no device',
    'sockets: connect4.0123456789ab',
    'paths',
    '└─ podToRemote: 7 packets, 700 bytes',
    'drops',
    '└─ spoofed-source: 2 packets, 200 bytes',
  ])
})

test('status without daemon and programs', async t => {
  const n = await node(t, {})
  await datapathStatus(n.deps, 's')
  assert.deepEqual(n.lines.slice(0, 2), ['datapath: terwayd does not answer: nobody listens', 'switch: auto'])
  assert.equal(n.lines.at(-1), 'mode: no programs are loaded')
})

test('switch writes the file, waits for the daemon, and fails when it does not follow', async t => {
  const n = await node(t, { daemon: obeys })
  await datapathSwitch(n.deps, 's', 'v2')
  assert.deepEqual([await n.file(), n.lines], ['v2\n', ['datapath: v2: told']])
  await datapathSwitch(n.deps, 's', 'auto')
  assert.equal(await n.file(), '')
  const unable = await node(t, { daemon: () => 'veth: the kernel lacks maps' })
  await assert.rejects(datapathSwitch(unable.deps, 's', 'v2'), { code: 'datapath-not-switched' })
  assert.deepEqual(unable.lines, ['datapath: veth: the kernel lacks maps'])
  await assert.rejects(datapathSwitch(n.deps, 's', 'ebpf'), { code: 'bad-argument' })
})

test('off works without a daemon: the mode is 0 at once, and the file keeps it so; on brings back what was wanted before', async t => {
  const dead = await node(t, { mode: mode.guard | mode.forward })
  await datapathSwitch(dead.deps, 's', 'v2')
  await datapathOff(dead.deps, 's')
  assert.deepEqual([dead.mode(), await dead.file()], [0, 'v2\noff\n'])
  assert.match(dead.lines.join('\n'), /mode: off: every packet goes to the host stack\nwritten; terwayd does not answer/)
  await datapathOn(dead.deps, 's')
  assert.equal(await dead.file(), 'v2\n')
})

test('off leaves Services alone', async t => {
  const n = await node(t, { mode: mode.guard | mode.forward | mode.service })
  await datapathOff(n.deps, 's')
  assert.equal(n.mode(), mode.service)
  assert.match(n.lines.join('\n'), /mode: service$/m)
})

test('off and on with a daemon, on a node without programs too', async t => {
  const n = await node(t, { daemon: obeys })
  await datapathOff(n.deps, 's')
  await datapathOn(n.deps, 's')
  assert.deepEqual(n.lines, ['mode: no programs are loaded', 'datapath: v2 (off): told', 'datapath: v2: told'])
})

test('off fails when the programs go on', async t => {
  const n = await node(t, { mode: mode.forward, daemon: obeys, insists: true })
  await assert.rejects(datapathOff(n.deps, 's'), { code: 'datapath-not-switched', message: /switched the programs on again/ })
})
