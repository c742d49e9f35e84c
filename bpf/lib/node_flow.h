/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is remembered of a client that reaches a Service through the node, under two keys: what the client sees, and what the backend sees. Both say the same
 * of the flow. In their flags the client is the remote side, whichever side the key calls so. As of pods, flows that are in use have a map of their own, where
 * no flood of new ones evicts them: there an entry is moved when the client goes on after an answer.
 */
#pragma once
#include "flow.h"
#include "service.h"

INLINE int is_idle(const struct packet *p, const struct node_flow *f, __u8 protocol) {
  return is_older(p->now, f->seen, forget(p, timeout_of(f->state, protocol)));
}

/* Be it outdated or not. */
INLINE struct node_flow *look_up_node_flow(const struct flow_key *key) {
  struct node_flow *f = bpf_map_lookup_elem(&node_flows, key);
  return f ? f : bpf_map_lookup_elem(&new_node_flows, key);
}

/* 0 when there is none that counts. */
INLINE struct node_flow *find_node_flow(const struct packet *p, const struct flow_key *key) {
  struct node_flow *f = look_up_node_flow(key);
  return f && !is_idle(p, f, key->protocol) ? f : 0;
}

/* Of an entry that is made anew: where its flow belongs, and only there. 0, or -1. */
INLINE int put_node_flow(const struct flow_key *key, const struct node_flow *f, __u64 flags) {
  if (f->flags & FLOW_FLAG_FRESH) {
    bpf_map_delete_elem(&node_flows, key);
    return bpf_map_update_elem(&new_node_flows, key, f, flags) ? -1 : 0;
  }
  bpf_map_delete_elem(&new_node_flows, key);
  return bpf_map_update_elem(&node_flows, key, f, flags) ? -1 : 0;
}

INLINE void forget_idle(const struct packet *p, void *map, const struct flow_key *key) {
  struct node_flow *old = bpf_map_lookup_elem(map, key);
  if (old && is_idle(p, old, key->protocol)) bpf_map_delete_elem(map, key);
}

/* Has this packet of the client shown that the flow is in use? */
INLINE int comes_into_use(const struct packet *p, const struct node_flow *f) {
  if ((f->flags & (FLOW_FLAG_FRESH | FLOW_FLAG_ANSWERED)) != (FLOW_FLAG_FRESH | FLOW_FLAG_ANSWERED)) return 0;
  return p->protocol != IPPROTO_TCP || f->state == FLOW_STATE_OPEN;
}

INLINE void settle_node_flow(const struct flow_key *key, struct node_flow *f) {
  f->flags &= ~FLOW_FLAG_FRESH;
  if (bpf_map_update_elem(&node_flows, key, f, BPF_ANY) == 0) bpf_map_delete_elem(&new_node_flows, key);
}

/* What a packet that passes changes. */
INLINE void account_node_flow(const struct packet *p, struct node_flow *f, int client_sends) {
  if (f->seen != p->now) f->seen = p->now;
  f->packets++;
  f->bytes += p->skb->len;
  if (!client_sends && !(f->flags & FLOW_FLAG_ANSWERED)) {
    f->flags |= FLOW_FLAG_ANSWERED;
    if (f->state == FLOW_STATE_NEW) f->state = FLOW_STATE_OPEN;
  }
  if (UNLIKELY(p->tcp_flags & (TCP_FIN | TCP_RST))) end_flow(p->tcp_flags, client_sends, &f->state, &f->flags);
}

/* The same, when another entry of the flow says how it is. */
INLINE void follow(const struct packet *p, struct node_flow *f, __u8 state, __u8 flags) {
  if (f->seen != p->now) f->seen = p->now;
  f->packets++;
  f->bytes += p->skb->len;
  f->state = state;
  f->flags = (flags & ~FLOW_FLAG_FRESH) | (f->flags & FLOW_FLAG_FRESH);
}

/* The key under which the client of an entry has the flow. */
INLINE void client_key(const struct node_flow *f, const struct frontend *seen, __u8 protocol, struct flow_key *key) {
  copy_ip(key->local, seen->ip);
  copy_ip(key->remote, f->client);
  key->local_port = seen->port;
  key->remote_port = f->client_port;
  key->protocol = protocol;
  key->kind = FLOW_KIND_CLIENT;
}

/* A packet of the backend: both entries, and what the client sees. 0 when that is not known any more. */
INLINE struct frontend *answer_client(const struct packet *p, struct node_flow *f) {
  struct frontend *seen = find_frontend(f->frontend);
  if (!seen) return 0;
  account_node_flow(p, f, 0);
  struct flow_key key = {0};
  client_key(f, seen, p->protocol, &key);
  struct node_flow *other = look_up_node_flow(&key);
  if (other && other->backend == f->backend && other->nat_port == f->nat_port) follow(p, other, f->state, f->flags);
  return seen;
}

/* The key under which the client has this entry; 0, or -1 when what it sees is not known any more. */
INLINE int find_client_key(const struct node_flow *f, __u8 protocol, struct flow_key *key) {
  struct frontend *seen = find_frontend(f->frontend);
  if (!seen) return -1;
  client_key(f, seen, protocol, key);
  return 0;
}

/* Of a packet that is dropped after all. */
INLINE void forget_client(const struct packet *p, const struct node_flow *f) {
  struct flow_key key = {0};
  if (!find_client_key(f, p->protocol, &key)) bpf_map_delete_elem(&new_node_flows, &key);
}

INLINE void settle_client(const struct packet *p, struct node_flow *f) {
  struct flow_key key = {0};
  if (!find_client_key(f, p->protocol, &key)) settle_node_flow(&key, f);
}
