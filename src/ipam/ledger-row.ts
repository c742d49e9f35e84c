// SPDX-License-Identifier: Apache-2.0
import type { Attachment } from '#datapath/attachment.ts'
import type { Cooling, Lease, ReleaseAnswer } from '#ipam/ledger.ts'
import { AppError } from '#lib/errors.ts'
import { parseIp, parseIpv4, parseIpv6 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'

/**
 * full: no space on the device, nothing was changed. io: the store failed in another way. corrupt: what is stored is not
 * what was written. version: written by a newer release. locked: another process has it open.
 */
export type LedgerCode = 'ledger-full' | 'ledger-io' | 'ledger-corrupt' | 'ledger-version' | 'ledger-locked'

type Row = Readonly<Record<string, unknown>>

/** Checks what a wrong or torn row would break later; the rest of an attachment is as we wrote it. Throws `ledger-corrupt`. */
export function leaseOfRow(row: Row): Lease {
  return guarded('lease', row.container_id, () => {
    const lease = JSON.parse(String(row.body)) as Lease
    if (lease.containerId !== row.container_id) throw new Error('container_id differs from the body')
    oneOf(lease.state, ['pending', 'held', 'dying'])
    oneOf(lease.owner, ['cni', 'grpc'])
    for (const text of [lease.podUid, lease.podNamespace, lease.podName])
      if (typeof text !== 'string') throw new Error('a name is not text')
    checkAttachment(lease.attachment)
    return lease
  })
}

export function coolingOfRow(row: Row): Cooling {
  return guarded('cooling', row.ip, () => ({ ip: parseIp(String(row.ip)), since: millis(row.since) }))
}

export function releaseOfRow(row: Row): ReleaseAnswer {
  return guarded('release', row.ip, () => {
    const answer = row.answer === 'acked' || row.answer === 'refused' ? row.answer : undefined
    if (answer === undefined) throw new Error(`answer ${JSON.stringify(row.answer)}`)
    return { ip: parseIp(String(row.ip)), nonce: String(row.nonce), answer, since: millis(row.since) }
  })
}

function checkAttachment(a: Attachment): void {
  oneOf(a.kind, ['shared-eni', 'exclusive-eni'])
  if (a.v4 === undefined && a.v6 === undefined) throw new Error('no address')
  if (a.v4 !== undefined) parseIpv4(a.v4.address)
  if (a.v6 !== undefined) parseIpv6(a.v6.address)
  parseMac(a.eni.mac)
  if (typeof a.hostIfName !== 'string' || typeof a.netns !== 'string') throw new Error('no host interface or namespace')
  if (a.kind === 'exclusive-eni' && (typeof a.hostPeer !== 'boolean' || !Array.isArray(a.hostRoutes))) throw new Error('no host side')
}

function oneOf(value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) throw new Error(`${JSON.stringify(value)} is none of ${allowed.join(', ')}`)
}

function millis(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value
  throw new Error(`${JSON.stringify(value)} is not a time`)
}

function guarded<T>(table: string, key: unknown, read: () => T): T {
  try {
    return read()
  } catch (e) {
    throw new AppError<LedgerCode>('ledger-corrupt', `ledger: row ${JSON.stringify(key)} of table ${table}`, { cause: e })
  }
}
