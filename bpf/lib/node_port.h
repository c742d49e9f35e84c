/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The node's ports: by them it tells apart the answers of a backend elsewhere, which sees the node as its client. */
#pragma once
#include "node_flow.h"

/* How many ports in turn are asked for one that is free. */
#define PORTS_ASKED 16

/* The node's address of this family; 0, or -1 when it has none. */
INLINE int node_address(const struct packet *p, const struct node_config *node, __be32 *ip) {
  if (p->version == 4) map_ipv4(ip, node->address4);
  else copy_ip(ip, node->address6);
  return p->version == 4 ? (node->address4 ? 0 : -1) : (is_zero(ip) ? -1 : 0);
}

INLINE int is_nat_port(const struct node_config *node, __be16 port) {
  return NTOHS(port) >= node->nat_port_first && NTOHS(port) <= node->nat_port_last;
}

/*
 * Makes the entry `f` under `key` with a free port, which is then the key's local one: no backend gets two clients from one port. The first one
 * asked is left to chance, so that a full range is seldom searched from the same place. 0, or -1.
 */
INLINE int take_port(const struct packet *p, const struct node_config *node, struct flow_key *key, struct node_flow *f) {
  __u32 first = node->nat_port_first;
  __u32 count = node->nat_port_last - first + 1;
  if (!first || node->nat_port_last < first) return -1;
  __u32 at = bpf_get_prandom_u32() % count;
#pragma unroll
  for (int i = 0; i < PORTS_ASKED; i++) {
    key->local_port = HTONS(first + at);
    f->nat_port = key->local_port;
    struct node_flow *other = bpf_map_lookup_elem(&node_flows, key);
    int taken = other && !is_idle(p, other, key->protocol);
    if (other && !taken) bpf_map_delete_elem(&node_flows, key);
    if (!taken && !bpf_map_update_elem(&node_flows, key, f, BPF_NOEXIST)) return 0;
    at = at + 1 < count ? at + 1 : 0;
  }
  return -1;
}
