// SPDX-License-Identifier: Apache-2.0
import type { Entry } from '../../deploy/image/tar.ts'

const formats = { file: 0o100000, directory: 0o040000, link: 0o120000 } as const

/**
 * An archive of the kind that the kernel unpacks into its first root ("newc"). Directories must be among the entries,
 * before what is in them.
 */
export function cpio(entries: readonly Entry[]): Buffer {
  const end: Entry = { path: '/TRAILER!!!', kind: 'file', mode: 0, data: Buffer.alloc(0) }
  return Buffer.concat([...entries, end].flatMap(record))
}

function record(entry: Entry, index: number): Buffer[] {
  const data = entry.kind === 'file' ? entry.data : Buffer.from(entry.kind === 'link' ? entry.target : '')
  const name = Buffer.from(`${entry.path.slice(1)}\0`)
  const mode = formats[entry.kind] | (entry.kind === 'link' ? 0o777 : entry.mode)
  // inode, mode, uid, gid, links, time, length, four numbers of devices, length of the name, checksum
  const fields = [index + 1, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0]
  const header = Buffer.from(`070701${fields.map(n => n.toString(16).padStart(8, '0')).join('')}`)
  return [header, name, padding(header.length + name.length), data, padding(data.length)]
}

function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4)
}
