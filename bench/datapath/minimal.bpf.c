/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs that do nothing but redirect IPv4 packets, by the maps of the product, as its programs do at the end: nothing is checked, followed, translated or
 * counted. What remains above the host's own time is what these hooks and devices cost, whatever the programs do.
 */
#include <linux/if_ether.h>
#include <linux/ip.h>
#include "../../bpf/layout.gen.h"
#include "../../bpf/lib/helpers.h"

char _license[] SECTION("license") = "Dual BSD/GPL";

INLINE struct endpoint *find(__u32 number) {
  struct endpoint_key key = {number};
  return bpf_map_lookup_elem(&endpoints, &key);
}

/* Into the pod of this node that the packet is for; TC_ACT_UNSPEC when there is none. */
INLINE int to_pod(struct __sk_buff *skb) {
  struct address_key key = {.ip = {0, 0, HTONL(0xffff), 0}};
  if (bpf_skb_load_bytes(skb, ETH_HLEN + __builtin_offsetof(struct iphdr, daddr), &key.ip[3], 4)) return TC_ACT_UNSPEC;
  struct address *a = bpf_map_lookup_elem(&addresses, &key);
  struct endpoint *e = a ? find(a->endpoint) : 0;
  if (!e) return TC_ACT_UNSPEC;
  __u8 macs[12];
  __builtin_memcpy(macs, e->pod_mac, 6);
  __builtin_memcpy(macs + 6, e->host_mac, 6);
  bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
  return bpf_redirect_peer(a->endpoint, 0);
}

SECTION("tc/pod_in") int pod_in(struct __sk_buff *skb) {
  if (skb->protocol != HTONS(ETH_P_IP)) return TC_ACT_UNSPEC;
  int local = to_pod(skb);
  if (local != TC_ACT_UNSPEC) return local;
  struct endpoint *e = find(skb->ifindex);
  if (!e) return TC_ACT_UNSPEC;
  struct bpf_redir_neigh next = {.nh_family = 2 /* AF_INET */, .ipv4_nh = e->gateway4};
  return bpf_redirect_neigh(e->out_if_index, &next, sizeof(next), 0);
}

SECTION("tc/eni_in") int eni_in(struct __sk_buff *skb) {
  return skb->protocol == HTONS(ETH_P_IP) ? to_pod(skb) : TC_ACT_UNSPEC;
}
