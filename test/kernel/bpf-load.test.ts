// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { instruction } from '#kernel/bpf/instruction.ts'
import { loadObject, mapNames } from '#kernel/bpf/load.ts'
import type { BpfObject } from '#kernel/bpf/object.ts'
import { programNames } from '#kernel/bpf/programs.ts'
import { close } from '#kernel/ffi.ts'
import { createMap, pinObject, runProgram } from '#kernel/ffi-bpf.ts'
import { parseIfName } from '#kernel/names.ts'
import { type FilterSet, pinOfMap, pinOfProgram } from '#kernel/op.ts'
import type { BpfProbe, Kernel } from '#kernel/port.ts'
import { applied, BpfLab, loadMap, look, objectOf, pass, programsReturning, refusedBy, run, sizes } from './bpf-lab.ts'

let lab: BpfLab
let kernel: Kernel
before(async () => {
  lab = new BpfLab()
  kernel = await lab.kernel()
})
after(() => lab.close())
afterEach(async () => {
  await applied(kernel, [{ op: 'block-leave', ns: 'host', dev: d0 }])
  await kernel.unloadPrograms()
})

const [first, second] = ['aaaaaaaaaaaa', 'bbbbbbbbbbbb']
const entry = { map: 'control', key: '00000000' } as const
/** The first of ours. */
const block = 0x7e770001
const d0 = parseIfName('d0')
const join0 = { op: 'block-join', ns: 'host', dev: d0, ingress: block } as const
const filterOf = (generation: string): FilterSet => ({ op: 'filter-set', ns: 'host', block, program: 'pod_in', generation })
const filters = async () => (await look(kernel, { blocks: [block] })).filters.map(f => f.name)
const generations = () => readdirSync(join(lab.pins, 'programs')).sort()

test('the first load makes everything; the next finds it with what it holds, also in another process', async () => {
  lab.use(programsReturning(pass, first))
  assert.deepEqual(await kernel.loadPrograms(sizes), { generation: first, created: mapNames, others: [] })
  await applied(kernel, [{ op: 'map-put', ns: 'host', ...entry, value: '0700000000000000' }])
  assert.deepEqual(await kernel.loadPrograms(), { generation: first, created: [], others: [] })
  const other = await lab.kernel()
  assert.deepEqual(await other.loadPrograms(), { generation: first, created: [], others: [] })
  assert.deepEqual((await look(other, { entries: [entry] })).entries, [{ ...entry, value: '0700000000000000' }])
  await kernel.unloadPrograms()
  assert.deepEqual(lab.pinned(), [])
  assert.match(await refusedBy(other, { op: 'map-put', ns: 'host', ...entry, value: '0700000000000000' }), /ENOENT.*not loaded/)
})

test('a generation that runs in a block stays until the block runs another', async () => {
  lab.use(programsReturning(pass, first))
  await kernel.loadPrograms(sizes)
  await applied(kernel, [join0, filterOf(first)])
  lab.use(programsReturning(pass, second))
  assert.deepEqual(await kernel.loadPrograms(), { generation: second, created: [], others: [first] })
  assert.deepEqual([generations(), await filters()], [[first, second], [`pod_in.${first}`]])
  await applied(kernel, [filterOf(second)])
  await kernel.loadPrograms()
  assert.deepEqual([generations(), await filters()], [[second], [`pod_in.${second}`]])
  assert.match(await refusedBy(kernel, filterOf(first)), /ENOENT.*pod_in of generation aaaaaaaaaaaa is not loaded/)
})

test('programs whose maps were unpinned are made again, and those that run are seen to be others', async () => {
  lab.use(programsReturning(pass, first))
  await kernel.loadPrograms(sizes)
  await applied(kernel, [join0, filterOf(first)])
  unlinkSync(join(lab.pins, 'maps/control-1'))
  assert.deepEqual(await kernel.loadPrograms(), { generation: first, created: ['control'], others: [] })
  assert.match((await filters()).join(), /^program \d+$/)
  await applied(kernel, [filterOf(first)])
  assert.deepEqual(await filters(), [`pod_in.${first}`])
})

test('two processes that load at the same time share what each of them makes', async () => {
  lab.use(programsReturning(pass, first))
  const other = await lab.kernel()
  for (let round = 0; round < 10; round++) {
    const both = await Promise.all([kernel.loadPrograms(sizes), other.loadPrograms(sizes)])
    assert.deepEqual(both.flatMap(l => l.created).sort(), [...mapNames].sort())
    await applied(kernel, [{ op: 'map-put', ns: 'host', ...entry, value: '0700000000000000' }])
    assert.equal((await look(other, { entries: [entry] })).entries[0]?.value, '0700000000000000')
    assert.deepEqual(await other.loadPrograms(), { generation: first, created: [], others: [] })
    await other.unloadPrograms()
  }
})

test('a pin of another shape is named, and left', async () => {
  mkdirSync(join(lab.pins, 'maps'), { recursive: true })
  const pin = join(lab.pins, 'maps/flows-1')
  const fd = createMap('other', { type: 1, keySize: 8, valueSize: 4, entries: 1, flags: 0 })
  pinObject(fd, pin)
  close(fd)
  await assert.rejects(kernel.loadPrograms(sizes), {
    code: 'kernel-refused',
    message: `the pin ${pin} is a map of type 1 from 8 to 4 bytes, not a map of type 9 from 40 to 64 bytes`,
  })
  assert.ok(lab.pinned().some(p => p.endsWith('flows-1')))
})

test('what the verifier says of a program is in the error; the programs before it do not count as loaded', async () => {
  const good = programsReturning(pass, first)
  const bad = objectOf([...loadMap(1), instruction(0x95)], first)
  lab.use({ ...good, programs: [...good.programs.slice(0, 1), ...bad.programs.slice(1)] })
  await assert.rejects(kernel.loadPrograms(sizes), {
    code: 'kernel-refused',
    message: /load the program pod_out: E\w+, [\s\S]*R0 !read_ok/,
  })
  lab.use(good)
  await kernel.loadPrograms()
  assert.deepEqual(readdirSync(join(lab.pins, 'programs', first)).sort(), [...programNames].sort())
})

test('what lacks outside is said: a BPF file system, the file of the programs', async () => {
  const elsewhere = await lab.kernel({ pins: join(lab.directory, 'no/terway') })
  await assert.rejects(elsewhere.loadPrograms(), { code: 'kernel-refused', message: /not on a BPF file system: mount one .*container/ })
  const without = await lab.kernel({ object: join(lab.directory, 'no.json') })
  await assert.rejects(without.loadPrograms(), { code: 'kernel-refused', message: /read the programs .*no\.json.*ENOENT/ })
  const whole = programsReturning(pass, first)
  lab.use({ ...whole, programs: whole.programs.slice(0, 1) })
  await assert.rejects(kernel.loadPrograms(), { code: 'kernel-refused', message: /programs\.json: it has no pod_out, eni_in/ })
})

/** Paths of pins, in the order in which a load makes them. */
const mapPins = mapNames.map(name => pinOfMap(name))
const programPins = (generation: string) => programNames.map(name => pinOfProgram(generation, name))

/** Each step pins one thing, or takes one pin away, and nothing else outlives a process: so is what one left that was killed before the others. */
function unpin(pins: readonly string[]): void {
  for (const pin of pins) unlinkSync(join(lab.pins, pin))
}

test('a first load that ended after any of its steps is completed by the next', async () => {
  lab.use(programsReturning(pass, first))
  await kernel.loadPrograms(sizes)
  const all = [...mapPins, ...programPins(first)]
  for (let done = all.length; done-- > 0; ) {
    unpin(all.slice(done))
    assert.deepEqual(await kernel.loadPrograms(sizes), { generation: first, created: mapNames.slice(done), others: [] })
    assert.deepEqual(
      all.filter(pin => !existsSync(join(lab.pins, pin))),
      [],
      `after ${done} steps`,
    )
  }
  await applied(kernel, [join0, filterOf(first)])
})

test('a load of another generation that ended after any of its steps is completed by the next', async () => {
  const load = async (generation: string) => {
    lab.use(programsReturning(pass, generation))
    await kernel.loadPrograms(sizes)
  }
  const [old, made] = [programPins(first), programPins(second)]
  for (let done = 0; done <= made.length + old.length; done++) {
    // What runs in a block is kept: both are there.
    await load(first)
    await applied(kernel, [join0, filterOf(first)])
    await load(second)
    await applied(kernel, [{ op: 'block-leave', ns: 'host', dev: d0 }])
    assert.deepEqual(generations(), [first, second])
    unpin([...made.slice(done), ...old.slice(0, Math.max(0, done - made.length))])
    await load(second)
    assert.deepEqual(generations(), [second])
    assert.deepEqual(
      made.filter(pin => !existsSync(join(lab.pins, pin))),
      [],
      `after ${done} steps`,
    )
  }
})

test('a process that is killed at any moment of its loads leaves what the next one can go on with', async () => {
  const files = [first, second].map(generation => {
    const file = join(lab.directory, `${generation}.json`)
    writeFileSync(file, JSON.stringify(programsReturning(pass, generation)))
    return file
  })
  const whole = mapNames.length + programNames.length
  for (let round = 0; round < 10; round++) {
    const script = join(import.meta.dirname, 'bpf-load-loop.ts')
    const child = spawn(process.execPath, [script, lab.pins, ...files], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    // Not to wait for anything: the moment of the kill is another one each time.
    await setTimeout(round * 1.7)
    child.kill('SIGKILL')
    await once(child, 'exit')
    lab.use(programsReturning(pass, round % 2 === 0 ? first : second))
    const { generation } = await kernel.loadPrograms(sizes)
    await applied(kernel, [join0, filterOf(generation)])
    assert.deepEqual([await filters(), generations()], [[`pod_in.${generation}`], [generation]])
    assert.equal(lab.pinned().filter(p => !p.endsWith(generation)).length, whole)
    await applied(kernel, [{ op: 'block-leave', ns: 'host', dev: d0 }])
  }
})

test('an object loads without pins, and with other constants', () => {
  // r1 = &word; r0 = *r1; exit
  const code = [instruction(0x18, 1), instruction(0), instruction(0x61, 0, 1), instruction(0x95)]
  const plain = objectOf(code, first)
  const object: BpfObject = {
    ...plain,
    programs: plain.programs.map(p => ({ ...p, relocations: [{ at: 0, map: 'rodata', offset: 4 }] })),
    rodata: { bytes: Buffer.from('0000000007000000', 'hex').toString('base64'), variables: { word: { offset: 4, size: 4 } } },
  }
  for (const [constants, verdict] of [
    [{}, 7],
    [{ word: 9 }, 9],
  ] as const) {
    const loaded = loadObject(object, { sizes, constants })
    try {
      assert.equal(runProgram(loaded.programs.get('eni_in') ?? -1, Buffer.alloc(64), Buffer.alloc(192)).verdict, verdict)
      assert.deepEqual([...loaded.maps.keys()], mapNames)
    } finally {
      loaded.close()
    }
  }
  assert.deepEqual(lab.pinned(), [])
})

/** What is missing with these capabilities and pins in this directory. */
function missing(capabilities: readonly string[], pins: string): string[] {
  const set = ['-all', ...capabilities.map(c => `+${c}`)].join(',')
  const script = join(import.meta.dirname, 'bpf-probes.ts')
  const found: BpfProbe[] = JSON.parse(
    run('setpriv', `--bounding-set=${set}`, `--inh-caps=${set}`, '--no-new-privs', process.execPath, script, pins),
  )
  assert.deepEqual(
    found.map(p => p.feature),
    ['bpf-file-system', 'maps', 'programs', 'clsact-blocks', 'socket-programs', 'netns-cookie'],
  )
  for (const { ok, explanation } of found) assert.ok(ok || /EPERM|BPF file system/.test(explanation), explanation)
  return found.filter(p => !p.ok).map(p => p.feature)
}

test('each feature is probed by itself: without a file system or a capability, the rest is still found', () => {
  const [all, pins] = [['bpf', 'net_admin', 'sys_admin'], lab.pins]
  assert.deepEqual(missing(all, pins), [])
  assert.deepEqual(missing(all, join(lab.directory, 'no')), ['bpf-file-system'])
  assert.deepEqual(missing(['bpf', 'net_admin'], pins), ['clsact-blocks'])
  assert.deepEqual(missing(['bpf'], pins), ['programs', 'clsact-blocks', 'socket-programs'])
  assert.deepEqual(missing([], pins).slice(-4), ['maps', 'programs', 'clsact-blocks', 'socket-programs'])
  assert.deepEqual(lab.pinned(), [])
})
