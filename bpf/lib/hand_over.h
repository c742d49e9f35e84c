/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the host stack hands over to a pod: the stack carries this flow, or the last bit of its way. */
#pragma once
#include "flow_table.h"
#include "fragment.h"
#include "icmp.h"
#include "reply.h"

/* About a packet that a pod sent to a Service: it shows the frontend that the pod sent to. */
INLINE outcome host_hands_error(struct packet *p, struct end *own) {
  __u32 transport;
  if (!in_mode(p, MODE_SERVICE) || !read_about(p, own, &transport, 0) || !own->flow) return PATH_ICMP_ERROR;
  __u32 reason = show_frontend_inside(p, own, transport);
  return reason ? DROPPED(reason) : PATH_ICMP_ERROR;
}

/*
 * On a node that does not forward, of a flow with a client of the node: is the packet of one who speaks to the pod itself, and is answered by it from now on?
 * What node_in has translated came in by the node's device.
 */
INLINE int asks_itself(const struct packet *p, struct flow *f) {
  struct node_config *node = find_node_config();
  if (node && p->skb->ingress_ifindex == node->if_index) return 0;
  f->frontend = 0;
  return 1;
}

INLINE outcome hand_over(struct packet *p, struct end *own) {
  int forwards = in_mode(p, MODE_FORWARD);
  remote_end(p, own);
  find_flow(p, own);
  struct decision d = {.way = FLOW_WAY_HOST};
  if (own->flow) {
    __u32 frontend = is_reply(p, own, own->flow) ? own->flow->frontend : 0;
    /* On a node that does not forward, the other flows here are those of clients of the node. */
    if (!forwards && !frontend && (!is_answer_to_client(own->flow) || asks_itself(p, own->flow))) return PATH_NONE;
    __u32 reason = forwards ? judge(p, own) : 0;
    /* The node is never refused: its flow becomes another one of the host stack. */
    if (reason && !is_node(remote_reason(p, own))) return DROPPED(reason);
    int host = own->flow->way == FLOW_WAY_HOST || !forwards;
    /* Too long for the way past the host stack: whoever sent it here has tracked it. */
    if (!reason && (host || !is_syn(p))) {
      if (host) track(p, own);
      reason = frontend ? show_frontend(p, frontend) : 0;
      return reason ? DROPPED(reason) : PATH_HOST_TO_POD;
    }
  }
  if (!forwards) return PATH_NONE;
  if (!own->flow && is_early(p)) return DROPPED(DROP_SERVICE_TRANSLATION_FAILED);
  d.remote_is = remote_reason(p, own);
  __u32 reason = create_flow(p, own, &d);
  return reason ? DROPPED(reason) : PATH_HOST_TO_POD;
}

INLINE outcome host_hands_over(struct packet *p, struct end *own) {
  own->number = p->skb->ifindex;
  own->endpoint = find_endpoint(own->number);
  if (!own->endpoint) return PATH_NONE;
  p->counted = own->number;
  enum parsed parsed = parse(p);
  if (parsed == PARSED_OTHER) return PATH_NONE;
  if (parsed == PARSED_MALFORMED) return DROPPED(DROP_MALFORMED);
  if (!is_own(p, own->endpoint, p->destination) || is_neighbour_discovery(p)) return PATH_NONE;
  if (is_icmp_error(p)) return host_hands_error(p, own);
  if (share_ports(p)) {
    own->policy = find_policy(p, own->number);
    return enforces(&own->policy, DIRECTION_IN) ? DROPPED(DROP_FRAGMENT_WITHOUT_FIRST) : PATH_NONE;
  }
  return hand_over(p, own);
}
