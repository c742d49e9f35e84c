// SPDX-License-Identifier: Apache-2.0

/** The numbers that programs and processes share; bpf/layout.gen.h has them in C. They only append: counters and flows of a release are read by the next. */

/** Where the words of the map `control` are. */
export const control = {
  mode: 0,
  /** One of so many packets that pass is told of while somebody looks; 0 = none. */
  sample: 1,
  /** Of the endpoints' policies: another number after each change of one, and never 0 again. */
  policies: 2,
  /** How many flows a pod may have; 0 = as many as there is room for. */
  flowLimit: 3,
  /** Four places, one for each that looks: when it last said so (in units of 2^20 ns, the high half) and its own `sample`; 0 = nobody. */
  monitors: 4,
} as const

/** Bits of the mode, which every program reads first. 0 = every packet goes on to the host stack, as if there were no program. */
export const mode = {
  /** Packets of a pod with another source than its own are dropped. */
  guard: 1,
  /** Packets go past the host stack. */
  forward: 2,
  policy: 4,
  /** For a minute after the switch: what goes on in the middle of an unknown flow goes to the host stack, which may be translating it. */
  learn: 8,
  service: 16,
  /** Somebody looks: what is dropped, and samples of what passes, are told of in `events`. */
  monitor: 32,
} as const

export const addressState = {
  live: 1,
  /** Left to the host stack. */
  stack: 2,
  /** Of a pod that has an ENI for itself: the endpoint is the number of its host end, and no entry of `endpoints`. */
  exclusive: 3,
} as const

/** What a key of `socket_peers` asks for (`spare0`). */
export const peerOf = {
  /** What the program of a socket believes to talk to, by the backend that it talks to. */
  backend: 0,
  /** To which backend the last datagram to this frontend went. */
  frontend: 1,
  /** The cookie of the network namespace that the socket is in, in the place of the address: a note of terwayd's, that connect4 fills in. */
  namespace: 2,
} as const

/** Whose network namespace is translated at its sockets. */
export const namespaceOf = {
  /** Ports on its loopback are ports of the node, and with affinity the node is one client. */
  node: 1,
  /** Its loopback is its own, and with affinity it is a client by itself. */
  pod: 2,
} as const

export const endpointFlag = {
  /** Its ingress is shaped by a queue at the host end, which a packet must not bypass. */
  shaped: 1,
} as const

/** Why a destination belongs to the host stack. */
export const hostReason = { node: 1, linkLocal: 2, multicast: 3, hostStackCidr: 4, serviceCidr: 5 } as const

export const flowState = { new: 1, open: 2, closing: 3, denied: 4 } as const
export const flowWay = { direct: 1, host: 2, service: 3 } as const
export const flowFlag = {
  remoteFirst: 1,
  answered: 2,
  localEnded: 4,
  remoteEnded: 8,
  imported: 16,
  /** A pod's flow to itself by way of a Service: its other side has the Service's address. */
  hairpin: 32,
  /** In the table of those in use, but not in use yet: it has a credit. */
  fresh: 64,
} as const
/** Of flow keys: kinds of `node_flows`. A pod that asks itself with one port for all has a flow of kind `backend`, too. */
export const flowKind = { pod: 0, client: 1, backend: 2 } as const

/** `table_sums`: of which table they are. */
export const sumOf = { flows: 0, newFlows: 1, nodeFlows: 2, newNodeFlows: 3 } as const
/**
 * `credits`: of flows and of node flows, four numbers each: how many were ever granted, how many of those are used, and how many entries terwayd has taken
 * away since they had theirs for too long.
 */
export const credits = { flows: 0, nodeFlows: 4, granted: 0, used: 1, removed: 2 } as const
/** `flows_made`: by what was decided of the first packet, three numbers each, for TCP, UDP, and whatever else. */
export const made = { direct: 0, host: 3, service: 6, denied: 9, client: 12 } as const

/** Who asks for a Service: the cluster's pods and the node itself, or somebody whose packet arrives at the node. */
export const serviceScope = { inside: 1, outside: 2 } as const
export const serviceFlag = {
  /** Without a backend packets are dropped silently, not refused: another node may have one. */
  local: 1,
  /** Only clients of `source_ranges` may come. */
  sourceRanges: 2,
  /** The backend follows from the client's address and port, not from chance: a Maglev table in the slots. */
  hashed: 4,
  /** The client's address is kept, also towards another node's backend: such a backend is not chosen. */
  keepSource: 8,
} as const
export const backendState = {
  active: 1,
  /** In no set of slots any more: its connections of TCP go on, everything else chooses anew. */
  draining: 2,
} as const
/** In the number of a slot. */
export const affinitySlot = 0x80000000
/** `service_states`: by which number what is said. */
export const serviceWord = {
  /** Not 0 once every Service that there was at the start is in the maps. */
  synced: 0,
  /**
   * Until when tables of connections are being replaced, in units of `seen`; some seconds at most. Entries may be missing for a moment: what is decided again is
   * decided the same then.
   */
  movingUntil: 1,
} as const

export const direction = { in: 1, out: 2 } as const
export const enforce = { in: 1, out: 2 } as const
export const verdict = { allow: 0, deny: 1 } as const
/**
 * How long a flow counts after its last packet, in seconds; later it is decided anew. A flow of TCP is open for long, since a table that is too full
 * evicts what is idle longest anyway.
 */
export const flowTimeout = { new: 60, open: 180, openTcp: 21600, closing: 30, denied: 60 } as const
/** Identities below 16 are reserved. */
export const reservedIdentity = { everybody: 0, host: 1, world: 2 } as const

/** Which way a packet went; the numbers of the map `paths`. */
export const path = {
  /** Left to the host stack because nothing here is for us: no such endpoint, another protocol, a mode that forwards nothing. */
  none: 0,
  podToRemote: 1,
  remoteToPod: 2,
  podToPod: 3,
  /** To the host stack because the destination is in the host set. */
  podToHost: 4,
  /** From the host stack to a pod. */
  hostToPod: 5,
  /** A flow that the host stack carries, sent by a pod. */
  podViaHost: 6,
  /** A flow that the host stack carries, or may carry, arriving on an ENI. */
  remoteViaHost: 7,
  /** Too long for the way out: the host stack fragments it or says so. */
  tooLong: 8,
  icmpError: 9,
  /** Delivered through the queue of the host end. */
  shaped: 10,
  /** A pod's packet to itself, by way of a Service. */
  hairpin: 11,
  /** What somebody asked the node for, to a pod here; to a backend that is elsewhere; to one on the node's own network. */
  nodeToPod: 12,
  nodeToRemote: 13,
  nodeToHost: 14,
  /** The answers of these: a pod's, another node's backend's, and the node's own. */
  podAnswersClient: 15,
  remoteAnswersClient: 16,
  hostAnswersClient: 17,
} as const

/** Of an event: which program had the packet, or the system call. */
export const hook = { podIn: 0, podOut: 1, eniIn: 2, nodeIn: 3, nodeOut: 4, socket: 5 } as const
/** `event_rates`: what the events are of. */
export const eventKind = { drop: 0, pass: 1 } as const
export const eventFlag = {
  /** The first packet of a flow to a Service. */
  first: 1,
  /** Of a system call: it sends a datagram, and connects nothing. */
  datagram: 2,
} as const

/** Why a packet was dropped, by number; the names are shown to users. 32–47 are of Services, 48–55 for trunk ENIs. */
export const dropReasons = {
  malformed: 1,
  'spoofed-source': 2,
  'spoofed-mac': 3,
  'fragment-without-first': 4,
  'policy-egress': 5,
  'policy-ingress': 6,
  'denied-flow': 7,
  'neighbour-discovery': 8,
  'icmp-unrelated': 9,
  /** The pod has as many flows as it may have. */
  'flow-limit': 10,
  /** Refused: the client is told so, unless another node may have a backend. */
  'service-without-backend': 32,
  'service-source-range': 33,
  /** No port of the node is free towards this backend. */
  'service-nat-ports': 34,
  /** The translated flow would be one that is in use. */
  'service-collision': 35,
  /** An address of Services that no Service has. */
  'service-unknown': 36,
  'service-translation-failed': 37,
  /** Its hop limit would be used up on the way to another node. */
  'service-hop-limit': 38,
} as const

/** Shared filter blocks that devices join: the numbers of what runs at each hook. */
export const block = { podIn: 0x7e770001, podOut: 0x7e770002, eniIn: 0x7e770003, nodeIn: 0x7e770004, nodeOut: 0x7e770005 } as const
/** A packet that our own redirect put before the queue of a host end: pod_out lets it pass and takes the mark away. */
export const ownMark = 0x7e770000
