// SPDX-License-Identifier: Apache-2.0
import { struct } from '#kernel/bpf/layout.ts'

/**
 * The keys and values of the maps; docs/maps.md says who writes them and when. `tools/bpf/header.ts` makes bpf/layout.gen.h of them, with an
 * assertion for each offset. A layout only grows into its spare bytes, whose zero means what was meant before.
 */

export const index = struct('index', 4, { index: 'u32' })
export const word = struct('word', 8, { value: 'u64' })

/** The number of a pod's endpoint is that of its host end, `cali…`: a pod's packet names it without a look at any address. */
export const endpointKey = struct('endpoint_key', 4, { ifIndex: 'u32' })
export const endpoint = struct('endpoint', 96, {
  /** Of the sandbox: nothing that an entry says of an earlier owner of its addresses holds for this one. */
  incarnation: 'u32',
  /** The pod's ENI. */
  outIfIndex: 'u32',
  podMac: 'mac',
  hostMac: 'mac',
  /** Of the pod's interface, and of the way out through the ENI. */
  mtu: 'u16',
  outMtu: 'u16',
  flags: 'u32',
  /** Member ENIs; 0 = none. */
  vlan: 'u16',
  spare0: 'u16',
  address4: 'ip4',
  gateway4: 'ip4',
  address6: 'ip',
  gateway6: 'ip',
  spare1: 'u64',
  spare2: 'u64',
  spare3: 'u64',
})

export const addressKey = struct('address_key', 16, { ip: 'ip' })
export const address = struct('address', 16, { endpoint: 'u32', incarnation: 'u32', state: 'u32', spare: 'u32' })

/** `prefixLength` counts from the first of 128 bits: of an IPv4 prefix it is 96 more. */
export const prefixKey = struct('prefix_key', 20, { prefixLength: 'u32', ip: 'ip' })
export const hostSet = struct('host_set', 4, { why: 'u32' })
export const identity = struct('identity', 8, { identity: 'u32', spare: 'u32' })

/** Seen from the endpoint: one entry serves both directions. Echo requests and replies have their identifier as both ports. */
export const flowKey = struct('flow_key', 40, {
  local: 'ip',
  remote: 'ip',
  localPort: 'be16',
  remotePort: 'be16',
  protocol: 'u8',
  kind: 'u8',
  spare: 'u16',
})
/** One cache line. */
export const flow = struct('flow', 64, {
  /** When the last packet passed, in units of 2^20 ns since boot: written only when it changes. */
  seen: 'u32',
  state: 'u8',
  way: 'u8',
  flags: 'u8',
  /** Of a denied flow. */
  reason: 'u8',
  /** Of the endpoint's policy that allowed or denied it. */
  policyRevision: 'u32',
  localIncarnation: 'u32',
  peerIncarnation: 'u32',
  /** The other side's endpoint when it is on this node, else 0. */
  peer: 'u32',
  revNat: 'u32',
  backend: 'u32',
  txBytes: 'u64',
  rxBytes: 'u64',
  txPackets: 'u32',
  rxPackets: 'u32',
  /** Of the other side. */
  identity: 'u32',
  natPort: 'be16',
  spare: 'u16',
})

/** What a pod sent by way of the host stack from this port: answers may come from another address than it was sent to. */
export const hostNoteKey = struct('host_note_key', 20, { local: 'ip', localPort: 'be16', protocol: 'u8', spare: 'u8' })
export const hostNote = struct('host_note', 8, { seen: 'u32', incarnation: 'u32' })

export const fragmentKey = struct('fragment_key', 40, {
  source: 'ip',
  destination: 'ip',
  id: 'u32',
  protocol: 'u8',
  spare0: 'u8',
  spare1: 'u16',
})
export const fragment = struct('fragment', 8, { sourcePort: 'be16', destinationPort: 'be16', seen: 'u32' })

export const counter = struct('counter', 16, { packets: 'u64', bytes: 'u64' })
export const endpointCounter = struct('endpoint_counter', 32, { txPackets: 'u64', txBytes: 'u64', rxPackets: 'u64', rxBytes: 'u64' })

/** All zeros, or no entry: nothing is enforced. */
export const endpointPolicy = struct('endpoint_policy', 16, { policy: 'u32', revision: 'u32', enforce: 'u32', spare: 'u32' })
/** A longest prefix search: 96 bits name a port, 80 to 95 a range of ports, 80 every port of a protocol, 72 every protocol. Identity 0 is everybody. */
export const policyKey = struct('policy_key', 16, {
  prefixLength: 'u32',
  policy: 'u32',
  identity: 'u32',
  direction: 'u8',
  protocol: 'u8',
  port: 'be16',
})
export const policy = struct('policy', 8, { verdict: 'u8', flags: 'u8', spare: 'u16', rule: 'u32' })
