/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the maps say of Services, and which backend a client gets. For sockets too: nothing here needs a packet. */
#pragma once
#include "../layout.gen.h"
#include "packet.h"

/* How many slots are asked in turn when one has no backend that takes connections. */
#define SLOTS_ASKED 4

INLINE struct service *find_service(const __be32 *ip, __be16 port, __u8 protocol, __u8 scope) {
  struct service_key key = {.port = port, .protocol = protocol, .scope = scope};
  copy_ip(key.ip, ip);
  return bpf_map_lookup_elem(&services, &key);
}

INLINE struct frontend *find_frontend(__u32 number) {
  struct frontend_key key = {number};
  return bpf_map_lookup_elem(&frontends, &key);
}

INLINE struct backend *find_backend(__u32 number) {
  struct backend_key key = {number};
  return bpf_map_lookup_elem(&backends, &key);
}

/* For what goes on with a backend that was chosen before. One that drains ends its connections of TCP; the others have none, and choose anew. */
INLINE int is_usable(const struct backend *b, __u8 protocol) {
  return b && (b->state == BACKEND_STATE_ACTIVE || (b->state == BACKEND_STATE_DRAINING && protocol == IPPROTO_TCP));
}

INLINE int may_come(const struct service *s, const __be32 *client) {
  struct source_range_key key = {.prefix_length = 32 + 128, .frontend = s->frontend};
  if (!(s->flags & SERVICE_FLAG_SOURCE_RANGES)) return 1;
  copy_ip(key.ip, client);
  return bpf_map_lookup_elem(&source_ranges, &key) != 0;
}

INLINE struct slot *find_slot(__u32 set, __u32 number) {
  struct slot_key key = {set, number};
  return bpf_map_lookup_elem(&backend_slots, &key);
}

/* Does it take new connections? */
INLINE int is_active(__u32 backend) {
  struct backend *b = find_backend(backend);
  return b && b->state == BACKEND_STATE_ACTIVE;
}

/* The rounds of MurmurHash3. */
INLINE __u32 mix(__u32 hash, __u32 word) {
  word *= 0xcc9e2d51;
  word = (word << 15) | (word >> 17);
  hash ^= word * 0x1b873593;
  hash = (hash << 13) | (hash >> 19);
  return hash * 5 + 0xe6546b64;
}

INLINE __u32 hash_of(const __be32 *ip, __u32 port) {
  __u32 hash = mix(mix(mix(mix(mix(0, ip[0]), ip[1]), ip[2]), ip[3]), port);
  hash = (hash ^ (hash >> 16)) * 0x85ebca6b;
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae35;
  return hash ^ (hash >> 16);
}

/* A backend that takes connections, from that slot on; 0 = there is none among the next ones. */
INLINE __u32 choose_slot(const struct service *s, __u32 count, __u32 number) {
  number %= count;
#pragma unroll
  for (int i = 0; i < SLOTS_ASKED; i++) {
    struct slot *slot = find_slot(s->set, number);
    __u32 backend = slot ? slot->backend : 0;
    if (backend && is_active(backend)) return backend;
    number = number + 1 < count ? number + 1 : 0;
  }
  return 0;
}

/* The backend that a client of a Service with affinity had, when it is not too long ago, and it still has it; 0 = none. */
INLINE __u32 keep_affine(const struct service *s, struct affinity *a, __u32 now) {
  if (is_older(now, a->seen, s->affinity_seconds)) return 0;
  __u32 backend = a->backend;
  if (!find_slot(s->set, AFFINITY_SLOT | backend) || !is_active(backend)) return 0;
  if (a->seen != now) a->seen = now;
  return backend;
}

INLINE __u32 count_backends(const struct service *s) {
  struct backend_set_key key = {s->set};
  struct backend_set *set = bpf_map_lookup_elem(&backend_sets, &key);
  return set ? set->count : 0;
}

/*
 * A client may begin several connections on several CPUs at once, and all of them get one backend: where it had one before, all choose by what they read
 * of it; where it had none, the first one decides that leaves its own.
 */
INLINE __u32 choose_affine(const struct service *s, __u32 count, const __be32 *client, __u32 now) {
  struct affinity_key who = {.set = s->set};
  copy_ip(who.client, client);
  struct affinity *a = bpf_map_lookup_elem(&affinities, &who);
  __u32 backend = a ? keep_affine(s, a, now) : 0;
  if (backend) return backend;
  __u32 hashed = s->flags & SERVICE_FLAG_HASHED;
  backend = choose_slot(s, count, a || hashed ? hash_of(client, a && !hashed ? a->seen : 0) : bpf_get_prandom_u32());
  if (!backend) return 0;
  struct affinity mine = {backend, now};
  if (bpf_map_update_elem(&affinities, &who, &mine, a ? BPF_ANY : BPF_NOEXIST) == 0) return backend;
  a = bpf_map_lookup_elem(&affinities, &who);
  return a ? a->backend : backend;
}

/* Some ten seconds: who replaces tables may have ended. */
#define MOVING_AT_MOST 10000

/* Are tables of connections being replaced, so that an entry which was made may be missing for a moment? */
INLINE int are_tables_moving(__u32 now) {
  struct index key = {SERVICE_WORD_MOVING_UNTIL};
  struct service_state *until = bpf_map_lookup_elem(&service_states, &key);
  return until && (__u32)until->value - now < MOVING_AT_MOST;
}

/* The number of a backend for a new connection, or datagram; 0 = there is none. */
INLINE __u32 choose(const struct service *s, const __be32 *client, __be16 port, __u32 now) {
  __u32 count = count_backends(s);
  if (!count) return 0;
  if (s->affinity_seconds) return choose_affine(s, count, client, now);
  int again = s->flags & SERVICE_FLAG_HASHED || are_tables_moving(now);
  return choose_slot(s, count, again ? hash_of(client, port) : bpf_get_prandom_u32());
}
