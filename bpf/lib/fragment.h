/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The first fragment of a packet lends its ports to the later ones. It is asked only for packets whose flow matters: by then the source of what a pod
 * sends has been compared, so that it writes nothing for another's address, and nothing is dropped that the host stack carries anyway.
 */
#pragma once
#include "../layout.gen.h"
#include "packet.h"

/* 0, or -1 for a later fragment whose first one was not seen. */
INLINE int share_ports(struct packet *p) {
  if (LIKELY(p->fragment == FRAGMENT_NONE)) return 0;
  struct fragment_key key = {.id = p->fragment_id, .protocol = p->protocol};
  copy_ip(key.source, p->source);
  copy_ip(key.destination, p->destination);
  if (p->fragment == FRAGMENT_FIRST) {
    struct fragment ports = {p->source_port, p->destination_port, p->now};
    bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
    return 0;
  }
  struct fragment *first = bpf_map_lookup_elem(&fragments, &key);
  if (!first) return -1;
  p->source_port = first->source_port;
  p->destination_port = first->destination_port;
  return 0;
}
