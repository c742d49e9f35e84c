/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The programs at the device with the node's addresses: node_in sees what it receives, node_out what it sends. It is the node's lifeline: what is nothing of
 * a Service passes as if there were no program, be it as broken as it may. Both are also at the host ends of pods that have an ENI for themselves: what
 * they answer to the node comes there, and what they ask by packets.
 */
#include <linux/if_packet.h>
#include "lib/node_answer.h"
#include "lib/node_error.h"
#include "lib/receive.h"
#include "lib/reject.h"

char _license[] SECTION("license") = "Dual BSD/GPL";

INLINE outcome take_answer(struct packet *p) {
  struct flow_key key = {0};
  receiver_key(p, FLOW_KIND_BACKEND, &key);
  struct node_flow *f = find_node_flow(p, &key);
  if (!f) return is_early(p) ? DROPPED(DROP_SERVICE_TRANSLATION_FAILED) : NOT_OWNED;
  if (!f->nat_port) return NOT_OWNED;
  if (p->fragment == FRAGMENT_FIRST) share_ports(p);
  __u32 reason = send_back(p, f);
  return reason ? DROPPED(reason) : PATH_REMOTE_ANSWERS_CLIENT;
}

INLINE outcome node_receives(struct packet *p, const struct node_config *node, struct target *to) {
  struct passage x = {0};
  if (p->skb->vlan_present) return NOT_OWNED;
  if (is_icmp_error(p)) return take_error(p, node, to);
  if (!has_ports(p)) return NOT_OWNED;
  if (p->fragment == FRAGMENT_LATER && share_ports(p)) return NOT_OWNED;
  forget_packet(p);
  if (is_answer_to_node(p, node)) return take_answer(p);
  x.scope = forget(p, choose_scope(p, node));
  forget_packet(p);
  outcome outcome = find_passage(p, &x);
  if (outcome || !x.to || !x.flow) return outcome;
  if (p->fragment == FRAGMENT_FIRST) share_ports(p);
  forget_packet(p);
  x.is_first = forget(p, x.is_first);
  x.keeps_source = forget(p, x.keeps_source);
  outcome = pass(p, &x, node, to);
  if (IS_DROPPED(outcome) && x.is_first) forget_client(p, x.flow);
  if (!IS_DROPPED(outcome) && UNLIKELY(comes_into_use(p, x.flow))) settle_client(p, x.flow);
  return outcome;
}

/* What is nothing of a Service may be for a pod of this device. A packet that is not is not even counted where Services are. */
INLINE int receive_others(struct packet *p, enum parsed parsed) {
  struct target to = {0};
  if (!(p->mode & MODE_FORWARD)) return TC_ACT_UNSPEC;
  outcome outcome = receive(p, parsed, &to);
  if (outcome == PATH_REMOTE_TO_POD) return deliver(p, &to, outcome);
  return p->mode & MODE_SERVICE && !to.endpoint ? TC_ACT_UNSPEC : leave(p, outcome);
}

SECTION("tc/node_in") int node_in(struct __sk_buff *skb) {
  __u32 mode = read_mode();
  if (!(mode & (MODE_SERVICE | MODE_FORWARD))) return TC_ACT_UNSPEC;
  /* A frame for another machine, that a bridge sends to all or that somebody captures: several nodes may have a balancer's address, one of them is meant. */
  if (skb->pkt_type == PACKET_OTHERHOST) return TC_ACT_UNSPEC;
  struct packet p = {0};
  struct target to = {0};
  /* Policy is of forwarding. */
  begin(&p, skb, HOOK_NODE_IN, mode & MODE_FORWARD ? mode : mode & ~MODE_POLICY);
  enum parsed parsed = parse(&p);
  struct node_config *node = find_node_config();
  outcome outcome = NOT_OWNED;
  if (mode & MODE_SERVICE) {
    if (parsed != PARSED || !node) return TC_ACT_UNSPEC;
    outcome = node_receives(&p, node, &to);
  }
  forget_packet(&p);
  outcome = forget(&p, outcome);
  if (outcome == NOT_OWNED || !node) return receive_others(&p, parsed);
  if (outcome == REFUSED) return reject(&p, skb->ifindex, 0, 0);
  if (outcome == PATH_NODE_TO_REMOTE || outcome == PATH_REMOTE_ANSWERS_CLIENT) {
    __u32 pod = find_exclusive(p.destination);
    return send_by(&p, pod ? pod : node->if_index, outcome);
  }
  return outcome == PATH_NODE_TO_POD && to.endpoint && mode & MODE_FORWARD ? deliver(&p, &to, outcome) : leave(&p, outcome);
}

/* The answer of a socket of the node to a client that asked for a Service. */
INLINE outcome node_answers(struct packet *p) {
  struct flow_key key = {0};
  sender_key(p, FLOW_KIND_BACKEND, &key);
  struct node_flow *f = find_node_flow(p, &key);
  if (!f || f->nat_port) return NOT_OWNED;
  if (p->fragment == FRAGMENT_FIRST) share_ports(p);
  struct frontend *seen = answer_client(p, f);
  p->frontend = f->frontend;
  __u32 reason = seen ? translate_source(p, seen->ip, seen->port) : DROP_SERVICE_TRANSLATION_FAILED;
  return reason ? DROPPED(reason) : PATH_HOST_ANSWERS_CLIENT;
}

/* A Service that has no backend for the node's own sockets, which otherwise are translated before a packet is made. */
INLINE outcome node_asks(const struct packet *p) {
  if (!is_syn(p) && p->protocol != IPPROTO_UDP) return NOT_OWNED;
  struct service *s = find_service(p->destination, p->destination_port, p->protocol, SERVICE_SCOPE_INSIDE);
  if (!s || count_backends(s)) return NOT_OWNED;
  return s->flags & SERVICE_FLAG_LOCAL ? DROPPED(DROP_SERVICE_WITHOUT_BACKEND) : REFUSED;
}

SECTION("tc/node_out") int node_out(struct __sk_buff *skb) {
  __u32 mode = read_mode();
  /* What the host stack forwards is not of the node. */
  if (!(mode & MODE_SERVICE) || skb->ingress_ifindex) return TC_ACT_UNSPEC;
  struct packet p = {0};
  begin(&p, skb, HOOK_NODE_OUT, mode);
  if (parse(&p) != PARSED || !has_ports(&p) || skb->vlan_present) return TC_ACT_UNSPEC;
  if (p.fragment == FRAGMENT_LATER && share_ports(&p)) return TC_ACT_UNSPEC;
  outcome outcome = node_answers(&p);
  if (outcome == NOT_OWNED) outcome = node_asks(&p);
  if (outcome == NOT_OWNED) return TC_ACT_UNSPEC;
  return outcome == REFUSED ? reject(&p, skb->ifindex, BPF_F_INGRESS, 0) : leave(&p, outcome);
}
