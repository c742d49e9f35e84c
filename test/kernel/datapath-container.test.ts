// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { makeKernel } from '#kernel/kernel.ts'
import { DatapathLab, netnsFile } from './datapath-lab.ts'

let lab: DatapathLab
before(async () => {
  lab = await DatapathLab.create('c')
  lab.addNetns('pod')
})
after(() => lab.close())

/** The results of two writes, one to the host's sysctls and one to a pod's, where /proc/sys is read-only. */
function writeThrough(procRoot: 'host' | '/proc'): string[] {
  const mountPoint = mkdtempSync(join(tmpdir(), 'tdp-proc-'))
  try {
    const script = `
      mount --bind /proc "$0" && mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys
      exec "$@"`
    const program = fileURLToPath(new URL('datapath-sysctl.ts', import.meta.url))
    const names = [netnsFile(`${lab.prefix}-host`), netnsFile(`${lab.prefix}-pod`), procRoot === 'host' ? mountPoint : procRoot]
    const out = execFileSync('unshare', ['--mount', 'sh', '-ec', script, mountPoint, process.execPath, program, ...names], {
      encoding: 'utf8',
    })
    return out.trim().split('\n')
  } finally {
    rmdirSync(mountPoint)
  }
}

test("in a container, sysctls of the host and of pods are written through the host's proc", () => {
  assert.deepEqual(writeThrough('/proc'), ['EROFS', 'EROFS'])
  assert.deepEqual(writeThrough('host'), ['ok', 'ok'])
  assert.equal(lab.run('host', 'sysctl -n net.ipv4.conf.default.rp_filter').trim(), '2')
  assert.equal(lab.run('pod', 'sysctl -n net.ipv6.conf.lo.accept_ra').trim(), '0')
  assert.equal(lab.run('pod', 'sysctl -n net.ipv4.conf.default.rp_filter').trim(), '0', 'each namespace has its own')
})

test('the worker works as a bundle of its own', async () => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const outfile = join(root, 'node_modules', `.${lab.prefix}-netlink.mjs`) // koffi is found from here
  await build({
    entryPoints: [join(root, 'src/kernel/worker-main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['koffi'],
  })
  try {
    const kernel = await makeKernel({ hostNetns: netnsFile(`${lab.prefix}-host`), workerUrl: new URL(`file://${outfile}`) })
    const [host] = await kernel.observe([{ ns: 'host', links: 'all', families: [4] }])
    assert.deepEqual(
      host?.links.map(l => l.name),
      ['lo', 'eth0', 'eth1', 'eth2', 'eth3'],
    )
    await kernel.close()
  } finally {
    rmSync(outfile)
  }
})
