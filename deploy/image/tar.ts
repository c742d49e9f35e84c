// SPDX-License-Identifier: Apache-2.0
import { dirname } from 'node:path'

/** One thing in an image, by its absolute path there. Everything belongs to uid 0 and carries time 0: same content, same digest. */
export type Entry =
  | { path: string; kind: 'directory'; mode: number }
  | { path: string; kind: 'file'; mode: number; data: Buffer }
  | { path: string; kind: 'link'; target: string }

const block = 512
const typeFlags = { file: '0', link: '2', directory: '5' } as const

/**
 * A POSIX ustar archive of the entries in the order of their paths, with every parent directory (0755) that is not among them.
 * @throws Error for two entries of one path and for a path that ustar cannot hold.
 */
export function tar(entries: readonly Entry[]): Buffer {
  const chunks: Buffer[] = []
  for (const entry of complete(entries)) {
    const data = entry.kind === 'file' ? entry.data : Buffer.alloc(0)
    chunks.push(header(entry, data.length), data, Buffer.alloc((block - (data.length % block)) % block))
  }
  return Buffer.concat([...chunks, Buffer.alloc(2 * block)])
}

function complete(entries: readonly Entry[]): Entry[] {
  const byPath = new Map<string, Entry>()
  for (const entry of entries) {
    if (byPath.has(entry.path)) throw new Error(`${entry.path} is in the image twice`)
    byPath.set(entry.path, entry)
  }
  for (const { path } of entries) {
    for (let parent = dirname(path); parent !== '/'; parent = dirname(parent)) {
      if (!byPath.has(parent)) byPath.set(parent, { path: parent, kind: 'directory', mode: 0o755 })
    }
  }
  // By code unit, not by locale: the order is part of the digest.
  return [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

function header(entry: Entry, size: number): Buffer {
  const buffer = Buffer.alloc(block)
  const { name, prefix } = split(entry.kind === 'directory' ? `${entry.path.slice(1)}/` : entry.path.slice(1))
  const octal = (value: number, offset: number, width: number) => buffer.write(value.toString(8).padStart(width - 1, '0'), offset, 'ascii')
  buffer.write(name, 0, 'utf8')
  octal(entry.kind === 'link' ? 0o777 : entry.mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(0, 136, 12)
  buffer.write(' '.repeat(8), 148, 'ascii')
  buffer.write(typeFlags[entry.kind], 156, 'ascii')
  if (entry.kind === 'link') {
    if (Buffer.byteLength(entry.target) > 100) throw new Error(`${entry.path}: link target longer than 100 bytes`)
    buffer.write(entry.target, 157, 'utf8')
  }
  buffer.write('ustar\x0000', 257, 'ascii')
  buffer.write(prefix, 345, 'utf8')
  const sum = buffer.reduce((total, byte) => total + byte, 0)
  buffer.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'ascii')
  return buffer
}

/** ustar has 100 bytes for the name and 155 for the directories before it, parted at a slash. */
function split(path: string): { name: string; prefix: string } {
  if (Buffer.byteLength(path) <= 100) return { name: path, prefix: '' }
  for (let at = path.indexOf('/'); at > 0 && at < path.length - 1; at = path.indexOf('/', at + 1)) {
    const [prefix, name] = [path.slice(0, at), path.slice(at + 1)]
    if (Buffer.byteLength(name) <= 100 && Buffer.byteLength(prefix) <= 155) return { name, prefix }
  }
  throw new Error(`${path} is too long for a tar header`)
}
