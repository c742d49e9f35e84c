// SPDX-License-Identifier: Apache-2.0
import type { BookView } from '#ipam/book.ts'
import type { LedgerChange } from '#ipam/ledger.ts'
import { parseNic } from '#ipam/nic.ts'
import type { NicIp, NodeCr } from '#kube/crd/node.ts'
import type { Ip } from '#net/ip.ts'

/** Announced on NodeRuntime by the daemon and on the Node CR by the controller, with this value. */
export const localBindingAnnotation = 'network.alibabacloud.com/local-binding'
export const localBindingVersion = 'v1'
/** Holder identities of our controller in the Lease `terway-controlplane` begin so. */
export const leaderPrefix = 'terway-ts_'

/** Who decides which address a pod gets: this daemon, or the controller by naming the pod in Node.status. */
export interface Binding {
  readonly mode: 'local' | 'foreign'
  /** Which condition of the compatibility rule decided. */
  readonly reason: string
}

/** What the daemon has seen of the three conditions of the compatibility rule (docs/addresses.md). */
export interface BindingEvidence {
  readonly node: NodeCr | undefined
  /** spec.holderIdentity of the Lease `terway-controlplane`; undefined while it has not been seen. */
  readonly leader: string | undefined
  /** Whether the added fields of NodeRuntime were still there when our first write was read back. */
  readonly readBack: 'pending' | 'kept' | 'pruned'
}

export function bindingOf(e: BindingEvidence): Binding {
  const foreign = (reason: string): Binding => ({ mode: 'foreign', reason })
  if (e.node?.metadata.annotations?.[localBindingAnnotation] !== localBindingVersion) {
    return foreign(`the Node CR does not carry ${localBindingAnnotation}: ${localBindingVersion}`)
  }
  if (e.leader === undefined || e.leader === '') return foreign('nobody is known to hold the Lease terway-controlplane')
  if (!e.leader.startsWith(leaderPrefix)) return foreign(`the Lease terway-controlplane is held by ${e.leader}`)
  if (e.readBack === 'pending') return foreign('NodeRuntime has not been written and read back yet')
  if (e.readBack === 'pruned') return foreign("the cluster's NodeRuntime CRD drops our fields: update the CRDs")
  return { mode: 'local', reason: 'announced by both sides, our controller leads, NodeRuntime keeps our fields' }
}

export interface Answering {
  readonly mode: Binding['mode']
  /** Wall-clock milliseconds. */
  readonly now: number
  /** As PoolInput has it: such a pod may use the address in a sandbox that we did not make. */
  readonly liveWithoutLease: (podId: string, podUid: string | undefined) => boolean
}

/**
 * The daemon's answers to what Node.status asks now, as ledger changes; to be committed before they are reported.
 * A mark with a nonce that has no answer yet is refused while the address is in use, else acked, which bars it. An answer
 * is forgotten when Node.status no longer shows the address, and a refusal also when the mark is gone: an acked address
 * that is still shown stays barred. Under foreign binding nothing is acked.
 */
export function answerMarks(node: NodeCr, book: BookView, by: Answering): readonly LedgerChange[] {
  const records = recordsOf(node)
  const forgotten = book.releases().flatMap(({ ip, answer }): LedgerChange[] => {
    const record = records.get(ip)
    const over = record === undefined || (answer === 'refused' && !record.releaseNonce)
    return over ? [{ drop: 'release', ip }] : []
  })
  const answers = [...records].flatMap(([ip, record]): LedgerChange[] => {
    const nonce = record.status === 'Deleting' ? record.releaseNonce : undefined
    if (!nonce || book.release(ip)?.nonce === nonce) return []
    const inUse = book.holder(ip) !== undefined || (!!record.podID && by.liveWithoutLease(record.podID, record.podUID || undefined))
    if (!inUse && by.mode === 'foreign') return []
    return [{ put: 'release', release: { ip, nonce, answer: inUse ? 'refused' : 'acked', since: by.now } }]
  })
  return [...forgotten, ...answers]
}

/** Every address that Node.status shows, of whichever ENI. */
export function recordsOf(node: NodeCr): ReadonlyMap<Ip, NicIp> {
  const records = new Map<Ip, NicIp>()
  for (const nic of Object.values(node.status?.networkInterfaces ?? {})) {
    for (const { ip, record } of parseNic(nic).addresses) records.set(ip, record)
  }
  return records
}
