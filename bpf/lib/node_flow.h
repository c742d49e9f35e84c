/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is remembered of a client that reaches a Service through the node, under two keys: what the client sees, and what the backend sees. Both say the same
 * of the flow. In their flags the client is the remote side, whichever side the key calls so.
 */
#pragma once
#include "flow.h"
#include "service.h"

INLINE int is_idle(const struct packet *p, const struct node_flow *f, __u8 protocol) {
  return is_older(p->now, f->seen, forget(p, timeout_of(f->state, protocol)));
}

/* 0 when there is none that counts. */
INLINE struct node_flow *find_node_flow(const struct packet *p, const struct flow_key *key) {
  struct node_flow *f = bpf_map_lookup_elem(&node_flows, key);
  return f && !is_idle(p, f, key->protocol) ? f : 0;
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
  f->flags = flags;
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
  struct node_flow *other = bpf_map_lookup_elem(&node_flows, &key);
  if (other && other->backend == f->backend && other->nat_port == f->nat_port) follow(p, other, f->state, f->flags);
  return seen;
}

/* Of a packet that is dropped after all. */
INLINE void forget_client(const struct packet *p, const struct node_flow *f) {
  struct frontend *seen = find_frontend(f->frontend);
  if (!seen) return;
  struct flow_key key = {0};
  client_key(f, seen, p->protocol, &key);
  bpf_map_delete_elem(&node_flows, &key);
}
