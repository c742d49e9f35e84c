/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How many flows a pod may have, where there is a limit. Its number goes up with each that begins and down with each that ends; those that time out, or are
 * evicted, terwayd takes off when it counts the tables. What goes on in the middle of a connection is never refused: its entry may have been evicted.
 */
#pragma once
#include "policy.h"

INLINE struct endpoint_flows *find_endpoint_flows(__u32 number) {
  struct endpoint_key key = {number};
  return bpf_map_lookup_elem(&endpoint_flows, &key);
}

/* 0 = there is none. */
INLINE __u32 read_flow_limit(void) {
  struct index key = {CONTROL_FLOW_LIMIT};
  struct word *limit = bpf_map_lookup_elem(&control, &key);
  return limit ? limit->value : 0;
}

/* Of a flow that policy allows: 0 when the endpoint may have it, which counts it. `exempt`: it may have it anyway. */
INLINE __u32 ask_limit(const struct packet *p, __u32 number, int exempt) {
  __u32 limit = read_flow_limit();
  if (!limit) return 0;
  struct endpoint_flows *flows_of = find_endpoint_flows(number);
  if (!flows_of) {
    struct endpoint_key key = {number};
    struct endpoint_flows first = {.live = 1};
    bpf_map_update_elem(&endpoint_flows, &key, &first, BPF_NOEXIST);
    return 0;
  }
  int begins = p->protocol != IPPROTO_TCP || is_syn(p);
  if (begins && !exempt && (__s32)flows_of->live >= (__s32)limit) {
    __sync_fetch_and_add(&flows_of->refused, 1);
    return DROP_FLOW_LIMIT;
  }
  __sync_fetch_and_add(&flows_of->live, 1);
  return 0;
}

INLINE void count_ended(__u32 number) {
  struct endpoint_flows *flows_of = read_flow_limit() ? find_endpoint_flows(number) : 0;
  if (flows_of) __sync_fetch_and_add(&flows_of->live, -1);
}
