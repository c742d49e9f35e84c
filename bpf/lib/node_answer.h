/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What comes back to a client: answers of backends. */
#pragma once
#include "nat.h"
#include "node_port.h"

/* Of a backend elsewhere, at a port of the node. */
INLINE int is_answer_to_node(const struct packet *p, const struct node_config *node) {
  __be32 own[4];
  if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP) return 0;
  return is_nat_port(node, p->destination_port) && !node_address(p, node, own) && same_ip(p->destination, own);
}

/* The answer of a backend as the client expects it. 0, or the reason to drop it. */
INLINE __u32 send_back(struct packet *p, struct node_flow *f) {
  __be32 client[4];
  __be16 port = f->client_port;
  copy_ip(client, f->client);
  struct frontend *seen = answer_client(p, f);
  p->frontend = f->frontend;
  if (!seen) return DROP_SERVICE_TRANSLATION_FAILED;
  __u32 reason = translate_source(p, seen->ip, seen->port);
  return reason ? reason : translate_destination(p, client, port);
}

