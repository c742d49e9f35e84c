/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Notes of what pods send by way of the host stack: the answer may come from an address that only the host's translation knows. */
#pragma once
#include "flow.h"

INLINE void note_key(const struct flow_key *flow, struct host_note_key *key) {
  copy_ip(key->local, flow->local);
  key->local_port = flow->local_port;
  key->protocol = flow->protocol;
  key->spare = 0;
}

/* No answer to what stays on the link, or goes to many, is ever translated. */
INLINE int needs_note(const struct packet *p) {
  if (is_link_local(p->destination) || is_multicast(p->destination)) return 0;
  return has_ports(p) || (is_icmp(p) && (p->icmp_echo || p->source_port));
}

/* With every packet that goes this way, so that a note in use is never the one that is idle longest. */
INLINE void write_note(const struct packet *p, const struct end *e) {
  if (!needs_note(p)) return;
  struct host_note_key key;
  note_key(&e->key, &key);
  struct host_note *old = bpf_map_lookup_elem(&host_notes, &key);
  if (old && old->incarnation == e->endpoint->incarnation) {
    if (old->seen != p->now) old->seen = p->now;
    return;
  }
  struct host_note note = {p->now, e->endpoint->incarnation};
  bpf_map_update_elem(&host_notes, &key, &note, BPF_ANY);
}

/* As long as an open flow: then the host's translation has forgotten it too, and an answer would not be one. */
INLINE int has_note(const struct packet *p, const struct flow_key *flow, const struct endpoint *endpoint) {
  struct host_note_key key;
  note_key(flow, &key);
  struct host_note *note = bpf_map_lookup_elem(&host_notes, &key);
  return note && note->incarnation == endpoint->incarnation && !is_older(p->now, note->seen, open_timeout(flow->protocol));
}
