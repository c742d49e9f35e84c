// SPDX-License-Identifier: Apache-2.0

import type { CloudError } from '#cloud/errors.ts'
import type { Eni, VSwitch } from '#cloud/port.ts'
import {
  addAddresses,
  dropIntent,
  dropNic,
  editAddresses,
  editNic,
  isBound,
  nicOf,
  putIntent,
  putNic,
  withStatus,
} from '#controller/eni/status.ts'
import type { CloudAction } from '#ipam/action.ts'
import type { Intent, NodeSpec, NodeStatus } from '#kube/crd/node.ts'

/** Fresh names and the time, for what is written. */
export interface Stamp {
  readonly uuid: () => string
  /** RFC 3339. */
  readonly at: string
}

/**
 * What Node.status must say *before* any of the plan's cloud calls is made: marks with fresh nonces, removals, and an
 * intent for each call that creates something. Written as one patch.
 */
export function record(status: NodeStatus, actions: readonly CloudAction[], stamp: Stamp): NodeStatus {
  return actions.reduce((s, a) => recordOne(s, a, stamp), status)
}

function recordOne(s: NodeStatus, a: CloudAction, stamp: Stamp): NodeStatus {
  switch (a.do) {
    case 'settle':
      return editNic(s, a.eniId, nic => ({ ...nic, status: 'InUse' }))
    case 'mark-release': {
      const wanted = new Set(a.addresses)
      return editNic(s, a.eniId, nic => ({
        ...editAddresses(
          nic,
          x => wanted.has(x.ip),
          x => withStatus(x, 'Deleting', stamp.uuid()),
        ),
        ...(a.whole ? { status: 'Deleting' } : {}),
      }))
    }
    case 'unmark': {
      const refused = new Set(a.addresses)
      return editNic(s, a.eniId, nic => ({
        ...editAddresses(
          nic,
          x => refused.has(x.ip),
          x => withStatus(x, a.eni === 'lost' ? 'Invalid' : 'Valid'),
        ),
        ...(a.eni === 'lost' ? {} : { status: a.eni }),
      }))
    }
    case 'forget-addresses': {
      const gone = new Set(a.addresses)
      return editNic(s, a.eniId, nic =>
        editAddresses(
          nic,
          x => gone.has(x.ip),
          () => undefined,
        ),
      )
    }
    case 'forget-eni':
      return dropNic(s, a.eniId)
    case 'assign':
    case 'create-eni':
      return putIntent(s, intentOf(a, stamp))
    case 'attach':
      return editNic(s, a.eniId, nic => ({ ...nic, status: 'Attaching' }))
    case 'unassign':
    case 'detach':
    case 'delete-eni':
      return s
  }
}

function intentOf(a: CloudAction & { do: 'assign' | 'create-eni' }, stamp: Stamp): Intent {
  const common = { token: stamp.uuid(), vSwitchID: a.vSwitchId, ipv4Count: a.ipv4, ipv6Count: a.ipv6, since: stamp.at }
  return a.do === 'assign' ? { ...common, kind: 'assign-ips', eniID: a.eniId } : { ...common, kind: 'create-eni', eniType: a.type }
}

/** How a cloud call ended. `refused`: nothing was created and nothing will be; `pending`: it must be asked again. */
export type Outcome =
  | { readonly was: 'created'; readonly intent: Intent; readonly eni: Eni; readonly vSwitch: VSwitch | undefined }
  | {
      readonly was: 'assigned'
      readonly intent: Intent
      readonly ipv4: readonly string[]
      readonly ipv6: readonly string[]
      readonly error?: CloudError
    }
  | { readonly was: 'refused'; readonly intent: Intent; readonly error: CloudError }
  | { readonly was: 'pending'; readonly intent: Intent; readonly error: CloudError }
  | { readonly was: 'unassigned'; readonly eniId: string; readonly addresses: readonly string[] }
  /** The ENI cannot be attached: it has to go again, unless pods have its addresses. */
  | { readonly was: 'unattachable'; readonly eniId: string; readonly error: CloudError }
  /** attach, detach, delete done or still going on: the next round sees how far it is. `refused`: the ENI was in another state, and the call did nothing. */
  | { readonly was: 'moving'; readonly eniId: string; readonly action: string; readonly refused?: true }
  | { readonly was: 'failed'; readonly eniId: string; readonly action: string; readonly error: CloudError }

/** What Node.status must say after the calls: what was created goes in and its intent out in one patch. */
export function fold(status: NodeStatus, outcomes: readonly Outcome[], spec: NodeSpec): NodeStatus {
  return outcomes.reduce((s, o) => foldOne(s, o, spec), status)
}

function foldOne(s: NodeStatus, o: Outcome, spec: NodeSpec): NodeStatus {
  switch (o.was) {
    case 'created':
      return dropIntent(s.networkInterfaces?.[o.eni.id] === undefined ? putNic(s, nicOf(o.eni, o.vSwitch, spec)) : s, o.intent.token)
    case 'assigned':
      return dropIntent(
        editNic(s, o.intent.eniID ?? '', nic => addAddresses(nic, o.ipv4, o.ipv6)),
        o.intent.token,
      )
    case 'refused':
      return dropIntent(s, o.intent.token)
    case 'unassigned': {
      const gone = new Set(o.addresses)
      return editNic(s, o.eniId, nic =>
        editAddresses(
          nic,
          a => gone.has(a.ip) && a.status === 'Deleting',
          () => undefined,
        ),
      )
    }
    case 'unattachable':
      // One with pods on it was detached by somebody: it is not given up before they are gone.
      return editNic(s, o.eniId, nic => (isBound(nic) ? nic : { ...nic, status: 'Deleting' }))
    case 'pending':
    case 'moving':
    case 'failed':
      return s
  }
}
