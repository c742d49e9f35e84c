/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet as the programs see it, and how it is read. What every packet has is read where it lies; what lies outside of the linear part is brought there
 * first, which is rare. The rest is copied by bpf_skb_load_bytes. Nothing that was read becomes invalid when the packet is changed.
 */
#pragma once
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include "../layout.gen.h"
#include "helpers.h"

enum parsed { PARSED, PARSED_OTHER, PARSED_MALFORMED };
enum fragment_kind { FRAGMENT_NONE, FRAGMENT_FIRST, FRAGMENT_LATER };
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };
enum { EXTENSION_HOP_BY_HOP = 0, EXTENSION_ROUTING = 43, EXTENSION_FRAGMENT = 44, EXTENSION_DESTINATION = 60 };
#define EXTENSIONS_MAX 4
/* No header of a packet begins later: extensions are 2 KiB at most. */
#define REACH_MAX 0x3fff

/* What becomes of a packet: a number of `paths`, a reason to drop it, or that its sender is told that nobody is there. */
typedef __u32 outcome;
#define REJECTED 0x200
#define DROPPED(reason) (0x100 | (reason))
#define IS_DROPPED(outcome) ((outcome) & 0x100)

struct packet {
  struct __sk_buff *skb;
  /* HOOK_. */
  __u32 hook;
  /* Bits of MODE_. */
  __u32 mode;
  /* In units of 2^20 ns, as every `seen`. */
  __u32 now;
  /* 0, which the verifier does not know: see `forget`. */
  __u32 zero;
  /* The endpoint whose host end this is, for its counters; 0 = none. */
  __u32 counted;
  /* For those who look: by which Service it was translated, 0 = by none; and not 0 when it is the first of that flow. */
  __u32 frontend;
  __u32 first;
  __be32 source[4];
  __be32 destination[4];
  __be16 source_port;
  __be16 destination_port;
  __u8 source_mac[6];
  /* The destination could be read, even when the rest is malformed. */
  __u8 addressed;
  /* 4 or 6. */
  __u8 version;
  __u8 protocol;
  __u8 fragment;
  __u8 tcp_flags;
  __u8 tcp_header;
  __u8 icmp_type;
  __u8 icmp_echo;
  __u32 fragment_id;
  /* Where the transport header begins and where the packet ends, from the Ethernet header on. */
  __u32 transport;
  __u32 end;
};

/* The first bytes of a frame. `spare` puts the IP header where its words are aligned. */
struct frame {
  __u16 spare;
  __u8 destination_mac[6];
  __u8 source_mac[6];
  __be16 ethertype;
  union {
    struct iphdr v4;
    struct ipv6hdr v6;
  };
};

struct extensions {
  __u32 offset;
  __u32 fragment_id;
  __u8 protocol;
  __u8 fragment;
};

/* Set when the programs are loaded, where the kernel has it: the time of its last tick, for which no clock is read. It is enough for every `seen`. */
const volatile __u32 coarse_clock = 0;

/* Set by tests when the programs are loaded: a packet's control block says what time it is, and what was decided is written there. */
const volatile __u32 test_mode = 0;

INLINE void begin(struct packet *p, struct __sk_buff *skb, __u32 hook, __u32 mode) {
  p->skb = skb;
  p->hook = hook;
  p->mode = mode;
  p->now = test_mode ? skb->cb[3] : (coarse_clock ? bpf_ktime_get_coarse_ns() : bpf_ktime_get_ns()) >> 20;
  __u32 same = p->now;
  asm volatile("" : "+r"(same));
  p->zero = p->now - same;
  p->frontend = p->zero;
  p->first = p->zero;
}

/*
 * The same number, of which the verifier knows nothing. It follows a program once for each constant that a variable may have, and every such variable
 * multiplies the ways: after a decision that leaves its result behind as a number, this lets the ways meet again. Before a test it keeps the answer from
 * being learned of the number itself. The compiler must not take two of them for one.
 */
INLINE __u32 forget(const struct packet *p, __u32 number) {
  __u32 zero = p->zero;
  asm volatile("" : "+r"(zero));
  return number + zero;
}

/* Is one of these bits of MODE_ set? */
INLINE int in_mode(const struct packet *p, __u32 bits) {
  return !!(forget(p, p->mode) & bits);
}

/* Of a time in these units. Signed: another CPU may have written one that is later than ours. */
INLINE int is_older(__u32 now, __u32 seen, __u64 seconds) {
  return (__s32)(now - seen) > (__s32)((seconds * 1000000000) >> 20);
}

INLINE int same_ip(const __be32 *a, const __be32 *b) {
  return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

INLINE void copy_ip(__be32 *to, const __be32 *from) {
  to[0] = from[0];
  to[1] = from[1];
  to[2] = from[2];
  to[3] = from[3];
}

/* Of a mapped address, whose first words are always the same: else all that follows is checked once for each family. */
INLINE void forget_ip(const struct packet *p, __be32 *ip) {
  ip[0] = forget(p, ip[0]);
  ip[1] = forget(p, ip[1]);
  ip[2] = forget(p, ip[2]);
}

INLINE void map_ipv4(__be32 *to, __be32 ip) {
  to[0] = 0;
  to[1] = 0;
  to[2] = HTONL(0xffff);
  to[3] = ip;
}

INLINE int is_mapped(const __be32 *ip) {
  return ip[0] == 0 && ip[1] == 0 && ip[2] == HTONL(0xffff);
}

INLINE int is_zero(const __be32 *ip) {
  return (ip[0] | ip[1] | ip[2] | ip[3]) == 0;
}

INLINE int is_link_local(const __be32 *ip) {
  if (is_mapped(ip)) return (ip[3] & HTONL(0xffff0000)) == HTONL(0xa9fe0000);
  return (ip[0] & HTONL(0xffc00000)) == HTONL(0xfe800000);
}

INLINE int is_multicast(const __be32 *ip) {
  if (is_mapped(ip)) return (ip[3] & HTONL(0xf0000000)) == HTONL(0xe0000000);
  return (ip[0] & HTONL(0xff000000)) == HTONL(0xff000000);
}

INLINE __u8 icmp_protocol(__u8 version) {
  return version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
}

/* A request or its reply. */
INLINE int is_echo(__u8 version, __u8 icmp_type) {
  return version == 4 ? icmp_type == 8 || icmp_type == 0 : icmp_type == 128 || icmp_type == 129;
}

INLINE int is_icmp(const struct packet *p) {
  return p->protocol == icmp_protocol(p->version);
}

/* Only these have Services. */
INLINE int has_ports(const struct packet *p) {
  return p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP || p->protocol == IPPROTO_SCTP;
}

/* A first packet of TCP: SYN without ACK. */
INLINE int is_syn(const struct packet *p) {
  return forget(p, p->protocol) == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

INLINE int is_extension(__u8 protocol) {
  return protocol == EXTENSION_HOP_BY_HOP || protocol == EXTENSION_ROUTING || protocol == EXTENSION_FRAGMENT || protocol == EXTENSION_DESTINATION;
}

/* Skips extension headers, at most EXTENSIONS_MAX; what comes then is the protocol, whatever it is. 0, or -1 when one is cut off. */
INLINE int skip_extensions(const struct packet *p, struct extensions *x, __u32 end) {
  x->fragment = FRAGMENT_NONE;
  x->fragment_id = 0;
#pragma unroll
  for (int i = 0; i < EXTENSIONS_MAX; i++) {
    struct {
      __u8 next;
      __u8 length;
      __be16 offset;
      __u32 id;
    } header;
    if (!is_extension(x->protocol)) break;
    if (x->offset + 8 > end || bpf_skb_load_bytes(p->skb, x->offset, &header, 8)) return -1;
    if (x->protocol == EXTENSION_FRAGMENT) {
      x->offset += 8;
      x->fragment_id = header.id;
      if (header.offset & HTONS(0xfff8)) x->fragment = FRAGMENT_LATER;
      else if (header.offset & HTONS(1)) x->fragment = FRAGMENT_FIRST;
    } else {
      x->offset += (header.length + 1) * 8;
    }
    x->protocol = header.next;
    if (x->fragment == FRAGMENT_LATER) break;
  }
  return x->offset > end ? -1 : 0;
}

/* So many bytes of the packet from `offset` on, until the packet is changed; 0 when it does not have them. */
INLINE const void *reach(const struct packet *p, __u32 offset, __u32 size) {
  /* Behind a forged header it may be anywhere; the verifier wants to know a bound. */
  asm volatile("" : "+r"(offset));
  if (offset > REACH_MAX) return 0;
  const __u8 *at = (const __u8 *)(long)p->skb->data + offset;
  if (at + size <= (const __u8 *)(long)p->skb->data_end) return at;
  if (bpf_skb_pull_data(p->skb, offset + size)) return 0;
  at = (const __u8 *)(long)p->skb->data + offset;
  return at + size <= (const __u8 *)(long)p->skb->data_end ? at : 0;
}

INLINE enum parsed parse_ipv4(struct packet *p) {
  const struct ethhdr *ethernet = reach(p, 0, ETH_HLEN + sizeof(struct iphdr));
  if (!ethernet) return PARSED_MALFORMED;
  const struct iphdr *ip = (const void *)(ethernet + 1);
  __builtin_memcpy(p->source_mac, ethernet->h_source, 6);
  map_ipv4(p->source, ip->saddr);
  map_ipv4(p->destination, ip->daddr);
  forget_ip(p, p->source);
  forget_ip(p, p->destination);
  p->addressed = 1;
  __u32 header = ip->ihl * 4;
  __u32 total = NTOHS(ip->tot_len);
  /* What is to be cut into segments may be longer than the field can say, which is 0 then. */
  if (total == 0 && p->skb->gso_size) total = p->skb->len - ETH_HLEN;
  if (ip->version != 4 || header < sizeof(*ip) || total < header || ETH_HLEN + total > p->skb->len) return PARSED_MALFORMED;
  p->version = 4;
  p->protocol = ip->protocol;
  p->transport = ETH_HLEN + header;
  p->end = ETH_HLEN + total;
  p->fragment_id = ip->id;
  if (ip->frag_off & HTONS(0x1fff)) p->fragment = FRAGMENT_LATER;
  else if (ip->frag_off & HTONS(0x2000)) p->fragment = FRAGMENT_FIRST;
  return PARSED;
}

INLINE enum parsed parse_ipv6(struct packet *p) {
  const struct ethhdr *ethernet = reach(p, 0, ETH_HLEN + sizeof(struct ipv6hdr));
  if (!ethernet) return PARSED_MALFORMED;
  const struct ipv6hdr *ip = (const void *)(ethernet + 1);
  __builtin_memcpy(p->source_mac, ethernet->h_source, 6);
  copy_ip(p->source, ip->saddr.in6_u.u6_addr32);
  copy_ip(p->destination, ip->daddr.in6_u.u6_addr32);
  p->addressed = 1;
  /* As in IPv4. */
  __u32 length = NTOHS(ip->payload_len);
  if (length == 0 && p->skb->gso_size) length = p->skb->len - ETH_HLEN - sizeof(*ip);
  p->end = ETH_HLEN + sizeof(*ip) + length;
  if (ip->version != 6 || p->end > p->skb->len) return PARSED_MALFORMED;
  /* On the wire a mapped address is never right (the kernel drops it as a source), and here it would pass for IPv4. */
  if (is_mapped(p->source) || is_mapped(p->destination)) return PARSED_MALFORMED;
  struct extensions x = {.offset = ETH_HLEN + sizeof(*ip), .protocol = ip->nexthdr};
  if (UNLIKELY(is_extension(x.protocol)) && skip_extensions(p, &x, p->end)) return PARSED_MALFORMED;
  p->version = 6;
  p->protocol = x.protocol;
  p->transport = x.offset;
  p->fragment = x.fragment;
  p->fragment_id = x.fragment_id;
  return PARSED;
}

/* Ports, flags and types. A later fragment has none: fragment.h lends them. */
INLINE enum parsed parse_transport(struct packet *p) {
  if (UNLIKELY(p->fragment == FRAGMENT_LATER)) return PARSED;
  if (p->protocol == IPPROTO_TCP) {
    /* Up to the flags: without them nothing can be said of a packet of TCP. */
    const struct tcphdr *tcp = p->transport + 14 > p->end ? 0 : reach(p, p->transport, 14);
    if (!tcp) return PARSED_MALFORMED;
    p->source_port = tcp->source;
    p->destination_port = tcp->dest;
    p->tcp_header = ((const __u8 *)tcp)[12] >> 4;
    p->tcp_flags = ((const __u8 *)tcp)[13];
  } else if (p->protocol == IPPROTO_UDP || p->protocol == IPPROTO_SCTP) {
    const __be16 *ports = p->transport + 4 > p->end ? 0 : reach(p, p->transport, 4);
    if (!ports) return PARSED_MALFORMED;
    p->source_port = ports[0];
    p->destination_port = ports[1];
  } else if (is_icmp(p)) {
    __u8 type[2];
    if (p->transport + 2 > p->end || bpf_skb_load_bytes(p->skb, p->transport, type, 2)) return PARSED_MALFORMED;
    p->icmp_type = type[0];
    p->icmp_echo = is_echo(p->version, type[0]);
    if (!p->icmp_echo) return PARSED;
    if (p->transport + 6 > p->end || bpf_skb_load_bytes(p->skb, p->transport + 4, &p->source_port, 2)) return PARSED_MALFORMED;
    p->destination_port = p->source_port;
  }
  return PARSED;
}

/* Where ways meet that have asked what kind of packet it is. */
INLINE void forget_packet(struct packet *p) {
  p->version = forget(p, p->version);
  p->protocol = forget(p, p->protocol);
  p->fragment = forget(p, p->fragment);
  p->tcp_flags = forget(p, p->tcp_flags);
  p->tcp_header = forget(p, p->tcp_header);
  p->icmp_type = forget(p, p->icmp_type);
  p->icmp_echo = forget(p, p->icmp_echo);
  p->transport = forget(p, p->transport);
  p->end = forget(p, p->end);
}

INLINE enum parsed parse(struct packet *p) {
  enum parsed network = PARSED_OTHER;
  if (p->skb->protocol == HTONS(ETH_P_IP)) network = parse_ipv4(p);
  else if (p->skb->protocol == HTONS(ETH_P_IPV6)) network = parse_ipv6(p);
  if (network == PARSED) network = parse_transport(p);
  forget_packet(p);
  return network;
}

/* Of one packet on a link, without its Ethernet header; of each segment, when the packet is still to be cut. */
INLINE __u32 packet_size(const struct packet *p) {
  __u32 segment = p->skb->gso_size;
  if (LIKELY(!segment)) return p->skb->len - ETH_HLEN;
  __u32 header = p->protocol == IPPROTO_TCP ? p->tcp_header * 4 : p->protocol == IPPROTO_UDP ? 8 : 0;
  return segment + p->transport - ETH_HLEN + header;
}
