/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the maps that terwayd writes say of this packet. */
#pragma once
#include "../layout.gen.h"
#include "packet.h"

INLINE __u32 read_mode(void) {
  struct index key = {CONTROL_MODE};
  struct word *mode = bpf_map_lookup_elem(&control, &key);
  return mode ? mode->value : 0;
}

INLINE struct endpoint *find_endpoint(__u32 number) {
  struct endpoint_key key = {number};
  return bpf_map_lookup_elem(&endpoints, &key);
}

INLINE struct address *find_address(const __be32 *ip) {
  struct address_key key;
  copy_ip(key.ip, ip);
  return bpf_map_lookup_elem(&addresses, &key);
}

INLINE struct node_config *find_node_config(void) {
  struct index key = {0};
  return bpf_map_lookup_elem(&node_configs, &key);
}

/* Why this address belongs to the host stack; 0 when it does not. */
INLINE __u32 host_reason(const __be32 *ip) {
  struct prefix_key key = {.prefix_length = 128};
  copy_ip(key.ip, ip);
  struct host_set *entry = bpf_map_lookup_elem(&host_set, &key);
  return entry ? entry->why : 0;
}

/* Is this the endpoint's address of the packet's family? An address that it does not have is zero, and nobody's. */
INLINE int is_own(const struct packet *p, const struct endpoint *e, const __be32 *ip) {
  if (p->version == 4) return e->address4 && ip[3] == e->address4;
  return !is_zero(e->address6) && same_ip(ip, e->address6);
}
