/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets of the node, and of pods that have an ENI for themselves. A Service is translated when a program names it in a system call: the packets then go to a backend from the beginning, and no packet of
 * theirs is ever looked at. One attachment serves the whole machine, so each call asks first whether its network namespace is one that is translated.
 */
#include "lib/endpoint.h"
#include "lib/monitor.h"
#include "lib/service.h"

char _license[] SECTION("license") = "Dual BSD/GPL";

/* The address that a system call names, IPv4 as ::ffff:a.b.c.d. */
struct call {
  __u64 cookie;
  /* Of the network namespace when it is a pod's; 0 = it is the node's. */
  __u64 pod;
  __u32 mode;
  __be32 ip[4];
  __be16 port;
  __u8 protocol;
};

/* The mode under which the call is translated, and whose it is; 0 = it is left alone. */
INLINE __u32 mode_for(struct bpf_sock_addr *ctx, struct call *c) {
  if (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP) return 0;
  __u32 mode = read_mode();
  if (!(mode & MODE_SERVICE)) return 0;
  struct netns_key key = {bpf_get_netns_cookie(ctx)};
  struct netns *ns = bpf_map_lookup_elem(&namespaces, &key);
  if (ns) {
    c->pod = ns->translated == NAMESPACE_OF_POD ? key.cookie : 0;
    return mode;
  }
  /* The initial namespace also where the kernel told nobody its cookie. */
  if (key.cookie != bpf_get_netns_cookie(0)) return 0;
  key.cookie = 0;
  return bpf_map_lookup_elem(&namespaces, &key) ? mode : 0;
}

/* The node's own address of the same family; zero when it has none. */
INLINE void node_address(const __be32 *like, __be32 *ip) {
  struct index key = {0};
  struct node_config *node = bpf_map_lookup_elem(&node_configs, &key);
  __be32 none[4] = {0};
  if (!is_mapped(like)) {
    copy_ip(ip, node ? node->address6 : none);
    return;
  }
  copy_ip(ip, like);
  ip[3] = node ? node->address4 : 0;
}

INLINE int is_loopback(const __be32 *ip) {
  if (is_mapped(ip)) return (ip[3] & HTONL(0xff000000)) == HTONL(0x7f000000);
  return !ip[0] && !ip[1] && !ip[2] && ip[3] == HTONL(1);
}

/* On the node's loopback, its ports are reached as on its own address. A pod's is the pod's own. */
INLINE struct service *named_service(const struct call *c) {
  __be32 ip[4];
  if (!c->pod && is_loopback(c->ip)) node_address(c->ip, ip);
  else copy_ip(ip, c->ip);
  return find_service(ip, c->port, c->protocol, SERVICE_SCOPE_INSIDE);
}

/* With affinity the node is one client, and a pod is one, else each socket is one. */
INLINE __u32 choose_for(const struct call *c, const struct service *s) {
  __u64 who = s->affinity_seconds && c->pod ? c->pod : c->cookie;
  __be32 client[4] = {who, who >> 32, 0, 0};
  if (s->affinity_seconds && !c->pod) node_address(c->ip, client);
  return choose(s, client, 0, bpf_ktime_get_ns() >> 20);
}

INLINE void peer_key(struct socket_key *key, const struct call *c, __u16 kind) {
  key->cookie = c->cookie;
  copy_ip(key->ip, c->ip);
  key->port = c->port;
  key->spare0 = kind;
  key->spare1 = 0;
}

/* A series of datagrams stays with its backend as long as that takes new ones. */
INLINE __u32 last_backend(const struct call *c) {
  struct socket_key key;
  peer_key(&key, c, PEER_OF_FRONTEND);
  struct socket_peer *last = bpf_map_lookup_elem(&socket_peers, &key);
  return last && is_usable(find_backend(last->backend), c->protocol) ? last->backend : 0;
}

/* What an answer of the backend shows. An entry that is right already is only looked at, which keeps it among those used lately. */
INLINE void remember(const struct socket_key *key, const struct socket_peer *peer) {
  struct socket_peer *known = bpf_map_lookup_elem(&socket_peers, key);
  if (known && known->backend == peer->backend && known->port == peer->port && same_ip(known->ip, peer->ip)) return;
  bpf_map_update_elem(&socket_peers, key, peer, BPF_ANY);
}

/* For somebody who looks: whose call it was, and where it leads, or for which reason nowhere. */
INLINE void tell_call(const struct call *c, int is_datagram, __u32 frontend, __u32 reason) {
  if (!UNLIKELY(c->mode & MODE_MONITOR)) return;
  struct event *e = begin_event(reason ? EVENT_KIND_DROP : EVENT_KIND_PASS);
  if (!e) return;
  __u64 time = e->time;
  __builtin_memset(e, 0, sizeof(*e));
  e->time = time;
  e->frontend = frontend;
  copy_ip(e->destination, c->ip);
  e->destination_port = c->port;
  e->reason = reason;
  e->hook = HOOK_SOCKET;
  e->protocol = c->protocol;
  e->flags = EVENT_FLAG_FIRST | (is_datagram ? EVENT_FLAG_DATAGRAM : 0);
  e->pid = bpf_get_current_pid_tgid() >> 32;
  bpf_get_current_comm(e->task, sizeof(e->task));
  bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
}

/* Makes the address that of a backend. 0: it stays, and what refuses packets refuses them. */
INLINE int to_backend(struct call *c, int is_datagram) {
  struct service *s = named_service(c);
  if (!s) return 0;
  __u32 last = is_datagram ? last_backend(c) : 0;
  __u32 chosen = last ? last : choose_for(c, s);
  struct backend *b = find_backend(chosen);
  if (!b) {
    tell_call(c, is_datagram, s->frontend, DROP_SERVICE_WITHOUT_BACKEND);
    return 0;
  }
  struct socket_peer peer = {.port = c->port, .backend = chosen};
  copy_ip(peer.ip, c->ip);
  struct socket_key key;
  if (is_datagram) {
    peer_key(&key, c, PEER_OF_FRONTEND);
    remember(&key, &peer);
  }
  copy_ip(c->ip, b->ip);
  c->port = b->port;
  peer_key(&key, c, PEER_OF_BACKEND);
  remember(&key, &peer);
  if (!last) tell_call(c, is_datagram, s->frontend, 0);
  return 1;
}

/* Makes the address of a backend what the program believes to talk to. */
INLINE int to_frontend(struct call *c) {
  struct socket_key key;
  peer_key(&key, c, PEER_OF_BACKEND);
  struct socket_peer *peer = bpf_map_lookup_elem(&socket_peers, &key);
  if (!peer) return 0;
  copy_ip(c->ip, peer->ip);
  c->port = peer->port;
  return 1;
}

enum direction_of_call { CONNECT, SEND, LEARN };

INLINE int translate(struct call *c, struct bpf_sock_addr *ctx, enum direction_of_call what) {
  c->cookie = bpf_get_socket_cookie(ctx);
  c->port = ctx->user_port;
  c->protocol = ctx->protocol;
  return what == LEARN ? to_frontend(c) : to_backend(c, what == SEND);
}

/* No call is ever refused. */
INLINE int at_socket4(struct bpf_sock_addr *ctx, enum direction_of_call what) {
  struct call c = {.ip = {0, 0, HTONL(0xffff), ctx->user_ip4}};
  c.mode = mode_for(ctx, &c);
  if (!c.mode || !translate(&c, ctx, what)) return 1;
  ctx->user_ip4 = c.ip[3];
  ctx->user_port = c.port;
  return 1;
}

INLINE int at_socket6(struct bpf_sock_addr *ctx, enum direction_of_call what) {
  struct call c = {.ip = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]}};
  c.mode = mode_for(ctx, &c);
  if (!c.mode || !translate(&c, ctx, what)) return 1;
  ctx->user_ip6[0] = c.ip[0];
  ctx->user_ip6[1] = c.ip[1];
  ctx->user_ip6[2] = c.ip[2];
  ctx->user_ip6[3] = c.ip[3];
  ctx->user_port = c.port;
  return 1;
}

/*
 * A kernel before 5.14 tells the cookie of a namespace to programs alone. Terwayd leaves a note for a socket that it has made there, and names port 0 with it,
 * where nobody answers.
 */
INLINE void tell_namespace(struct bpf_sock_addr *ctx) {
  struct socket_key key = {.cookie = bpf_get_socket_cookie(ctx), .spare0 = PEER_OF_NAMESPACE};
  struct socket_peer *note = bpf_map_lookup_elem(&socket_peers, &key);
  __u64 cookie = bpf_get_netns_cookie(ctx);
  if (!note) return;
  note->ip[0] = cookie;
  note->ip[1] = cookie >> 32;
}

SECTION("cgroup/connect4") int connect4(struct bpf_sock_addr *ctx) {
  if (UNLIKELY(!ctx->user_port) && ctx->protocol == IPPROTO_UDP) tell_namespace(ctx);
  return at_socket4(ctx, CONNECT);
}

SECTION("cgroup/connect6") int connect6(struct bpf_sock_addr *ctx) {
  return at_socket6(ctx, CONNECT);
}

SECTION("cgroup/sendmsg4") int sendmsg4(struct bpf_sock_addr *ctx) {
  return at_socket4(ctx, SEND);
}

SECTION("cgroup/sendmsg6") int sendmsg6(struct bpf_sock_addr *ctx) {
  return at_socket6(ctx, SEND);
}

SECTION("cgroup/recvmsg4") int recvmsg4(struct bpf_sock_addr *ctx) {
  return at_socket4(ctx, LEARN);
}

SECTION("cgroup/recvmsg6") int recvmsg6(struct bpf_sock_addr *ctx) {
  return at_socket6(ctx, LEARN);
}

SECTION("cgroup/getpeername4") int getpeername4(struct bpf_sock_addr *ctx) {
  return at_socket4(ctx, LEARN);
}

SECTION("cgroup/getpeername6") int getpeername6(struct bpf_sock_addr *ctx) {
  return at_socket6(ctx, LEARN);
}
