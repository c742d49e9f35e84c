/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The programs at a pod's host end: pod_in sees what the pod sends, pod_out what the host stack hands over to it. */
#include "lib/forward.h"
#include "lib/guard.h"
#include "lib/hand_over.h"
#include "lib/pod_error.h"
#include "lib/reject.h"

char _license[] SECTION("license") = "Dual BSD/GPL";

INLINE outcome pod_sends(struct packet *p, struct end *own, struct target *to) {
  own->number = p->skb->ifindex;
  own->endpoint = find_endpoint(own->number);
  if (UNLIKELY(!own->endpoint)) return PATH_NONE;
  p->counted = own->number;
  enum parsed parsed = parse(p);
  if (UNLIKELY(parsed == PARSED_OTHER)) return hides_behind_tags(p) ? DROPPED(DROP_MALFORMED) : PATH_NONE;
  if (UNLIKELY(parsed == PARSED_MALFORMED)) return DROPPED(DROP_MALFORMED);
  enum source source;
  __u32 reason = guard(p, own->endpoint, &source);
  if (UNLIKELY(reason)) return DROPPED(reason);
  if (UNLIKELY(source == SOURCE_OTHER || !in_mode(p, MODE_FORWARD | MODE_SERVICE) || p->skb->vlan_present)) return PATH_NONE;
  if (UNLIKELY(is_neighbour_discovery(p))) return find_address(p->destination) ? DROPPED(DROP_NEIGHBOUR_DISCOVERY) : PATH_NONE;
  if (UNLIKELY(is_icmp_error(p))) return pod_sends_error(p, own, to);
  if (UNLIKELY(share_ports(p))) return in_mode(p, MODE_FORWARD) ? DROPPED(DROP_FRAGMENT_WITHOUT_FIRST) : PATH_NONE;
  return forward(p, own, to);
}

SECTION("tc/pod_in") int pod_in(struct __sk_buff *skb) {
  __u32 mode = read_mode();
  if (!mode) return TC_ACT_UNSPEC;
  struct packet p = {0};
  begin(&p, skb, HOOK_POD_IN, mode);
  {
    struct end own = {0};
    struct target to = {0};
    outcome outcome = pod_sends(&p, &own, &to);
    if (LIKELY(outcome == PATH_POD_TO_REMOTE)) return send(&p, own.endpoint);
    /* The verifiers of 5.10 and 6.1 do not see that a drop is neither of these paths, and that both have an endpoint. */
    if (to.endpoint && (outcome == PATH_POD_TO_POD || outcome == PATH_HAIRPIN)) return deliver(&p, &to, outcome);
    if (outcome == PATH_POD_ANSWERS_CLIENT) return send_by_node(&p, outcome);
    if (outcome != REJECTED) return leave(&p, outcome);
  }
  return reject(&p, skb->ifindex, 0, OWN_MARK);
}

SECTION("tc/pod_out") int pod_out(struct __sk_buff *skb) {
  if (skb->mark == OWN_MARK) {
    skb->mark = 0;
    return TC_ACT_UNSPEC;
  }
  __u32 mode = read_mode();
  if (!(mode & (MODE_FORWARD | MODE_SERVICE))) return TC_ACT_UNSPEC;
  struct packet p = {0};
  struct end own = {0};
  begin(&p, skb, HOOK_POD_OUT, mode);
  return leave(&p, host_hands_over(&p, &own));
}
