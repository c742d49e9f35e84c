/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors that a pod sends, about packets that it got. They go the way of their flow, back to who sent that packet and about what he sent: the host stack
 * never saw it, and may drop such an error as invalid.
 */
#pragma once
#include "forward.h"
#include "icmp.h"

/* What matters of the flow that an error is about. As numbers: which table it is from would double every way on. */
struct about {
  __u32 frontend;
  __u32 backend;
  __u32 peer;
  __u32 way;
  __u32 flags;
  __u32 state;
};

/* 0 when there is no flow. */
INLINE int describe(struct packet *p, struct end *own, struct about *a) {
  const struct flow *f = own->flow;
  if (!f) return 0;
  a->frontend = forget(p, f->frontend);
  a->backend = forget(p, f->backend);
  a->peer = forget(p, f->peer);
  a->way = forget(p, f->way);
  a->flags = forget(p, f->flags);
  a->state = forget(p, f->state);
  own->flow = 0;
  own->peer = 0;
  forget_packet(p);
  forget_ip(p, own->key.remote);
  forget_ip(p, own->key.local);
  return 1;
}

/* An error about what a client of the node sent is about the frontend, as the client sees it. */
INLINE outcome tell_client(struct packet *p, const struct end *own, __u32 transport, const struct about *a) {
  struct frontend *f = find_frontend(a->frontend);
  if (!f) return DROPPED(DROP_SERVICE_TRANSLATION_FAILED);
  struct rewrite r = {SIDE_DESTINATION, own->key.local, f->ip, own->key.local_port, f->port};
  if (translate_inner(p, transport, &r)) return DROPPED(DROP_SERVICE_TRANSLATION_FAILED);
  __u32 reason = translate_source(p, f->ip, 0);
  return reason ? DROPPED(reason) : PATH_POD_ANSWERS_CLIENT;
}

/* What the pod got from itself, by way of a Service, came from the frontend: either of its sides sent it. `port`: from there, to `sent_to`. */
INLINE outcome tell_itself(struct packet *p, const struct end *own, __u32 transport, __be16 port, __be16 sent_to) {
  struct rewrite source = {SIDE_SOURCE, own->key.remote, own->key.local, own->key.remote_port, port};
  struct rewrite destination = {SIDE_DESTINATION, own->key.local, own->key.remote, own->key.local_port, sent_to};
  if (translate_inner(p, transport, &source) || translate_inner(p, transport, &destination)) return DROPPED(DROP_SERVICE_TRANSLATION_FAILED);
  __u32 reason = translate_source(p, own->key.remote, 0);
  if (!reason) reason = translate_destination(p, own->key.local, 0);
  return reason ? DROPPED(reason) : PATH_HAIRPIN;
}

/* The frontend's answer was one of a backend elsewhere, which is whom the error is for: in `own`, too. 0, or the reason to drop it. */
INLINE __u32 tell_backend(struct packet *p, struct end *own, __u32 transport, const struct backend *b) {
  struct rewrite source = {SIDE_SOURCE, own->key.remote, b->ip, own->key.remote_port, b->port};
  if (translate_inner(p, transport, &source)) return DROP_SERVICE_TRANSLATION_FAILED;
  copy_ip(own->key.remote, b->ip);
  own->key.remote_port = b->port;
  return translate_destination(p, b->ip, 0);
}

/* To a pod here, which may have sent it by way of a Service. */
INLINE outcome tell_pod(struct packet *p, struct end *e, __u32 transport, struct target *to) {
  if (packet_size(p) > to->endpoint->mtu) return PATH_ICMP_ERROR;
  struct flow_key sent = e->key;
  become_receiver(p, e, to);
  copy_ip(e->key.local, sent.remote);
  copy_ip(e->key.remote, sent.local);
  e->key.local_port = sent.remote_port;
  e->key.remote_port = sent.local_port;
  e->key.protocol = sent.protocol;
  look_up_flow(p, e);
  if (!e->flow || e->flow->way != FLOW_WAY_DIRECT || e->flow->state == FLOW_STATE_DENIED) return PATH_ICMP_ERROR;
  __u32 reason = show_frontend_inside(p, e, transport);
  return reason ? DROPPED(reason) : PATH_POD_TO_POD;
}

INLINE int may_send(const struct packet *p, const struct end *own) {
  return !enforces(&own->policy, DIRECTION_OUT) || is_related(p, own);
}

/* Of what came by way of a Service. PATH_ICMP_ERROR: it is about another flow now, or about none. */
INLINE outcome tell_sender(struct packet *p, struct end *own, __u32 transport, struct about *a) {
  __be16 port = own->key.remote_port;
  __be16 sent_to = own->key.local_port;
  struct backend *b = a->flags & FLOW_FLAG_HAIRPIN ? 0 : find_backend(a->backend);
  if (a->flags & FLOW_FLAG_HAIRPIN) {
    struct frontend *f = find_frontend(a->frontend);
    if (!f) return DROPPED(DROP_SERVICE_TRANSLATION_FAILED);
    sent_to = f->port;
  } else {
    if (!b) return PATH_ICMP_ERROR;
    port = b->port;
  }
  if (!b || is_own(p, own->endpoint, b->ip)) return tell_itself(p, own, transport, port, sent_to);
  __u32 reason = tell_backend(p, own, transport, b);
  if (reason) return DROPPED(reason);
  forget_packet(p);
  forget_ip(p, p->destination);
  look_up_flow(p, own);
  if (!may_send(p, own)) return DROPPED(DROP_ICMP_UNRELATED);
  if (!describe(p, own, a)) a->way = FLOW_WAY_HOST;
  return PATH_ICMP_ERROR;
}

INLINE outcome pod_sends_error(struct packet *p, struct end *own, struct target *to) {
  __u32 transport;
  struct about a;
  own->policy = find_policy(p, own->number);
  if (!read_about(p, own, &transport, 1)) return enforces(&own->policy, DIRECTION_OUT) ? DROPPED(DROP_ICMP_UNRELATED) : PATH_ICMP_ERROR;
  if (!may_send(p, own)) return DROPPED(DROP_ICMP_UNRELATED);
  if (!describe(p, own, &a)) return PATH_ICMP_ERROR;
  transport = forget(p, transport);
  to->number = own->number;
  to->endpoint = own->endpoint;
  int hairpin = a.flags & FLOW_FLAG_HAIRPIN;
  if (in_mode(p, MODE_SERVICE)) {
    if (a.frontend && a.flags & FLOW_FLAG_REMOTE_FIRST && !hairpin) return tell_client(p, own, transport, &a);
    outcome end = hairpin || a.way == FLOW_WAY_SERVICE ? tell_sender(p, own, transport, &a) : PATH_ICMP_ERROR;
    if (end != PATH_ICMP_ERROR) return end;
  }
  if (hairpin || !in_mode(p, MODE_FORWARD) || a.way != FLOW_WAY_DIRECT || a.state == FLOW_STATE_DENIED) return PATH_ICMP_ERROR;
  if (!same_ip(p->destination, own->key.remote)) return PATH_ICMP_ERROR;
  if (!a.peer) return send_out(p, own->endpoint);
  to->number = a.peer;
  to->endpoint = find_endpoint(a.peer);
  return to->endpoint ? tell_pod(p, own, transport, to) : PATH_ICMP_ERROR;
}
