// SPDX-License-Identifier: Apache-2.0
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'

/**
 * Hears the lines of a stream until it ends; rejects when it is cut off, and with what `each` throws. Not by iteration, whose promises cost a watch that
 * brings one small line after the other half as much again as reading them.
 */
export async function eachLine(stream: Readable, each: (line: string) => void): Promise<void> {
  const lines = new Lines()
  stream.on('data', (chunk: Uint8Array) => {
    try {
      lines.push(chunk, each)
    } catch (e) {
      stream.destroy(e instanceof Error ? e : new Error(String(e)))
    }
  })
  await finished(stream)
}

/** Splits a byte stream into lines. A last line without newline is dropped: it was cut off. */
export class Lines {
  private readonly rest: Uint8Array[] = []

  push(chunk: Uint8Array, each: (line: string) => void): void {
    let from = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      const last = chunk.subarray(from, end)
      const line = textOf(this.rest.length === 0 ? last : Buffer.concat([...this.rest.splice(0), last]))
      from = end + 1
      if (line !== '') each(line)
    }
    // Copied: the chunk's memory belongs to the socket's buffer pool, and holding a slice of it would keep all of it.
    if (from < chunk.length) this.rest.push(Uint8Array.prototype.slice.call(chunk, from))
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
}
