/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tells the sender that nobody is there: TCP by a reset, others by "port unreachable". The answer is made of the packet itself, which may have left its
 * checksum to the device: the device then sums from the transport header on, and writes where that of TCP or UDP is. Nobody can ask whether it will, so
 * that place gets what is right in both cases. `bpf_l4_csum_replace` without BPF_F_PSEUDO_HDR changes nothing when the device sums, and that is how the two
 * are told apart.
 */
#pragma once
#include "count.h"

#define REJECT_HOPS 64

struct reset {
  __be16 source_port;
  __be16 destination_port;
  __be32 sequence;
  __be32 acknowledged;
  __u8 length;
  __u8 flags;
  __be16 window;
  __be16 checksum;
  __be16 urgent;
};

/* The IP header and 8 bytes of the packet that is refused. */
struct unreachable4 {
  __u8 type;
  __u8 code;
  __be16 checksum;
  __be16 unused;
  __be16 seed;
  __u8 about[28];
};

struct unreachable6 {
  __u8 type;
  __u8 code;
  __be16 checksum;
  __be16 unused;
  __be16 seed;
  __u8 about[48];
};

INLINE __u16 fold_sum(__u32 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}

INLINE __u32 add_sum(__u32 sum, const void *bytes, __u32 size) {
  return bpf_csum_diff(0, 0, bytes, size, sum);
}

/* Of the pseudo header. What IPv4 addresses have in front adds nothing: 0xffff is another 0. */
INLINE __u32 pseudo_sum(const struct packet *p, __u32 length, __u8 protocol) {
  __be32 rest[2] = {HTONL(length), HTONL(protocol)};
  return add_sum(add_sum(add_sum(0, p->source, 16), p->destination, 16), rest, sizeof(rest));
}

/* The headers up to the transport, from the packet's destination to its source. 0, or -1. */
INLINE int turn_round(const struct packet *p, __u32 length, __u8 protocol) {
  struct frame f = {0};
  __u8 macs[12];
  if (bpf_skb_load_bytes(p->skb, 0, macs, 12)) return -1;
  __builtin_memcpy(f.destination_mac, macs + 6, 6);
  __builtin_memcpy(f.source_mac, macs, 6);
  f.ethertype = p->version == 4 ? HTONS(ETH_P_IP) : HTONS(ETH_P_IPV6);
  if (p->version == 4) {
    f.v4.version = 4;
    f.v4.ihl = sizeof(f.v4) / 4;
    f.v4.tot_len = HTONS(sizeof(f.v4) + length);
    f.v4.frag_off = HTONS(0x4000);
    f.v4.ttl = REJECT_HOPS;
    f.v4.protocol = protocol;
    f.v4.saddr = p->destination[3];
    f.v4.daddr = p->source[3];
    f.v4.check = ~fold_sum(add_sum(0, &f.v4, sizeof(f.v4)));
    return bpf_skb_store_bytes(p->skb, 0, f.destination_mac, ETH_HLEN + sizeof(f.v4), 0) ? -1 : 0;
  }
  f.v6.version = 6;
  f.v6.payload_len = HTONS(length);
  f.v6.nexthdr = protocol;
  f.v6.hop_limit = REJECT_HOPS;
  copy_ip(f.v6.saddr.in6_u.u6_addr32, p->destination);
  copy_ip(f.v6.daddr.in6_u.u6_addr32, p->source);
  return bpf_skb_store_bytes(p->skb, 0, f.destination_mac, ETH_HLEN + sizeof(f.v6), 0) ? -1 : 0;
}

/* What would have been acknowledged, when the packet acknowledges nothing itself. 0, or -1 for what is never answered. */
INLINE int make_reset(const struct packet *p, struct reset *r) {
  struct reset asked;
  if (p->tcp_flags & TCP_RST || bpf_skb_load_bytes(p->skb, p->transport, &asked, sizeof(asked))) return -1;
  __s32 payload = p->end - p->transport - (asked.length >> 4) * 4;
  if (payload < 0) return -1;
  r->source_port = asked.destination_port;
  r->destination_port = asked.source_port;
  r->length = sizeof(*r) / 4 << 4;
  r->flags = TCP_RST;
  if (asked.flags & TCP_ACK) {
    r->sequence = asked.acknowledged;
    return 0;
  }
  __u32 ends = !!(asked.flags & TCP_SYN) + !!(asked.flags & TCP_FIN);
  r->acknowledged = HTONL(HTONL(asked.sequence) + payload + ends);
  r->flags |= TCP_ACK;
  return 0;
}

INLINE int answer_reset(const struct packet *p) {
  struct reset r = {0};
  if (make_reset(p, &r)) return -1;
  __u16 pseudo = fold_sum(pseudo_sum(p, sizeof(r), IPPROTO_TCP));
  __u32 whole = add_sum(add_sum(0, &r, sizeof(r)), (__be32[]){pseudo, pseudo}, 8);
  r.checksum = pseudo;
  if (bpf_skb_change_tail(p->skb, p->transport + sizeof(r), 0) || turn_round(p, sizeof(r), IPPROTO_TCP)) return -1;
  if (bpf_skb_store_bytes(p->skb, p->transport, &r, sizeof(r), 0)) return -1;
  /* A device goes on from the sum of the pseudo header. Without one: ~(whole - pseudo), the complement of header and pseudo header. */
  return bpf_l4_csum_replace(p->skb, p->transport + __builtin_offsetof(struct reset, checksum), 0, whole, 0) ? -1 : 0;
}

/* A device writes over `seed`, which means nothing in this message: the sum of everything is right already, so that it finds nothing to make up for. */
INLINE int answer_unreachable4(const struct packet *p) {
  struct unreachable4 u = {.type = 3, .code = 3};
  if (p->transport + 8 > p->end || bpf_skb_load_bytes(p->skb, ETH_HLEN, u.about, sizeof(u.about))) return -1;
  u.checksum = ~fold_sum(add_sum(0, &u, sizeof(u)));
  if (bpf_skb_change_tail(p->skb, p->transport + sizeof(u), 0) || turn_round(p, sizeof(u), IPPROTO_ICMP)) return -1;
  return bpf_skb_store_bytes(p->skb, p->transport, &u, sizeof(u), 0) ? -1 : 0;
}

/* As in IPv4, but for the pseudo header: a device that sums finds it in `seed`, without one `seed` is 0 again. */
INLINE int answer_unreachable6(const struct packet *p) {
  struct unreachable6 u = {.type = 1, .code = 4};
  if (p->transport + 8 > p->end || bpf_skb_load_bytes(p->skb, ETH_HLEN, u.about, sizeof(u.about))) return -1;
  __u16 pseudo = fold_sum(pseudo_sum(p, sizeof(u), IPPROTO_ICMPV6));
  u.checksum = ~fold_sum(add_sum(pseudo, &u, sizeof(u)));
  u.seed = pseudo;
  if (bpf_skb_change_tail(p->skb, p->transport + sizeof(u), 0) || turn_round(p, sizeof(u), IPPROTO_ICMPV6)) return -1;
  if (bpf_skb_store_bytes(p->skb, p->transport, &u, sizeof(u), 0)) return -1;
  return bpf_l4_csum_replace(p->skb, p->transport + __builtin_offsetof(struct unreachable6, seed), 0, pseudo, 0) ? -1 : 0;
}

/* Fragments and what is to be cut into segments are never answered, nor is what has options, which move the place where a device sums. */
INLINE int is_answerable(const struct packet *p) {
  if (p->fragment != FRAGMENT_NONE || p->skb->gso_size || is_multicast(p->destination)) return 0;
  return p->transport == ETH_HLEN + (p->version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

INLINE int answer(const struct packet *p) {
  if (!is_answerable(p)) return -1;
  if (p->protocol == IPPROTO_TCP) return answer_reset(p);
  return p->version == 4 ? answer_unreachable4(p) : answer_unreachable6(p);
}

/*
 * The verdict of a program about a packet to a Service without a backend. The answer leaves by `if_index`, or comes in there with BPF_F_INGRESS in `flags`,
 * with that mark. Nothing may be done with the packet after.
 */
INLINE int reject(const struct packet *p, __u32 if_index, __u64 flags, __u32 mark) {
  count_dropped(p, DROP_SERVICE_WITHOUT_BACKEND);
  if (answer(p)) return TC_ACT_SHOT;
  show(p, DROP_SERVICE_WITHOUT_BACKEND, 0, if_index);
  p->skb->mark = mark;
  p->skb->tstamp = 0;
  return bpf_redirect(if_index, flags);
}
