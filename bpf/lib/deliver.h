/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a program ends: the packet is dropped, goes on to the host stack, or goes past it. */
#pragma once
#include <linux/if_packet.h>
#include "count.h"
#include "endpoint.h"

/* The pod that a packet is delivered to. */
struct target {
  __u32 number;
  struct endpoint *endpoint;
};

/* What a packet brings along must not reach its next user: a mark is the host's, a time of sending is the sender's. */
INLINE void clean(struct __sk_buff *skb) {
  skb->mark = 0;
  skb->tstamp = 0;
}

/* Into a pod of this node. Its shaped ingress is a queue at the host end: there the packet passes pod_out, which knows it by its mark. */
INLINE int deliver(const struct packet *p, const struct target *to, __u32 path) {
  struct __sk_buff *skb = p->skb;
  __u8 macs[12];
  __builtin_memcpy(macs, to->endpoint->pod_mac, 6);
  __builtin_memcpy(macs + 6, to->endpoint->host_mac, 6);
  __u32 shaped = to->endpoint->flags & ENDPOINT_FLAG_SHAPED;
  count_passed(p, shaped ? PATH_SHAPED : path, to->number);
  count_endpoint(p, to->number, RECEIVED);
  clean(skb);
  if (UNLIKELY(shaped)) skb->mark = OWN_MARK;
  bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
  if (UNLIKELY(skb->pkt_type != PACKET_HOST)) bpf_skb_change_type(skb, PACKET_HOST);
  return UNLIKELY(shaped) ? bpf_redirect(to->number, 0) : bpf_redirect_peer(to->number, 0);
}

INLINE int has_gateway(const struct packet *p, const struct endpoint *e) {
  return p->version == 4 ? e->gateway4 != 0 : !is_zero(e->gateway6);
}

/* Out through the pod's own ENI. The neighbour tables of the node know the gateway's MAC, and keep it fresh. */
INLINE int send(const struct packet *p, const struct endpoint *e) {
  struct bpf_redir_neigh next = {0};
  if (p->version == 4) {
    next.nh_family = 2; /* AF_INET */
    next.ipv4_nh = e->gateway4;
  } else {
    next.nh_family = 10; /* AF_INET6 */
    copy_ip(next.ipv6_nh, e->gateway6);
  }
  count_passed(p, PATH_POD_TO_REMOTE, e->out_if_index);
  clean(p->skb);
  return bpf_redirect_neigh(e->out_if_index, &next, sizeof(next), 0);
}

/* Out of a device of the node, or into a pod that has no other endpoint, by the node's routes. */
INLINE int send_by(const struct packet *p, __u32 if_index, __u32 path) {
  count_passed(p, path, if_index);
  clean(p->skb);
  return bpf_redirect_neigh(if_index, 0, 0, 0);
}

/* Out where the node's own address is. */
INLINE int send_by_node(const struct packet *p, __u32 path) {
  struct node_config *node = find_node_config();
  return send_by(p, node ? node->if_index : 0, path);
}

/* Drops the packet, or lets it go on to the next program and the host stack. */
INLINE int leave(const struct packet *p, outcome outcome) {
  if (IS_DROPPED(outcome)) {
    count_dropped(p, outcome & 0xff);
    return TC_ACT_SHOT;
  }
  count_passed(p, outcome, 0);
  return TC_ACT_UNSPEC;
}
