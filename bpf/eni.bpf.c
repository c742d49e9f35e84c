/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The program where an ENI receives: eni_in takes what is for a pod of that ENI past the host stack. */
#include "lib/deliver.h"
#include "lib/fragment.h"
#include "lib/icmp.h"

char _license[] SECTION("license") = "Dual BSD/GPL";

/* The endpoint of the destination, when it is live and this ENI is its own. */
INLINE struct endpoint *find_receiver(const struct packet *p, struct target *to) {
  struct address *a = find_address(p->destination);
  if (!a || a->state != ADDRESS_STATE_LIVE) return 0;
  struct endpoint *e = find_endpoint(a->endpoint);
  if (!e || e->incarnation != a->incarnation || e->out_if_index != p->skb->ifindex) return 0;
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
  return !is_syn(p) && (has_note(p, &own->key, own->endpoint) || p->mode & MODE_LEARN);
}

INLINE outcome receive(const struct packet *p, struct end *own) {
  remote_end(p, own);
  find_flow(p, own);
  if (own->flow) {
    __u32 reason = judge(p, own);
    if (reason) return DROPPED(reason);
    /* pod_out tracks it. */
    if (own->flow->way != FLOW_WAY_DIRECT) return PATH_REMOTE_VIA_HOST;
    track(p, own);
  } else {
    if (is_expected_by_host(p, own)) return PATH_REMOTE_VIA_HOST;
    struct decision d = {.way = FLOW_WAY_DIRECT};
    __u32 reason = create_flow(p, own, &d);
    if (reason) return DROPPED(reason);
  }
  return packet_size(p) > own->endpoint->mtu ? PATH_TOO_LONG : PATH_REMOTE_TO_POD;
}

INLINE outcome eni_receives(struct packet *p, struct target *to) {
  enum parsed parsed = parse(p);
  /* A tagged frame is of a member ENI, whatever its address. */
  if (!p->addressed || p->skb->vlan_present) return PATH_NONE;
  struct end own = {.endpoint = find_receiver(p, to)};
  if (!own.endpoint) return PATH_NONE;
  own.number = to->number;
  if (parsed == PARSED_MALFORMED) return DROPPED(DROP_MALFORMED);
  if (is_neighbour_discovery(p)) return PATH_NONE;
  own.policy = find_policy(p, own.number);
  if (is_icmp_error(p)) {
    if (enforces(own.policy, DIRECTION_IN) && !is_related(p, &own, 0)) return DROPPED(DROP_ICMP_UNRELATED);
    return PATH_ICMP_ERROR;
  }
  if (share_ports(p)) return DROPPED(DROP_FRAGMENT_WITHOUT_FIRST);
  return receive(p, &own);
}

SECTION("tc/eni_in") int eni_in(struct __sk_buff *skb) {
  __u32 mode = read_mode();
  if (!(mode & MODE_FORWARD)) return TC_ACT_UNSPEC;
  struct packet p = {0};
  struct target to = {0};
  begin(&p, skb, HOOK_ENI_IN, mode);
  outcome outcome = eni_receives(&p, &to);
  return outcome == PATH_REMOTE_TO_POD ? deliver(&p, &to, outcome) : leave(&p, outcome);
}
