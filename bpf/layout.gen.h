/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generated from src/kernel/bpf by tools/bpf/header.ts; do not edit. */
#pragma once
#include <linux/types.h>

struct address {
  __u32 endpoint;
  __u32 incarnation;
  __u32 state;
  __u32 spare;
};
_Static_assert(__builtin_offsetof(struct address, endpoint) == 0, "");
_Static_assert(__builtin_offsetof(struct address, incarnation) == 4, "");
_Static_assert(__builtin_offsetof(struct address, state) == 8, "");
_Static_assert(__builtin_offsetof(struct address, spare) == 12, "");
_Static_assert(sizeof(struct address) == 16, "");

struct address_key {
  __be32 ip[4];
};
_Static_assert(__builtin_offsetof(struct address_key, ip) == 0, "");
_Static_assert(sizeof(struct address_key) == 16, "");

struct counter {
  __u64 packets;
  __u64 bytes;
};
_Static_assert(__builtin_offsetof(struct counter, packets) == 0, "");
_Static_assert(__builtin_offsetof(struct counter, bytes) == 8, "");
_Static_assert(sizeof(struct counter) == 16, "");

struct endpoint {
  __u32 incarnation;
  __u32 out_if_index;
  __u8 pod_mac[6];
  __u8 host_mac[6];
  __u16 mtu;
  __u16 out_mtu;
  __u32 flags;
  __u16 vlan;
  __u16 spare0;
  __be32 address4;
  __be32 gateway4;
  __be32 address6[4];
  __be32 gateway6[4];
  __u64 spare1;
  __u64 spare2;
  __u64 spare3;
};
_Static_assert(__builtin_offsetof(struct endpoint, incarnation) == 0, "");
_Static_assert(__builtin_offsetof(struct endpoint, out_if_index) == 4, "");
_Static_assert(__builtin_offsetof(struct endpoint, pod_mac) == 8, "");
_Static_assert(__builtin_offsetof(struct endpoint, host_mac) == 14, "");
_Static_assert(__builtin_offsetof(struct endpoint, mtu) == 20, "");
_Static_assert(__builtin_offsetof(struct endpoint, out_mtu) == 22, "");
_Static_assert(__builtin_offsetof(struct endpoint, flags) == 24, "");
_Static_assert(__builtin_offsetof(struct endpoint, vlan) == 28, "");
_Static_assert(__builtin_offsetof(struct endpoint, spare0) == 30, "");
_Static_assert(__builtin_offsetof(struct endpoint, address4) == 32, "");
_Static_assert(__builtin_offsetof(struct endpoint, gateway4) == 36, "");
_Static_assert(__builtin_offsetof(struct endpoint, address6) == 40, "");
_Static_assert(__builtin_offsetof(struct endpoint, gateway6) == 56, "");
_Static_assert(__builtin_offsetof(struct endpoint, spare1) == 72, "");
_Static_assert(__builtin_offsetof(struct endpoint, spare2) == 80, "");
_Static_assert(__builtin_offsetof(struct endpoint, spare3) == 88, "");
_Static_assert(sizeof(struct endpoint) == 96, "");

struct endpoint_counter {
  __u64 tx_packets;
  __u64 tx_bytes;
  __u64 rx_packets;
  __u64 rx_bytes;
};
_Static_assert(__builtin_offsetof(struct endpoint_counter, tx_packets) == 0, "");
_Static_assert(__builtin_offsetof(struct endpoint_counter, tx_bytes) == 8, "");
_Static_assert(__builtin_offsetof(struct endpoint_counter, rx_packets) == 16, "");
_Static_assert(__builtin_offsetof(struct endpoint_counter, rx_bytes) == 24, "");
_Static_assert(sizeof(struct endpoint_counter) == 32, "");

struct endpoint_key {
  __u32 if_index;
};
_Static_assert(__builtin_offsetof(struct endpoint_key, if_index) == 0, "");
_Static_assert(sizeof(struct endpoint_key) == 4, "");

struct endpoint_policy {
  __u32 policy;
  __u32 revision;
  __u32 enforce;
  __u32 spare;
};
_Static_assert(__builtin_offsetof(struct endpoint_policy, policy) == 0, "");
_Static_assert(__builtin_offsetof(struct endpoint_policy, revision) == 4, "");
_Static_assert(__builtin_offsetof(struct endpoint_policy, enforce) == 8, "");
_Static_assert(__builtin_offsetof(struct endpoint_policy, spare) == 12, "");
_Static_assert(sizeof(struct endpoint_policy) == 16, "");

struct flow {
  __u32 seen;
  __u8 state;
  __u8 way;
  __u8 flags;
  __u8 reason;
  __u32 policy_revision;
  __u32 local_incarnation;
  __u32 peer_incarnation;
  __u32 peer;
  __u32 rev_nat;
  __u32 backend;
  __u64 tx_bytes;
  __u64 rx_bytes;
  __u32 tx_packets;
  __u32 rx_packets;
  __u32 identity;
  __be16 nat_port;
  __u16 spare;
};
_Static_assert(__builtin_offsetof(struct flow, seen) == 0, "");
_Static_assert(__builtin_offsetof(struct flow, state) == 4, "");
_Static_assert(__builtin_offsetof(struct flow, way) == 5, "");
_Static_assert(__builtin_offsetof(struct flow, flags) == 6, "");
_Static_assert(__builtin_offsetof(struct flow, reason) == 7, "");
_Static_assert(__builtin_offsetof(struct flow, policy_revision) == 8, "");
_Static_assert(__builtin_offsetof(struct flow, local_incarnation) == 12, "");
_Static_assert(__builtin_offsetof(struct flow, peer_incarnation) == 16, "");
_Static_assert(__builtin_offsetof(struct flow, peer) == 20, "");
_Static_assert(__builtin_offsetof(struct flow, rev_nat) == 24, "");
_Static_assert(__builtin_offsetof(struct flow, backend) == 28, "");
_Static_assert(__builtin_offsetof(struct flow, tx_bytes) == 32, "");
_Static_assert(__builtin_offsetof(struct flow, rx_bytes) == 40, "");
_Static_assert(__builtin_offsetof(struct flow, tx_packets) == 48, "");
_Static_assert(__builtin_offsetof(struct flow, rx_packets) == 52, "");
_Static_assert(__builtin_offsetof(struct flow, identity) == 56, "");
_Static_assert(__builtin_offsetof(struct flow, nat_port) == 60, "");
_Static_assert(__builtin_offsetof(struct flow, spare) == 62, "");
_Static_assert(sizeof(struct flow) == 64, "");

struct flow_key {
  __be32 local[4];
  __be32 remote[4];
  __be16 local_port;
  __be16 remote_port;
  __u8 protocol;
  __u8 kind;
  __u16 spare;
};
_Static_assert(__builtin_offsetof(struct flow_key, local) == 0, "");
_Static_assert(__builtin_offsetof(struct flow_key, remote) == 16, "");
_Static_assert(__builtin_offsetof(struct flow_key, local_port) == 32, "");
_Static_assert(__builtin_offsetof(struct flow_key, remote_port) == 34, "");
_Static_assert(__builtin_offsetof(struct flow_key, protocol) == 36, "");
_Static_assert(__builtin_offsetof(struct flow_key, kind) == 37, "");
_Static_assert(__builtin_offsetof(struct flow_key, spare) == 38, "");
_Static_assert(sizeof(struct flow_key) == 40, "");

struct fragment {
  __be16 source_port;
  __be16 destination_port;
  __u32 seen;
};
_Static_assert(__builtin_offsetof(struct fragment, source_port) == 0, "");
_Static_assert(__builtin_offsetof(struct fragment, destination_port) == 2, "");
_Static_assert(__builtin_offsetof(struct fragment, seen) == 4, "");
_Static_assert(sizeof(struct fragment) == 8, "");

struct fragment_key {
  __be32 source[4];
  __be32 destination[4];
  __u32 id;
  __u8 protocol;
  __u8 spare0;
  __u16 spare1;
};
_Static_assert(__builtin_offsetof(struct fragment_key, source) == 0, "");
_Static_assert(__builtin_offsetof(struct fragment_key, destination) == 16, "");
_Static_assert(__builtin_offsetof(struct fragment_key, id) == 32, "");
_Static_assert(__builtin_offsetof(struct fragment_key, protocol) == 36, "");
_Static_assert(__builtin_offsetof(struct fragment_key, spare0) == 37, "");
_Static_assert(__builtin_offsetof(struct fragment_key, spare1) == 38, "");
_Static_assert(sizeof(struct fragment_key) == 40, "");

struct host_note {
  __u32 seen;
  __u32 incarnation;
};
_Static_assert(__builtin_offsetof(struct host_note, seen) == 0, "");
_Static_assert(__builtin_offsetof(struct host_note, incarnation) == 4, "");
_Static_assert(sizeof(struct host_note) == 8, "");

struct host_note_key {
  __be32 local[4];
  __be16 local_port;
  __u8 protocol;
  __u8 spare;
};
_Static_assert(__builtin_offsetof(struct host_note_key, local) == 0, "");
_Static_assert(__builtin_offsetof(struct host_note_key, local_port) == 16, "");
_Static_assert(__builtin_offsetof(struct host_note_key, protocol) == 18, "");
_Static_assert(__builtin_offsetof(struct host_note_key, spare) == 19, "");
_Static_assert(sizeof(struct host_note_key) == 20, "");

struct host_set {
  __u32 why;
};
_Static_assert(__builtin_offsetof(struct host_set, why) == 0, "");
_Static_assert(sizeof(struct host_set) == 4, "");

struct identity {
  __u32 identity;
  __u32 spare;
};
_Static_assert(__builtin_offsetof(struct identity, identity) == 0, "");
_Static_assert(__builtin_offsetof(struct identity, spare) == 4, "");
_Static_assert(sizeof(struct identity) == 8, "");

struct index {
  __u32 index;
};
_Static_assert(__builtin_offsetof(struct index, index) == 0, "");
_Static_assert(sizeof(struct index) == 4, "");

struct policy {
  __u8 verdict;
  __u8 flags;
  __u16 spare;
  __u32 rule;
};
_Static_assert(__builtin_offsetof(struct policy, verdict) == 0, "");
_Static_assert(__builtin_offsetof(struct policy, flags) == 1, "");
_Static_assert(__builtin_offsetof(struct policy, spare) == 2, "");
_Static_assert(__builtin_offsetof(struct policy, rule) == 4, "");
_Static_assert(sizeof(struct policy) == 8, "");

struct policy_key {
  __u32 prefix_length;
  __u32 policy;
  __u32 identity;
  __u8 direction;
  __u8 protocol;
  __be16 port;
};
_Static_assert(__builtin_offsetof(struct policy_key, prefix_length) == 0, "");
_Static_assert(__builtin_offsetof(struct policy_key, policy) == 4, "");
_Static_assert(__builtin_offsetof(struct policy_key, identity) == 8, "");
_Static_assert(__builtin_offsetof(struct policy_key, direction) == 12, "");
_Static_assert(__builtin_offsetof(struct policy_key, protocol) == 13, "");
_Static_assert(__builtin_offsetof(struct policy_key, port) == 14, "");
_Static_assert(sizeof(struct policy_key) == 16, "");

struct prefix_key {
  __u32 prefix_length;
  __be32 ip[4];
};
_Static_assert(__builtin_offsetof(struct prefix_key, prefix_length) == 0, "");
_Static_assert(__builtin_offsetof(struct prefix_key, ip) == 4, "");
_Static_assert(sizeof(struct prefix_key) == 20, "");

struct word {
  __u64 value;
};
_Static_assert(__builtin_offsetof(struct word, value) == 0, "");
_Static_assert(sizeof(struct word) == 8, "");

enum {
  ADDRESS_STATE_LIVE = 1,
  ADDRESS_STATE_STACK = 2,
};

enum {
  BLOCK_POD_IN = 0x7e770001,
  BLOCK_POD_OUT = 0x7e770002,
  BLOCK_ENI_IN = 0x7e770003,
};

enum {
  CONTROL_MODE = 0,
};

enum {
  DIRECTION_IN = 1,
  DIRECTION_OUT = 2,
};

enum {
  DROP_MALFORMED = 1,
  DROP_SPOOFED_SOURCE = 2,
  DROP_SPOOFED_MAC = 3,
  DROP_FRAGMENT_WITHOUT_FIRST = 4,
  DROP_POLICY_EGRESS = 5,
  DROP_POLICY_INGRESS = 6,
  DROP_DENIED_FLOW = 7,
  DROP_NEIGHBOUR_DISCOVERY = 8,
  DROP_ICMP_UNRELATED = 9,
};

enum {
  ENDPOINT_FLAG_SHAPED = 1,
};

enum {
  ENFORCE_IN = 1,
  ENFORCE_OUT = 2,
};

enum {
  FLOW_FLAG_REMOTE_FIRST = 1,
  FLOW_FLAG_ANSWERED = 2,
  FLOW_FLAG_LOCAL_ENDED = 4,
  FLOW_FLAG_REMOTE_ENDED = 8,
  FLOW_FLAG_IMPORTED = 16,
};

enum {
  FLOW_STATE_NEW = 1,
  FLOW_STATE_OPEN = 2,
  FLOW_STATE_CLOSING = 3,
  FLOW_STATE_DENIED = 4,
};

enum {
  FLOW_TIMEOUT_NEW = 60,
  FLOW_TIMEOUT_OPEN = 180,
  FLOW_TIMEOUT_OPEN_TCP = 21600,
  FLOW_TIMEOUT_CLOSING = 30,
  FLOW_TIMEOUT_DENIED = 60,
};

enum {
  FLOW_WAY_DIRECT = 1,
  FLOW_WAY_HOST = 2,
  FLOW_WAY_SERVICE = 3,
};

enum {
  HOST_REASON_NODE = 1,
  HOST_REASON_LINK_LOCAL = 2,
  HOST_REASON_MULTICAST = 3,
  HOST_REASON_HOST_STACK_CIDR = 4,
  HOST_REASON_SERVICE_CIDR = 5,
};

enum {
  MODE_GUARD = 1,
  MODE_FORWARD = 2,
  MODE_POLICY = 4,
  MODE_LEARN = 8,
  MODE_SERVICE = 16,
  MODE_MONITOR = 32,
};

enum {
  PATH_NONE = 0,
  PATH_POD_TO_REMOTE = 1,
  PATH_REMOTE_TO_POD = 2,
  PATH_POD_TO_POD = 3,
  PATH_POD_TO_HOST = 4,
  PATH_HOST_TO_POD = 5,
  PATH_POD_VIA_HOST = 6,
  PATH_REMOTE_VIA_HOST = 7,
  PATH_TOO_LONG = 8,
  PATH_ICMP_ERROR = 9,
  PATH_SHAPED = 10,
};

enum {
  RESERVED_IDENTITY_EVERYBODY = 0,
  RESERVED_IDENTITY_HOST = 1,
  RESERVED_IDENTITY_WORLD = 2,
};

enum {
  VERDICT_ALLOW = 0,
  VERDICT_DENY = 1,
};

#define OWN_MARK 0x7e770000

/* Each is created by the loader from src/kernel/bpf/maps.ts; here the compiler learns its name and its types. */
#define MAP(name, key_type, value_type) \
  struct { key_type *key; value_type *value; } name __attribute__((section(".maps"), used))
MAP(control, struct index, struct word); /* array, 8 entries */
MAP(endpoints, struct endpoint_key, struct endpoint); /* hash, 4096 entries */
MAP(addresses, struct address_key, struct address); /* hash, 8192 entries */
MAP(host_set, struct prefix_key, struct host_set); /* lpmTrie, 1024 entries */
MAP(flows, struct flow_key, struct flow); /* lruHash, 131072 entries */
MAP(new_flows, struct flow_key, struct flow); /* lruHash, 32768 entries */
MAP(host_notes, struct host_note_key, struct host_note); /* lruHash, 65536 entries */
MAP(fragments, struct fragment_key, struct fragment); /* lruHash, 8192 entries */
MAP(drops, struct index, struct counter); /* percpuArray, 64 entries */
MAP(paths, struct index, struct counter); /* percpuArray, 32 entries */
MAP(endpoint_counters, struct endpoint_key, struct endpoint_counter); /* percpuHash, 4096 entries */
MAP(endpoint_policies, struct endpoint_key, struct endpoint_policy); /* hash, 4096 entries */
MAP(identities, struct prefix_key, struct identity); /* lpmTrie, 65536 entries */
MAP(policies, struct policy_key, struct policy); /* lpmTrie, 65536 entries */
