// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from 'node:fs'
import type { IfName, Netns } from '#kernel/names.ts'
import { NetlinkConn } from '#kernel/netlink/conn.ts'
import { getLink } from '#kernel/netlink/link.ts'
import { closeNetns, errnoOf, inNetns, openNetns, type Synchronous } from '#kernel/netns.ts'
import { KernelError } from '#kernel/port.ts'
import type { KeptFiles } from '#kernel/worker/kept-files.ts'
import type { Pinned } from '#kernel/worker/pinned.ts'
import type { Sockets } from '#kernel/worker/sockets.ts'

/** One namespace during one batch: a connection whose socket lives there, and the device numbers looked up so far. */
export interface Namespace {
  readonly fd: number
  readonly conn: NetlinkConn
  /** The device's number, or undefined when it does not exist. Remembered for the batch. */
  index(dev: IfName): number | undefined
  /** Forgets a device that was made or removed. */
  forget(dev: IfName): void
  /** Trimmed contents, without the keys that do not exist. */
  readSysctls(keys: readonly string[]): Record<string, string>
  /** Throws what writing throws: ENOENT when there is no such key. */
  writeSysctl(key: string, value: string): void
  /** What `fn` answers while the thread is inside. */
  inside<T>(fn: () => Synchronous<T>): Synchronous<T>
}

/** The thread's home: the namespace it stays in, which is the host's (or the one that plays it). */
export interface Home {
  readonly fd: number
  readonly conn: NetlinkConn
  /** A writable proc. The kernel shows each thread the sysctls of its own network namespace, whoever mounted the proc. */
  readonly procRoot: string
  /** Files of the home's own settings that have been read before. */
  readonly kept: KeptFiles
  /** Maps and programs. */
  readonly pinned: Pinned
  readonly sockets: Sockets
}

/**
 * The namespaces of one batch. Those of pods are opened at first use and closed at the end: a socket that stayed open
 * would keep a dead pod's namespace alive.
 */
export class Namespaces {
  readonly #home: Home
  readonly #open = new Map<Netns, Namespace>()

  constructor(home: Home) {
    this.#home = home
    home.pinned.recheck()
  }

  get pinned(): Pinned {
    return this.#home.pinned
  }

  get sockets(): Sockets {
    return this.#home.sockets
  }

  /** Throws KernelError `netns-gone`. */
  get(ns: Netns): Namespace {
    const known = this.#open.get(ns)
    if (known !== undefined) return known
    const opened =
      ns === 'host'
        ? namespace(
            this.#home,
            this.#home.fd,
            this.#home.conn,
            path => this.#home.kept.read(path),
            fn => fn(),
          )
        : this.#enter(ns)
    this.#open.set(ns, opened)
    return opened
  }

  /** Undefined when it does not exist. */
  find(ns: Netns): Namespace | undefined {
    try {
      return this.get(ns)
    } catch (e) {
      if (e instanceof KernelError && e.code === 'netns-gone') return undefined
      throw e
    }
  }

  close(): void {
    for (const [ns, { fd, conn }] of this.#open) {
      if (ns === 'host') continue
      conn.close()
      closeNetns(fd)
    }
    this.#open.clear()
  }

  #enter(path: Exclude<Netns, 'host'>): Namespace {
    const fd = openNetns(path)
    try {
      const conn = inNetns(this.#home.fd, fd, path, () => new NetlinkConn())
      return namespace(this.#home, fd, conn, readText, fn => inNetns(this.#home.fd, fd, path, fn))
    } catch (e) {
      closeNetns(fd)
      throw e
    }
  }
}

type Read = (path: string) => string

function namespace(home: Home, fd: number, conn: NetlinkConn, read: Read, inside: Namespace['inside']): Namespace {
  const indexes = new Map<IfName, number>()
  const path = (key: string) => `${home.procRoot}/sys/${key}`
  return {
    fd,
    conn,
    index: dev => {
      const known = indexes.get(dev) ?? getLink(conn, { name: dev })?.index
      if (known !== undefined) indexes.set(dev, known)
      return known
    },
    forget: dev => indexes.delete(dev),
    readSysctls: keys => {
      const found: Record<string, string> = {}
      // A pod's namespace is entered once for all of them.
      if (keys.length > 0) inside(() => readEach(keys, key => read(path(key)), found))
      return found
    },
    writeSysctl: (key, value) => inside(() => writeFileSync(path(key), value, { flag: 'r+' })),
    inside,
  }
}

function readText(path: string): string {
  return readFileSync(path, 'utf8')
}

function readEach(keys: readonly string[], read: Read, into: Record<string, string>): void {
  for (const key of keys) {
    try {
      into[key] = read(key).trim()
    } catch (e) {
      if (errnoOf(e) !== 'ENOENT') throw e
    }
  }
}
