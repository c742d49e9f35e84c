/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors about what the node has translated: whoever sent the packet that they carry gets them, about the packet as he sent it. */
#pragma once
#include "icmp.h"
#include "node_client.h"

/* What an error is to say. */
struct error {
  /* The packet that it carries, as it is in there, and where its ports are. */
  struct flow_key about;
  __u32 transport;
  __be16 source_port;
  __be16 destination_port;
  /* As it was sent; the error goes to that source. */
  __be32 source[4];
  __be32 destination[4];
};

/* What left the node for a backend elsewhere was sent by a client. 0, or why not. */
INLINE outcome blame_client(const struct node_flow *f, struct error *e) {
  struct frontend *seen = find_frontend(f->frontend);
  if (!seen) return DROPPED(DROP_SERVICE_TRANSLATION_FAILED);
  copy_ip(e->source, f->client);
  copy_ip(e->destination, seen->ip);
  e->source_port = f->client_port;
  e->destination_port = seen->port;
  return 0;
}

/* What left it for a client was sent by the backend: to the client itself, or to a port of the node. 0, or why not. */
INLINE outcome blame_backend(const struct packet *p, const struct node_flow *f, const struct node_config *node, struct error *e) {
  struct backend *b = find_backend(f->backend);
  if (!b) return NOT_OWNED;
  copy_ip(e->source, b->ip);
  copy_ip(e->destination, e->about.remote);
  e->source_port = b->port;
  e->destination_port = e->about.remote_port;
  if (!f->nat_port) return 0;
  e->destination_port = f->nat_port;
  return node_address(p, node, e->destination) ? NOT_OWNED : 0;
}

/* 0, or the reason to drop it. */
INLINE __u32 send_error(struct packet *p, const struct error *e) {
  struct rewrite source = {SIDE_SOURCE, e->about.local, e->source, e->about.local_port, e->source_port};
  struct rewrite destination = {SIDE_DESTINATION, e->about.remote, e->destination, e->about.remote_port, e->destination_port};
  if (translate_inner(p, e->transport, &source) || translate_inner(p, e->transport, &destination)) return DROP_SERVICE_TRANSLATION_FAILED;
  return translate_destination(p, e->source, 0);
}

/* Has a pod here sent what the error is about? Then it gets it past the host stack, which never saw that, and may drop the error as invalid. */
INLINE int goes_into_pod(const struct packet *p, const struct node_config *node, struct target *to) {
  return p->mode & MODE_FORWARD && find_place(p, node, to) == PLACE_POD && packet_size(p) <= to->endpoint->mtu;
}

INLINE outcome take_error(struct packet *p, const struct node_config *node, struct target *to) {
  struct error e = {0};
  if (p->fragment != FRAGMENT_NONE || read_inner(p, &e.about, &e.transport, 0) || !e.transport) return NOT_OWNED;
  e.about.kind = FLOW_KIND_BACKEND;
  struct node_flow *f = find_node_flow(p, &e.about);
  outcome outcome = f && f->nat_port ? blame_client(f, &e) : NOT_OWNED;
  __u32 path = PATH_REMOTE_ANSWERS_CLIENT;
  if (outcome == NOT_OWNED) {
    e.about.kind = FLOW_KIND_CLIENT;
    f = find_node_flow(p, &e.about);
    if (!f) return NOT_OWNED;
    outcome = blame_backend(p, f, node, &e);
    path = f->nat_port ? PATH_NODE_TO_REMOTE : PATH_ICMP_ERROR;
  }
  if (outcome) return outcome;
  path = forget(p, path);
  __u32 reason = send_error(p, &e);
  /* Nobody outside would take it from a router's address by way of the node. */
  if (!reason && path == PATH_NODE_TO_REMOTE) reason = translate_source(p, e.destination, 0);
  if (!reason && path == PATH_ICMP_ERROR && goes_into_pod(p, node, to)) return PATH_NODE_TO_POD;
  return reason ? DROPPED(reason) : path;
}
