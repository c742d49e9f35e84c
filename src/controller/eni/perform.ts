// SPDX-License-Identifier: Apache-2.0
import { CloudError, isCloudError, isOf } from '#cloud/errors.ts'
import type { CloudFor } from '#cloud/execute.ts'
import type { Cloud, CreateEni, Eni, VSwitch } from '#cloud/port.ts'
import type { Memory } from '#controller/eni/memory.ts'
import type { Outcome } from '#controller/eni/record.ts'
import { eniDescription, intentTag, ownTags, tagsFor } from '#controller/tags.ts'
import type { VSwitchCache } from '#controller/vswitch/cache.ts'
import type { CloudAction } from '#ipam/action.ts'
import type { Intent, NodeCr } from '#kube/crd/node.ts'
import type { Clock } from '#lib/clock.ts'
import { type Family, type Ip, parseIpv4, parseIpv6 } from '#net/ip.ts'

/** One round of one node, as the calls need it. */
export interface Work {
  readonly node: NodeCr
  readonly clusterId: string
  readonly cloudFor: CloudFor
  readonly vSwitches: VSwitchCache
  readonly memory: Memory
  readonly clock: Clock
  /** Throws when this process may not act any more. */
  readonly assertLeader: () => void
}

type Step = () => Promise<Outcome>

/** How long a failed or accepted move of an ENI is left alone before it is asked for again. Milliseconds. */
export const moveInterval = 10_000

/**
 * Makes the calls: intents first (left ones are repeated with their token), then moves and releases. ENIs work in parallel, the
 * calls about one ENI one after the other, because the cloud refuses concurrent changes of one ENI.
 */
export async function perform(work: Work, intents: readonly Intent[], actions: readonly CloudAction[]): Promise<readonly Outcome[]> {
  const chains = new Map<string, Step[]>()
  const chain = (key: string, step: Step) => chains.set(key, [...(chains.get(key) ?? []), step])
  for (const intent of intents) chain(intent.eniID ?? intent.token, () => resolve(work, intent))
  for (const action of actions) {
    const step = stepOf(work, action)
    if (step !== undefined && 'eniId' in action) chain(action.eniId, step)
  }
  const results = await Promise.all([...chains.values()].map(steps => inOrder(work, steps)))
  return results.flat()
}

async function inOrder(work: Work, steps: readonly Step[]): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = []
  for (const step of steps) {
    work.assertLeader()
    outcomes.push(await step())
  }
  return outcomes
}

function stepOf(work: Work, a: CloudAction): Step | undefined {
  switch (a.do) {
    case 'attach':
      return nowAndThen(work, attachKey(a.eniId), () => attach(work, a.eniId))
    case 'detach':
      return nowAndThen(work, `detach/${a.eniId}`, () =>
        move(work, a.eniId, 'DetachENI', c => c.detachEni({ eniId: a.eniId, instanceId: instanceOf(work) })),
      )
    case 'delete-eni':
      return nowAndThen(work, `delete/${a.eniId}`, () => move(work, a.eniId, 'DeleteENI', c => c.deleteEni(a.eniId)))
    case 'unassign':
      return nowAndThen(work, `unassign/${a.eniId}/${[...a.ipv4, ...a.ipv6].join()}`, () => unassign(work, a))
    default:
      return undefined
  }
}

/** What tries to attach the ENI are remembered by. */
export function attachKey(eniId: string): string {
  return `attach/${eniId}`
}

/** The step, unless it is too soon for it: after refusals it waits longer and longer. */
function nowAndThen(work: Work, key: string, step: Step): Step | undefined {
  if (!work.memory.mayTry(key, work.clock.now(), moveInterval)) return undefined
  return async () => {
    const outcome = await step()
    const refused = (outcome.was === 'failed' || outcome.was === 'unattachable') && !isOf(outcome.error, 'retry', 'throttled')
    work.memory.tried(key, refused)
    return outcome
  }
}

/** Makes the call of an intent, for the first time or again: with its token it returns what the first call made. */
export async function resolve(work: Work, intent: Intent): Promise<Outcome> {
  try {
    return intent.kind === 'create-eni' ? await create(work, intent) : await assign(work, intent)
  } catch (error) {
    if (!(error instanceof CloudError)) throw error
    const now = work.clock.now()
    if (error.mayHaveHappened) work.memory.doubted(intent.token, now)
    const verdict = !isOf(error, 'retry', 'throttled') && !error.mayHaveHappened && work.memory.certain(intent.token, now)
    return { was: verdict ? 'refused' : 'pending', intent, error }
  }
}

async function create(work: Work, intent: Intent): Promise<Outcome> {
  const { spec, metadata } = work.node
  const cloud = work.cloudFor('pod', metadata.name)
  const request: CreateEni = {
    clientToken: intent.token,
    vSwitchId: intent.vSwitchID,
    type: intent.eniType === 'Trunk' ? 'Trunk' : 'Secondary',
    securityGroupIds: spec.eni?.securityGroupIDs ?? [],
    ipv4Count: intent.ipv4Count,
    ipv6Count: intent.ipv6Count,
    tags: tagsFor(work.clusterId, metadata.name, intent.token, spec.eni?.tag ?? {}),
    description: eniDescription,
    ...(spec.eni?.resourceGroupID === undefined || spec.eni.resourceGroupID === '' ? {} : { resourceGroupId: spec.eni.resourceGroupID }),
  }
  // A refusal does not say which family is missing. Free IPv4 addresses were counted before, and are again when the block ends.
  const scarce = intent.ipv6Count > 0 ? 6 : 4
  const eni = await createOrFind(work, cloud, intent, () => noteEmpty(work, intent, scarce, () => cloud.createEni(request)))
  const now = work.clock.now()
  work.memory.added(eni.id, now)
  for (const ip of [...eni.ipv4, ...eni.ipv6]) work.memory.added(`${eni.id}/${ip}`, now)
  work.vSwitches.used(intent.vSwitchID, eni.ipv4.length)
  return { was: 'created', intent, eni, vSwitch: await vSwitchOf(work, eni) }
}

/** The ENI exists: whatever this call says, it is no failure of the creation. Undefined when it failed; the next comparison asks again. */
async function vSwitchOf(work: Work, eni: Eni): Promise<VSwitch | undefined> {
  try {
    return (await work.vSwitches.get([eni.vSwitchId]))[0]
  } catch (error) {
    if (!(error instanceof CloudError)) throw error
    return undefined
  }
}

/** The configuration may have changed since the first call: then the token is refused, and the ENI is found by its tag. */
async function createOrFind(work: Work, cloud: Cloud, intent: Intent, call: () => Promise<Eni>): Promise<Eni> {
  try {
    return await call()
  } catch (error) {
    if (!isCloudError(error, 'conflict')) throw error
    const tags = [...ownTags(work.clusterId), { key: intentTag, value: intent.token }]
    const [found] = await cloud.describeEnis({ tags })
    if (found === undefined) throw error
    return found
  }
}

async function assign(work: Work, intent: Intent): Promise<Outcome> {
  const { eniID: eniId = '', ipv4Count, ipv6Count, token } = intent
  const cloud = work.cloudFor('pod', work.node.metadata.name)
  const ipv4 = ipv4Count === 0 ? [] : await half(work, intent, 4, () => cloud.assignIpv4({ clientToken: token, eniId, count: ipv4Count }))
  work.vSwitches.used(intent.vSwitchID, ipv4.length)
  try {
    const call = () => cloud.assignIpv6({ clientToken: `${token}-6`, eniId, count: ipv6Count })
    return { was: 'assigned', intent, ipv4, ipv6: ipv6Count === 0 ? [] : await half(work, intent, 6, call) }
  } catch (error) {
    // The IPv4 half, if any, is there: it is recorded now unless the call is made again anyway.
    const over = error instanceof CloudError && !error.mayHaveHappened && !isOf(error, 'retry', 'throttled')
    if (!over || ipv4.length === 0) throw error
    return { was: 'assigned', intent, ipv4, ipv6: [], error }
  }
}

async function half(work: Work, intent: Intent, family: Family, call: () => Promise<readonly Ip[]>): Promise<readonly Ip[]> {
  const ips = await noteEmpty(work, intent, family, call)
  for (const ip of ips) work.memory.added(`${intent.eniID}/${ip}`, work.clock.now())
  return ips
}

/** A vSwitch that turns out to have no address of the family left is passed over for a while. */
async function noteEmpty<T>(work: Work, intent: Intent, family: Family, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    if (isCloudError(error, 'no-addresses')) work.vSwitches.block(intent.vSwitchID, family)
    throw error
  }
}

/** It is on its way, or where it should be, already: the next look at it tells. Any other conflict is a refusal that people must see. */
export function isUnderway(error: CloudError): boolean {
  return error.code === 'InvalidOperation.InvalidEniState'
}

const instanceGone: ReadonlySet<string> = new Set(['InvalidEcsId.NotFound', 'InvalidInstanceId.NotFound'])

async function attach(work: Work, eniId: string): Promise<Outcome> {
  try {
    await work.cloudFor('pod', work.node.metadata.name).attachEni({ eniId, instanceId: instanceOf(work) })
    return { was: 'moving', eniId, action: 'AttachENI' }
  } catch (error) {
    if (!(error instanceof CloudError)) throw error
    if (isUnderway(error)) return { was: 'moving', eniId, action: 'AttachENI', ...(error.mayHaveHappened ? {} : { refused: true }) }
    if (isOf(error, 'quota') || instanceGone.has(error.code)) return { was: 'unattachable', eniId, error }
    return { was: 'failed', eniId, action: 'AttachENI', error }
  }
}

async function move(work: Work, eniId: string, action: string, call: (cloud: Cloud) => Promise<void>): Promise<Outcome> {
  try {
    await call(work.cloudFor('reclaim', work.node.metadata.name))
    work.memory.removed(eniId, work.clock.now())
    return { was: 'moving', eniId, action }
  } catch (error) {
    if (!(error instanceof CloudError)) throw error
    return isUnderway(error) ? { was: 'moving', eniId, action } : { was: 'failed', eniId, action, error }
  }
}

/**
 * An address leaves the record only when no earlier unassign can still take effect: the cloud may assign it again at once, and
 * a late call would then take it from its new holder.
 */
async function unassign(work: Work, a: CloudAction & { do: 'unassign' }): Promise<Outcome> {
  const cloud = work.cloudFor('reclaim', work.node.metadata.name)
  const addresses = [...a.ipv4, ...a.ipv6]
  const keys = addresses.map(ip => `${a.eniId}/${ip}`)
  try {
    if (a.ipv4.length > 0) await cloud.unassignIpv4({ eniId: a.eniId, addresses: a.ipv4.map(parseIpv4) })
    if (a.ipv6.length > 0) await cloud.unassignIpv6({ eniId: a.eniId, addresses: a.ipv6.map(parseIpv6) })
  } catch (error) {
    if (!(error instanceof CloudError)) throw error
    if (error.mayHaveHappened) for (const key of keys) work.memory.doubted(key, work.clock.now())
    return { was: 'failed', eniId: a.eniId, action: 'UnassignIP', error }
  }
  const now = work.clock.now()
  for (const key of keys) work.memory.removed(key, now)
  if (a.ipv4.length > 0) usedBack(work, a)
  return { was: 'unassigned', eniId: a.eniId, addresses: addresses.filter(ip => work.memory.certain(`${a.eniId}/${ip}`, now)) }
}

function usedBack(work: Work, a: CloudAction & { do: 'unassign' }): void {
  const vSwitchId = work.node.status?.networkInterfaces?.[a.eniId]?.vSwitchID
  if (vSwitchId !== undefined) work.vSwitches.used(vSwitchId, -a.ipv4.length)
}

function instanceOf(work: Work): string {
  return work.node.spec.nodeMetadata?.instanceID ?? ''
}
