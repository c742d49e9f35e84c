/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is remembered of a flow, so that only its first packet is decided at length.
 *
 * Two CPUs may handle packets of one flow at once. Both may create it: the later one wins, and both have decided the same. Each write to an entry is
 * of one field, and the sums are plain additions: a lost one makes a figure that people look at a little too small, while an atomic one would cost
 * each packet more than all of the rest. An entry that is evicted in the middle of a packet may be another flow's when it is written to; what is wrong
 * then ends with that entry's timeout.
 */
#pragma once
#include "policy.h"

enum { KEPT_SETTLED = 1, KEPT_NEW = 2 };

/* One end's view of a packet: which flow of which endpoint it belongs to. */
struct end {
  struct flow_key key;
  __u32 number;
  /* The remote side sent this packet. */
  __u8 remote_sends;
  /* `flow` is in the map of flows, not of new ones. */
  __u8 settled;
  /* KEPT_: which maps have an entry of this key, be it valid or not. */
  __u8 kept;
  struct endpoint *endpoint;
  /* Once somebody has asked for it. */
  struct enforced policy;
  /* 0 when there is none that counts. */
  struct flow *flow;
  /* Of the flow that the packet goes on with. */
  __u32 frontend;
  /* The other side's endpoint, when the flow has one on this node. */
  struct endpoint *peer;
  /* The sender of a packet between two pods, once this end is the receiver; 0 = it is none, or not known yet. */
  __u32 other;
  __u32 other_incarnation;
};

/* What is decided of a new flow. */
struct decision {
  __u8 way;
  __u32 peer;
  __u32 peer_incarnation;
  /* As in `question`. */
  __u32 remote_is;
  /* As in `flow`: what the initiator sees, when this packet is of the initiator. */
  __u32 frontend;
};

/* How the sender of a packet sees its flow. */
INLINE void sender_key(const struct packet *p, __u8 kind, struct flow_key *key) {
  copy_ip(key->local, p->source);
  copy_ip(key->remote, p->destination);
  key->local_port = p->source_port;
  key->remote_port = p->destination_port;
  key->protocol = p->protocol;
  key->kind = kind;
}

/* And how its receiver does. */
INLINE void receiver_key(const struct packet *p, __u8 kind, struct flow_key *key) {
  copy_ip(key->local, p->destination);
  copy_ip(key->remote, p->source);
  key->local_port = p->destination_port;
  key->remote_port = p->source_port;
  key->protocol = p->protocol;
  key->kind = kind;
}

/* The sender's view. */
INLINE void local_end(const struct packet *p, struct end *e) {
  sender_key(p, FLOW_KIND_POD, &e->key);
  e->remote_sends = 0;
}

/* The receiver's view. */
INLINE void remote_end(const struct packet *p, struct end *e) {
  receiver_key(p, FLOW_KIND_POD, &e->key);
  e->remote_sends = 1;
}

INLINE __u64 open_timeout(__u8 protocol) {
  return protocol == IPPROTO_TCP ? FLOW_TIMEOUT_OPEN_TCP : FLOW_TIMEOUT_OPEN;
}

INLINE __u64 timeout_of(__u8 state, __u8 protocol) {
  if (LIKELY(state == FLOW_STATE_OPEN)) return open_timeout(protocol);
  if (state == FLOW_STATE_NEW) return FLOW_TIMEOUT_NEW;
  return state == FLOW_STATE_CLOSING ? FLOW_TIMEOUT_CLOSING : FLOW_TIMEOUT_DENIED;
}

INLINE int is_old(const struct packet *p, const struct flow *f, __u8 protocol) {
  return is_older(p->now, f->seen, timeout_of(f->state, protocol));
}

/*
 * An entry that is too old, or of an earlier owner of either address, counts as absent. `choices`: of whatever age, for whoever asks the flow that a choice
 * leads to, since a choice has seen its own side's packets only.
 */
INLINE int is_valid(const struct packet *p, struct end *e, const struct flow *f, int choices) {
  if (UNLIKELY(f->local_incarnation != e->endpoint->incarnation)) return 0;
  if (UNLIKELY(is_old(p, f, e->key.protocol)) && !(choices && f->way == FLOW_WAY_SERVICE)) return 0;
  if (LIKELY(!f->peer)) return 1;
  if (f->peer == e->other) return e->other_incarnation == f->peer_incarnation;
  e->peer = find_endpoint(f->peer);
  return e->peer && e->peer->incarnation == f->peer_incarnation;
}

INLINE int from_initiator(const struct end *e, const struct flow *f) {
  return !(f->flags & FLOW_FLAG_REMOTE_FIRST) == !e->remote_sends;
}

/* A first packet of TCP begins anew, unless it is repeated. A denied flow does not reopen so. */
INLINE int begins_anew(const struct packet *p, const struct end *e, const struct flow *f) {
  if (LIKELY(!is_syn(p)) || f->state == FLOW_STATE_DENIED) return 0;
  return f->state != FLOW_STATE_NEW || !from_initiator(e, f);
}

/* Sets flow and peer; `choices` as above. */
INLINE void look_up(const struct packet *p, struct end *e, int choices) {
  struct flow *f = bpf_map_lookup_elem(&flows, &e->key);
  int settled = f && is_valid(p, e, f, choices);
  __u32 kept = f ? KEPT_SETTLED : 0;
  e->settled = forget(p, settled);
  if (UNLIKELY(!settled)) {
    f = bpf_map_lookup_elem(&new_flows, &e->key);
    kept |= f ? KEPT_NEW : 0;
    if (f && !is_valid(p, e, f, choices)) f = 0;
  }
  e->kept = forget(p, kept);
  e->flow = f;
}

INLINE void look_up_flow(const struct packet *p, struct end *e) {
  look_up(p, e, 0);
}

/* The flow that the packet goes on with. */
INLINE void find_flow(const struct packet *p, struct end *e) {
  look_up_flow(p, e);
  if (e->flow && begins_anew(p, e, e->flow)) e->flow = 0;
}

/* 0, or the reason for which the endpoint's policy refuses the flow when that side is its initiator. */
INLINE __u32 ask_policy(const struct packet *p, const struct end *e, int remote_first, __u32 identity, __u32 remote_is) {
  struct question q = {
    .policy = &e->policy,
    .mode = p->mode,
    .direction = remote_first ? DIRECTION_IN : DIRECTION_OUT,
    .identity = identity,
    .remote_is = remote_is,
    .protocol = e->key.protocol,
    .port = remote_first ? e->key.local_port : e->key.remote_port,
  };
  return allows(&q) ? 0 : remote_first ? DROP_POLICY_INGRESS : DROP_POLICY_EGRESS;
}

/* As in `question`. */
INLINE __u32 remote_reason(const struct packet *p, const struct end *e) {
  __u32 made_here = p->hook == HOOK_POD_OUT && p->skb->ingress_ifindex == 0 ? MADE_HERE : 0;
  return host_reason(e->key.remote) | made_here;
}

/* After a change of some endpoint's policy, which may be this one's. 0, or why the flow is denied now. */
INLINE __u32 ask_again(const struct packet *p, struct end *e) {
  struct flow *f = e->flow;
  e->policy = find_policy(p, e->number);
  f->checked = e->policy.generation;
  if (f->policy_revision == e->policy.revision) return 0;
  __u32 identity = find_identity(p, &e->policy, e->key.remote);
  __u32 reason = ask_policy(p, e, f->flags & FLOW_FLAG_REMOTE_FIRST, identity, remote_reason(p, e));
  f->policy_revision = e->policy.revision;
  f->identity = identity;
  if (reason) {
    /* Denied from now on: its time does not run from its last packet, which may be long ago. */
    f->seen = p->now;
    f->reason = reason;
    f->state = FLOW_STATE_DENIED;
  } else if (f->state == FLOW_STATE_DENIED) {
    f->reason = 0;
    f->state = FLOW_STATE_NEW;
  }
  return reason;
}

INLINE int is_outdated(const struct packet *p, const struct end *e) {
  /* A choice has no policy. */
  return in_mode(p, MODE_POLICY) && e->flow->checked != policy_generation() && e->flow->way != FLOW_WAY_SERVICE;
}

/* Of the flow that was found: 0, or the reason to drop its packet. */
INLINE __u32 judge(const struct packet *p, struct end *e) {
  if (UNLIKELY(is_outdated(p, e))) {
    __u32 reason = ask_again(p, e);
    if (reason) return reason;
  }
  return UNLIKELY(e->flow->state == FLOW_STATE_DENIED) ? DROP_DENIED_FLOW : 0;
}

/* FIN or RST of one side. */
INLINE void end_flow(__u8 tcp_flags, int remote_sends, __u8 *state, __u8 *flags) {
  const __u8 both = FLOW_FLAG_LOCAL_ENDED | FLOW_FLAG_REMOTE_ENDED;
  *flags |= remote_sends ? FLOW_FLAG_REMOTE_ENDED : FLOW_FLAG_LOCAL_ENDED;
  if (tcp_flags & TCP_RST || (*flags & both) == both) *state = FLOW_STATE_CLOSING;
}
