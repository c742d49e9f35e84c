/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The programs at a pod's host end: pod_in sees what the pod sends, pod_out what the host stack hands over to it. */
#include "lib/choice.h"
#include "lib/deliver.h"
#include "lib/fragment.h"
#include "lib/guard.h"
#include "lib/icmp.h"
#include "lib/reject.h"

char _license[] SECTION("license") = "Dual BSD/GPL";

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
  e->policy = find_policy(p, to->number);
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
    if (UNLIKELY(is_reply(p, e, e->flow))) frontend = e->flow->frontend;
    track(p, e);
  } else {
    struct decision d = {.way = FLOW_WAY_DIRECT, .peer = e->other, .peer_incarnation = e->other_incarnation};
    __u32 reason = create_flow(p, e, &d);
    if (reason) return DROPPED(reason);
  }
  /* pod_out shows the frontend. */
  if (packet_size(p) > to->endpoint->mtu) return PATH_TOO_LONG;
  __u32 reason = frontend ? show_frontend(p, frontend) : 0;
  return reason ? DROPPED(reason) : PATH_POD_TO_POD;
}

INLINE outcome send_out(const struct packet *p, const struct endpoint *e) {
  if (packet_size(p) > e->out_mtu) return PATH_TOO_LONG;
  return has_gateway(p, e) ? PATH_POD_TO_REMOTE : PATH_NONE;
}

/* Of what the pod sent to a Service whose backend it is itself. No policy is asked: it speaks to nobody else. */
INLINE outcome return_to_pod(const struct packet *p, struct end *own, const struct through *t, struct target *to) {
  own->remote_sends = 1;
  to->number = own->number;
  to->endpoint = own->endpoint;
  if (own->flow) {
    if (own->flow->frontend != t->frontend) own->flow->frontend = t->frontend;
    track(p, own);
    keep_choice(p, own, t);
    return PATH_HAIRPIN;
  }
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
INLINE outcome answer_client(struct packet *p, const struct end *own, int hairpin, struct target *to) {
  to->number = own->number;
  to->endpoint = own->endpoint;
  __u32 reason = show_frontend(p, own->frontend);
  if (!reason && hairpin) reason = translate_destination(p, own->key.local, p->destination_port);
  if (reason) return DROPPED(reason);
  return hairpin ? PATH_HAIRPIN : PATH_POD_ANSWERS_CLIENT;
}

/* The flow of the packet as the pod sends it. */
INLINE void find_own(const struct packet *p, struct end *own) {
  look_up_flow(p, own);
  struct flow *f = own->flow;
  if (!f) return;
  if (!in_mode(p, MODE_SERVICE) && (f->way == FLOW_WAY_SERVICE || f->flags & FLOW_FLAG_HAIRPIN)) own->flow = 0;
  if (begins_anew(p, own, f)) own->flow = 0;
  /* It speaks to the backend itself, from a port that it spoke to the Service from. */
  if (!in_mode(p, MODE_FORWARD) && f->way != FLOW_WAY_SERVICE && f->frontend && !(f->flags & FLOW_FLAG_REMOTE_FIRST)) f->frontend = 0;
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
  if (in_mode(p, MODE_SERVICE) && has_ports(p) && (!own->flow || own->flow->way == FLOW_WAY_SERVICE)) {
    outcome end = go_through_service(p, own, &t);
    if (end) return end;
    if (own->remote_sends) return return_to_pod(p, own, &t, to);
    own->remote_sends = 0;
  }
  own->policy = find_policy(p, own->number);
  if (own->flow) {
    answers = own->flow->flags & FLOW_FLAG_REMOTE_FIRST;
    int hairpin = own->flow->flags & FLOW_FLAG_HAIRPIN;
    if (!forwards(p, &t) && !(answers && own->flow->frontend)) return PATH_NONE;
    d.way = own->flow->way;
    d.peer = own->flow->peer;
    __u32 reason = go_on(p, own, t.frontend);
    if (reason) return DROPPED(reason);
    if (t.frontend) keep_choice(p, own, &t);
    else if (answers && own->frontend && in_mode(p, MODE_SERVICE)) return answer_client(p, own, hairpin, to);
  } else {
    outcome end = begin_flow(p, own, &t, &d);
    if (end != PATH_POD_VIA_HOST) return end;
  }
  if (!in_mode(p, MODE_FORWARD)) return PATH_POD_VIA_HOST;
  /* Without a note for its answers: a server that the host stack asked once, as a probe does, would be left to it by everybody. */
  if (d.way != FLOW_WAY_DIRECT) return answers ? PATH_POD_VIA_HOST : leave_to_host(p, own, d.remote_is ? PATH_POD_TO_HOST : PATH_POD_VIA_HOST);
  if (!d.peer || !own->peer) return send_out(p, own->endpoint);
  to->number = d.peer;
  to->endpoint = own->peer;
  return send_to_pod(p, own, to);
}

/*
 * An error about what a client of the node sent is about the frontend, as the client sees it. Others go to the host stack, which translates what it has to:
 * on the way to a pod, pod_out does.
 */
INLINE outcome pod_sends_error(struct packet *p, struct end *own) {
  __u32 transport;
  own->policy = find_policy(p, own->number);
  int enforced = enforces(&own->policy, DIRECTION_OUT);
  if (!enforced && !in_mode(p, MODE_SERVICE)) return PATH_ICMP_ERROR;
  int readable = read_about(p, own, &transport, 1);
  if (enforced && !(readable && is_related(p, own))) return DROPPED(DROP_ICMP_UNRELATED);
  if (!in_mode(p, MODE_SERVICE) || !readable || !own->flow || !is_answer_to_client(own->flow)) return PATH_ICMP_ERROR;
  struct frontend *f = find_frontend(own->flow->frontend);
  if (!f) return DROPPED(DROP_SERVICE_TRANSLATION_FAILED);
  struct rewrite r = {SIDE_DESTINATION, own->key.local, f->ip, own->key.local_port, f->port};
  if (translate_inner(p, transport, &r)) return DROPPED(DROP_SERVICE_TRANSLATION_FAILED);
  __u32 reason = translate_source(p, f->ip, 0);
  return reason ? DROPPED(reason) : PATH_POD_ANSWERS_CLIENT;
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
  if (source == SOURCE_OTHER || !in_mode(p, MODE_FORWARD | MODE_SERVICE) || p->skb->vlan_present) return PATH_NONE;
  if (is_neighbour_discovery(p)) return find_address(p->destination) ? DROPPED(DROP_NEIGHBOUR_DISCOVERY) : PATH_NONE;
  if (is_icmp_error(p)) return pod_sends_error(p, own);
  if (share_ports(p)) return in_mode(p, MODE_FORWARD) ? DROPPED(DROP_FRAGMENT_WITHOUT_FIRST) : PATH_NONE;
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
    if (outcome == PATH_POD_TO_REMOTE) return send(&p, own.endpoint);
    /* Where a path ends, the verifier has lost what a number says of a pointer. */
    if (to.endpoint && (outcome == PATH_POD_TO_POD || outcome == PATH_HAIRPIN)) return deliver(&p, &to, outcome);
    if (outcome == PATH_POD_ANSWERS_CLIENT) return send_by_node(&p, outcome);
    if (outcome != REJECTED) return leave(&p, outcome);
  }
  return reject(&p, skb->ifindex, 0, OWN_MARK);
}

/* About a packet that a pod sent to a Service: it shows the frontend that the pod sent to. */
INLINE outcome host_hands_error(struct packet *p, struct end *own) {
  __u32 transport;
  if (!in_mode(p, MODE_SERVICE) || !read_about(p, own, &transport, 0) || !own->flow) return PATH_ICMP_ERROR;
  own->remote_sends = 1;
  if (!is_reply(p, own, own->flow)) return PATH_ICMP_ERROR;
  struct frontend *f = find_frontend(own->flow->frontend);
  if (!f) return DROPPED(DROP_SERVICE_TRANSLATION_FAILED);
  struct rewrite r = {SIDE_DESTINATION, own->key.remote, f->ip, own->key.remote_port, f->port};
  return translate_inner(p, transport, &r) ? DROPPED(DROP_SERVICE_TRANSLATION_FAILED) : PATH_ICMP_ERROR;
}

INLINE outcome hand_over(struct packet *p, struct end *own) {
  int forwards = in_mode(p, MODE_FORWARD);
  remote_end(p, own);
  find_flow(p, own);
  struct decision d = {.way = FLOW_WAY_HOST};
  if (own->flow) {
    __u32 frontend = is_reply(p, own, own->flow) ? own->flow->frontend : 0;
    /* On a node that does not forward, the other flows here are those of clients of the node. */
    if (!forwards && !frontend && !is_answer_to_client(own->flow)) return PATH_NONE;
    __u32 reason = forwards ? judge(p, own) : 0;
    /* The node is never refused: its flow becomes another one of the host stack. */
    if (reason && !is_node(remote_reason(p, own))) return DROPPED(reason);
    int host = own->flow->way == FLOW_WAY_HOST || !forwards;
    /* Too long for the way past the host stack: whoever sent it here has tracked it. */
    if (!reason && (host || !is_syn(p))) {
      if (host) track(p, own);
      reason = frontend ? show_frontend(p, frontend) : 0;
      return reason ? DROPPED(reason) : PATH_HOST_TO_POD;
    }
  }
  if (!forwards) return PATH_NONE;
  d.remote_is = remote_reason(p, own);
  __u32 reason = create_flow(p, own, &d);
  return reason ? DROPPED(reason) : PATH_HOST_TO_POD;
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
  if (is_icmp_error(p)) return host_hands_error(p, own);
  own->policy = find_policy(p, own->number);
  if (share_ports(p)) return enforces(&own->policy, DIRECTION_IN) ? DROPPED(DROP_FRAGMENT_WITHOUT_FIRST) : PATH_NONE;
  return hand_over(p, own);
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
