// SPDX-License-Identifier: Apache-2.0
import type { Outcome } from '#controller/eni/record.ts'
import type { CloudAction } from '#ipam/action.ts'
import type { Pool, PoolEni } from '#ipam/pool.ts'

/** One line of the log about giving back: which ENI, what, and how many addresses. Nonces and tokens are left out. */
export interface Line {
  readonly eni: string
  readonly step: 'marked' | 'answered' | 'unmarked' | 'unassigned' | 'forgotten' | 'detach' | 'delete' | 'gone'
  readonly addresses?: number
  readonly whole?: boolean
  readonly acked?: number
  readonly refused?: number
  readonly open?: number
}

/** The daemon's answers that were not there in `before`; without `before`, every answer to a present mark. */
export function answerLines(before: Pool | undefined, pool: Pool): readonly Line[] {
  return pool.enis.flatMap((e): readonly Line[] => {
    const old = statesOf(before?.enis.find(o => o.id === e.id))
    const count = (state: string) => e.addresses.filter(a => a.state === state).length
    const fresh = (state: string) => e.addresses.filter(a => a.state === state && old.get(a.ip) !== state).length
    const [acked, refused] = [fresh('acked'), fresh('refused')]
    return acked + refused === 0 ? [] : [{ eni: e.id, step: 'answered', acked, refused, open: count('marked') }]
  })
}

function statesOf(eni: PoolEni | undefined): ReadonlyMap<string, string> {
  return new Map(eni?.addresses.map(a => [a.ip, a.state]))
}

/** What the record says from now on. Calls are told when they were made. */
export function decisionLines(actions: readonly CloudAction[]): readonly Line[] {
  return actions.flatMap((a): readonly Line[] => {
    switch (a.do) {
      case 'mark-release':
        return [{ eni: a.eniId, step: 'marked', addresses: a.addresses.length, whole: a.whole }]
      case 'unmark':
        return [{ eni: a.eniId, step: 'unmarked', addresses: a.addresses.length }]
      case 'forget-addresses':
        return [{ eni: a.eniId, step: 'forgotten', addresses: a.addresses.length }]
      case 'forget-eni':
        return [{ eni: a.eniId, step: 'gone' }]
      default:
        return []
    }
  })
}

/** Calls that the cloud took. Failed ones are logged with their error elsewhere. */
export function callLines(outcomes: readonly Outcome[]): readonly Line[] {
  return outcomes.flatMap((o): readonly Line[] => {
    if (o.was === 'unassigned') return [{ eni: o.eniId, step: 'unassigned', addresses: o.addresses.length }]
    if (o.was !== 'moving' || o.action === 'AttachENI') return []
    return [{ eni: o.eniId, step: o.action === 'DetachENI' ? 'detach' : 'delete' }]
  })
}

export function textOf(line: Line): string {
  const addresses = `${line.addresses ?? 0} addresses of ENI ${line.eni}`
  switch (line.step) {
    case 'marked':
      return line.whole
        ? `ENI ${line.eni} is to go, with ${line.addresses ?? 0} addresses: the daemon is asked`
        : `${addresses} are to go: the daemon is asked`
    case 'answered':
      return `the daemon answered for ENI ${line.eni}: ${line.acked ?? 0} acked, ${line.refused ?? 0} refused, ${line.open ?? 0} still open`
    case 'unmarked':
      return `${addresses} stay: a pod has taken them`
    case 'unassigned':
      return `${addresses} are unassigned`
    case 'forgotten':
      return `${addresses} leave the record; the next comparison with the cloud finds what is still assigned`
    case 'detach':
      return `detaching of ENI ${line.eni} is asked for`
    case 'delete':
      return `deletion of ENI ${line.eni} is asked for`
    case 'gone':
      return `ENI ${line.eni} is gone`
  }
}
