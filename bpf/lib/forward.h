/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way of what a pod sends: to its backend, to itself, to another pod here, out through its ENI, to a client of the node, or to the host stack. */
#pragma once
#include "choice.h"
#include "pass_on.h"

/* A destination of the host stack (`remote_is` says so), of another pod here, or of anywhere else. Sets the peer of a flow to a pod. */
INLINE void choose_way(const struct packet *p, struct end *own, struct decision *d) {
  d->way = FLOW_WAY_HOST;
  if (d->remote_is || !in_mode(p, MODE_FORWARD)) return;
  struct address *a = find_address(p->destination);
  if (a && a->state == ADDRESS_STATE_STACK) return;
  /* After a switch: it may be the answer to something that the host stack translates. */
  if (in_mode(p, MODE_LEARN) && !is_syn(p)) return;
  d->way = FLOW_WAY_DIRECT;
  if (!a || a->state != ADDRESS_STATE_LIVE || a->endpoint == own->number) return;
  own->peer = find_endpoint(a->endpoint);
  if (own->peer && own->peer->incarnation == a->incarnation) {
    d->peer = a->endpoint;
    d->peer_incarnation = a->incarnation;
  }
}

INLINE outcome send_out(const struct packet *p, const struct endpoint *e) {
  if (UNLIKELY(packet_size(p) > e->out_mtu)) return PATH_TOO_LONG;
  return LIKELY(has_gateway(p, e)) ? PATH_POD_TO_REMOTE : PATH_NONE;
}

/* Of what the pod sent to a Service whose backend it is itself. No policy is asked: it speaks to nobody else. */
INLINE outcome return_to_pod(const struct packet *p, struct end *own, const struct through *t, struct target *to) {
  own->remote_sends = 1;
  to->number = own->number;
  to->endpoint = own->endpoint;
  if (own->flow) {
    /* With one port for all nobody can tell an answer: it is the first packet that is no repetition. */
    if (own->key.kind != FLOW_KIND_POD && !(own->flow->flags & FLOW_FLAG_ANSWERED) && !is_syn(p)) own->remote_sends = 0;
    if (own->flow->frontend != t->frontend) own->flow->frontend = t->frontend;
    track(p, own);
    keep_choice(p, own, t);
    return PATH_HAIRPIN;
  }
  __u32 refused = ask_limit(p, own->number, 0);
  if (refused) return DROPPED(refused);
  struct flow f = {
    .seen = p->now,
    .state = FLOW_STATE_NEW,
    .way = FLOW_WAY_DIRECT,
    .flags = FLOW_FLAG_REMOTE_FIRST | FLOW_FLAG_HAIRPIN,
    .local_incarnation = own->endpoint->incarnation,
    .frontend = t->frontend,
  };
  account(p, own, &f);
  write_flow(own, &f);
  return PATH_HAIRPIN;
}

/* From a pod that is its own backend, back to it as a client; or to a client of the node. */
INLINE outcome answer_as_frontend(struct packet *p, const struct end *own, int hairpin, struct target *to) {
  to->number = own->number;
  to->endpoint = own->endpoint;
  __u32 reason = show_frontend(p, own->frontend);
  if (!reason && hairpin) reason = translate_destination(p, own->key.local, p->destination_port);
  if (reason) return DROPPED(reason);
  return hairpin ? PATH_HAIRPIN : PATH_POD_ANSWERS_CLIENT;
}

/*
 * Does the host stack translate the flow to a backend that is gone? Nobody tells it so after kube-proxy, and whoever never pauses would stay with it. Only flows
 * without connections have the number.
 */
INLINE int is_forsaken(const struct packet *p, const struct flow *f) {
  return f->way == FLOW_WAY_HOST && f->backend && in_mode(p, MODE_SERVICE) && !is_usable(find_backend(f->backend), p->protocol);
}

/* The flow of the packet as the pod sends it. */
INLINE void find_own(const struct packet *p, struct end *own) {
  look_up(p, own, 1);
  struct flow *f = own->flow;
  if (UNLIKELY(!f)) return;
  if (UNLIKELY(!in_mode(p, MODE_SERVICE)) && (f->way == FLOW_WAY_SERVICE || f->flags & FLOW_FLAG_HAIRPIN)) own->flow = 0;
  if (begins_anew(p, own, f) || UNLIKELY(is_forsaken(p, f))) own->flow = 0;
  /* It speaks to the backend itself, from a port that it spoke to the Service from. */
  if (UNLIKELY(!in_mode(p, MODE_FORWARD)) && f->way != FLOW_WAY_SERVICE && f->frontend && !(f->flags & FLOW_FLAG_REMOTE_FIRST)) f->frontend = 0;
}

/* Is the packet's flow ours? Where the host stack forwards, only what was translated is. */
INLINE int forwards(const struct packet *p, const struct through *t) {
  return in_mode(p, MODE_FORWARD) || t->frontend;
}

/* The flow that was found, and with it, when the packet is of its initiator, which frontend the other side's answers show from now on. */
INLINE __u32 go_on(const struct packet *p, struct end *own, __u32 frontend) {
  struct flow *f = own->flow;
  /* No policy is asked about a pod that speaks to itself, and none where the host stack forwards. */
  __u32 reason = f->flags & FLOW_FLAG_HAIRPIN || !in_mode(p, MODE_FORWARD) ? 0 : judge(p, own);
  if (reason) return reason;
  if (!(f->flags & FLOW_FLAG_REMOTE_FIRST) && f->frontend != frontend) f->frontend = frontend;
  own->frontend = f->frontend;
  track(p, own);
  return 0;
}

/* Sent to where only Services are, and none is. A map that is still empty leaves no trace. */
INLINE int is_unknown_service(const struct packet *p, __u32 remote_is) {
  return remote_is == HOST_REASON_SERVICE_CIDR && in_mode(p, MODE_SERVICE) && has_ports(p) && !may_be_of_host(p);
}

INLINE outcome begin_flow(const struct packet *p, struct end *own, const struct through *t, struct decision *d) {
  d->frontend = t->frontend;
  d->remote_is = host_reason(p->destination);
  if (!t->frontend && is_unknown_service(p, d->remote_is)) return DROPPED(DROP_SERVICE_UNKNOWN);
  if (!forwards(p, t)) return PATH_NONE;
  choose_way(p, own, d);
  d->way = forget(p, d->way);
  d->peer = forget(p, d->peer);
  d->peer_incarnation = forget(p, d->peer_incarnation);
  d->remote_is = forget(p, d->remote_is);
  __u32 reason = create_flow(p, own, d);
  return reason ? DROPPED(reason) : PATH_POD_VIA_HOST;
}

INLINE outcome forward(struct packet *p, struct end *own, struct target *to) {
  struct through t = {0};
  struct decision d = {0};
  int answers = 0;
  local_end(p, own);
  find_own(p, own);
  if (UNLIKELY(!own->flow || own->flow->way == FLOW_WAY_SERVICE) && in_mode(p, MODE_SERVICE) && has_ports(p)) {
    outcome end = go_through_service(p, own, &t);
    if (end) return end;
    p->frontend = forget(p, t.frontend);
    if (own->remote_sends) return return_to_pod(p, own, &t, to);
    own->remote_sends = 0;
  }
  if (LIKELY(own->flow)) {
    answers = own->flow->flags & FLOW_FLAG_REMOTE_FIRST;
    int hairpin = own->flow->flags & FLOW_FLAG_HAIRPIN;
    if (!forwards(p, &t) && !(answers && own->flow->frontend)) return PATH_NONE;
    d.way = own->flow->way;
    d.peer = own->flow->peer;
    __u32 reason = go_on(p, own, t.frontend);
    if (UNLIKELY(reason)) return DROPPED(reason);
    if (UNLIKELY(t.frontend)) keep_choice(p, own, &t);
    else if (UNLIKELY(answers && own->frontend) && in_mode(p, MODE_SERVICE)) return answer_as_frontend(p, own, hairpin, to);
  } else {
    outcome end = begin_flow(p, own, &t, &d);
    if (end != PATH_POD_VIA_HOST) return end;
    p->first = forget(p, t.frontend);
  }
  if (UNLIKELY(!in_mode(p, MODE_FORWARD))) return PATH_POD_VIA_HOST;
  /* Without a note for its answers: a server that the host stack asked once, as a probe does, would be left to it by everybody. */
  if (UNLIKELY(d.way != FLOW_WAY_DIRECT)) return answers ? PATH_POD_VIA_HOST : leave_to_host(p, own, d.remote_is ? PATH_POD_TO_HOST : PATH_POD_VIA_HOST);
  if (LIKELY(!d.peer || !own->peer)) return send_out(p, own->endpoint);
  to->number = d.peer;
  to->endpoint = own->peer;
  return send_to_pod(p, own, to);
}
