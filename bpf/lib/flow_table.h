/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How flows come into their maps, and what a packet that passes leaves behind there. */
#pragma once
#include "flow.h"
#include "flow_counts.h"
#include "flow_limit.h"

/* What a packet that passes changes in its flow. */
INLINE void account(const struct packet *p, const struct end *e, struct flow *f) {
  if (UNLIKELY(f->seen != p->now)) f->seen = p->now;
  if (e->remote_sends) {
    f->rx_packets++;
    f->rx_bytes += p->skb->len;
  } else {
    f->tx_packets++;
    f->tx_bytes += p->skb->len;
  }
  if (UNLIKELY(f->state == FLOW_STATE_NEW || !(f->flags & FLOW_FLAG_ANSWERED)) && !from_initiator(e, f)) {
    f->flags |= FLOW_FLAG_ANSWERED;
    if (f->state == FLOW_STATE_NEW) f->state = FLOW_STATE_OPEN;
  }
  if (UNLIKELY(p->tcp_flags & (TCP_FIN | TCP_RST))) {
    __u8 before = f->state;
    end_flow(p->tcp_flags, e->remote_sends, &f->state, &f->flags);
    if (f->state == FLOW_STATE_CLOSING && before != FLOW_STATE_CLOSING) count_ended(e->number);
  }
}

/*
 * Has this packet shown that the flow is in use? It is answered; and of TCP the one who began goes on: whoever only asks is answered as well, by an open
 * port and by a closed one.
 */
INLINE int settles(const struct packet *p, const struct end *e, const struct flow *f) {
  if (!(f->flags & FLOW_FLAG_ANSWERED)) return 0;
  return p->protocol != IPPROTO_TCP || (f->state == FLOW_STATE_OPEN && from_initiator(e, f));
}

/* Of a flow that was found: may it still be taken away for another new one? */
INLINE int is_fresh(int settled, const struct flow *f) {
  return !settled || f->flags & FLOW_FLAG_FRESH;
}

/* It is in use: it stays, where a flood of new ones cannot evict it. */
INLINE void settle(const struct flow_key *key, struct flow *f, int settled) {
  struct table_sums *sums = find_sums(SUM_OF_FLOWS);
  if (!sums) return;
  if (settled) {
    f->flags &= ~FLOW_FLAG_FRESH;
    give_credit(sums, CREDITS_FLOWS);
    return;
  }
  if (bpf_map_update_elem(&flows, key, f, BPF_ANY)) return;
  sums->put++;
  if (bpf_map_delete_elem(&new_flows, key) == 0) count_taken(SUM_OF_NEW_FLOWS);
}

/* Of a flow that was found and not denied. */
INLINE void track(const struct packet *p, struct end *e) {
  struct flow *f = e->flow;
  account(p, e, f);
  if (UNLIKELY(is_fresh(e->settled, f)) && settles(p, e, f)) settle(&e->key, f, e->settled);
}

/*
 * Of an entry that is made anew. `kept` says which maps have an older one of this key. What is denied, and what gets no credit, goes to where only new ones
 * are. Is it among those in use now?
 */
INLINE int put_flow(const struct flow_key *key, struct flow *f, __u32 kept) {
  struct table_sums *sums = find_sums(SUM_OF_FLOWS);
  if (!sums) return 0;
  if (f->state != FLOW_STATE_DENIED && take_credit(sums, CREDITS_FLOWS)) {
    f->flags |= FLOW_FLAG_FRESH;
    if (bpf_map_update_elem(&flows, key, f, BPF_ANY)) return 0;
    if (!(kept & KEPT_SETTLED)) sums->put++;
    if (kept & KEPT_NEW && bpf_map_delete_elem(&new_flows, key) == 0) count_taken(SUM_OF_NEW_FLOWS);
    return 1;
  }
  if (bpf_map_update_elem(&new_flows, key, f, BPF_ANY)) return 0;
  if (!(kept & KEPT_NEW)) count_put(SUM_OF_NEW_FLOWS);
  if (kept & KEPT_SETTLED && bpf_map_delete_elem(&flows, key) == 0) sums->taken++;
  return 0;
}

INLINE void write_flow(const struct end *e, struct flow *f) {
  count_made(f->state == FLOW_STATE_DENIED ? MADE_DENIED : f->way == FLOW_WAY_HOST ? MADE_HOST : MADE_DIRECT, e->key.protocol);
  put_flow(&e->key, f, e->kept);
}

/*
 * Asks policy and remembers the answer with the packet in it. 0, or the reason to drop the packet. A packet from the middle of a TCP flow, whose entry
 * may have been evicted, passes when either side may be the one who began. An entry that cannot be made is no fault: the next packet is again the first.
 */
INLINE __u32 create_flow(const struct packet *p, struct end *e, const struct decision *d) {
  int remote_first = e->remote_sends;
  e->policy = find_policy(p, e->number);
  __u32 identity = find_identity(p, &e->policy, e->key.remote);
  __u32 reason = ask_policy(p, e, remote_first, identity, d->remote_is);
  if (reason && p->protocol == IPPROTO_TCP && !is_syn(p) && !ask_policy(p, e, !remote_first, identity, d->remote_is)) {
    reason = 0;
    remote_first = !remote_first;
  }
  reason = forget(p, reason);
  remote_first = forget(p, remote_first);
  /* The node's own word, as a probe, reaches its pods. */
  __u32 refused = reason ? 0 : ask_limit(p, e->number, remote_first && is_node(d->remote_is));
  if (refused) return refused;
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
