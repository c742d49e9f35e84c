// SPDX-License-Identifier: Apache-2.0
import type { Action } from './api/action.ts'
import { actions } from './api/actions.ts'
import { Params } from './api/params.ts'
import { Seen } from './api/seen.ts'
import { type SimClock, sleep } from './clock.ts'
import type { FaultSpec, Faults } from './fault.ts'
import { CloudFault, fault, missing, statusOf } from './model/errors.ts'
import type { State } from './model/state.ts'
import type { Throttler } from './model/throttle.ts'
import { once } from './model/token.ts'
import type { Store } from './store.ts'

/** A call whose caller is known: what the protocols carry, without them. */
export interface Call {
  readonly action: string
  /** API version; any that has the action when absent. */
  readonly version?: string
  readonly params: ReadonlyMap<string, string>
  /** AccessKeyId, or the role behind a temporary one. */
  readonly caller: { readonly id: string; readonly allow: readonly string[] }
}

/** The call took effect, and the caller must not learn it. */
export class ReplyLost extends Error {}

/** Parameters of the protocol: no part of what a client token stands for. */
const common = new Set(
  'Action Version Format AccessKeyId SecurityToken Signature SignatureMethod SignatureVersion SignatureNonce SignatureType Timestamp ClientToken'.split(
    ' ',
  ),
)

export interface Machinery {
  readonly store: Store
  readonly clock: SimClock
  readonly faults: Faults
  readonly throttler: Throttler
}

/** Finds the operation: InvalidAction.NotFound (404) or InvalidVersion when there is none of that name or version. */
export function findAction(name: string, version: string | undefined): Action {
  const action = actions.get(name)
  if (action === undefined)
    throw fault('InvalidAction.NotFound', `The specified action ${name} is not found, please check your url and method.`)
  if (version !== undefined && !action.versions.includes(version))
    throw fault('InvalidVersion', 'Specified parameter Version is not valid.')
  return action
}

/** Performs one call with everything that happens to calls: limits, faults, idempotency, delay. Throws CloudFault or ReplyLost. */
export async function perform(machinery: Machinery, call: Call): Promise<object> {
  const { store, clock, faults, throttler } = machinery
  const action = findAction(call.action, call.version)
  if (!call.caller.allow.includes('*') && !call.caller.allow.includes(action.name))
    throw fault(
      'Forbidden.RAM',
      `User not authorized to operate on the specified resource, or this API does not support RAM: ${action.name}.`,
    )
  const params = new Params(call.params)
  const struck = faults.hit(action.name, name => params.text(name))
  for (const spec of struck) before(spec)
  throttler.take(action.name, call.caller.id, clock.wall())
  await sleep(clock, store.state.settings.timing.call)
  const reply = apply(store, action, params, call.caller.id, struck)
  for (const spec of struck) await after(spec, clock)
  return reply
}

function apply(store: Store, action: Action, params: Params, user: string, struck: readonly FaultSpec[]): object {
  const { regionId, timing } = store.state.settings
  if (action.regional && params.text('RegionId') === undefined) throw missing('RegionId')
  if ((params.text('RegionId') ?? regionId) !== regionId) throw fault('InvalidRegionId.NotFound', 'The specified RegionId does not exist.')
  const token = action.idempotent === true ? params.text('ClientToken') : undefined
  const request = params.fingerprint(name => common.has(name))
  return store.run(state => {
    const context = { state, seen: new Seen(state, timing.describeLag) }
    const reply = once(state, `${user}/${action.name}`, token, request, () => action.run(context, params))
    spoilTransitions(state, struck)
    return reply
  })
}

function before(spec: FaultSpec): void {
  if (spec.kind === 'throttle') throw fault('Throttling.User', 'Request was denied due to user flow control.')
  if (spec.kind === 'error' && spec.when !== 'after') throw injected(spec)
}

async function after(spec: FaultSpec, clock: SimClock): Promise<void> {
  if (spec.kind === 'slow') await sleep(clock, spec.ms)
  if (spec.kind === 'lost-reply') throw new ReplyLost('the reply is lost')
  if (spec.kind === 'error' && spec.when === 'after') throw injected(spec)
}

function injected(spec: FaultSpec & { readonly kind: 'error' }): CloudFault {
  const code = spec.code ?? 'InternalError'
  const known = Object.entries(statusOf).find(([name]) => name === code)?.[1]
  return new CloudFault(
    code,
    spec.status ?? known ?? 500,
    'The request processing has failed due to some unknown error, exception or failure.',
  )
}

/** Makes the transitions that the operation under way has started last until a fault is cleared, or fail. */
function spoilTransitions(state: State, struck: readonly FaultSpec[]): void {
  const stuck = struck.some(spec => spec.kind === 'stuck')
  const failing = struck.some(spec => spec.kind === 'attach-fails')
  if (!stuck && !failing) return
  for (const { kind, id } of state.written) {
    const eni = kind === 'eni' ? state.get('eni', id) : undefined
    if (typeof eni?.due === 'number') state.put('eni', { ...eni, ...(stuck && { due: 'never' }), ...(failing && { failing }) })
  }
}

/** Lets every held transition end now. */
export function releaseTransitions(store: Store): void {
  store.run(state => {
    for (const eni of state.list('eni')) if (eni.due === 'never') state.put('eni', { ...eni, due: state.now })
  })
  store.advance()
}
