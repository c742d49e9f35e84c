/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A client of the node: which Service it asks for, and the three places where the backend may be. */
#pragma once
#include "deliver.h"
#include "flow_table.h"
#include "nat.h"
#include "node_port.h"

/* Beside the outcomes of every program: it is nothing of ours, or its sender is to hear that nobody is there. */
enum { NOT_OWNED = 0x200, REFUSED = 0x201 };

/* What a packet of a client wants. */
struct passage {
  /* The entry of kind client. */
  struct node_flow *flow;
  struct backend *to;
  /* This packet has made the entry. */
  __u32 is_first;
  /* The client must be seen with its own address. */
  __u32 keeps_source;
  /* In which Services are looked for; 0 = in none. */
  __u32 scope;
};

enum place { PLACE_POD, PLACE_STACK, PLACE_NODE, PLACE_ELSEWHERE };

/* The host end of a pod here that has an ENI for itself; 0 = it is none of its addresses. */
INLINE __u32 find_exclusive(const __be32 *ip) {
  struct address *a = find_address(ip);
  return a && a->state == ADDRESS_STATE_EXCLUSIVE ? a->endpoint : 0;
}

/*
 * After a switch the host stack may be translating what goes on in the middle. At its host end a pod asks whose sockets are not translated, or found no
 * backend.
 */
INLINE __u32 choose_scope(const struct packet *p, const struct node_config *node) {
  __u32 device = p->skb->ifindex;
  if (in_mode(p, MODE_LEARN) && p->protocol == IPPROTO_TCP && !is_syn(p)) return 0;
  return device != node->if_index && find_exclusive(p->source) == device ? SERVICE_SCOPE_INSIDE : SERVICE_SCOPE_OUTSIDE;
}

INLINE outcome begin_passage(const struct packet *p, struct passage *x, const struct flow_key *key) {
  struct service *s = find_service(p->destination, p->destination_port, p->protocol, x->scope);
  if (!s) return NOT_OWNED;
  if (!may_come(s, p->source)) return DROPPED(DROP_SERVICE_SOURCE_RANGE);
  struct node_flow first = {
    .seen = p->now,
    .state = FLOW_STATE_NEW,
    .flags = FLOW_FLAG_REMOTE_FIRST | FLOW_FLAG_FRESH,
    .client_port = p->source_port,
    .frontend = s->frontend,
    .backend = choose(s, p->source, p->source_port, p->now),
  };
  copy_ip(first.client, p->source);
  x->is_first = 1;
  x->keeps_source = s->flags & SERVICE_FLAG_KEEP_SOURCE;
  x->to = find_backend(first.backend);
  if (!x->to) return s->flags & SERVICE_FLAG_LOCAL ? DROPPED(DROP_SERVICE_WITHOUT_BACKEND) : REFUSED;
  put_node_flow(key, &first, BPF_ANY);
  x->flow = bpf_map_lookup_elem(&new_node_flows, key);
  return x->flow ? 0 : DROPPED(DROP_SERVICE_TRANSLATION_FAILED);
}

/* 0 when the packet is a client's and has its backend. A first packet of TCP begins anew, unless it is repeated. */
INLINE outcome find_passage(const struct packet *p, struct passage *x) {
  struct flow_key key = {0};
  receiver_key(p, FLOW_KIND_CLIENT, &key);
  x->flow = find_node_flow(p, &key);
  if (x->flow && (!is_syn(p) || x->flow->state == FLOW_STATE_NEW)) {
    x->to = find_backend(x->flow->backend);
    if (is_usable(x->to, p->protocol)) return 0;
  }
  return begin_passage(p, x, &key);
}

/* Of the backend that the packet goes to. */
INLINE enum place find_place(const struct packet *p, const struct node_config *node, struct target *to) {
  struct address *a = find_address(p->destination);
  if (a && a->state == ADDRESS_STATE_STACK) return PLACE_STACK;
  if (a && a->state == ADDRESS_STATE_EXCLUSIVE) return PLACE_ELSEWHERE;
  if (a) {
    struct endpoint *e = find_endpoint(a->endpoint);
    if (e && e->incarnation == a->incarnation) {
      to->number = a->endpoint;
      to->endpoint = e;
      return PLACE_POD;
    }
  }
  __be32 own[4];
  return !node_address(p, node, own) && same_ip(p->destination, own) ? PLACE_NODE : PLACE_ELSEWHERE;
}

/* Into a pod here, which sees the client's own address. Its flow knows how to answer. */
INLINE outcome pass_to_pod(const struct packet *p, const struct passage *x, const struct target *to) {
  struct end own = {.number = to->number, .endpoint = to->endpoint};
  int direct = p->mode & MODE_FORWARD;
  __u8 way = direct ? FLOW_WAY_DIRECT : FLOW_WAY_HOST;
  remote_end(p, &own);
  find_flow(p, &own);
  /* One that the pod began is not the client's. */
  if (own.flow && (own.flow->flags & (FLOW_FLAG_REMOTE_FIRST | FLOW_FLAG_HAIRPIN)) != FLOW_FLAG_REMOTE_FIRST) own.flow = 0;
  if (own.flow && !direct && own.flow->state == FLOW_STATE_DENIED) own.flow = 0;
  if (own.flow) {
    __u32 reason = direct ? judge(p, &own) : 0;
    if (reason) return DROPPED(reason);
    own.flow->frontend = x->flow->frontend;
    own.flow->way = way;
    /* Otherwise pod_out tracks it. */
    if (direct) track(p, &own);
    follow(p, x->flow, own.flow->state, own.flow->flags);
  } else {
    struct decision d = {.way = way, .frontend = x->flow->frontend};
    __u32 reason = create_flow(p, &own, &d);
    if (reason) return DROPPED(reason);
    account_node_flow(p, x->flow, 1);
  }
  x->flow->nat_port = 0;
  return direct && packet_size(p) > to->endpoint->mtu ? PATH_TOO_LONG : PATH_NODE_TO_POD;
}

/* Does the entry go on by which the backend's answers are found? Then it has the packet, and says how the flow is. */
INLINE int is_joined(const struct packet *p, const struct passage *x, const struct flow_key *key) {
  struct node_flow *f = x->flow;
  struct node_flow *other = x->is_first ? 0 : find_node_flow(p, key);
  if (!other || other->frontend != f->frontend || other->nat_port != f->nat_port) return 0;
  if (!same_ip(other->client, f->client) || other->client_port != f->client_port) return 0;
  account_node_flow(p, other, 1);
  follow(p, f, other->state, other->flags);
  if (comes_into_use(p, other)) settle_node_flow(key, other);
  return 1;
}

/* To the node's own network, where a socket sees the client's own address; node_out translates what it answers. */
INLINE outcome pass_to_node(const struct packet *p, const struct passage *x) {
  struct flow_key key = {0};
  receiver_key(p, FLOW_KIND_BACKEND, &key);
  x->flow->nat_port = 0;
  if (!is_joined(p, x, &key)) {
    account_node_flow(p, x->flow, 1);
    put_node_flow(&key, x->flow, BPF_ANY);
  }
  return PATH_NODE_TO_HOST;
}

/* As a router does, so that nodes which send a packet to each other stop. 0, or -1 when it has come to its end. */
INLINE int count_hop(struct packet *p) {
  /* In IPv4 with the byte beside it, since a checksum is of pairs. */
  __u8 from[2];
  __u8 to[2];
  __u32 at = ETH_HLEN + (p->version == 4 ? __builtin_offsetof(struct iphdr, ttl) : __builtin_offsetof(struct ipv6hdr, hop_limit));
  if (bpf_skb_load_bytes(p->skb, at, from, 2) || from[0] <= 1) return -1;
  to[0] = from[0] - 1;
  to[1] = from[1];
  if (p->version == 4 && bpf_l3_csum_replace(p->skb, ETH_HLEN + __builtin_offsetof(struct iphdr, check), *(__u16 *)from, *(__u16 *)to, 2)) return -1;
  return bpf_skb_store_bytes(p->skb, at, to, 1, 0) ? -1 : 0;
}

/*
 * To a backend elsewhere, or to a pod here that has an ENI for itself, which answers the node. Such a pod never sees the client's own address: it would answer
 * that by its ENI.
 */
INLINE outcome pass_on(struct packet *p, const struct passage *x, const struct node_config *node) {
  if (x->keeps_source && !find_exclusive(x->to->ip)) return DROPPED(DROP_SERVICE_WITHOUT_BACKEND);
  /* Without a port of the node its answers cannot be told apart. */
  if (keeps_port(p)) return DROPPED(DROP_SERVICE_TRANSLATION_FAILED);
  if (count_hop(p)) return DROPPED(DROP_SERVICE_HOP_LIMIT);
  struct flow_key key = {.local_port = x->flow->nat_port, .remote_port = x->to->port, .protocol = p->protocol, .kind = FLOW_KIND_BACKEND};
  if (node_address(p, node, key.local)) return DROPPED(DROP_SERVICE_NAT_PORTS);
  copy_ip(key.remote, x->to->ip);
  if (!is_joined(p, x, &key) && take_port(p, node, &key, x->flow)) return DROPPED(DROP_SERVICE_NAT_PORTS);
  __u32 reason = translate_source(p, key.local, key.local_port);
  return reason ? DROPPED(reason) : PATH_NODE_TO_REMOTE;
}

/* The packet of a client, whose backend is known. `to` becomes the pod, if it is one of this node. */
INLINE outcome pass(struct packet *p, const struct passage *x, const struct node_config *node, struct target *to) {
  p->frontend = x->flow->frontend;
  p->first = x->is_first;
  __u32 reason = translate_destination(p, x->to->ip, x->to->port);
  if (reason) return DROPPED(reason);
  forget_packet(p);
  enum place place = find_place(p, node, to);
  if (place == PLACE_POD) return pass_to_pod(p, x, to);
  if (place == PLACE_NODE) return pass_to_node(p, x);
  if (place == PLACE_ELSEWHERE) return pass_on(p, x, node);
  x->flow->nat_port = 0;
  account_node_flow(p, x->flow, 1);
  return PATH_NODE_TO_POD;
}
