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

struct affinity {
  __u32 backend;
  __u32 seen;
};
_Static_assert(__builtin_offsetof(struct affinity, backend) == 0, "");
_Static_assert(__builtin_offsetof(struct affinity, seen) == 4, "");
_Static_assert(sizeof(struct affinity) == 8, "");

struct affinity_key {
  __be32 client[4];
  __u32 set;
};
_Static_assert(__builtin_offsetof(struct affinity_key, client) == 0, "");
_Static_assert(__builtin_offsetof(struct affinity_key, set) == 16, "");
_Static_assert(sizeof(struct affinity_key) == 20, "");

struct backend {
  __be32 ip[4];
  __be16 port;
  __u8 protocol;
  __u8 state;
  __u32 spare;
};
_Static_assert(__builtin_offsetof(struct backend, ip) == 0, "");
_Static_assert(__builtin_offsetof(struct backend, port) == 16, "");
_Static_assert(__builtin_offsetof(struct backend, protocol) == 18, "");
_Static_assert(__builtin_offsetof(struct backend, state) == 19, "");
_Static_assert(__builtin_offsetof(struct backend, spare) == 20, "");
_Static_assert(sizeof(struct backend) == 24, "");

struct backend_key {
  __u32 backend;
};
_Static_assert(__builtin_offsetof(struct backend_key, backend) == 0, "");
_Static_assert(sizeof(struct backend_key) == 4, "");

struct backend_set {
  __u32 count;
  __u32 spare;
};
_Static_assert(__builtin_offsetof(struct backend_set, count) == 0, "");
_Static_assert(__builtin_offsetof(struct backend_set, spare) == 4, "");
_Static_assert(sizeof(struct backend_set) == 8, "");

struct backend_set_key {
  __u32 set;
};
_Static_assert(__builtin_offsetof(struct backend_set_key, set) == 0, "");
_Static_assert(sizeof(struct backend_set_key) == 4, "");

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

struct endpoint_flows {
  __u32 live;
  __u32 spare;
  __u64 refused;
};
_Static_assert(__builtin_offsetof(struct endpoint_flows, live) == 0, "");
_Static_assert(__builtin_offsetof(struct endpoint_flows, spare) == 4, "");
_Static_assert(__builtin_offsetof(struct endpoint_flows, refused) == 8, "");
_Static_assert(sizeof(struct endpoint_flows) == 16, "");

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

struct event {
  __u64 time;
  __u32 if_index;
  __u32 endpoint;
  __u32 target;
  __u32 frontend;
  __u32 length;
  __be32 source[4];
  __be32 destination[4];
  __be16 source_port;
  __be16 destination_port;
  __u8 reason;
  __u8 path;
  __u8 hook;
  __u8 protocol;
  __u8 tcp_flags;
  __u8 icmp_type;
  __u8 flags;
  __u8 spare0;
  __u32 pid;
  char task[16];
  __u32 spare1;
};
_Static_assert(__builtin_offsetof(struct event, time) == 0, "");
_Static_assert(__builtin_offsetof(struct event, if_index) == 8, "");
_Static_assert(__builtin_offsetof(struct event, endpoint) == 12, "");
_Static_assert(__builtin_offsetof(struct event, target) == 16, "");
_Static_assert(__builtin_offsetof(struct event, frontend) == 20, "");
_Static_assert(__builtin_offsetof(struct event, length) == 24, "");
_Static_assert(__builtin_offsetof(struct event, source) == 28, "");
_Static_assert(__builtin_offsetof(struct event, destination) == 44, "");
_Static_assert(__builtin_offsetof(struct event, source_port) == 60, "");
_Static_assert(__builtin_offsetof(struct event, destination_port) == 62, "");
_Static_assert(__builtin_offsetof(struct event, reason) == 64, "");
_Static_assert(__builtin_offsetof(struct event, path) == 65, "");
_Static_assert(__builtin_offsetof(struct event, hook) == 66, "");
_Static_assert(__builtin_offsetof(struct event, protocol) == 67, "");
_Static_assert(__builtin_offsetof(struct event, tcp_flags) == 68, "");
_Static_assert(__builtin_offsetof(struct event, icmp_type) == 69, "");
_Static_assert(__builtin_offsetof(struct event, flags) == 70, "");
_Static_assert(__builtin_offsetof(struct event, spare0) == 71, "");
_Static_assert(__builtin_offsetof(struct event, pid) == 72, "");
_Static_assert(__builtin_offsetof(struct event, task) == 76, "");
_Static_assert(__builtin_offsetof(struct event, spare1) == 92, "");
_Static_assert(sizeof(struct event) == 96, "");

struct event_rate {
  __u64 last;
  __u64 untold;
};
_Static_assert(__builtin_offsetof(struct event_rate, last) == 0, "");
_Static_assert(__builtin_offsetof(struct event_rate, untold) == 8, "");
_Static_assert(sizeof(struct event_rate) == 16, "");

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
  __u32 frontend;
  __u32 backend;
  __u64 tx_bytes;
  __u64 rx_bytes;
  __u32 tx_packets;
  __u32 rx_packets;
  __u32 identity;
  __u32 checked;
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
_Static_assert(__builtin_offsetof(struct flow, frontend) == 24, "");
_Static_assert(__builtin_offsetof(struct flow, backend) == 28, "");
_Static_assert(__builtin_offsetof(struct flow, tx_bytes) == 32, "");
_Static_assert(__builtin_offsetof(struct flow, rx_bytes) == 40, "");
_Static_assert(__builtin_offsetof(struct flow, tx_packets) == 48, "");
_Static_assert(__builtin_offsetof(struct flow, rx_packets) == 52, "");
_Static_assert(__builtin_offsetof(struct flow, identity) == 56, "");
_Static_assert(__builtin_offsetof(struct flow, checked) == 60, "");
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

struct frontend {
  __be32 ip[4];
  __be16 port;
  __u8 protocol;
  __u8 spare0;
  __u32 spare1;
};
_Static_assert(__builtin_offsetof(struct frontend, ip) == 0, "");
_Static_assert(__builtin_offsetof(struct frontend, port) == 16, "");
_Static_assert(__builtin_offsetof(struct frontend, protocol) == 18, "");
_Static_assert(__builtin_offsetof(struct frontend, spare0) == 19, "");
_Static_assert(__builtin_offsetof(struct frontend, spare1) == 20, "");
_Static_assert(sizeof(struct frontend) == 24, "");

struct frontend_key {
  __u32 frontend;
};
_Static_assert(__builtin_offsetof(struct frontend_key, frontend) == 0, "");
_Static_assert(sizeof(struct frontend_key) == 4, "");

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

struct netns {
  __u32 translated;
};
_Static_assert(__builtin_offsetof(struct netns, translated) == 0, "");
_Static_assert(sizeof(struct netns) == 4, "");

struct netns_key {
  __u64 cookie;
};
_Static_assert(__builtin_offsetof(struct netns_key, cookie) == 0, "");
_Static_assert(sizeof(struct netns_key) == 8, "");

struct no_key {
};
_Static_assert(sizeof(struct no_key) == 0, "");

struct node_config {
  __u32 if_index;
  __be32 address4;
  __be32 address6[4];
  __u16 nat_port_first;
  __u16 nat_port_last;
  __u32 spare0;
  __u64 spare1;
  __u64 spare2;
};
_Static_assert(__builtin_offsetof(struct node_config, if_index) == 0, "");
_Static_assert(__builtin_offsetof(struct node_config, address4) == 4, "");
_Static_assert(__builtin_offsetof(struct node_config, address6) == 8, "");
_Static_assert(__builtin_offsetof(struct node_config, nat_port_first) == 24, "");
_Static_assert(__builtin_offsetof(struct node_config, nat_port_last) == 26, "");
_Static_assert(__builtin_offsetof(struct node_config, spare0) == 28, "");
_Static_assert(__builtin_offsetof(struct node_config, spare1) == 32, "");
_Static_assert(__builtin_offsetof(struct node_config, spare2) == 40, "");
_Static_assert(sizeof(struct node_config) == 48, "");

struct node_flow {
  __u32 seen;
  __u8 state;
  __u8 flags;
  __be16 client_port;
  __be32 client[4];
  __u32 frontend;
  __u32 backend;
  __be16 nat_port;
  __u16 spare0;
  __u32 packets;
  __u64 bytes;
  __u64 spare1;
};
_Static_assert(__builtin_offsetof(struct node_flow, seen) == 0, "");
_Static_assert(__builtin_offsetof(struct node_flow, state) == 4, "");
_Static_assert(__builtin_offsetof(struct node_flow, flags) == 5, "");
_Static_assert(__builtin_offsetof(struct node_flow, client_port) == 6, "");
_Static_assert(__builtin_offsetof(struct node_flow, client) == 8, "");
_Static_assert(__builtin_offsetof(struct node_flow, frontend) == 24, "");
_Static_assert(__builtin_offsetof(struct node_flow, backend) == 28, "");
_Static_assert(__builtin_offsetof(struct node_flow, nat_port) == 32, "");
_Static_assert(__builtin_offsetof(struct node_flow, spare0) == 34, "");
_Static_assert(__builtin_offsetof(struct node_flow, packets) == 36, "");
_Static_assert(__builtin_offsetof(struct node_flow, bytes) == 40, "");
_Static_assert(__builtin_offsetof(struct node_flow, spare1) == 48, "");
_Static_assert(sizeof(struct node_flow) == 56, "");

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

struct service {
  __u32 set;
  __u32 frontend;
  __u32 flags;
  __u32 affinity_seconds;
  __u32 spare0;
  __u32 spare1;
};
_Static_assert(__builtin_offsetof(struct service, set) == 0, "");
_Static_assert(__builtin_offsetof(struct service, frontend) == 4, "");
_Static_assert(__builtin_offsetof(struct service, flags) == 8, "");
_Static_assert(__builtin_offsetof(struct service, affinity_seconds) == 12, "");
_Static_assert(__builtin_offsetof(struct service, spare0) == 16, "");
_Static_assert(__builtin_offsetof(struct service, spare1) == 20, "");
_Static_assert(sizeof(struct service) == 24, "");

struct service_key {
  __be32 ip[4];
  __be16 port;
  __u8 protocol;
  __u8 scope;
};
_Static_assert(__builtin_offsetof(struct service_key, ip) == 0, "");
_Static_assert(__builtin_offsetof(struct service_key, port) == 16, "");
_Static_assert(__builtin_offsetof(struct service_key, protocol) == 18, "");
_Static_assert(__builtin_offsetof(struct service_key, scope) == 19, "");
_Static_assert(sizeof(struct service_key) == 20, "");

struct service_state {
  __u64 value;
};
_Static_assert(__builtin_offsetof(struct service_state, value) == 0, "");
_Static_assert(sizeof(struct service_state) == 8, "");

struct slot {
  __u32 backend;
};
_Static_assert(__builtin_offsetof(struct slot, backend) == 0, "");
_Static_assert(sizeof(struct slot) == 4, "");

struct slot_key {
  __u32 set;
  __u32 slot;
};
_Static_assert(__builtin_offsetof(struct slot_key, set) == 0, "");
_Static_assert(__builtin_offsetof(struct slot_key, slot) == 4, "");
_Static_assert(sizeof(struct slot_key) == 8, "");

struct socket_key {
  __u64 cookie;
  __be32 ip[4];
  __be16 port;
  __u16 spare0;
  __u32 spare1;
};
_Static_assert(__builtin_offsetof(struct socket_key, cookie) == 0, "");
_Static_assert(__builtin_offsetof(struct socket_key, ip) == 8, "");
_Static_assert(__builtin_offsetof(struct socket_key, port) == 24, "");
_Static_assert(__builtin_offsetof(struct socket_key, spare0) == 26, "");
_Static_assert(__builtin_offsetof(struct socket_key, spare1) == 28, "");
_Static_assert(sizeof(struct socket_key) == 32, "");

struct socket_peer {
  __be32 ip[4];
  __be16 port;
  __u16 spare;
  __u32 backend;
};
_Static_assert(__builtin_offsetof(struct socket_peer, ip) == 0, "");
_Static_assert(__builtin_offsetof(struct socket_peer, port) == 16, "");
_Static_assert(__builtin_offsetof(struct socket_peer, spare) == 18, "");
_Static_assert(__builtin_offsetof(struct socket_peer, backend) == 20, "");
_Static_assert(sizeof(struct socket_peer) == 24, "");

struct source_range {
  __u32 allowed;
};
_Static_assert(__builtin_offsetof(struct source_range, allowed) == 0, "");
_Static_assert(sizeof(struct source_range) == 4, "");

struct source_range_key {
  __u32 prefix_length;
  __u32 frontend;
  __be32 ip[4];
};
_Static_assert(__builtin_offsetof(struct source_range_key, prefix_length) == 0, "");
_Static_assert(__builtin_offsetof(struct source_range_key, frontend) == 4, "");
_Static_assert(__builtin_offsetof(struct source_range_key, ip) == 8, "");
_Static_assert(sizeof(struct source_range_key) == 24, "");

struct table_sums {
  __u32 credits;
  __u32 spare;
  __u64 put;
  __u64 taken;
};
_Static_assert(__builtin_offsetof(struct table_sums, credits) == 0, "");
_Static_assert(__builtin_offsetof(struct table_sums, spare) == 4, "");
_Static_assert(__builtin_offsetof(struct table_sums, put) == 8, "");
_Static_assert(__builtin_offsetof(struct table_sums, taken) == 16, "");
_Static_assert(sizeof(struct table_sums) == 24, "");

struct word {
  __u64 value;
};
_Static_assert(__builtin_offsetof(struct word, value) == 0, "");
_Static_assert(sizeof(struct word) == 8, "");

enum {
  ADDRESS_STATE_LIVE = 1,
  ADDRESS_STATE_STACK = 2,
  ADDRESS_STATE_EXCLUSIVE = 3,
};

enum {
  BACKEND_STATE_ACTIVE = 1,
  BACKEND_STATE_DRAINING = 2,
};

enum {
  BLOCK_POD_IN = 0x7e770001,
  BLOCK_POD_OUT = 0x7e770002,
  BLOCK_ENI_IN = 0x7e770003,
  BLOCK_NODE_IN = 0x7e770004,
  BLOCK_NODE_OUT = 0x7e770005,
};

enum {
  CONTROL_MODE = 0,
  CONTROL_SAMPLE = 1,
  CONTROL_POLICIES = 2,
  CONTROL_FLOW_LIMIT = 3,
  CONTROL_MONITORS = 4,
};

enum {
  CREDITS_FLOWS = 0,
  CREDITS_NODE_FLOWS = 4,
  CREDITS_GRANTED = 0,
  CREDITS_USED = 1,
  CREDITS_REMOVED = 2,
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
  DROP_FLOW_LIMIT = 10,
  DROP_SERVICE_WITHOUT_BACKEND = 32,
  DROP_SERVICE_SOURCE_RANGE = 33,
  DROP_SERVICE_NAT_PORTS = 34,
  DROP_SERVICE_COLLISION = 35,
  DROP_SERVICE_UNKNOWN = 36,
  DROP_SERVICE_TRANSLATION_FAILED = 37,
  DROP_SERVICE_HOP_LIMIT = 38,
};

enum {
  ENDPOINT_FLAG_SHAPED = 1,
};

enum {
  ENFORCE_IN = 1,
  ENFORCE_OUT = 2,
};

enum {
  EVENT_FLAG_FIRST = 1,
  EVENT_FLAG_DATAGRAM = 2,
};

enum {
  EVENT_KIND_DROP = 0,
  EVENT_KIND_PASS = 1,
};

enum {
  FLOW_FLAG_REMOTE_FIRST = 1,
  FLOW_FLAG_ANSWERED = 2,
  FLOW_FLAG_LOCAL_ENDED = 4,
  FLOW_FLAG_REMOTE_ENDED = 8,
  FLOW_FLAG_IMPORTED = 16,
  FLOW_FLAG_HAIRPIN = 32,
  FLOW_FLAG_FRESH = 64,
};

enum {
  FLOW_KIND_POD = 0,
  FLOW_KIND_CLIENT = 1,
  FLOW_KIND_BACKEND = 2,
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
  HOOK_POD_IN = 0,
  HOOK_POD_OUT = 1,
  HOOK_ENI_IN = 2,
  HOOK_NODE_IN = 3,
  HOOK_NODE_OUT = 4,
  HOOK_SOCKET = 5,
};

enum {
  HOST_REASON_NODE = 1,
  HOST_REASON_LINK_LOCAL = 2,
  HOST_REASON_MULTICAST = 3,
  HOST_REASON_HOST_STACK_CIDR = 4,
  HOST_REASON_SERVICE_CIDR = 5,
};

enum {
  MADE_DIRECT = 0,
  MADE_HOST = 3,
  MADE_SERVICE = 6,
  MADE_DENIED = 9,
  MADE_CLIENT = 12,
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
  NAMESPACE_OF_NODE = 1,
  NAMESPACE_OF_POD = 2,
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
  PATH_HAIRPIN = 11,
  PATH_NODE_TO_POD = 12,
  PATH_NODE_TO_REMOTE = 13,
  PATH_NODE_TO_HOST = 14,
  PATH_POD_ANSWERS_CLIENT = 15,
  PATH_REMOTE_ANSWERS_CLIENT = 16,
  PATH_HOST_ANSWERS_CLIENT = 17,
};

enum {
  PEER_OF_BACKEND = 0,
  PEER_OF_FRONTEND = 1,
  PEER_OF_NAMESPACE = 2,
};

enum {
  RESERVED_IDENTITY_EVERYBODY = 0,
  RESERVED_IDENTITY_HOST = 1,
  RESERVED_IDENTITY_WORLD = 2,
};

enum {
  SERVICE_FLAG_LOCAL = 1,
  SERVICE_FLAG_SOURCE_RANGES = 2,
  SERVICE_FLAG_HASHED = 4,
  SERVICE_FLAG_KEEP_SOURCE = 8,
};

enum {
  SERVICE_SCOPE_INSIDE = 1,
  SERVICE_SCOPE_OUTSIDE = 2,
};

enum {
  SERVICE_WORD_SYNCED = 0,
  SERVICE_WORD_MOVING_UNTIL = 1,
};

enum {
  SUM_OF_FLOWS = 0,
  SUM_OF_NEW_FLOWS = 1,
  SUM_OF_NODE_FLOWS = 2,
  SUM_OF_NEW_NODE_FLOWS = 3,
};

enum {
  VERDICT_ALLOW = 0,
  VERDICT_DENY = 1,
};

#define AFFINITY_SLOT 0x80000000
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
MAP(services, struct service_key, struct service); /* hash, 65536 entries */
MAP(frontends, struct frontend_key, struct frontend); /* hash, 65536 entries */
MAP(backend_sets, struct backend_set_key, struct backend_set); /* hash, 65536 entries */
MAP(backend_slots, struct slot_key, struct slot); /* hash, 524288 entries */
MAP(backends, struct backend_key, struct backend); /* hash, 131072 entries */
MAP(affinities, struct affinity_key, struct affinity); /* lruHash, 32768 entries */
MAP(source_ranges, struct source_range_key, struct source_range); /* lpmTrie, 16384 entries */
MAP(service_states, struct index, struct service_state); /* array, 8 entries */
MAP(node_configs, struct index, struct node_config); /* array, 1 entries */
MAP(node_flows, struct flow_key, struct node_flow); /* lruHash, 65536 entries */
MAP(new_node_flows, struct flow_key, struct node_flow); /* lruHash, 32768 entries */
MAP(socket_peers, struct socket_key, struct socket_peer); /* lruHash, 16384 entries */
MAP(namespaces, struct netns_key, struct netns); /* hash, 256 entries */
MAP(events, struct no_key, struct event); /* ringBuffer, 262144 entries */
MAP(credits, struct index, struct word); /* array, 8 entries */
MAP(table_sums, struct index, struct table_sums); /* percpuArray, 4 entries */
MAP(flows_made, struct index, struct word); /* percpuArray, 15 entries */
MAP(endpoint_flows, struct endpoint_key, struct endpoint_flows); /* hash, 4096 entries */
MAP(event_rates, struct index, struct event_rate); /* percpuArray, 2 entries */
