/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What arrives for a pod of the ENI that it arrives on goes past the host stack. */
#pragma once
#include "deliver.h"
#include "flow_table.h"
#include "fragment.h"
#include "icmp.h"
#include "reply.h"

/* The endpoint of the destination, when it is live and this ENI is its own. */
INLINE struct endpoint *find_receiver(const struct packet *p, struct target *to) {
  struct address *a = find_address(p->destination);
  if (UNLIKELY(!a || a->state != ADDRESS_STATE_LIVE)) return 0;
  struct endpoint *e = find_endpoint(a->endpoint);
  if (UNLIKELY(!e || e->incarnation != a->incarnation || e->out_if_index != p->skb->ifindex)) return 0;
  to->number = a->endpoint;
  to->endpoint = e;
  return e;
}

/*
 * May the host stack be the one that expects this packet? No entry is made of it: what comes out of the translation is judged by pod_out, which would
 * take an entry for a judgement.
 */
INLINE int is_expected_by_host(const struct packet *p, const struct end *own) {
  /* A connection that the other side begins answers nothing. */
  return !is_syn(p) && (has_note(p, &own->key, own->endpoint) || in_mode(p, MODE_LEARN));
}

INLINE outcome receive_flow(struct packet *p, struct end *own) {
  __u32 frontend = 0;
  remote_end(p, own);
  find_flow(p, own);
  if (LIKELY(own->flow)) {
    __u32 reason = judge(p, own);
    if (UNLIKELY(reason)) return DROPPED(reason);
    frontend = frontend_to_show(p, own);
    /* pod_out tracks it, and shows the frontend. */
    if (UNLIKELY(own->flow->way != FLOW_WAY_DIRECT)) return PATH_REMOTE_VIA_HOST;
    track(p, own);
  } else {
    if (is_expected_by_host(p, own)) return PATH_REMOTE_VIA_HOST;
    if (UNLIKELY(is_early(p))) return DROPPED(DROP_SERVICE_TRANSLATION_FAILED);
    struct decision d = {.way = FLOW_WAY_DIRECT};
    __u32 reason = create_flow(p, own, &d);
    if (reason) return DROPPED(reason);
  }
  /* pod_out shows the frontend. */
  if (UNLIKELY(packet_size(p) > own->endpoint->mtu)) return PATH_TOO_LONG;
  __u32 reason = UNLIKELY(frontend) ? show_frontend(p, frontend) : 0;
  return UNLIKELY(reason) ? DROPPED(reason) : PATH_REMOTE_TO_POD;
}

/*
 * What the host stack never saw it takes an error about for invalid, and kube-proxy has it drop what is: such an error goes the way of its flow.
 */
INLINE outcome receive_error(struct packet *p, struct end *own) {
  __u32 transport;
  own->policy = find_policy(p, own->number);
  int enforced = enforces(&own->policy, DIRECTION_IN);
  if (!read_about(p, own, &transport, 0) || !is_related(p, own)) return enforced ? DROPPED(DROP_ICMP_UNRELATED) : PATH_ICMP_ERROR;
  const struct flow *f = own->flow;
  if (!f || f->way != FLOW_WAY_DIRECT || (f->frontend && !in_mode(p, MODE_SERVICE)) || packet_size(p) > own->endpoint->mtu) return PATH_ICMP_ERROR;
  __u32 reason = show_frontend_inside(p, own, transport);
  return reason ? DROPPED(reason) : PATH_REMOTE_TO_POD;
}

/* `to` becomes the pod. */
INLINE outcome receive(struct packet *p, enum parsed parsed, struct target *to) {
  /* A tagged frame is of a member ENI, whatever its address. */
  if (UNLIKELY(!p->addressed || p->skb->vlan_present)) return PATH_NONE;
  struct end own = {.endpoint = find_receiver(p, to)};
  if (UNLIKELY(!own.endpoint)) return PATH_NONE;
  own.number = to->number;
  if (UNLIKELY(parsed == PARSED_MALFORMED)) return DROPPED(DROP_MALFORMED);
  if (UNLIKELY(is_neighbour_discovery(p))) return PATH_NONE;
  if (UNLIKELY(is_icmp_error(p))) return receive_error(p, &own);
  if (UNLIKELY(share_ports(p))) return DROPPED(DROP_FRAGMENT_WITHOUT_FIRST);
  return receive_flow(p, &own);
}
