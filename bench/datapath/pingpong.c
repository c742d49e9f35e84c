// SPDX-License-Identifier: Apache-2.0
//
// One byte there and one back, new connections, or a stream, between two network namespaces, for some time:
//
//   pingpong tcp_rr|udp_rr|crr|stream SERVER_NETNS SERVER_CPU ADDRESS PORT CLIENT_NETNS CLIENT_CPU TO_ADDRESS TO_PORT MILLISECONDS [programs]
//
// The client sends to an address that leads to the server: the server's own, or that of a Service.
// Both sides run with a real-time priority, so that what else runs on the machine does not get between them. Pinned to one CPU
// they measure what the path costs, without the wakeup of another. Prints one line of JSON: how many round trips (or
// connections), their median and 99th percentile in microseconds, and the gigabits a second of a stream. A datagram that is
// lost is not counted; a side that cannot work ends the program with a message. With `programs` the kernel counts the time of all
// eBPF programs meanwhile, which costs each of their runs some nanoseconds.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PRIORITY 20
#define MOST (1 << 20)
#define CHUNK (128 * 1024)
#define LOST_AFTER_US 200000

static uint32_t taken[MOST];
static char buffer[CHUNK];

static void die(const char *what) {
  fprintf(stderr, "pingpong: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void settle(const char *netns, int cpu) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int fd = open(netns, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET)) die(netns);
  close(fd);
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET((size_t)cpu, &cpus);
  if (sched_setaffinity(0, sizeof cpus, &cpus)) die("sched_setaffinity");
  struct sched_param p = {.sched_priority = PRIORITY};
  // The C library that we link with does not let a program do this.
  if (syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &p)) die("sched_setscheduler");
}

// For as long as this process lives.
static void count_programs(void) {
  const long enable_stats = 32;
  uint32_t run_time = 0;
  if (syscall(SYS_bpf, enable_stats, &run_time, sizeof run_time) < 0) die("bpf");
}

// Of either family.
union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

static int new_socket(int family, int kind) {
  int s = socket(family, kind | SOCK_CLOEXEC, 0), on = 1;
  if (s < 0) die("socket");
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct timeval wait = {0, LOST_AFTER_US};
  if (kind == SOCK_STREAM) setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  else setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  return s;
}

static void echo_datagrams(int s) {
  union address from;
  for (;;) {
    socklen_t size = sizeof from;
    if (recvfrom(s, buffer, 1, 0, &from.any, &size) == 1) sendto(s, buffer, 1, 0, &from.any, size);
  }
}

// Answers byte by byte, or only reads; until the other side ends.
static void serve_connection(int c, int answers) {
  int on = 1;
  setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  while (recv(c, buffer, answers ? 1 : CHUNK, 0) > 0)
    if (answers && send(c, buffer, 1, MSG_NOSIGNAL) != 1) break;
  close(c);
}

static void serve(int s, const char *what) {
  if (!strcmp(what, "udp_rr")) echo_datagrams(s);
  for (;;) {
    int c = accept4(s, NULL, NULL, SOCK_CLOEXEC);
    if (c < 0) die("accept");
    serve_connection(c, strcmp(what, "stream") != 0);
  }
}

static int connected(int kind, const union address *to) {
  int s = new_socket(to->any.sa_family, kind);
  if (connect(s, &to->any, sizeof *to)) die("connect");
  return s;
}

static long round_trips(int kind, const union address *to, int64_t until) {
  int s = connected(kind, to);
  long count = 0;
  for (int64_t before = now_ns(), after; before < until && count < MOST; before = after) {
    ssize_t n = send(s, buffer, 1, MSG_NOSIGNAL);
    if (n == 1) n = recv(s, buffer, 1, 0);
    after = now_ns();
    if (n == 1) taken[count++] = (uint32_t)(after - before);
    else if (kind == SOCK_STREAM) die("round trip");
  }
  close(s);
  return count;
}

// Each ends with a reset, so that no closed connection keeps its port.
static long connections(const union address *to, int64_t until) {
  struct linger reset = {1, 0};
  long count = 0;
  for (int64_t before = now_ns(), after; before < until && count < MOST; before = after) {
    int s = connected(SOCK_STREAM, to);
    if (send(s, buffer, 1, MSG_NOSIGNAL) != 1 || recv(s, buffer, 1, 0) != 1) die("request");
    setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(s);
    after = now_ns();
    taken[count++] = (uint32_t)(after - before);
  }
  return count;
}

static double stream(const union address *to, int64_t until) {
  int s = connected(SOCK_STREAM, to);
  int64_t start = now_ns(), sent = 0, now = start;
  for (; now < until; now = now_ns()) {
    ssize_t n = send(s, buffer, CHUNK, MSG_NOSIGNAL);
    if (n < 0) die("stream");
    sent += n;
  }
  close(s);
  return (double)sent * 8 / (double)(now - start);
}

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static void report(long count, double gigabits) {
  qsort(taken, (size_t)count, sizeof taken[0], ascending);
  double p50 = count ? taken[count / 2] / 1e3 : 0, p99 = count ? taken[count * 99 / 100] / 1e3 : 0;
  printf("{\"count\":%ld,\"p50Us\":%.3f,\"p99Us\":%.3f,\"gigabits\":%.3f}\n", count, p50, p99, gigabits);
}

static union address address_of(const char *ip, const char *port) {
  in_port_t number = htons((uint16_t)atoi(port));
  union address v4 = {.v4 = {.sin_family = AF_INET, .sin_port = number}}, v6 = {.v6 = {.sin6_family = AF_INET6, .sin6_port = number}};
  if (inet_pton(AF_INET, ip, &v4.v4.sin_addr) == 1) return v4;
  if (inet_pton(AF_INET6, ip, &v6.v6.sin6_addr) != 1) die(ip);
  return v6;
}

int main(int argc, char **argv) {
  if (argc != 11 && (argc != 12 || strcmp(argv[11], "programs"))) errno = EINVAL, die("arguments");
  const char *what = argv[1];
  int kind = strcmp(what, "udp_rr") ? SOCK_STREAM : SOCK_DGRAM;
  union address own = address_of(argv[4], argv[5]), to = address_of(argv[8], argv[9]);
  int64_t length = atol(argv[10]) * 1000000;

  int ready[2];
  if (pipe2(ready, O_CLOEXEC)) die("pipe");
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    settle(argv[2], atoi(argv[3]));
    int s = new_socket(own.any.sa_family, kind);
    if (bind(s, &own.any, sizeof own) || (kind == SOCK_STREAM && listen(s, 16))) die("listen");
    if (write(ready[1], "", 1) != 1) die("pipe");
    serve(s, what);
  }
  close(ready[1]);
  settle(argv[6], atoi(argv[7]));
  if (read(ready[0], buffer, 1) != 1) return 1;

  if (argc == 12) count_programs();
  int64_t until = now_ns() + length;
  if (!strcmp(what, "stream")) report(0, stream(&to, until));
  else report(!strcmp(what, "crr") ? connections(&to, until) : round_trips(kind, &to, until), 0);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  return 0;
}
