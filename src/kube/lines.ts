// SPDX-License-Identifier: Apache-2.0

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
