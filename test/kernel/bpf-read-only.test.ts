// SPDX-License-Identifier: Apache-2.0
// needs: root
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { datapathLabel } from '#config/datapath-choice.ts'
import { unloadPinned } from '#kernel/bpf/pins.ts'
import { nodes } from '#kube/reflect/node.ts'
import { podArgs } from '../support/cni-client.ts'
import { ipsOf } from '../support/daemon-world.ts'
import { NetnsNode } from '../support/netns-node.ts'
import { nodeName } from '../support/node-world.ts'
import { until } from '../support/until.ts'
import { BpfLab, programsReturning, run, sizes } from './bpf-lab.ts'

const skip = process.getuid?.() !== 0 && 'needs root'

/** A directory on a read-only file system of another type, as a container without the host's BPF file system has one. */
function readOnlyDirectory(): Disposable & { readonly directory: string } {
  const directory = mkdtempSync(join(tmpdir(), 'terway-ro-'))
  run('mount', '-t', 'tmpfs', '-o', 'ro', 'tmpfs', directory)
  return {
    directory,
    [Symbol.dispose]: () => {
      execFileSync('umount', ['-l', directory])
      rmdirSync(directory)
    },
  }
}

test('unloading succeeds where nothing is pinned, whatever file system is there', { skip }, async () => {
  using files = readOnlyDirectory()
  unloadPinned(join(files.directory, 'terway'))
  unloadPinned(files.directory)
  unloadPinned(join(files.directory, 'no', 'such', 'directory'))
})

test('a read-only BPF file system: the probe and a load say the way out, and so does unloading what is pinned', { skip }, async () => {
  const lab = new BpfLab()
  const mountPoint = join(lab.pins, '..')
  const remount = (how: 'ro' | 'rw') => run('mount', '-o', `remount,${how}`, mountPoint)
  try {
    const kernel = await lab.kernel()
    mkdirSync(join(lab.pins, 'maps'), { recursive: true })
    remount('ro')
    await kernel.unloadPrograms()
    const wayOut = /is on a read-only file system: remount it \(mount -o remount,rw \/sys\/fs\/bpf\)/
    const [files] = (await kernel.probePrograms()).filter(p => p.feature === 'bpf-file-system')
    assert.equal(files?.ok, false)
    assert.match(files?.explanation ?? '', wayOut)
    await assert.rejects(kernel.loadPrograms(sizes), { code: 'kernel-refused', message: wayOut })
    remount('rw')
    lab.use(programsReturning(-1, 'aaaaaaaaaaaa'))
    await kernel.loadPrograms(sizes)
    remount('ro')
    await assert.rejects(kernel.unloadPrograms(), { code: 'kernel-refused', message: wayOut })
    remount('rw')
    await kernel.unloadPrograms()
    assert.equal(existsSync(lab.pins), false)
  } finally {
    remount('rw')
    await lab.close()
  }
})

test('a daemon without a BPF file system: regular and ready, and V2 is refused with the way out', { skip }, async () => {
  using files = readOnlyDirectory()
  await using node = new NetnsNode(['10.0.0.1'])
  node.cluster.configure({ service_cidr: '10.96.0.0/12' })
  await node.started({ pins: join(files.directory, 'terway') })
  node.cluster.pod('web')
  const reply = await node.call({
    command: 'ADD',
    containerId: 'c-web',
    netns: node.sandbox('c-web'),
    args: podArgs('default', 'web', 'uid-web'),
  })
  assert.equal(ipsOf(reply).length, 1)
  const present = node.model.read(nodes, nodeName)
  assert.ok(present)
  node.model.put(nodes, { ...present, metadata: { ...present.metadata, labels: { [datapathLabel]: 'datapathv2' } } })
  const told = () => node.model.events.find(e => e.reason === 'DataPathUnsupported')?.message ?? ''
  await until(() => told() !== '')
  assert.match(told(), /stays in regular mode: .*is not on a BPF file system: mount one/)
  await node.kill('SIGTERM')
})
