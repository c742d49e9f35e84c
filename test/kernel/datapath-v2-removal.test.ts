// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { socketProgramNames } from '#kernel/bpf/programs.ts'
import { close } from '#kernel/ffi.ts'
import { openPin } from '#kernel/ffi-bpf.ts'
import { infoOfLink } from '#kernel/ffi-bpf-link.ts'
import { pinOfLink } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import { DatapathLab, internet4, type Probe, v2 } from './datapath-lab.ts'
import { nodes, putServices } from './datapath-services.ts'
import { tracesOn } from './datapath-traces.ts'

/** A node that had programs and has them no more is as one that never had any. */

const serviceIp = '10.96.0.10'
let lab: DatapathLab
let pods: readonly SharedEniAttachment[]
let probes: readonly Probe[]
let bare: readonly string[]
before(async () => {
  lab = await DatapathLab.create('vc', { v2: true })
  lab.run('host', 'sysctl -w net.ipv4.ip_local_reserved_ports=8080')
  pods = [lab.pod(11, { eni: 1, families: [4, 6] }), lab.pod(12, { eni: 2, families: [4, 6] })]
  for (const a of pods) await lab.datapath.setup(a)
  for (const ns of ['gw0', 'gw1']) await lab.probe(ns)
  probes = [await lab.probe('pod11'), await lab.probe('host')]
  bare = tracesOn(lab)
})
after(() => lab.close())

async function serve(): Promise<void> {
  await lab.afterRestart(async (datapath, kernel) => {
    await kernel.loadPrograms()
    await putServices(kernel, [{ name: 'remote', ips: [serviceIp], backends: [internet4], nodePort: 30010 }])
    await datapath.setNode(nodes.v2, pods)
  })
  for (const probe of probes) assert.match(await probe.call(serviceIp), /^gw[01] /)
  assert.match(lab.run('host', 'sysctl -n net.ipv4.ip_local_reserved_ports'), /61000-61255/)
}

/** Runs `fn` and tells whether the programs at sockets are attached to nothing after it: who holds a link sees it end. */
async function endsLinks(fn: () => Promise<void>): Promise<void> {
  const links = socketProgramNames.map(name => openPin(join(lab.pinDirectory, pinOfLink(name))) ?? assert.fail(name))
  try {
    for (const link of links) assert.notEqual(infoOfLink(link).cgroup, 0n)
    await fn()
    for (const link of links) assert.equal(infoOfLink(link).cgroup, 0n)
  } finally {
    for (const link of links) close(link)
  }
}

test('a node whose Services go first, and its programs then', async () => {
  await serve()
  await endsLinks(() => lab.afterRestart(datapath => datapath.setNode(v2, pods)))
  const left = tracesOn(lab).filter(line => /61000|\bnode_(in|out)\.|clsact.*\beth0\b|^links\/./.test(line))
  assert.deepEqual(left, [])
  await lab.afterRestart(datapath => datapath.setNode({ kind: 'veth' }, pods))
  assert.deepEqual(tracesOn(lab), bare)
})

/** A process that is killed after one operation: what it had still to do is the next one's. */
function dyingAfterOne(kernel: Kernel): void {
  const apply = kernel.apply.bind(kernel)
  kernel.apply = async ops => {
    await apply(ops.slice(0, 1))
    throw new Error('killed')
  }
}

/** What it did of its last step, which takes the pins away one by one, before it was killed. */
const partsOfLast: readonly ((kernel: Kernel) => Promise<unknown>)[] = [
  async () => undefined,
  kernel => kernel.apply([{ op: 'socket-detach', ns: 'host', program: 'connect4' }]),
  kernel => kernel.apply(socketProgramNames.map(program => ({ op: 'socket-detach', ns: 'host', program }))),
  async () => rmSync(join(lab.pinDirectory, 'links'), { recursive: true }),
  async () => removeFirst('programs'),
  async () => rmSync(join(lab.pinDirectory, 'programs'), { recursive: true }),
  async () => removeFirst('maps'),
  async () => rmSync(join(lab.pinDirectory, 'maps'), { recursive: true }),
]

function removeFirst(part: string): void {
  const directory = join(lab.pinDirectory, part)
  const [first = ''] = readdirSync(directory, { recursive: true, withFileTypes: true }).flatMap(f =>
    f.isDirectory() ? [] : [join(f.parentPath, f.name)],
  )
  rmSync(first)
}

test('both at once, by processes each of which is killed after one operation', async () => {
  await serve()
  await endsLinks(async () => {
    let operations = 0
    for (let isOver = false; !isOver; ) {
      await lab.afterRestart(async (datapath, kernel) => {
        dyingAfterOne(kernel)
        kernel.unloadPrograms = async () => {
          isOver = true
          throw new Error('killed')
        }
        await assert.rejects(datapath.setNode({ kind: 'veth' }, pods), /killed/)
        if (!isOver) operations++
      })
    }
    assert.ok(operations >= 8, `${operations}: the mode, five devices, ports, and what the programs know of the node`)
    for (const part of partsOfLast) await part(lab.kernel)
    await lab.afterRestart(datapath => datapath.setNode({ kind: 'veth' }, pods))
  })
  assert.deepEqual(tracesOn(lab), bare)
  await lab.afterRestart(async datapath => {
    await datapath.setNode({ kind: 'veth' }, pods)
    for (const a of pods) assert.deepEqual(await datapath.diff(a), [])
  })
})
