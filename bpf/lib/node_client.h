/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A client of the node: which Service it asks for, and the three places where the backend may be. */
#pragma once
#include "deliver.h"
#include "nat.h"
#include "node_port.h"

/* Beside the outcomes of every program: it is nothing of ours, or its sender is to hear that nobody is there. */
enum { NOT_OWNED = 0x200, REFUSED = 0x201 };

/* What a packet of a client wants. */
struct passage {
  /* Of kind client. */
  struct flow_key key;
  /* The entry of that key, when the packet goes on with it; 0 = all is decided anew. */
  struct node_flow *flow;
  struct backend *to;
  __u32 frontend;
  __u32 backend;
  /* Of a client that must be seen with its own address. */
  __u32 keeps_source;
};

enum place { PLACE_POD, PLACE_STACK, PLACE_NODE, PLACE_ELSEWHERE };

/* A first packet of TCP begins anew, unless it is repeated. */
INLINE int goes_on(const struct packet *p, const struct node_flow *f) {
  return f && (!is_syn(p) || f->state == FLOW_STATE_NEW);
}

INLINE outcome choose_backend(const struct packet *p, struct passage *x) {
  struct service *s = find_service(p->destination, p->destination_port, p->protocol, SERVICE_SCOPE_OUTSIDE);
  if (!s) return NOT_OWNED;
  if (!may_come(s, p->source)) return DROPPED(DROP_SERVICE_SOURCE_RANGE);
  x->frontend = s->frontend;
  x->keeps_source = s->flags & SERVICE_FLAG_KEEP_SOURCE;
  x->backend = choose(s, p->source, p->source_port, p->now);
  x->to = find_backend(x->backend);
  if (x->to) return 0;
  return s->flags & SERVICE_FLAG_LOCAL ? DROPPED(DROP_SERVICE_WITHOUT_BACKEND) : REFUSED;
}

/* 0 when the packet is a client's and has its backend. */
INLINE outcome find_passage(const struct packet *p, struct passage *x) {
  receiver_key(p, FLOW_KIND_CLIENT, &x->key);
  struct node_flow *f = find_node_flow(p, &x->key);
  if (!goes_on(p, f)) return choose_backend(p, x);
  x->to = find_backend(f->backend);
  if (!is_usable(x->to, p->protocol)) return choose_backend(p, x);
  x->flow = f;
  x->frontend = f->frontend;
  x->backend = f->backend;
  return 0;
}

INLINE enum place find_place(const struct packet *p, const struct passage *x, const struct node_config *node, struct target *to) {
  struct address *a = find_address(x->to->ip);
  if (a && a->state == ADDRESS_STATE_STACK) return PLACE_STACK;
  if (a) {
    struct endpoint *e = find_endpoint(a->endpoint);
    if (e && e->incarnation == a->incarnation) {
      to->number = a->endpoint;
      to->endpoint = e;
      return PLACE_POD;
    }
  }
  __be32 own[4];
  return !node_address(p, node, own) && same_ip(x->to->ip, own) ? PLACE_NODE : PLACE_ELSEWHERE;
}

/* The entry of this flow with this packet, which is the first one that it counts. */
INLINE void begin_node_flow(const struct packet *p, const struct passage *x, struct node_flow *f) {
  f->state = FLOW_STATE_NEW;
  f->flags = FLOW_FLAG_REMOTE_FIRST;
  if (x->flow) {
    f->state = x->flow->state;
    f->flags = x->flow->flags;
  }
  copy_ip(f->client, x->key.remote);
  f->client_port = x->key.remote_port;
  f->frontend = x->frontend;
  f->backend = x->backend;
  account_node_flow(p, f, 1);
}

/* The entry of kind client, after that of the other side. */
INLINE void remember(const struct packet *p, const struct passage *x, const struct node_flow *other) {
  if (x->flow) {
    follow(p, x->flow, other);
    x->flow->nat_port = other->nat_port;
  } else {
    bpf_map_update_elem(&node_flows, &x->key, other, BPF_ANY);
  }
}

/* Into a pod here, which sees the client's own address. Its flow knows how to answer. */
INLINE outcome pass_to_pod(const struct packet *p, const struct passage *x, const struct target *to) {
  struct end own = {.number = to->number, .endpoint = to->endpoint, .policy = find_policy(p, to->number)};
  struct node_flow f = {0};
  int direct = p->mode & MODE_FORWARD;
  __u8 way = direct ? FLOW_WAY_DIRECT : FLOW_WAY_HOST;
  begin_node_flow(p, x, &f);
  remote_end(p, &own);
  find_flow(p, &own);
  /* One that the pod began is not the client's. */
  if (own.flow && (own.flow->flags & (FLOW_FLAG_REMOTE_FIRST | FLOW_FLAG_HAIRPIN)) != FLOW_FLAG_REMOTE_FIRST) own.flow = 0;
  if (own.flow && !direct && own.flow->state == FLOW_STATE_DENIED) own.flow = 0;
  if (own.flow) {
    __u32 reason = direct ? judge(p, &own) : 0;
    if (reason) return DROPPED(reason);
    own.flow->frontend = x->frontend;
    own.flow->way = way;
    /* Otherwise pod_out tracks it. */
    if (direct) track(p, &own);
    f.state = own.flow->state;
    f.flags = own.flow->flags;
  } else {
    struct decision d = {.way = way, .frontend = x->frontend};
    __u32 reason = create_flow(p, &own, &d);
    if (reason) return DROPPED(reason);
  }
  remember(p, x, &f);
  return direct && packet_size(p) > to->endpoint->mtu ? PATH_TOO_LONG : PATH_NODE_TO_POD;
}

/* To the node's own network, where a socket sees the client's own address; node_out translates what it answers. */
INLINE void pass_to_node(const struct packet *p, const struct passage *x) {
  struct flow_key key = {0};
  struct node_flow f = {0};
  receiver_key(p, FLOW_KIND_BACKEND, &key);
  struct node_flow *own = x->flow ? find_node_flow(p, &key) : 0;
  if (own && own->frontend == x->frontend) {
    account_node_flow(p, own, 1);
    f = *own;
  } else {
    begin_node_flow(p, x, &f);
    bpf_map_update_elem(&node_flows, &key, &f, BPF_ANY);
  }
  remember(p, x, &f);
}

/* The port that the flow has. 0, or -1 when it has none, or somebody else has it by now. */
INLINE int keep_port(const struct packet *p, const struct passage *x, struct flow_key *key, struct node_flow *f) {
  if (!x->flow || !x->flow->nat_port) return -1;
  key->local_port = x->flow->nat_port;
  f->nat_port = key->local_port;
  struct node_flow *own = find_node_flow(p, key);
  if (!own) return bpf_map_update_elem(&node_flows, key, f, BPF_ANY) ? -1 : 0;
  if (!is_of_client(own, x->key.remote, x->key.remote_port) || own->frontend != x->frontend) return -1;
  account_node_flow(p, own, 1);
  *f = *own;
  return 0;
}

/* To a backend elsewhere, which answers the node. 0, or the reason to drop the packet. */
INLINE __u32 pass_on(struct packet *p, const struct passage *x, const struct node_config *node) {
  if (x->keeps_source) return DROP_SERVICE_WITHOUT_BACKEND;
  /* Without a port of the node its answers cannot be told apart. */
  if (keeps_port(p)) return DROP_SERVICE_TRANSLATION_FAILED;
  struct flow_key key = {.remote_port = x->to->port, .protocol = p->protocol, .kind = FLOW_KIND_BACKEND};
  struct node_flow f = {0};
  if (node_address(p, node, key.local)) return DROP_SERVICE_NAT_PORTS;
  copy_ip(key.remote, x->to->ip);
  begin_node_flow(p, x, &f);
  if (keep_port(p, x, &key, &f) && take_port(p, node, &key, &f)) return DROP_SERVICE_NAT_PORTS;
  remember(p, x, &f);
  return translate_source(p, key.local, key.local_port);
}

/* The packet of a client, whose backend is known. `to` becomes the pod, if it is one of this node. */
INLINE outcome pass(struct packet *p, const struct passage *x, const struct node_config *node, struct target *to) {
  enum place place = forget(p, find_place(p, x, node, to));
  __u32 reason = place == PLACE_ELSEWHERE ? pass_on(p, x, node) : 0;
  if (!reason) reason = translate_destination(p, x->to->ip, x->to->port);
  if (reason) return DROPPED(reason);
  if (place == PLACE_ELSEWHERE) return PATH_NODE_TO_REMOTE;
  if (place == PLACE_POD && to->endpoint) return pass_to_pod(p, x, to);
  if (place == PLACE_NODE) {
    pass_to_node(p, x);
    return PATH_NODE_TO_HOST;
  }
  struct node_flow f = {0};
  begin_node_flow(p, x, &f);
  remember(p, x, &f);
  return PATH_NODE_TO_POD;
}
