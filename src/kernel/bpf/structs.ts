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
  /** Which `frontend` the initiator sees instead of the responder, 0 = none: answers carry that. */
  frontend: 'u32',
  /** Of a flow to a Service (way `service`): which backend was chosen. Of one without a connection that kube-proxy began (way `host`): which one that chose. */
  backend: 'u32',
  txBytes: 'u64',
  rxBytes: 'u64',
  txPackets: 'u32',
  rxPackets: 'u32',
  /** Of the other side, where policy has asked for it. */
  identity: 'u32',
  /** With which number of policies (`control.policies`) it was compared last. */
  checked: 'u32',
})

/** Of a table of flows, on each CPU: credits at hand, and how many entries the programs have put there and taken away. */
export const tableSums = struct('table_sums', 24, { credits: 'u32', spare: 'u32', put: 'u64', taken: 'u64' })

/** Of an endpoint, while there is a limit: how many flows it has, about, and how many it was refused. */
export const endpointFlows = struct('endpoint_flows', 16, { live: 'u32', spare: 'u32', refused: 'u64' })

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

/** Where a Service is reached: by whom is its scope. */
export const serviceKey = struct('service_key', 20, { ip: 'ip', port: 'be16', protocol: 'u8', scope: 'u8' })
export const service = struct('service', 24, {
  /** Number of its set of backends; several frontends share one. */
  set: 'u32',
  frontend: 'u32',
  flags: 'u32',
  /** How long a client stays with its backend after its last connection; 0 = each connection is decided by itself. */
  affinitySeconds: 'u32',
  spare0: 'u32',
  spare1: 'u32',
})
/** What clients see: how an answer is translated back. Kept after its Service is gone, for the flows that go on. */
export const frontendKey = struct('frontend_key', 4, { frontend: 'u32' })
export const frontend = struct('frontend', 24, { ip: 'ip', port: 'be16', protocol: 'u8', spare0: 'u8', spare1: 'u32' })
/** `count` slots, numbered from 0, each with a backend. */
export const backendSetKey = struct('backend_set_key', 4, { set: 'u32' })
export const backendSet = struct('backend_set', 8, { count: 'u32', spare: 'u32' })
/** Slot `affinitySlot | backend` says that this backend is one of the set's: sets with affinity have it beside the numbered ones. */
export const slotKey = struct('slot_key', 8, { set: 'u32', slot: 'u32' })
export const slot = struct('slot', 4, { backend: 'u32' })
export const backendKey = struct('backend_key', 4, { backend: 'u32' })
export const backend = struct('backend', 24, { ip: 'ip', port: 'be16', protocol: 'u8', state: 'u8', spare: 'u32' })
export const affinityKey = struct('affinity_key', 20, { client: 'ip', set: 'u32' })
export const affinity = struct('affinity', 8, { backend: 'u32', seen: 'u32' })
/** Of a frontend with `sourceRanges`: who may come. `prefixLength` counts the frontend's 32 bits too. */
export const sourceRangeKey = struct('source_range_key', 24, { prefixLength: 'u32', frontend: 'u32', ip: 'ip' })
export const sourceRange = struct('source_range', 4, { allowed: 'u32' })
/** What the process that writes the Services says of its work, by `serviceWord`. */
export const serviceState = struct('service_state', 8, { value: 'u64' })

/** The node itself: entry 0. */
export const nodeConfig = struct('node_config', 48, {
  /** The device that has the node's addresses. */
  ifIndex: 'u32',
  address4: 'ip4',
  address6: 'ip',
  /** Ports that answers of remote backends come to, first and last: nobody else on the node uses them. Host order. */
  natPortFirst: 'u16',
  natPortLast: 'u16',
  spare0: 'u32',
  spare1: 'u64',
  spare2: 'u64',
})
/**
 * A client's flow through the node to a backend, under two keys: kind `client` is frontend (local) and client (remote); kind `backend` is what
 * the backend sees of it, the node (local) and itself (remote), or, for a backend on the node's own network, the backend (local) and the client (remote).
 */
export const nodeFlow = struct('node_flow', 56, {
  seen: 'u32',
  /** As of `flow`: new, open, closing. */
  state: 'u8',
  flags: 'u8',
  clientPort: 'be16',
  client: 'ip',
  frontend: 'u32',
  backend: 'u32',
  /** The node's port that the backend answers to; 0 = the client's own address is kept. */
  natPort: 'be16',
  spare0: 'u16',
  packets: 'u32',
  bytes: 'u64',
  spare1: 'u64',
})

/** A socket of the node that talks to a Service: `remote` is the backend that it really talks to. */
export const socketKey = struct('socket_key', 32, { cookie: 'u64', ip: 'ip', port: 'be16', spare0: 'u16', spare1: 'u32' })
/** What the program of the socket believes to talk to. */
export const socketPeer = struct('socket_peer', 24, { ip: 'ip', port: 'be16', spare: 'u16', backend: 'u32' })
/** Network namespaces whose sockets are translated, by cookie, and whose they are; cookie 0 = the initial one, where the kernel tells nobody its cookie. */
export const netnsKey = struct('netns_key', 8, { cookie: 'u64' })
export const netns = struct('netns', 4, { translated: 'u32' })

/**
 * One packet that was dropped, or a sample of those that passed: as it was when that was decided, so translated already when it is. Or a system call of the
 * node that names a Service (hook `socket`): its destination is the backend, or the Service where there is none, and nothing is known of a packet.
 */
export const event = struct('event', 96, {
  /** Nanoseconds since boot. */
  time: 'u64',
  /** The device whose program had the packet. */
  ifIndex: 'u32',
  /** Of the pod at whose host end that was, else 0. */
  endpoint: 'u32',
  /** Where it went past the host stack: a pod's host end or another device. */
  target: 'u32',
  /** By which Service it was translated; 0 = by none. */
  frontend: 'u32',
  /** With all segments of it. */
  length: 'u32',
  source: 'ip',
  destination: 'ip',
  sourcePort: 'be16',
  destinationPort: 'be16',
  /** 0 = it passed. */
  reason: 'u8',
  path: 'u8',
  hook: 'u8',
  protocol: 'u8',
  tcpFlags: 'u8',
  icmpType: 'u8',
  flags: 'u8',
  spare0: 'u8',
  /** Whose system call it was: the process by its number and its name; else 0 and none. */
  pid: 'u32',
  task: 'task',
  spare1: 'u32',
})
/** How events are bounded, on each CPU. `untold`: how many there were no room or no time for. */
export const eventRate = struct('event_rate', 16, { last: 'u64', untold: 'u64' })
/** Of a ring buffer: its records have no key. */
export const noKey = struct('no_key', 0, {})

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
