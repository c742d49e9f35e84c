// SPDX-License-Identifier: Apache-2.0

import { close } from '#kernel/ffi.ts'
import type { IfName } from '#kernel/names.ts'
import { addAddr, deleteAddr } from '#kernel/netlink/addr.ts'
import { NetlinkError } from '#kernel/netlink/conn.ts'
import { joinBlocks, leaveBlocks, setFilters } from '#kernel/netlink/filter.ts'
import { addVeth, deleteLink, moveLink, setLink } from '#kernel/netlink/link.ts'
import { replaceNeigh } from '#kernel/netlink/neigh.ts'
import { replaceTbf } from '#kernel/netlink/qdisc.ts'
import { appendRoute, deleteRoute, replaceRoute } from '#kernel/netlink/route.ts'
import { addRule, deleteRule } from '#kernel/netlink/rule.ts'
import { errnoOf } from '#kernel/netns.ts'
import type { FilterSet, KernelOp, MapPut } from '#kernel/op.ts'
import type { Namespace, Namespaces } from '#kernel/worker/namespaces.ts'
import type { Pinned } from '#kernel/worker/pinned.ts'
import { unreachable } from '#lib/errors.ts'

/** Refusals that mean "it is already so", per operation. A missing device counts for removals only. */
const already: Partial<Record<KernelOp['op'], readonly string[]>> = {
  'link-del': ['ENODEV'],
  'addr-add': ['EEXIST'],
  'addr-del': ['EADDRNOTAVAIL', 'ENODEV'],
  'route-append': ['EEXIST'],
  'route-del': ['ESRCH', 'ENODEV'],
  'rule-add': ['EEXIST'],
  'rule-del': ['ENOENT'],
  // A kernel without IPv6, or an older one without the key.
  'sysctl-set': ['ENOENT'],
  'block-leave': ['ENODEV'],
}

/** Performs one operation. Throws NetlinkError, KernelError (`netns-gone`), or the error of a file operation. */
export function perform(op: KernelOp, namespaces: Namespaces): void {
  try {
    change(op, namespaces.get(op.ns), namespaces)
  } catch (e) {
    const errno = e instanceof NetlinkError ? e.errno : errnoOf(e)
    if (already[op.op]?.includes(errno) !== true) throw e
  }
}

function change(op: KernelOp, at: Namespace, namespaces: Namespaces): void {
  const { conn } = at
  switch (op.op) {
    case 'veth-add':
      addVeth(conn, op, op.peer, namespaces.get(op.peer.ns).fd)
      at.forget(op.dev)
      namespaces.get(op.peer.ns).forget(op.peer.dev)
      break
    case 'link-set':
      setLink(conn, indexOf(at, op.dev), op.set)
      break
    case 'link-move':
      moveLink(conn, indexOf(at, op.dev), namespaces.get(op.to).fd, op.name)
      at.forget(op.dev)
      namespaces.get(op.to).forget(op.name)
      break
    case 'link-del':
      deleteLink(conn, indexOf(at, op.dev))
      at.forget(op.dev)
      break
    case 'addr-add':
      addAddr(conn, indexOf(at, op.dev), op.address, op.prefix, op.nodad ?? false)
      break
    case 'addr-del':
      deleteAddr(conn, indexOf(at, op.dev), op.address, op.prefix)
      break
    case 'route-replace':
      replaceRoute(conn, { ...op, ifIndex: indexOf(at, op.dev) })
      break
    case 'route-append':
      appendRoute(conn, { ...op, ifIndex: indexOf(at, op.dev) })
      break
    case 'route-del':
      deleteRoute(conn, { ...op, ifIndex: indexOf(at, op.dev) })
      break
    case 'rule-add':
      addRule(conn, op)
      break
    case 'rule-del':
      deleteRule(conn, op)
      break
    case 'neigh-replace':
      replaceNeigh(conn, indexOf(at, op.dev), op.ip, op.mac)
      break
    case 'sysctl-set':
      at.writeSysctl(op.key, op.value)
      break
    case 'tbf-replace':
      replaceTbf(conn, indexOf(at, op.dev), op.rate, op.burst, op.limit)
      break
    case 'block-join':
      joinBlocks(conn, indexOf(at, op.dev), op.ingress, op.egress)
      break
    case 'block-leave':
      leaveBlocks(conn, indexOf(at, op.dev))
      break
    case 'filter-set':
      runInBlock(op, at, namespaces.pinned)
      break
    case 'socket-attach':
      namespaces.sockets.attach(op.program, op.generation)
      break
    case 'socket-detach':
      namespaces.sockets.detach(op.program)
      break
    case 'map-put':
      put(op, at, namespaces.pinned)
      break
    case 'map-del':
      namespaces.pinned.delete(op.map, op.key)
      break
    default:
      unreachable(op)
  }
}

function put({ map, key, value, numberOf }: MapPut, at: Namespace, pinned: Pinned): void {
  if (numberOf === undefined) {
    pinned.put(map, key, value)
    return
  }
  const number = Buffer.alloc(4)
  number.writeUInt32LE(indexOf(at, numberOf.dev))
  const numbered = (hex: string) => number.toString('hex') + hex.slice(2 * number.length)
  if (numberOf.in === 'key') pinned.put(map, numbered(key), value)
  else pinned.put(map, key, numbered(value))
}

function runInBlock({ block, program, generation }: FilterSet, at: Namespace, pinned: Pinned): void {
  const fd = pinned.openProgram(generation, program)
  try {
    setFilters(at.conn, [{ block, program: fd, name: `${program}.${generation}` }])
  } finally {
    close(fd)
  }
}

function indexOf(at: Namespace, dev: IfName): number {
  const index = at.index(dev)
  if (index === undefined) throw new NetlinkError('ENODEV', `no device ${dev}`)
  return index
}
