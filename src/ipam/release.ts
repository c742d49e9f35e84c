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
  const { records, marked } = shownBy(node)
  const forgotten = book.releases().flatMap(({ ip, answer }): LedgerChange[] => {
    const record = records.get(ip)
    const over = record === undefined || (answer === 'refused' && !record.releaseNonce)
    return over ? [{ drop: 'release', ip }] : []
  })
  const answers = marked.flatMap(({ ip, eniId, record, nonce }): LedgerChange[] => {
    if (book.release(ip)?.nonce === nonce) return []
    const inUse =
      book.holder(ip)?.attachment.eni.eniId === eniId || (!!record.podID && by.liveWithoutLease(record.podID, record.podUID || undefined))
    if (!inUse && by.mode === 'foreign') return []
    return [{ put: 'release', release: { ip, nonce, answer: inUse ? 'refused' : 'acked', since: by.now } }]
  })
  return [...forgotten, ...answers]
}

/** Every address that Node.status shows; of one that two ENIs have, see `shownBy`. */
export function recordsOf(node: NodeCr): ReadonlyMap<Ip, NicIp> {
  return shownBy(node).records
}

/** podUID to podID of every address that names a pod. */
export function boundPods(node: NodeCr): ReadonlyMap<string, string> {
  return shownBy(node).bound
}

interface Shown {
  readonly records: ReadonlyMap<Ip, NicIp>
  readonly bound: ReadonlyMap<string, string>
  /** Those with a nonce that asks for them. */
  readonly marked: readonly { readonly ip: Ip; readonly eniId: string; readonly record: NicIp; readonly nonce: string }[]
}

/**
 * As with `parseNic`: each object of a watch is gone through once, not after each of a node's ADDs and DELs. When somebody deletes
 * an ENI, the cloud may give its address to another one of the node: until the first has left the record both show it. Then one
 * that is marked speaks for it, because it waits for the answer.
 */
const shown = new WeakMap<NodeCr, Shown>()

function shownBy(node: NodeCr): Shown {
  const known = shown.get(node)
  if (known !== undefined) return known
  const nics = Object.entries(node.status?.networkInterfaces ?? {})
  const addresses = nics.flatMap(([eniId, nic]) => parseNic(nic).addresses.map(({ ip, record }) => ({ ip, eniId, record })))
  const marks = addresses.flatMap(a =>
    a.record.status === 'Deleting' && a.record.releaseNonce ? [{ ...a, nonce: a.record.releaseNonce }] : [],
  )
  const marked = marks.filter((a, i) => marks.findIndex(other => other.ip === a.ip) === i)
  const records = new Map([...addresses, ...marked].map(({ ip, record }) => [ip, record]))
  const bound = new Map(addresses.flatMap(({ record: { podUID, podID } }) => (podUID && podID ? [[podUID, podID] as const] : [])))
  const made = { records, marked, bound }
  shown.set(node, made)
  return made
}
