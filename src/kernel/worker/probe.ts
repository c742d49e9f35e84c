// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { callingProgram } from '#kernel/bpf/instruction.ts'
import { mapNames, shapeOf } from '#kernel/bpf/load.ts'
import { memoryFacts, requireLockedMemory } from '#kernel/bpf/locked-memory.ts'
import { mapType } from '#kernel/bpf/maps.ts'
import { requireBpfFileSystem, unlessReadOnly } from '#kernel/bpf/pins.ts'
import { classifier, programKinds, socketProgramNames } from '#kernel/bpf/programs.ts'
import { findCgroupRoot } from '#kernel/cgroup.ts'
import { close, enterNewNetns, setNetns } from '#kernel/ffi.ts'
import { createMap, loadProgram, pinObject } from '#kernel/ffi-bpf.ts'
import { NetlinkConn } from '#kernel/netlink/conn.ts'
import { joinBlocks, setFilters } from '#kernel/netlink/filter.ts'
import { type BpfProbe, KernelError } from '#kernel/port.ts'
import type { Home } from '#kernel/worker/namespaces.ts'
import { refusal } from '#kernel/worker/refusal.ts'

/** TC_ACT_UNSPEC: what comes next decides. */
const pass = -1
/** What the programs call and kernels did not always have; the last three are of 5.10. */
const helpers = {
  bpf_ktime_get_ns: { id: 5, numbers: [] },
  bpf_redirect: { id: 23, numbers: [1, 0] },
  bpf_skb_change_type: { id: 32, packet: true, numbers: [0] },
  bpf_redirect_neigh: { id: 152, numbers: [1, 0, 0, 0] },
  bpf_redirect_peer: { id: 155, numbers: [1, 0] },
} as const
/** What programs at sockets call. */
const socketHelpers = { bpf_get_socket_cookie: 46, bpf_get_netns_cookie: 122, bpf_get_current_pid_tgid: 14 } as const
/** What a program at a socket returns to leave the call alone. */
const goOn = 1
/** Every network namespace has its loopback first. */
const loopback = 1

/** Tries what the programs need, each by itself and the smallest way; nothing of it stays. */
export function probe({ fd, conn, pinned }: Home): readonly BpfProbe[] {
  return [
    attempt('bpf-file-system', `pin a map below ${pinned.directory}`, () => pinMap(pinned.directory)),
    attempt('maps', 'make a map of each type', makeEachType),
    attempt('programs', `load programs that call ${Object.keys(helpers).join(', ')}`, callEachHelper),
    attempt('clsact-blocks', 'run a program in a shared block of a new network namespace', () => runInBlock(fd)),
    attempt('socket-programs', 'load programs for sockets, and find the root of cgroup 2', loadForSockets),
    attempt('netns-cookie', 'ask for the cookie of a network namespace', () => requireCookie(conn)),
  ]
}

function attempt(feature: BpfProbe['feature'], what: string, fn: () => void): BpfProbe {
  try {
    fn()
    return { feature, ok: true, explanation: what }
  } catch (e) {
    return { feature, ok: false, explanation: refusal(e, what).message }
  }
}

function pinMap(directory: string): void {
  const there = requireBpfFileSystem(directory)
  const made = unlessReadOnly(there, () => mkdtempSync(join(there, 'probe-')))
  const pin = join(made, 'map')
  try {
    withFd(makeSmall('control'), map => pinObject(map, pin))
    unlinkSync(pin)
  } finally {
    rmdirSync(made)
  }
}

function makeEachType(): void {
  for (const name of mapNames) close(makeSmall(name))
  requireLockedMemory(memoryFacts())
}

function makeSmall(name: (typeof mapNames)[number]): number {
  const shape = shapeOf(name)
  // A ring buffer is whole pages.
  return createMap('probe', shape.type === mapType.ringBuffer ? shape : { ...shape, entries: 1 })
}

function callEachHelper(): void {
  for (const [name, helper] of Object.entries(helpers)) {
    try {
      close(loadProgram('probe', classifier, callingProgram(pass, helper)))
    } catch (e) {
      throw new KernelError('kernel-refused', refusal(e, `load a program that calls ${name}`).message)
    }
  }
}

/** Attached they would be at sockets of everybody. */
function loadForSockets(): void {
  for (const name of socketProgramNames) {
    for (const id of Object.values(socketHelpers))
      close(loadProgram('probe', programKinds[name], callingProgram(goOn, { id, packet: true, numbers: [] })))
  }
  findCgroupRoot()
}

function requireCookie(conn: NetlinkConn): void {
  if (conn.cookie() === undefined) throw new KernelError('kernel-refused', 'the kernel tells nobody, which it does from 5.14 on')
}

/** In a namespace of its own, so that no device of the host is touched. */
function runInBlock(home: number): void {
  enterNewNetns()
  try {
    const conn = new NetlinkConn()
    try {
      joinBlocks(conn, loopback, 1, 2)
      withFd(loadProgram('probe', classifier, callingProgram(pass)), program => setFilters(conn, [{ block: 1, program, name: 'probe' }]))
    } finally {
      conn.close()
    }
  } finally {
    setNetns(home)
  }
}

function withFd(fd: number, fn: (fd: number) => void): void {
  try {
    fn(fd)
  } finally {
    close(fd)
  }
}
