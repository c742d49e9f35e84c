// SPDX-License-Identifier: Apache-2.0
//
// TCP connections that send one byte each millisecond and expect it back: what they notice is what an application notices.
//
//   heartbeat ADDRESS PORT SERVER_PORT SERVER_NETNS CLIENT_NETNS...
//
// A child echoes in SERVER_NETNS, whose SERVER_PORT the address and port lead to; one connection comes from each CLIENT_NETNS. Each line on standard input is answered by one
// line of JSON, an array with one entry per connection about the time since the line before: bytes sent and echoed, the
// longest time in milliseconds without an echo, and whether it ended. Every connection that exists counts, also a dead one.
// After a line `rest` every other connection is silent, until a line `beat`.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MOST 64
#define PERIOD_NS 1000000L

struct connection {
  long sent, echoed;
  double last, gap;
  int fd, ended;
};

static struct connection connections[MOST];

static void die(const char *what) {
  fprintf(stderr, "heartbeat: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int socket_in(const char *netns) {
  int fd = open(netns, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET)) die(netns);
  close(fd);
  int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  if (s < 0) die("socket");
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return s;
}

static void echo(int server) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct pollfd polls[MOST + 1] = {{.fd = server, .events = POLLIN}};
  nfds_t count = 1;
  for (char buffer[4096]; poll(polls, count, -1) >= 0;) {
    if (polls[0].revents && count <= MOST) {
      int c = accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), on = 1;
      if (c < 0) continue;
      setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      polls[count++] = (struct pollfd){.fd = c, .events = POLLIN};
    }
    for (nfds_t i = 1; i < count; i++) {
      if (!polls[i].revents) continue;
      ssize_t n = read(polls[i].fd, buffer, sizeof buffer);
      if (n > 0) n = write(polls[i].fd, buffer, (size_t)n);
      if (n == 0 || (n < 0 && errno != EAGAIN)) polls[i].fd = -1;
    }
  }
}

static void seen(struct connection *c, double now) {
  if (now - c->last > c->gap) c->gap = now - c->last;
}

static void beat(struct connection *c) {
  if (c->ended) return;
  ssize_t n = send(c->fd, ".", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n == 1) c->sent++;
  else if (errno != EAGAIN) c->ended = errno;
}

static void hear(struct connection *c) {
  char buffer[4096];
  ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n > 0) {
    double now = now_ms();
    seen(c, now);
    c->last = now;
    c->echoed += n;
  } else if (n == 0 || errno != EAGAIN) {
    c->ended = n == 0 ? EPIPE : errno;
  }
}

// A gap that is not over yet counts as far as it goes, and counts again, whole, in the next report.
static void report(int count) {
  double now = now_ms();
  putchar('[');
  for (int i = 0; i < count; i++) {
    struct connection *c = &connections[i];
    seen(c, now);
    printf("%s{\"sent\":%ld,\"echoed\":%ld,\"gapMs\":%.2f,\"ended\":\"%s\"}", i ? "," : "", c->sent, c->echoed, c->gap,
           c->ended ? strerror(c->ended) : "");
    c->sent = c->echoed = 0;
    c->gap = 0;
  }
  printf("]\n");
  fflush(stdout);
}

int main(int argc, char **argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int count = argc - 5;
  if (count < 1 || count > MOST) errno = EINVAL, die("heartbeat ADDRESS PORT SERVER_PORT SERVER_NETNS CLIENT_NETNS...");
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
  if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) die(argv[1]);
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3]))};
  int server = socket_in(argv[4]);
  if (bind(server, (struct sockaddr *)&own, sizeof own) || listen(server, MOST)) die("listen");
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) echo(server);
  close(server);

  struct pollfd polls[MOST + 2] = {{.fd = 0, .events = POLLIN}};
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  struct itimerspec period = {{0, PERIOD_NS}, {0, PERIOD_NS}};
  polls[1] = (struct pollfd){.fd = timer, .events = POLLIN};
  for (int i = 0; i < count; i++) {
    struct connection *c = &connections[i];
    c->fd = socket_in(argv[5 + i]);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    c->last = now_ms();
    polls[2 + i] = (struct pollfd){.fd = c->fd, .events = POLLIN};
  }
  if (timer < 0 || timerfd_settime(timer, 0, &period, NULL)) die("timer");
  printf("[]\n");
  fflush(stdout);
  int resting = 0;
  for (char line[256];;) {
    if (poll(polls, (nfds_t)count + 2, -1) < 0 && errno != EINTR) die("poll");
    uint64_t ticks;
    for (int i = 0; i < count; i++) {
      if (polls[2 + i].revents) hear(&connections[i]);
      if (connections[i].ended) polls[2 + i].fd = -1;
    }
    if (polls[1].revents && read(timer, &ticks, sizeof ticks) == sizeof ticks)
      for (int i = 0; i < count; i += 1 + resting) beat(&connections[i]);
    if (polls[0].revents) {
      if (read(0, line, sizeof line) <= 0) return 0;
      resting = line[0] == 'r' || (resting && line[0] != 'b');
      report(count);
    }
  }
}
