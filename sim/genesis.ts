// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { createInstance } from './model/instance.ts'
import type { SecurityGroup } from './model/rows.ts'
import { defaultQuota, defaultThrottle, defaultTiming, type Settings } from './model/settings.ts'
import type { Change, State } from './model/state.ts'
import type { Seed } from './seed-schema.ts'

/** The numbers of a seed, defaults filled in. The seed's own hash names it, so that a state of another seed is recognised. */
export function settingsOf(seed: Seed): Settings {
  const throttle = seed.throttle ?? {}
  return {
    regionId: seed.region,
    seed: createHash('sha256').update(JSON.stringify(seed)).digest('hex').slice(0, 16),
    zones: seed.zones,
    instanceTypes: seed.instanceTypes ?? [],
    timing: { ...defaultTiming, ...seed.timing },
    quota: { ...defaultQuota, ...seed.quota },
    throttle: { ...defaultThrottle, ...throttle, perMinute: { ...defaultThrottle.perMinute, ...throttle.perMinute } },
  }
}

/** Fills an empty state with everything that the seed names. */
export function genesis(state: State, seed: Seed, now: number): readonly Change[] {
  return state.run(now, () => {
    const vpcId = seed.vpc.id ?? 'vpc-bp1lab'
    const { cidr4, cidr6, mtu, eips, name } = seed.vpc
    state.put('vpc', { id: vpcId, name: name ?? 'lab', cidr4, ...(cidr6 !== undefined && { cidr6 }), mtu: mtu ?? 1500, eips: eips ?? [] })
    for (const { zone, name, ...vSwitch } of seed.vSwitches)
      state.put('vSwitch', { ...vSwitch, name: name ?? vSwitch.id, zoneId: zone, vpcId })
    for (const group of seed.securityGroups) state.put('securityGroup', securityGroup(group, vpcId))
    for (const key of seed.keys) state.put('account', { id: key.id, secret: key.secret, allow: key.allow ?? ['*'] })
    for (const role of seed.roles ?? []) state.put('role', { id: role.name, allow: role.allow ?? ['*'] })
    for (const { vSwitch, securityGroups, ip, ...instance } of seed.instances ?? [])
      createInstance(state, {
        ...instance,
        vSwitchId: vSwitch,
        securityGroupIds: securityGroups,
        ...(ip !== undefined && { primaryIp: ip }),
      })
  }).changes
}

function securityGroup(group: Seed['securityGroups'][number], vpcId: string): SecurityGroup {
  return {
    id: group.id,
    name: group.name ?? group.id,
    vpcId,
    intraGroup: group.intraGroup ?? true,
    capacity: group.capacity ?? 65_536,
    tags: {},
    rules: (group.rules ?? []).map(({ ports, ...rule }) => {
      const [from, to] = ports ?? []
      return from === undefined || to === undefined ? rule : { ...rule, ports: [from, to] as const }
    }),
  }
}
