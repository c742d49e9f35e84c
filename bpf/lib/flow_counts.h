/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is counted of tables of flows when one begins, and the credit by which a new one goes at once to where those in use are: one insertion, and none once
 * it is in use and gives the credit back. A flood of first packets, whose flows never are, uses it up, and evicts only new ones from then on. terwayd
 * grants what is missing as often as it takes flows away that stayed new for too long.
 */
#pragma once
#include "packet.h"

/* How many credits a CPU takes from those of all, and keeps. */
#define CREDITS_AT_ONCE 32

INLINE struct table_sums *find_sums(__u32 table) {
  struct index key = {table};
  return bpf_map_lookup_elem(&table_sums, &key);
}

INLINE void count_put(__u32 table) {
  struct table_sums *sums = find_sums(table);
  if (sums) sums->put++;
}

INLINE void count_taken(__u32 table) {
  struct table_sums *sums = find_sums(table);
  if (sums) sums->taken++;
}

/* By what was decided (MADE_), and by protocol. */
INLINE void count_made(__u32 what, __u8 protocol) {
  struct index key = {what + (protocol == IPPROTO_TCP ? 0 : protocol == IPPROTO_UDP ? 1 : 2)};
  struct word *made = bpf_map_lookup_elem(&flows_made, &key);
  if (made) made->value++;
}

INLINE struct word *find_credits(__u32 which) {
  struct index key = {which};
  return bpf_map_lookup_elem(&credits, &key);
}

/* `sums` are of this CPU alone. `pool` as in CREDITS_. */
INLINE int take_credit(struct table_sums *sums, __u32 pool) {
  if (!sums->credits) {
    struct word *granted = find_credits(pool + CREDITS_GRANTED);
    struct word *used = find_credits(pool + CREDITS_USED);
    if (!granted || !used || (__s64)(granted->value - used->value) < CREDITS_AT_ONCE) return 0;
    __sync_fetch_and_add(&used->value, CREDITS_AT_ONCE);
    sums->credits = CREDITS_AT_ONCE;
  }
  sums->credits--;
  return 1;
}

INLINE void give_credit(struct table_sums *sums, __u32 pool) {
  if (++sums->credits < 2 * CREDITS_AT_ONCE) return;
  struct word *used = find_credits(pool + CREDITS_USED);
  if (!used) return;
  sums->credits -= CREDITS_AT_ONCE;
  __sync_fetch_and_add(&used->value, -(__u64)CREDITS_AT_ONCE);
}
