/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For somebody who looks: each packet that is dropped, samples of those that pass, and each first one of a flow to a Service become events. On each CPU two
 * events of a kind are EVENT_INTERVAL apart, so that a flood costs those who look, not the node. Nobody is woken: the reader comes by itself.
 */
#pragma once
#include "packet.h"

/* In nanoseconds. */
#define EVENT_INTERVAL 100000

/* An event of this kind for the caller to fill and submit, its time written; 0 = there is no room or no time for it. */
INLINE struct event *begin_event(__u32 kind) {
  struct index key = {kind};
  struct event_rate *rate = bpf_map_lookup_elem(&event_rates, &key);
  if (!rate) return 0;
  __u64 now = bpf_ktime_get_ns();
  struct event *e = now - rate->last < EVENT_INTERVAL ? 0 : bpf_ringbuf_reserve(&events, sizeof(*e), 0);
  if (!e) {
    rate->untold++;
    return 0;
  }
  rate->last = now;
  e->time = now;
  return e;
}

INLINE void write_event(const struct packet *p, struct event *e, __u32 reason, __u32 path, __u32 target) {
  e->if_index = p->skb->ifindex;
  e->endpoint = p->counted;
  e->target = target;
  e->frontend = p->frontend;
  e->length = p->skb->len;
  copy_ip(e->source, p->source);
  copy_ip(e->destination, p->destination);
  e->source_port = p->source_port;
  e->destination_port = p->destination_port;
  e->reason = reason;
  e->path = path;
  e->hook = p->hook;
  e->protocol = p->protocol;
  e->tcp_flags = p->tcp_flags;
  e->icmp_type = p->icmp_type;
  e->flags = p->first ? EVENT_FLAG_FIRST : 0;
  e->spare0 = 0;
  e->pid = 0;
  __builtin_memset(e->task, 0, sizeof(e->task));
  e->spare1 = 0;
}

INLINE void tell(const struct packet *p, __u32 kind, __u32 reason, __u32 path, __u32 target) {
  struct event *e = begin_event(kind);
  if (!e) return;
  write_event(p, e, reason, path, target);
  bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
}

INLINE int is_sample(void) {
  struct index key = {CONTROL_SAMPLE};
  struct word *sample = bpf_map_lookup_elem(&control, &key);
  __u32 one_in = sample ? sample->value : 0;
  return one_in && bpf_get_prandom_u32() % one_in == 0;
}

INLINE void tell_dropped(const struct packet *p, __u32 reason) {
  if (UNLIKELY(in_mode(p, MODE_MONITOR))) tell(p, EVENT_KIND_DROP, reason, 0, 0);
}

INLINE void tell_passed(const struct packet *p, __u32 path, __u32 target) {
  if (UNLIKELY(in_mode(p, MODE_MONITOR)) && (p->first || is_sample())) tell(p, EVENT_KIND_PASS, 0, path, target);
}
