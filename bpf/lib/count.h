/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Each packet that was looked at counts once, by its path or by the reason for which it is dropped; and what passes, for its endpoint. */
#pragma once
#include "../layout.gen.h"
#include "monitor.h"
#include "packet.h"

enum way_of_packet { SENT, RECEIVED };

INLINE void count(void *map, __u32 at, const struct packet *p) {
  struct index key = {at};
  struct counter *c = bpf_map_lookup_elem(map, &key);
  if (UNLIKELY(!c)) return;
  /* Of this CPU alone. */
  c->packets++;
  c->bytes += p->skb->len;
}

INLINE void count_endpoint(const struct packet *p, __u32 number, enum way_of_packet way) {
  struct endpoint_key key = {number};
  struct endpoint_counter *c = bpf_map_lookup_elem(&endpoint_counters, &key);
  if (UNLIKELY(!c)) {
    struct endpoint_counter first = {0};
    bpf_map_update_elem(&endpoint_counters, &key, &first, BPF_NOEXIST);
    c = bpf_map_lookup_elem(&endpoint_counters, &key);
    if (!c) return;
  }
  if (way == SENT) {
    c->tx_packets++;
    c->tx_bytes += p->skb->len;
  } else {
    c->rx_packets++;
    c->rx_bytes += p->skb->len;
  }
}

INLINE void show(const struct packet *p, __u32 reason, __u32 path, __u32 target) {
  if (!test_mode) return;
  p->skb->cb[0] = reason;
  p->skb->cb[1] = path;
  p->skb->cb[2] = target;
}

INLINE void count_dropped(const struct packet *p, __u32 reason) {
  count(&drops, reason, p);
  tell_dropped(p, reason);
  show(p, reason, 0, 0);
}

INLINE void count_passed(const struct packet *p, __u32 path, __u32 target) {
  count(&paths, path, p);
  if (p->counted && p->hook != HOOK_ENI_IN) count_endpoint(p, p->counted, p->hook == HOOK_POD_IN ? SENT : RECEIVED);
  tell_passed(p, path, target);
  show(p, 0, path, target);
}
