// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { must, run } from '../sim/fabric/run.ts'
import { until } from './process.ts'

/** An image for the nodes: an archive on this machine, known under a reference. */
export interface Image {
  readonly ref: string
  readonly path: string
}

/**
 * A containerd root directory with all images unpacked, made once per set of images and shared by all labs: importing
 * them on every node would cost seconds per node. Returns its path.
 */
export async function imageStore(cache: string, bin: string, images: readonly Image[]): Promise<string> {
  const identity = images.map(i => [i.ref, i.path, statSync(i.path).size, statSync(i.path).mtimeMs])
  const key = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 16)
  const store = join(cache, `images-${key}`)
  if (existsSync(store)) {
    utimesSync(store, new Date(), new Date())
    return store
  }
  mkdirSync(cache, { recursive: true })
  const work = mkdtempSync(join(cache, 'importing-'))
  try {
    await importAll(work, bin, images)
    renameSync(join(work, 'root'), store)
  } catch (e) {
    if (!existsSync(store)) throw e
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  forgetOld(cache)
  return store
}

const KEPT = 3
const QUIET_MS = 30 * 60 * 1000

/** Stores that nobody asked for in a while go, except the last few; nodes made from them hold links of their own. */
function forgetOld(cache: string): void {
  const stores = globSync('images-*', { cwd: cache }).map(name => ({ path: join(cache, name), used: statSync(join(cache, name)).mtimeMs }))
  const old = stores.toSorted((a, b) => b.used - a.used).slice(KEPT)
  for (const { path, used } of old) if (Date.now() - used > QUIET_MS) rmSync(path, { recursive: true, force: true })
}

/**
 * Fills a node's containerd directory from the store. Content and unpacked layers are never written again, so they are
 * hard links; databases are copied.
 */
export async function fillFromStore(store: string, directory: string): Promise<void> {
  const linked = await run(['cp', '-al', `${store}/.`, directory])
  if (linked.code !== 0) await must(['cp', '-a', `${store}/.`, directory])
  for (const db of globSync('**/*.db', { cwd: store })) {
    unlinkSync(join(directory, db))
    copyFileSync(join(store, db), join(directory, db))
  }
}

/** A containerd of its own, in a private mount namespace, imports and unpacks; then it ends cleanly. */
async function importAll(work: string, bin: string, images: readonly Image[]): Promise<void> {
  const socket = join(work, 'c.sock')
  const config = `version = 3\nroot = "${work}/root"\nstate = "${work}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "${socket}"\n`
  writeFileSync(join(work, 'config.toml'), config)
  const argv = ['--mount', '--propagation', 'private', '--', join(bin, 'containerd'), '--config', join(work, 'config.toml')]
  const containerd = spawn('unshare', argv, { stdio: 'ignore', env: { ...process.env, PATH: `${bin}:${process.env.PATH}` } })
  try {
    await until('containerd for image import', 120_000, () => {
      if (containerd.exitCode !== null) throw new Error(`containerd for image import ended with ${containerd.exitCode}`)
      return existsSync(socket)
    })
    for (const image of images) {
      await must([join(bin, 'ctr'), '--address', socket, '--namespace', 'k8s.io', 'images', 'import', '--digests=false', image.path])
    }
  } finally {
    const ended = new Promise(resolve => containerd.once('exit', resolve))
    if (containerd.exitCode === null) {
      containerd.kill('SIGTERM')
      await ended
    }
  }
}
