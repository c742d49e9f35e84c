// SPDX-License-Identifier: Apache-2.0
import { checksum, pseudoHeader } from './build.ts'
import { ethernet, protocols, type Read, read } from './oracle/read.ts'

const placeOf: Readonly<Record<number, number>> = { [protocols.icmp]: 2, [protocols.tcp]: 16, [protocols.udp]: 6, [protocols.icmp6]: 2 }

/** Whether every checksum of a frame is right, each made anew of all that it covers. What has none, or is not whole, is right. */
export function sumsAreRight(frame: Buffer, gsoSize = 0): boolean {
  const packet = read(frame, gsoSize)
  if (packet.is !== 'packet') return true
  const header = frame.subarray(ethernet, ethernet + ((frame[ethernet] ?? 0) & 15) * 4)
  return (packet.family === 6 || checksum(header) === 0) && transportIsRight(frame, packet)
}

function transportIsRight(frame: Buffer, { family, protocol, fragment, source, destination, at, end }: Read): boolean {
  const place = placeOf[protocol]
  const bytes = frame.subarray(ethernet + at, ethernet + end)
  if (fragment !== undefined || place === undefined || bytes.length < place + 2) return true
  if (protocol === protocols.udp && bytes.readUInt16BE(place) === 0) return true
  const covered = protocol === protocols.icmp && family === 4 ? bytes : pseudoHeader(source, destination, protocol, bytes)
  return checksum(covered) === 0
}
