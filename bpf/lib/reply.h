/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answers of backends: the client sees the frontend that it asked. */
#pragma once
#include "flow.h"
#include "nat.h"
#include "service.h"

/* Of a flow that the local side began by way of a Service: what the remote side sends carries the frontend's address and port. */
INLINE int is_reply(const struct packet *p, const struct end *e, const struct flow *f) {
  if (!f->frontend || f->flags & FLOW_FLAG_REMOTE_FIRST) return 0;
  return e->remote_sends && in_mode(p, MODE_SERVICE) && f->way != FLOW_WAY_SERVICE;
}

/* Of a flow that the remote side, a client of the node, began by way of a Service: so does what the local side sends. */
INLINE int is_answer_to_client(const struct flow *f) {
  return f->frontend && (f->flags & (FLOW_FLAG_REMOTE_FIRST | FLOW_FLAG_HAIRPIN)) == FLOW_FLAG_REMOTE_FIRST;
}

/*
 * The frontend that a packet shows which a pod gets, 0 = none. A client of the node that speaks to the pod itself, from the port from which it came by way of a
 * Service, is answered by the pod from now on.
 */
INLINE __u32 frontend_to_show(const struct packet *p, const struct end *e) {
  struct flow *f = e->flow;
  if (LIKELY(!f->frontend)) return 0;
  if (is_answer_to_client(f)) f->frontend = 0;
  return is_reply(p, e, f) ? f->frontend : 0;
}

/*
 * Of a packet without a flow: may that come in a moment, so that nobody knows what its receiver calls its sender? Its connection sends it again. A datagram
 * that nobody repeats passes as it is.
 */
INLINE int is_early(const struct packet *p) {
  return forget(p, p->protocol == IPPROTO_TCP && !is_syn(p) && in_mode(p, MODE_SERVICE) && are_tables_moving(p->now));
}

/* The packet gets the frontend as its source. 0, or the reason to drop it. */
INLINE __u32 show_frontend(struct packet *p, __u32 number) {
  struct frontend *f = find_frontend(number);
  p->frontend = forget(p, number);
  return f ? translate_source(p, f->ip, f->port) : DROP_SERVICE_TRANSLATION_FAILED;
}

/* Of an error that a pod gets about what it sent, whose flow was found: it shows the frontend that was sent to. `transport` as in `translate_inner`. */
INLINE __u32 show_frontend_inside(struct packet *p, struct end *e, __u32 transport) {
  e->remote_sends = 1;
  if (!is_reply(p, e, e->flow)) return 0;
  struct frontend *f = find_frontend(e->flow->frontend);
  if (!f) return DROP_SERVICE_TRANSLATION_FAILED;
  struct rewrite r = {SIDE_DESTINATION, e->key.remote, f->ip, e->key.remote_port, f->port};
  return translate_inner(p, transport, &r) ? DROP_SERVICE_TRANSLATION_FAILED : 0;
}
