// SPDX-License-Identifier: Apache-2.0
import { closeSync, openSync, statSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { SocketProgram } from '#kernel/bpf/object.ts'
import { makeDirectory, unlessReadOnly } from '#kernel/bpf/pins.ts'
import { programKinds, socketProgramNames } from '#kernel/bpf/programs.ts'
import { close } from '#kernel/ffi.ts'
import { openPin, pinObject } from '#kernel/ffi-bpf.ts'
import { createLink, detachLink, infoOfLink, updateLink } from '#kernel/ffi-bpf-link.ts'
import { pinOfLink } from '#kernel/op.ts'

/** A program that a pinned link has attached: the number of what runs, and of the cgroup. */
export interface PinnedLink {
  readonly name: SocketProgram
  readonly program: number
  readonly cgroup: bigint
}

/** None where nothing is pinned. */
export function pinnedLinks(directory: string): PinnedLink[] {
  return socketProgramNames.flatMap(name => withLink(directory, name, link => [{ name, ...infoOfLink(link) }]) ?? [])
}

/** The number by which a link names a cgroup. */
export function numberOfCgroup(cgroup: string): bigint {
  return statSync(cgroup, { bigint: true }).ino
}

/** Runs a program, by its descriptor, for all sockets of a cgroup and those below: in place of what runs there by our pin, else beside what others have there. */
export function attachPinned(directory: string, name: SocketProgram, program: number, cgroup: string): void {
  const replaced = withLink(directory, name, link => {
    if (infoOfLink(link).cgroup !== numberOfCgroup(cgroup)) return false
    updateLink(link, program)
    return true
  })
  if (replaced === true) return
  detachPinned(directory, name)
  const pin = join(directory, pinOfLink(name))
  unlessReadOnly(directory, () => makeDirectory(dirname(pin)))
  const target = openSync(cgroup, 'r')
  try {
    const link = createLink(program, target, programKinds[name].attachType)
    try {
      pinObject(link, pin)
    } finally {
      close(link)
    }
  } finally {
    closeSync(target)
  }
}

/** No socket meets the program any more when this returns, whoever else holds the link. */
export function detachPinned(directory: string, name: SocketProgram): void {
  withLink(directory, name, link => {
    detachLink(link)
    unlinkSync(join(directory, pinOfLink(name)))
  })
}

function withLink<T>(directory: string, name: SocketProgram, fn: (link: number) => T): T | undefined {
  const link = openPin(join(directory, pinOfLink(name)))
  if (link === undefined) return undefined
  try {
    return fn(link)
  } finally {
    close(link)
  }
}
