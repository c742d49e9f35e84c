/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A pod's flow to a Service is two entries: what the pod sees, pod and frontend, whose way is `service` and which says what backend was chosen; and what goes
 * over the network, pod and backend, which is a flow as any other but for the number of its frontend. Services themselves are asked for the first packet only.
 */
#pragma once
#include "flow_table.h"
#include "reply.h"

/* How often a backend is chosen anew when the flow with it would be another one's that is in use, and for how long that one counts as in use. */
#define CHOICES_TRIED 4
#define IN_USE_SECONDS 60

/* How a packet came to its backend. */
struct through {
  /* 0 = by no Service. */
  __u32 frontend;
  __be16 port;
  /* Of the choice, and whether it is in the map of flows, not of new ones. */
  __u8 state;
  __u8 settled;
  /* As in `is_fresh`. */
  __u8 fresh;
  /* What the packet was sent to, with `port`. */
  __be32 ip[4];
};

/* In the middle of a connection after a switch: the host stack may be the one that translates it. */
INLINE int may_be_of_host(const struct packet *p) {
  return in_mode(p, MODE_LEARN) && p->protocol == IPPROTO_TCP && !is_syn(p);
}

/*
 * The flow that the packet is one of when it goes to this backend. A pod that is its own backend receives it, from the address that it sent it to: that
 * flow counts only when it was made for this.
 */
INLINE void look_up_translated(const struct packet *p, struct end *own, const struct backend *b) {
  int hairpin = is_own(p, own->endpoint, b->ip);
  own->key.local_port = hairpin ? b->port : p->source_port;
  own->key.remote_port = hairpin ? p->source_port : b->port;
  /* With one port for the client, the Service and the backend the key of the choice would be the same. */
  int alike = hairpin && p->source_port == b->port && p->destination_port == b->port;
  own->key.kind = forget(p, alike ? FLOW_KIND_BACKEND : FLOW_KIND_POD);
  copy_ip(own->key.remote, hairpin ? p->destination : b->ip);
  own->remote_sends = forget(p, hairpin);
  own->peer = 0;
  look_up_flow(p, own);
  if (!own->flow) return;
  if (own->flow->way == FLOW_WAY_SERVICE || (own->remote_sends && !(own->flow->flags & FLOW_FLAG_HAIRPIN))) own->flow = 0;
}

/* Is that flow another one's, so that its answers would be taken for ours? */
INLINE int collides(const struct packet *p, const struct end *own, __u32 frontend) {
  const struct flow *f = own->flow;
  if (!f || f->frontend == frontend || is_older(p->now, f->seen, IN_USE_SECONDS)) return 0;
  if (own->remote_sends) return 1;
  if (f->state == FLOW_STATE_DENIED || f->state == FLOW_STATE_CLOSING) return 0;
  return p->protocol != IPPROTO_TCP || is_syn(p);
}

/* Of what the pod sees. */
INLINE void choice_key(const struct packet *p, const struct end *own, const struct through *t, struct flow_key *key) {
  copy_ip(key->local, own->key.local);
  copy_ip(key->remote, t->ip);
  key->local_port = p->source_port;
  key->remote_port = t->port;
  key->protocol = own->key.protocol;
  key->kind = 0;
  key->spare = 0;
}

/* `kept` as in `put_flow`. */
INLINE void write_choice(const struct packet *p, const struct end *own, struct through *t, __u32 backend, __u32 kept) {
  struct flow_key key;
  struct flow f = {
    .seen = p->now,
    .state = FLOW_STATE_NEW,
    .way = FLOW_WAY_SERVICE,
    .local_incarnation = own->endpoint->incarnation,
    .frontend = t->frontend,
    .backend = backend,
  };
  choice_key(p, own, t, &key);
  count_made(MADE_SERVICE, key.protocol);
  t->settled = forget(p, put_flow(&key, &f, kept));
  t->fresh = forget(p, 1);
}

/* A backend for the first packet of a flow, with own flow looked up; 0 = none, or the flow would be another one's every time: `end`, which is why. */
INLINE __u32 choose_backend(const struct packet *p, struct end *own, const struct service *s, outcome *end) {
#pragma nounroll
  for (int i = 0; i < CHOICES_TRIED; i++) {
    __u32 number = choose(s, p->source, p->source_port, p->now);
    struct backend *b = number ? find_backend(number) : 0;
    if (!b) {
      *end = s->flags & SERVICE_FLAG_LOCAL ? DROPPED(DROP_SERVICE_WITHOUT_BACKEND) : REJECTED;
      return 0;
    }
    look_up_translated(p, own, b);
    if (!collides(p, own, s->frontend)) return number;
    if (own->remote_sends) break;
  }
  *end = DROPPED(DROP_SERVICE_COLLISION);
  return 0;
}

/* 0, or what becomes of the packet now. Without a Service `t` has no frontend. */
INLINE outcome begin_through(const struct packet *p, struct end *own, struct through *t) {
  own->flow = 0;
  if (may_be_of_host(p)) return 0;
  const struct service *s = find_service(p->destination, p->destination_port, p->protocol, SERVICE_SCOPE_INSIDE);
  if (!s) return 0;
  if (!may_come(s, p->source)) return DROPPED(DROP_SERVICE_SOURCE_RANGE);
  __u32 kept = own->kept;
  outcome end;
  __u32 backend = choose_backend(p, own, s, &end);
  if (!backend) return end;
  t->frontend = s->frontend;
  write_choice(p, own, t, backend, kept);
  return 0;
}

/* The choice that was found, when its backend still takes it. One that is too old counts while its flow does: the other side may have spoken since. */
INLINE int go_on_through(const struct packet *p, struct end *own, struct through *t) {
  struct flow *choice = own->flow;
  struct backend *b = find_backend(choice->backend);
  if (!is_usable(b, p->protocol)) return 0;
  int kept = own->kept, settled = own->settled;
  look_up_translated(p, own, b);
  if (UNLIKELY(is_old(p, choice, p->protocol)) && !(own->flow && own->flow->frontend == choice->frontend)) {
    local_end(p, own);
    own->kept = kept;
    return 0;
  }
  if (choice->seen != p->now) choice->seen = p->now;
  t->frontend = choice->frontend;
  t->state = choice->state;
  t->settled = settled;
  t->fresh = forget(p, !!is_fresh(settled, choice));
  return 1;
}

/* The choice ends with the flow that it led to, which `own` has. */
INLINE void keep_choice(const struct packet *p, const struct end *own, const struct through *t) {
  const struct flow *f = own->flow;
  int moves = t->fresh && settles(p, own, f);
  int turns = t->state != f->state && (f->state == FLOW_STATE_OPEN || f->state == FLOW_STATE_CLOSING);
  if (!moves && !turns) return;
  struct flow_key key;
  choice_key(p, own, t, &key);
  struct flow *choice = t->settled ? bpf_map_lookup_elem(&flows, &key) : bpf_map_lookup_elem(&new_flows, &key);
  if (!choice) return;
  if (turns) choice->state = f->state;
  if (moves) settle(&key, choice, t->settled);
}

/*
 * When the packet is for a Service, it goes on with its backend: own key, own flow and the packet itself are the translated ones then. 0, or what becomes of
 * the packet now.
 */
INLINE outcome go_through_service(struct packet *p, struct end *own, struct through *t) {
  copy_ip(t->ip, p->destination);
  t->port = p->destination_port;
  t->state = forget(p, FLOW_STATE_NEW);
  t->settled = forget(p, 0);
  t->fresh = forget(p, 0);
  t->frontend = 0;
  if (!own->flow || !go_on_through(p, own, t)) {
    outcome end = begin_through(p, own, t);
    if (end) return end;
  }
  t->frontend = forget(p, t->frontend);
  if (!t->frontend) return 0;
  if (own->flow && begins_anew(p, own, own->flow)) own->flow = 0;
  __be32 *to = own->remote_sends ? own->key.local : own->key.remote;
  __be16 port = own->remote_sends ? own->key.local_port : own->key.remote_port;
  __u32 reason = own->remote_sends ? translate_source(p, p->destination, p->source_port) : 0;
  if (!reason) reason = translate_destination(p, to, port);
  return reason ? DROPPED(reason) : 0;
}
