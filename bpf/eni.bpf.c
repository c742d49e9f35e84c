/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The program where an ENI receives: eni_in takes what is for a pod of that ENI past the host stack. */
#include "lib/receive.h"

char _license[] SECTION("license") = "Dual BSD/GPL";

SECTION("tc/eni_in") int eni_in(struct __sk_buff *skb) {
  __u32 mode = read_mode();
  if (!(mode & MODE_FORWARD)) return TC_ACT_UNSPEC;
  struct packet p = {0};
  struct target to = {0};
  begin(&p, skb, HOOK_ENI_IN, mode);
  outcome outcome = receive(&p, parse(&p), &to);
  return LIKELY(outcome == PATH_REMOTE_TO_POD) ? deliver(&p, &to, outcome) : leave(&p, outcome);
}
