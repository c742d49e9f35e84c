/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an endpoint's policy says of a flow. Without a policy everything is allowed. */
#pragma once
#include "endpoint.h"

/* Of an `endpoint_policy`: as numbers, since a pointer that may be null doubles every way on. */
struct enforced {
  __u32 policy;
  __u32 revision;
  __u32 enforce;
  /* Of all policies, when this one was read. */
  __u32 generation;
};

/* A flow as policy sees it: from the endpoint, and by the port of the side that answers. */
struct question {
  const struct enforced *policy;
  /* Bits of MODE_. */
  __u32 mode;
  __u32 direction;
  __u32 identity;
  /* Why the remote address is the host stack's, with MADE_HERE when this node made the packet; 0 = neither. */
  __u32 remote_is;
  __u8 protocol;
  __be16 port;
};

/* Another number after each change of an endpoint's policy: who writes it puts the policy first. */
INLINE __u32 policy_generation(void) {
  struct index key = {CONTROL_POLICIES};
  struct word *generation = bpf_map_lookup_elem(&control, &key);
  return generation ? generation->value : 0;
}

/* All zeros where the host stack forwards; without a policy all but the generation. */
INLINE struct enforced find_policy(const struct packet *p, __u32 number) {
  struct enforced result = {0};
  struct endpoint_key key = {number};
  if (in_mode(p, MODE_POLICY) && in_mode(p, MODE_FORWARD)) {
    result.generation = policy_generation();
    struct endpoint_policy *found = bpf_map_lookup_elem(&endpoint_policies, &key);
    if (found) {
      result.policy = found->policy;
      result.revision = found->revision;
      result.enforce = found->enforce;
    }
  }
  result.policy = forget(p, result.policy);
  result.revision = forget(p, result.revision);
  result.enforce = forget(p, result.enforce);
  result.generation = forget(p, result.generation);
  return result;
}

INLINE int enforces(const struct enforced *policy, __u32 direction) {
  return policy->enforce & (direction == DIRECTION_IN ? ENFORCE_IN : ENFORCE_OUT);
}

/* Of the other side, where a policy asks for it; else 0. */
INLINE __u32 find_identity(const struct packet *p, const struct enforced *policy, const __be32 *ip) {
  struct prefix_key key = {.prefix_length = 128};
  copy_ip(key.ip, ip);
  struct identity *entry = policy->enforce ? bpf_map_lookup_elem(&identities, &key) : 0;
  return forget(p, entry ? entry->identity : policy->enforce ? RESERVED_IDENTITY_WORLD : 0);
}

/* What the node makes is its own, whatever source it has. */
#define MADE_HERE 0x100

INLINE int is_node(__u32 remote_is) {
  return remote_is & MADE_HERE || remote_is == HOST_REASON_NODE;
}

/*
 * The node reaches its pods whatever their policy says: probes come from it. What the host stack translates is not judged by the address before the
 * translation; what the programs translate is judged after it.
 */
INLINE int is_exempt(const struct question *q) {
  if (q->direction == DIRECTION_IN) return is_node(q->remote_is);
  __u32 reason = q->remote_is & ~MADE_HERE;
  if (reason == HOST_REASON_SERVICE_CIDR) return !(q->mode & MODE_SERVICE);
  return reason == HOST_REASON_NODE || reason == HOST_REASON_LINK_LOCAL;
}

/* The rules for the identity and those for everybody: a denial in either wins, and what nobody allows is denied. */
INLINE int allows(const struct question *q) {
  if (!enforces(q->policy, q->direction) || is_exempt(q)) return 1;
  struct policy_key key = {
    .prefix_length = 96,
    .policy = q->policy->policy,
    .identity = q->identity,
    .direction = q->direction,
    .protocol = q->protocol,
    .port = q->port,
  };
  struct policy *own = bpf_map_lookup_elem(&policies, &key);
  key.identity = RESERVED_IDENTITY_EVERYBODY;
  struct policy *everybody = bpf_map_lookup_elem(&policies, &key);
  if ((own && own->verdict != VERDICT_ALLOW) || (everybody && everybody->verdict != VERDICT_ALLOW)) return 0;
  return own || everybody;
}
