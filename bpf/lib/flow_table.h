/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How flows come into their maps, and what a packet that passes leaves behind there. */
#pragma once
#include "flow.h"

/* What a packet that passes changes in its flow. */
INLINE void account(const struct packet *p, const struct end *e, struct flow *f) {
  if (f->seen != p->now) f->seen = p->now;
  if (e->remote_sends) {
    f->rx_packets++;
    f->rx_bytes += p->skb->len;
  } else {
    f->tx_packets++;
    f->tx_bytes += p->skb->len;
  }
  if (!from_initiator(e, f) && (f->state == FLOW_STATE_NEW || !(f->flags & FLOW_FLAG_ANSWERED))) {
    f->flags |= FLOW_FLAG_ANSWERED;
    if (f->state == FLOW_STATE_NEW) f->state = FLOW_STATE_OPEN;
  }
  if (UNLIKELY(p->tcp_flags & (TCP_FIN | TCP_RST))) end_flow(p->tcp_flags, e->remote_sends, &f->state, &f->flags);
}

/*
 * Has this packet shown that the flow is in use? It is answered; and of TCP the one who began goes on: whoever only asks is answered as well, by an open
 * port and by a closed one.
 */
INLINE int settles(const struct packet *p, const struct end *e, const struct flow *f) {
  if (!(f->flags & FLOW_FLAG_ANSWERED)) return 0;
  return p->protocol != IPPROTO_TCP || (f->state == FLOW_STATE_OPEN && from_initiator(e, f));
}

/* Of a flow that was found and not denied. It moves to where a flood of new ones cannot evict it. */
INLINE void track(const struct packet *p, struct end *e) {
  struct flow *f = e->flow;
  account(p, e, f);
  if (e->settled || !settles(p, e, f)) return;
  if (bpf_map_update_elem(&flows, &e->key, f, BPF_ANY) == 0) bpf_map_delete_elem(&new_flows, &e->key);
}

/* Of an entry that is made anew. */
INLINE void write_flow(const struct end *e, const struct flow *f) {
  bpf_map_update_elem(&new_flows, &e->key, f, BPF_ANY);
  if (e->kept) bpf_map_delete_elem(&flows, &e->key);
}

/*
 * Asks policy and remembers the answer with the packet in it. 0, or the reason to drop the packet. A packet from the middle of a TCP flow, whose entry
 * may have been evicted, passes when either side may be the one who began. An entry that cannot be made is no fault: the next packet is again the first.
 */
INLINE __u32 create_flow(const struct packet *p, struct end *e, const struct decision *d) {
  int remote_first = e->remote_sends;
  e->policy = find_policy(p, e->number);
  __u32 identity = find_identity(e->key.remote);
  __u32 reason = ask_policy(p, e, remote_first, identity, d->remote_is);
  if (reason && p->protocol == IPPROTO_TCP && !is_syn(p) && !ask_policy(p, e, !remote_first, identity, d->remote_is)) {
    reason = 0;
    remote_first = !remote_first;
  }
  reason = forget(p, reason);
  remote_first = forget(p, remote_first);
  struct flow f = {
    .seen = p->now,
    .state = reason ? FLOW_STATE_DENIED : FLOW_STATE_NEW,
    .way = d->way,
    .flags = remote_first ? FLOW_FLAG_REMOTE_FIRST : 0,
    .reason = reason,
    .policy_revision = e->policy.revision,
    .checked = e->policy.generation,
    .local_incarnation = e->endpoint->incarnation,
    .peer_incarnation = d->peer_incarnation,
    .peer = d->peer,
    .frontend = remote_first == e->remote_sends ? d->frontend : 0,
    .identity = identity,
  };
  e->frontend = f.frontend;
  if (!reason) account(p, e, &f);
  write_flow(e, &f);
  return reason;
}
