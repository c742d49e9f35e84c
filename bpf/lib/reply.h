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

/* The packet gets the frontend as its source. 0, or the reason to drop it. */
INLINE __u32 show_frontend(struct packet *p, __u32 number) {
  struct frontend *f = find_frontend(number);
  p->frontend = forget(p, number);
  return f ? translate_source(p, f->ip, f->port) : DROP_SERVICE_TRANSLATION_FAILED;
}
