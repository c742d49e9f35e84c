/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Translates a packet: the address and the port of one of its sides. Checksums follow by what has changed, so it matters neither whether they are there
 * already or left to the device, nor how many segments the packet will be. Only helpers write: a packet may be shared with somebody who captures it.
 */
#pragma once
#include "../layout.gen.h"
#include "packet.h"

enum side { SIDE_SOURCE, SIDE_DESTINATION };

/* Where the checksum of the transport is in this packet, which covers the addresses; 0 = nowhere. */
INLINE __u32 checksum_at(const struct packet *p) {
  if (p->fragment == FRAGMENT_LATER) return 0;
  if (p->protocol == IPPROTO_TCP) return p->transport + 16;
  if (p->protocol == IPPROTO_UDP) return p->transport + 6;
  return p->protocol == IPPROTO_ICMPV6 ? p->transport + 2 : 0;
}

/* A checksum of 0 in UDP says that there is none: it stays so, and no other becomes it. */
INLINE __u64 checksum_flags(const struct packet *p) {
  return p->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
}

INLINE int replace_ipv4(struct packet *p, enum side side, __be32 from, __be32 to, __u32 checksum) {
  __u32 at = ETH_HLEN + (side == SIDE_SOURCE ? __builtin_offsetof(struct iphdr, saddr) : __builtin_offsetof(struct iphdr, daddr));
  if (bpf_l3_csum_replace(p->skb, ETH_HLEN + __builtin_offsetof(struct iphdr, check), from, to, 4)) return -1;
  if (checksum && bpf_l4_csum_replace(p->skb, checksum, from, to, checksum_flags(p) | BPF_F_PSEUDO_HDR | 4)) return -1;
  return bpf_skb_store_bytes(p->skb, at, &to, 4, 0) ? -1 : 0;
}

INLINE int replace_ipv6(struct packet *p, enum side side, const __be32 *from, const __be32 *to, __u32 checksum) {
  __u32 at = ETH_HLEN + (side == SIDE_SOURCE ? __builtin_offsetof(struct ipv6hdr, saddr) : __builtin_offsetof(struct ipv6hdr, daddr));
  __u32 change = bpf_csum_diff(from, 16, to, 16, 0);
  if (checksum && bpf_l4_csum_replace(p->skb, checksum, 0, change, checksum_flags(p) | BPF_F_PSEUDO_HDR)) return -1;
  /*
   * The sum of the whole packet, which some devices leave in skb->csum. With a checksum inside it stays what it was, but bpf_l4_csum_replace took the
   * change off, as is right for IPv4, whose header has a checksum of its own; without one it has changed.
   */
  bpf_csum_update(p->skb, change);
  return bpf_skb_store_bytes(p->skb, at, to, 16, 0) ? -1 : 0;
}

INLINE int replace_port(struct packet *p, enum side side, __be16 from, __be16 to, __u32 checksum) {
  if (bpf_l4_csum_replace(p->skb, checksum, from, to, checksum_flags(p) | 2)) return -1;
  return bpf_skb_store_bytes(p->skb, p->transport + (side == SIDE_SOURCE ? 0 : 2), &to, 2, 0) ? -1 : 0;
}

/* A checksum of the payload, which only its sender can make: the port stays. */
INLINE int keeps_port(const struct packet *p) {
  return p->protocol == IPPROTO_SCTP;
}

/*
 * In the packet, and in what is known of it. 0, or the reason to drop it: it is of no use any more. Nothing becomes a packet of the other family, and the
 * port of ICMP is not asked.
 */
INLINE __u32 translate(struct packet *p, enum side side, const __be32 *ip, __be16 port) {
  __be32 *own_ip = side == SIDE_SOURCE ? p->source : p->destination;
  __be16 *own_port = side == SIDE_SOURCE ? &p->source_port : &p->destination_port;
  if ((p->version == 4) != is_mapped(ip) || (keeps_port(p) && port != *own_port)) return DROP_SERVICE_TRANSLATION_FAILED;
  __u32 checksum = forget(p, checksum_at(p));
  if (p->version == 4 ? replace_ipv4(p, side, own_ip[3], ip[3], checksum) : replace_ipv6(p, side, own_ip, ip, checksum))
    return DROP_SERVICE_TRANSLATION_FAILED;
  copy_ip(own_ip, ip);
  if (is_icmp(p)) return 0;
  if (checksum && port != *own_port && replace_port(p, side, *own_port, port, checksum)) return DROP_SERVICE_TRANSLATION_FAILED;
  *own_port = port;
  return 0;
}

INLINE __u32 translate_source(struct packet *p, const __be32 *ip, __be16 port) {
  return translate(p, SIDE_SOURCE, ip, port);
}

INLINE __u32 translate_destination(struct packet *p, const __be32 *ip, __be16 port) {
  return translate(p, SIDE_DESTINATION, ip, port);
}

/* One side of the packet that an ICMP error carries. */
struct rewrite {
  enum side side;
  const __be32 *old_ip;
  const __be32 *ip;
  __be16 old_port;
  __be16 port;
};

/*
 * In the packet that an ICMP error carries, which begins behind the error's 8 bytes. `transport`: where its ports are, 0 = cut off. Its own checksum of the
 * transport is left alone: mostly it covers what is not there. 0, or -1.
 */
INLINE int translate_inner(struct packet *p, __u32 transport, const struct rewrite *r) {
  __u32 network = p->transport + 8;
  /* Of the error, which covers what it carries. */
  __u32 checksum = p->transport + 2;
  if (p->version == 4) {
    __u32 at = network + (r->side == SIDE_SOURCE ? __builtin_offsetof(struct iphdr, saddr) : __builtin_offsetof(struct iphdr, daddr));
    /* The header's own checksum makes up for the address: the sum of both is what it was. */
    if (bpf_l3_csum_replace(p->skb, network + __builtin_offsetof(struct iphdr, check), r->old_ip[3], r->ip[3], 4)) return -1;
    if (bpf_skb_store_bytes(p->skb, at, &r->ip[3], 4, 0)) return -1;
  } else {
    __u32 at = network + (r->side == SIDE_SOURCE ? __builtin_offsetof(struct ipv6hdr, saddr) : __builtin_offsetof(struct ipv6hdr, daddr));
    __u32 change = bpf_csum_diff(r->old_ip, 16, r->ip, 16, 0);
    if (bpf_l4_csum_replace(p->skb, checksum, 0, change, 0)) return -1;
    if (bpf_skb_store_bytes(p->skb, at, r->ip, 16, 0)) return -1;
  }
  if (!transport) return 0;
  if (bpf_l4_csum_replace(p->skb, checksum, r->old_port, r->port, 2)) return -1;
  return bpf_skb_store_bytes(p->skb, transport + (r->side == SIDE_SOURCE ? 0 : 2), &r->port, 2, 0) ? -1 : 0;
}
