/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The programs at a pod's host end: pod_in sees what the pod sends, pod_out what the host stack hands over to it. */
#include "lib/deliver.h"
#include "lib/fragment.h"
#include "lib/guard.h"
#include "lib/icmp.h"

char _license[] SECTION("license") = "Dual BSD/GPL";

/* A destination of the host stack, of another pod here, or of anywhere else. Sets the peer of a flow to a pod. */
INLINE __u32 choose_way(const struct packet *p, struct end *own, struct decision *d) {
  d->way = FLOW_WAY_HOST;
  d->remote_is = host_reason(p->destination);
  if (d->remote_is) return PATH_POD_TO_HOST;
  struct address *a = find_address(p->destination);
  if (a && a->state == ADDRESS_STATE_STACK) return PATH_POD_VIA_HOST;
  /* After a switch: it may be the answer to something that the host stack translates. */
  if (p->mode & MODE_LEARN && !is_syn(p)) return PATH_POD_VIA_HOST;
  d->way = FLOW_WAY_DIRECT;
  if (!a || a->state != ADDRESS_STATE_LIVE || a->endpoint == own->number) return PATH_NONE;
  own->peer = find_endpoint(a->endpoint);
  if (own->peer && own->peer->incarnation == a->incarnation) {
    d->peer = a->endpoint;
    d->peer_incarnation = a->incarnation;
  }
  return PATH_NONE;
}

INLINE outcome leave_to_host(const struct packet *p, const struct end *own, __u32 path) {
  write_note(p, own);
  return path;
}

/* A flow between two pods has one way, that of the one which needs the host stack. */
INLINE void turn_to_host(const struct end *own) {
  struct flow *f = bpf_map_lookup_elem(&flows, &own->key);
  if (!f) f = bpf_map_lookup_elem(&new_flows, &own->key);
  if (f) f->way = FLOW_WAY_HOST;
}

/* The receiver's own view and policy. */
INLINE outcome send_to_pod(const struct packet *p, const struct end *own, struct target *to) {
  struct end peer = {.number = to->number, .endpoint = to->endpoint, .policy = find_policy(p, to->number), .other = own};
  remote_end(p, &peer);
  find_flow(p, &peer);
  if (peer.flow) {
    __u32 reason = judge(p, &peer);
    if (reason) return DROPPED(reason);
    if (peer.flow->way != FLOW_WAY_DIRECT && !is_syn(p)) {
      /* pod_out tracks the receiver's. */
      turn_to_host(own);
      return leave_to_host(p, own, PATH_POD_VIA_HOST);
    }
  }
  if (peer.flow && peer.flow->way == FLOW_WAY_DIRECT) {
    track(p, &peer);
  } else {
    struct decision d = {.way = FLOW_WAY_DIRECT, .peer = own->number, .peer_incarnation = own->endpoint->incarnation};
    __u32 reason = create_flow(p, &peer, &d);
    if (reason) return DROPPED(reason);
  }
  return packet_size(p) > to->endpoint->mtu ? PATH_TOO_LONG : PATH_POD_TO_POD;
}

INLINE outcome send_out(const struct packet *p, const struct endpoint *e) {
  if (packet_size(p) > e->out_mtu) return PATH_TOO_LONG;
  return has_gateway(p, e) ? PATH_POD_TO_REMOTE : PATH_NONE;
}

INLINE outcome forward(const struct packet *p, struct end *own, struct target *to) {
  struct decision d = {0};
  __u32 path = PATH_POD_VIA_HOST;
  __u32 reason;
  int answers = 0;
  local_end(p, own);
  find_flow(p, own);
  if (own->flow) {
    reason = judge(p, own);
    if (reason) return DROPPED(reason);
    d.way = own->flow->way;
    d.peer = own->flow->peer;
    answers = own->flow->flags & FLOW_FLAG_REMOTE_FIRST;
    track(p, own);
  } else {
    path = choose_way(p, own, &d);
    reason = create_flow(p, own, &d);
    if (reason) return DROPPED(reason);
  }
  /* Without a note for its answers: a server that the host stack asked once, as a probe does, would be left to it by everybody. */
  if (d.way != FLOW_WAY_DIRECT) return answers ? path : leave_to_host(p, own, path);
  if (!d.peer || !own->peer) return send_out(p, own->endpoint);
  to->number = d.peer;
  to->endpoint = own->peer;
  return send_to_pod(p, own, to);
}

INLINE outcome pod_sends(struct packet *p, struct end *own, struct target *to) {
  own->number = p->skb->ifindex;
  own->endpoint = find_endpoint(own->number);
  if (!own->endpoint) return PATH_NONE;
  p->counted = own->number;
  enum parsed parsed = parse(p);
  if (parsed == PARSED_OTHER) return hides_behind_tags(p) ? DROPPED(DROP_MALFORMED) : PATH_NONE;
  if (parsed == PARSED_MALFORMED) return DROPPED(DROP_MALFORMED);
  enum source source;
  __u32 reason = guard(p, own->endpoint, &source);
  if (reason) return DROPPED(reason);
  if (source == SOURCE_OTHER || !(p->mode & MODE_FORWARD) || p->skb->vlan_present) return PATH_NONE;
  if (is_neighbour_discovery(p)) return find_address(p->destination) ? DROPPED(DROP_NEIGHBOUR_DISCOVERY) : PATH_NONE;
  own->policy = find_policy(p, own->number);
  if (is_icmp_error(p)) {
    __u32 transport;
    if (!enforces(own->policy, DIRECTION_OUT)) return PATH_ICMP_ERROR;
    return read_about(p, own, &transport, 1) && is_related(p, own) ? PATH_ICMP_ERROR : DROPPED(DROP_ICMP_UNRELATED);
  }
  if (share_ports(p)) return DROPPED(DROP_FRAGMENT_WITHOUT_FIRST);
  return forward(p, own, to);
}

SECTION("tc/pod_in") int pod_in(struct __sk_buff *skb) {
  __u32 mode = read_mode();
  if (!mode) return TC_ACT_UNSPEC;
  struct packet p = {0};
  struct end own = {0};
  struct target to = {0};
  begin(&p, skb, HOOK_POD_IN, mode);
  outcome outcome = pod_sends(&p, &own, &to);
  if (outcome == PATH_POD_TO_REMOTE) return send(&p, own.endpoint);
  if (outcome == PATH_POD_TO_POD) return deliver(&p, &to, outcome);
  return leave(&p, outcome);
}

INLINE outcome host_hands_over(struct packet *p, struct end *own) {
  own->number = p->skb->ifindex;
  own->endpoint = find_endpoint(own->number);
  if (!own->endpoint) return PATH_NONE;
  p->counted = own->number;
  enum parsed parsed = parse(p);
  if (parsed == PARSED_OTHER) return PATH_NONE;
  if (parsed == PARSED_MALFORMED) return DROPPED(DROP_MALFORMED);
  if (!is_own(p, own->endpoint, p->destination) || is_neighbour_discovery(p)) return PATH_NONE;
  if (is_icmp_error(p)) return PATH_ICMP_ERROR;
  own->policy = find_policy(p, own->number);
  if (share_ports(p)) return enforces(own->policy, DIRECTION_IN) ? DROPPED(DROP_FRAGMENT_WITHOUT_FIRST) : PATH_NONE;
  remote_end(p, own);
  find_flow(p, own);
  struct decision d = {.way = FLOW_WAY_HOST};
  if (own->flow) {
    __u32 reason = judge(p, own);
    /* The node is never refused: its flow becomes another one of the host stack. */
    if (reason && !is_node(remote_reason(p, own))) return DROPPED(reason);
    if (!reason && own->flow->way == FLOW_WAY_HOST) {
      track(p, own);
      return PATH_HOST_TO_POD;
    }
    /* Too long for the way past the host stack: whoever sent it here has tracked it. */
    if (!reason && !is_syn(p)) return PATH_HOST_TO_POD;
  }
  d.remote_is = remote_reason(p, own);
  __u32 reason = create_flow(p, own, &d);
  return reason ? DROPPED(reason) : PATH_HOST_TO_POD;
}

SECTION("tc/pod_out") int pod_out(struct __sk_buff *skb) {
  if (skb->mark == OWN_MARK) {
    skb->mark = 0;
    return TC_ACT_UNSPEC;
  }
  __u32 mode = read_mode();
  if (!(mode & MODE_FORWARD)) return TC_ACT_UNSPEC;
  struct packet p = {0};
  struct end own = {0};
  begin(&p, skb, HOOK_POD_OUT, mode);
  return leave(&p, host_hands_over(&p, &own));
}
