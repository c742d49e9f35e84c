/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From one pod of this node to another: a flow at each end, and each end's policy. */
#pragma once
#include "deliver.h"
#include "flow_table.h"
#include "note.h"
#include "reply.h"

INLINE outcome leave_to_host(const struct packet *p, const struct end *own, __u32 path) {
  if (!own->frontend) write_note(p, own);
  return path;
}

/* A flow between two pods has one way, that of the one which needs the host stack. */
INLINE void turn_to_host(const struct end *own) {
  struct flow *f = bpf_map_lookup_elem(&flows, &own->key);
  if (!f) f = bpf_map_lookup_elem(&new_flows, &own->key);
  if (f) f->way = FLOW_WAY_HOST;
}

/* The same packet as the receiver sees it. */
INLINE void become_receiver(const struct packet *p, struct end *e, const struct target *to) {
  e->other = e->number;
  e->other_incarnation = e->endpoint->incarnation;
  e->number = to->number;
  e->endpoint = to->endpoint;
  remote_end(p, e);
}

INLINE outcome leave_to_host_with(const struct packet *p, struct end *e, struct endpoint *sender, __u32 frontend) {
  local_end(p, e);
  e->endpoint = sender;
  e->frontend = frontend;
  turn_to_host(e);
  return leave_to_host(p, e, PATH_POD_VIA_HOST);
}

/* The receiver's own view and policy. */
INLINE outcome send_to_pod(struct packet *p, struct end *e, const struct target *to) {
  struct endpoint *sender = e->endpoint;
  __u32 sent_by = e->frontend;
  __u32 frontend = 0;
  become_receiver(p, e, to);
  find_flow(p, e);
  if (e->flow) {
    __u32 reason = judge(p, e);
    if (reason) return DROPPED(reason);
    /* pod_out tracks the receiver's. */
    if (e->flow->way != FLOW_WAY_DIRECT && !is_syn(p)) return leave_to_host_with(p, e, sender, sent_by);
  }
  if (e->flow && e->flow->way == FLOW_WAY_DIRECT) {
    frontend = frontend_to_show(p, e);
    track(p, e);
  } else {
    if (UNLIKELY(is_early(p))) return DROPPED(DROP_SERVICE_TRANSLATION_FAILED);
    struct decision d = {.way = FLOW_WAY_DIRECT, .peer = e->other, .peer_incarnation = e->other_incarnation};
    __u32 reason = create_flow(p, e, &d);
    if (reason) return DROPPED(reason);
  }
  /* pod_out shows the frontend. */
  if (packet_size(p) > to->endpoint->mtu) return PATH_TOO_LONG;
  __u32 reason = frontend ? show_frontend(p, frontend) : 0;
  return reason ? DROPPED(reason) : PATH_POD_TO_POD;
}
