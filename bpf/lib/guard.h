/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A pod sends from its own addresses only. */
#pragma once
#include "endpoint.h"

enum source { SOURCE_OWN, SOURCE_OTHER };

INLINE int same_mac(const __u8 *a, const __u8 *b) {
  __u8 differs = 0;
#pragma unroll
  for (int i = 0; i < 6; i++) differs |= a[i] ^ b[i];
  return !differs;
}

/* What a pod says to its link before it has an address, or beside it: neighbour discovery, multicast listeners. */
INLINE int is_link_speech(const struct packet *p) {
  return p->version == 6 && (is_link_local(p->source) || is_zero(p->source)) && (is_multicast(p->destination) || is_link_local(p->destination));
}

/*
 * The kernel takes off the first VLAN tag before it asks us. Of two that name no VLAN it takes off the second one after, and delivers what comes then: a
 * source that nobody has compared.
 */
INLINE int hides_behind_tags(const struct packet *p) {
  return p->mode & MODE_GUARD && (p->skb->protocol == HTONS(ETH_P_8021Q) || p->skb->protocol == HTONS(ETH_P_8021AD));
}

/* The reason to drop the packet, or 0. `source` then says whether it is a packet of the endpoint's own address. */
INLINE __u32 guard(const struct packet *p, const struct endpoint *e, enum source *source) {
  *source = is_own(p, e, p->source) ? SOURCE_OWN : SOURCE_OTHER;
  if (!(p->mode & MODE_GUARD)) return 0;
  if (UNLIKELY(!same_mac(p->source_mac, e->pod_mac))) return DROP_SPOOFED_MAC;
  return LIKELY(*source == SOURCE_OWN) || is_link_speech(p) ? 0 : DROP_SPOOFED_SOURCE;
}
