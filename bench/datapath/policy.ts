// SPDX-License-Identifier: Apache-2.0
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import { direction, enforce, verdict } from '#kernel/bpf/words.ts'
import type { KernelOp } from '#kernel/op.ts'
import { policiesChangedOp } from '#kernel/policies.ts'
import { type Ip, parseIpv4 } from '#net/ip.ts'

/** The protocol numbers of TCP and UDP. */
const protocols = [6, 17]
const policy = 1
const peers = 300
/** Identities below 16 are reserved. */
const firstOther = 16
const others = 249
const prefixes = 1000

/** A policy of 1 000 entries for these endpoints, in both directions: between the pods this port alone is allowed; the rest is about others. */
export function policyOps(endpoints: readonly number[], pods: readonly Ip[], port: number): KernelOp[] {
  const rules = [{ identity: peers, port }, ...Array.from({ length: others }, (_, i) => ({ identity: firstOther + i, port: 1024 + i }))]
  const entries = rules.flatMap(rule =>
    Object.values(direction).flatMap(way =>
      protocols.map(protocol =>
        put('policies', maps.policies.key.encode({ prefixLength: 96, policy, ...rule, direction: way, protocol }), allowed),
      ),
    ),
  )
  const addresses = Array.from({ length: prefixes }, (_, i) => parseIpv4(`10.112.${Math.floor(i / 250)}.${(i % 250) + 1}`))
  const identified = [
    ...pods.map(ip => ({ ip, identity: peers })),
    ...addresses.map((ip, i) => ({ ip, identity: firstOther + (i % others) })),
  ].map(({ ip, identity }) =>
    put('identities', maps.identities.key.encode({ prefixLength: 128, ip }), maps.identities.value.encode({ identity })),
  )
  const enforced = maps.endpoint_policies.value.encode({ policy, revision: 1, enforce: enforce.in | enforce.out })
  return [
    ...entries,
    ...identified,
    ...endpoints.map(ifIndex => put('endpoint_policies', maps.endpoint_policies.key.encode({ ifIndex }), enforced)),
    policiesChangedOp({ entries: [] }),
  ]
}

const allowed = maps.policies.value.encode({ verdict: verdict.allow })

function put(map: MapName, key: Buffer, value: Buffer): KernelOp {
  return { op: 'map-put', ns: 'host', map, key: key.toString('hex'), value: value.toString('hex') }
}
