// SPDX-License-Identifier: Apache-2.0
import { attachPinned, detachPinned, numberOfCgroup, pinnedLinks } from '#kernel/bpf/links.ts'
import type { SocketProgram } from '#kernel/bpf/object.ts'
import { findCgroupRoot } from '#kernel/cgroup.ts'
import { close } from '#kernel/ffi.ts'
import type { SocketState } from '#kernel/state.ts'
import type { Pinned } from '#kernel/worker/pinned.ts'

/** The programs at sockets: of everybody on the node, since the cgroup is the root of all. Which of them are translated is said in a map. */
export class Sockets {
  readonly #pinned: Pinned
  #cgroup: string | undefined

  constructor(pinned: Pinned, cgroup: string | undefined) {
    this.#pinned = pinned
    this.#cgroup = cgroup
  }

  /** Those that our pins hold, by what runs: it counts at the cgroup alone, which may have been another one for the process before. */
  list(): SocketState[] {
    const links = pinnedLinks(this.#pinned.directory)
    if (links.length === 0) return []
    const here = this.#number()
    return links.map(({ name, program, cgroup }) => ({
      program: name,
      name: cgroup === here ? this.#pinned.nameOf(name, program) : 'in another cgroup',
    }))
  }

  /** Throws KernelError or NetlinkError. */
  attach(program: SocketProgram, generation: string): void {
    const fd = this.#pinned.openProgram(generation, program)
    try {
      attachPinned(this.#pinned.directory, program, fd, this.#root())
    } finally {
      close(fd)
    }
  }

  /** Does nothing where the program is attached to nothing. */
  detach(program: SocketProgram): void {
    detachPinned(this.#pinned.directory, program)
  }

  /** Undefined when there is no cgroup: what tries to attach says why. */
  #number(): bigint | undefined {
    try {
      return numberOfCgroup(this.#root())
    } catch {
      return undefined
    }
  }

  #root(): string {
    this.#cgroup ??= findCgroupRoot()
    return this.#cgroup
  }
}
