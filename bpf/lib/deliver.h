/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ways past the host stack. */
#pragma once
#include <linux/if_packet.h>
#include "count.h"
#include "flow.h"

/* What a packet brings along must not reach its next user: a mark is the host's, a time of sending is the sender's. */
INLINE void clean(struct __sk_buff *skb) {
  skb->mark = 0;
  skb->tstamp = 0;
}

/* Into a pod of this node. Its shaped ingress is a queue at the host end: there the packet passes pod_out, which knows it by its mark. */
INLINE int deliver(const struct packet *p, __u32 number, const struct endpoint *e, __u32 path) {
  struct __sk_buff *skb = p->skb;
  __u8 macs[12];
  __builtin_memcpy(macs, e->pod_mac, 6);
  __builtin_memcpy(macs + 6, e->host_mac, 6);
  __u32 shaped = e->flags & ENDPOINT_FLAG_SHAPED;
  count_passed(p, shaped ? PATH_SHAPED : path, number);
  count_endpoint(p, number, RECEIVED);
  clean(skb);
  if (shaped) skb->mark = OWN_MARK;
  bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
  if (skb->pkt_type != PACKET_HOST) bpf_skb_change_type(skb, PACKET_HOST);
  return shaped ? bpf_redirect(number, 0) : bpf_redirect_peer(number, 0);
}

/* Out through the pod's own ENI. The neighbour tables of the node know the gateway's MAC, and keep it fresh. */
INLINE int send(const struct packet *p, const struct endpoint *e) {
  if (packet_size(p) > e->out_mtu) return pass(p, PATH_TOO_LONG);
  struct bpf_redir_neigh next = {0};
  if (p->version == 4) {
    next.nh_family = 2; /* AF_INET */
    next.ipv4_nh = e->gateway4;
    if (!e->gateway4) return pass(p, PATH_NONE);
  } else {
    next.nh_family = 10; /* AF_INET6 */
    copy_ip(next.ipv6_nh, e->gateway6);
    if (is_zero(e->gateway6)) return pass(p, PATH_NONE);
  }
  clean(p->skb);
  count_passed(p, PATH_POD_TO_REMOTE, e->out_if_index);
  return bpf_redirect_neigh(e->out_if_index, &next, sizeof(next), 0);
}
