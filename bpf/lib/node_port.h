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

/* A port towards this backend that nobody else has, at or after one that chance or the client names, as the key's local one. 0, or -1. */
INLINE int find_port(const struct packet *p, const struct node_config *node, struct flow_key *key) {
  __u32 first = node->nat_port_first;
  __u32 count = node->nat_port_last - first + 1;
  if (!first || node->nat_port_last < first) return -1;
  __u32 at = (are_tables_moving(p->now) ? hash_of(p->source, p->source_port) : bpf_get_prandom_u32()) % count;
#pragma unroll
  for (int i = 0; i < PORTS_ASKED; i++) {
    key->local_port = HTONS(first + at);
    if (!find_node_flow(p, key)) return 0;
    at = forget(p, at + 1 < count ? at + 1 : 0);
  }
  return -1;
}

/*
 * The other entry of a client's flow, with the port that it has, or with another one: no backend gets two clients from one port. What is idle there gives
 * way, but not what another CPU has just made. 0, or -1.
 */
INLINE int take_port(const struct packet *p, const struct node_config *node, struct flow_key *key, struct node_flow *f) {
  if ((!f->nat_port || find_node_flow(p, key)) && find_port(p, node, key)) return -1;
  forget_idle(p, &node_flows, key);
  forget_idle(p, &new_node_flows, key);
  f->nat_port = key->local_port;
  account_node_flow(p, f, 1);
  return put_node_flow(key, f, BPF_NOEXIST);
}
