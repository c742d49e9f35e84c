/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Messages that are about other packets, or about the link. */
#pragma once
#include "note.h"

/* Router and neighbour solicitations and advertisements, redirects: they believe in a hop limit of 255, which no way past the host stack decrements. */
INLINE int is_neighbour_discovery(const struct packet *p) {
  return p->version == 6 && is_icmp(p) && p->fragment != FRAGMENT_LATER && p->icmp_type >= 133 && p->icmp_type <= 137;
}

INLINE int is_icmp_error(const struct packet *p) {
  if (!is_icmp(p) || p->fragment == FRAGMENT_LATER) return 0;
  __u8 type = p->icmp_type;
  if (p->version == 6) return type >= 1 && type <= 4;
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/* Ports of the packet that an error carries, as far as they are in it. Where they are, or 0; an echo request has none. */
INLINE __u32 read_inner_ports(const struct packet *p, const struct extensions *x, __be16 *ports) {
  ports[0] = 0;
  ports[1] = 0;
  if (x->fragment == FRAGMENT_LATER) return 0;
  if (x->protocol == IPPROTO_TCP || x->protocol == IPPROTO_UDP || x->protocol == IPPROTO_SCTP) {
    if (x->offset + 4 > p->end) return 0;
    if (!bpf_skb_load_bytes(p->skb, x->offset, ports, 4)) return x->offset;
    ports[0] = ports[1] = 0;
  } else if (x->protocol == icmp_protocol(p->version)) {
    __u8 header[6];
    if (x->offset + 6 > p->end || bpf_skb_load_bytes(p->skb, x->offset, header, 6)) return 0;
    if (is_echo(p->version, header[0])) __builtin_memcpy(&ports[0], header + 4, 2);
    ports[1] = ports[0];
  }
  return 0;
}

/*
 * The packet that an error carries, as if it were received (source remote) or sent by the endpoint, and where its ports are (0 = not in it). 0, or -1 when
 * its addresses or its protocol cannot be read.
 */
INLINE int read_inner(const struct packet *p, struct flow_key *key, __u32 *transport, int received) {
  struct frame f;
  struct extensions x = {.offset = p->transport + 8};
  __be16 ports[2];
  __be32 source[4];
  __be32 destination[4];
  if (p->version == 4) {
    if (x.offset + sizeof(f.v4) > p->end || bpf_skb_load_bytes(p->skb, x.offset, &f.v4, sizeof(f.v4)) || f.v4.version != 4) return -1;
    map_ipv4(source, f.v4.saddr);
    map_ipv4(destination, f.v4.daddr);
    x.protocol = f.v4.protocol;
    x.fragment = f.v4.frag_off & HTONS(0x1fff) ? FRAGMENT_LATER : FRAGMENT_NONE;
    x.offset += f.v4.ihl * 4;
  } else {
    if (x.offset + sizeof(f.v6) > p->end || bpf_skb_load_bytes(p->skb, x.offset, &f.v6, sizeof(f.v6)) || f.v6.version != 6) return -1;
    copy_ip(source, f.v6.saddr.in6_u.u6_addr32);
    copy_ip(destination, f.v6.daddr.in6_u.u6_addr32);
    x.protocol = f.v6.nexthdr;
    x.offset += sizeof(f.v6);
    /* Cut off among its extension headers: nobody can say of which protocol it is. */
    if (skip_extensions(p, &x, p->end)) return -1;
  }
  *transport = read_inner_ports(p, &x, ports);
  copy_ip(key->local, received ? destination : source);
  copy_ip(key->remote, received ? source : destination);
  key->local_port = ports[received];
  key->remote_port = ports[!received];
  key->protocol = x.protocol;
  return 0;
}

/* The flow that the error is about, into `e`. 0 when it cannot be read, or is about somebody else's. */
INLINE int read_about(const struct packet *p, struct end *e, __u32 *transport, int received) {
  if (read_inner(p, &e->key, transport, received) || !is_own(p, e->endpoint, e->key.local)) return 0;
  look_up_flow(p, e);
  return 1;
}

/* Does the error belong to something that the endpoint really has to do with? */
INLINE int is_related(const struct packet *p, const struct end *e) {
  return e->flow ? e->flow->state != FLOW_STATE_DENIED : has_note(p, &e->key, e->endpoint);
}
