// SPDX-License-Identifier: Apache-2.0
import type { IfName } from '#kernel/names.ts'
import { type NetlinkConn, NetlinkError } from '#kernel/netlink/conn.ts'
import { deleteGroup, deleteLink, getLink, setLink } from '#kernel/netlink/link.ts'
import type { Doomed } from '#kernel/port.ts'

/** Devices deleted by one request. The routing lock is held that long, so this bounds how long an ADD can wait behind it. */
export const batchSize = 16
/** Upper part of the device group that marks a batch; the lower part is the number of its first device. */
const groupBase = 0x7e770000

/**
 * Deletes host devices. Devices are marked by their number, never by name again, so a namesake that a newer sandbox makes
 * meanwhile is safe. A group goes in one request: the kernel's grace period is paid once for all of them.
 */
export function reap(conn: NetlinkConn, doomed: readonly Doomed[]): { gone: IfName[]; remaining: IfName[] } {
  const gone: IfName[] = []
  const remaining: IfName[] = []
  for (let i = 0; i < doomed.length; i += batchSize) {
    const present: { readonly name: IfName; readonly index: number }[] = []
    for (const { name, owners } of doomed.slice(i, i + batchSize)) {
      const link = getLink(conn, { name })
      if (link === undefined || isForeign(link.alias, owners)) gone.push(name)
      else present.push(link)
    }
    removeAll(
      conn,
      present.map(p => p.index),
    )
    for (const { name, index } of present) (getLink(conn, { index }) === undefined ? gone : remaining).push(name)
  }
  return { gone, remaining }
}

function isForeign(alias: string | undefined, owners: readonly string[] | undefined): boolean {
  return owners !== undefined && alias !== undefined && alias !== '' && !owners.includes(alias)
}

function removeAll(conn: NetlinkConn, indexes: readonly number[]): void {
  const [first] = indexes
  if (first === undefined) return
  if (indexes.length > 1) {
    const group = groupBase + (first & 0xffff)
    for (const index of indexes) ignoringAbsent(() => setLink(conn, index, { group }))
    ignoringAbsent(() => deleteGroup(conn, group))
  }
  // One device, or what a group refused: one by one, so that a single stubborn device does not keep the others.
  for (const index of indexes) if (getLink(conn, { index }) !== undefined) ignoringAbsent(() => deleteLink(conn, index))
}

/** The caller looks afterwards whether the device is there, whatever the kernel answered. */
function ignoringAbsent(fn: () => void): void {
  try {
    fn()
  } catch (e) {
    if (!(e instanceof NetlinkError)) throw e
  }
}
