// SPDX-License-Identifier: Apache-2.0
//
// The CNI plugin that the container runtime executes. It carries the request to the daemon and its answer back, and
// decides nothing else: environment and standard input go to a unix socket, the reply becomes output and exit code.
//
//   request   CNI_x=value NUL ... NUL standard input, then end of file
//   reply     exit code in decimal, newline, one line of JSON, newline, then end of file
//
// A reply without its last newline was cut short (the daemon died while writing) and counts as no reply. What the shim
// answers itself: VERSION, and errors in which the daemon has no part.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef TERWAY_CNI_SOCKET
#define TERWAY_CNI_SOCKET "/var/run/eni/cni.socket"
#endif
#ifndef TERWAY_TIMEOUT_SECONDS
#define TERWAY_TIMEOUT_SECONDS 120
#endif
// A daemon that restarts is back within seconds. A STATUS that failed meanwhile would make the kubelet report the node NotReady,
// and Services would lose its pods, which run well. A kubelet that waits for more than 25 s reports the same.
#ifndef TERWAY_STATUS_GRACE_SECONDS
#define TERWAY_STATUS_GRACE_SECONDS 15
#endif
#define ENV_LIMIT (64 * 1024)
#define STDIN_LIMIT (1024 * 1024)
#define REPLY_LIMIT (1024 * 1024)
#define VERSION_LIMIT 32

enum { BAD_ENVIRONMENT = 4, BAD_CONTENT = 6, TRY_AGAIN = 11, NOT_AVAILABLE = 50 };

static const char *const forwarded[] = {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"};
static char request[ENV_LIMIT + 1 + STDIN_LIMIT];
static char reply[REPLY_LIMIT];
static char version[VERSION_LIMIT] = "1.0.0";
static struct timespec deadline;

static int write_all(int fd, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, bytes, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    bytes += n;
    size -= (size_t)n;
  }
  return 0;
}

// Prints a CNI error of the configuration's version. Every text that reaches here is ours or the C library's: no escaping.
__attribute__((format(printf, 2, 3))) static int fail(int code, const char *format, ...) {
  char message[512], out[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  int n = snprintf(out, sizeof out, "{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"%s\"}\n", version, code, message);
  write_all(STDOUT_FILENO, out, (size_t)n);
  return 1;
}

// No daemon, no service: STATUS has a code of its own for that, for every other verb the runtime should try again.
static int unavailable(const char *what, int error) {
  const char *command = getenv("CNI_COMMAND");
  int code = command && strcmp(command, "STATUS") == 0 ? NOT_AVAILABLE : TRY_AGAIN;
  if (error == 0) return fail(code, "terwayd: %s", what);
  return fail(code, "terwayd: %s: %s", what, error == EAGAIN ? "timed out" : strerror(error));
}

static int version_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '.' || c == '-';
}

// Finds the member "cniVersion" of the outermost object and copies its value. Anything that is not that simple text leaves
// the default: a wrong guess here would only mislabel an error, and the daemon parses the configuration properly.
static void scan_version(const char *p, const char *end) {
  static const char key[] = "cniVersion";
  int depth = 0;
  while (p < end) {
    char c = *p++;
    if (c == '{' || c == '[') depth++;
    if (c == '}' || c == ']') depth--;
    if (c != '"') continue;
    const char *text = p;
    while (p < end && *p != '"') p += *p == '\\' ? 2 : 1;
    if (p >= end) return;
    size_t size = (size_t)(p++ - text);
    if (depth != 1 || size != sizeof key - 1 || memcmp(text, key, size) != 0) continue;
    while (p < end && strchr(" \t\r\n:", *p) && *p) p++;
    if (p >= end || *p++ != '"') return;
    for (size = 0; p + size < end && size < VERSION_LIMIT && version_char(p[size]); size++) continue;
    if (size == 0 || size == VERSION_LIMIT || p + size >= end || p[size] != '"') return;
    memcpy(version, p, size);
    version[size] = 0;
    return;
  }
}

static int print_versions(void) {
  char out[256];
  int n = snprintf(out, sizeof out,
                   "{\"cniVersion\":\"%s\",\"supportedVersions\":[\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n", version);
  return write_all(STDOUT_FILENO, out, (size_t)n) == 0 ? 0 : 1;
}

// Appends the CNI environment to the request; 0 when it is over its limit.
static size_t put_environment(void) {
  size_t n = 0;
  for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++) {
    const char *value = getenv(forwarded[i]);
    if (!value) continue;
    size_t name_size = strlen(forwarded[i]), value_size = strlen(value);
    if (n + name_size + value_size + 2 > ENV_LIMIT) return 0;
    memcpy(request + n, forwarded[i], name_size);
    n += name_size;
    request[n++] = '=';
    memcpy(request + n, value, value_size + 1);
    n += value_size + 1;
  }
  request[n++] = 0;
  return n;
}

// What is left of the time limit, on the socket's own timers: they bound connect, send and receive alike.
static int arm(int s) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  long us = (deadline.tv_sec - now.tv_sec) * 1000000L + (deadline.tv_nsec - now.tv_nsec) / 1000;
  if (us <= 0) return errno = EAGAIN, -1;
  struct timeval left = {us / 1000000, us % 1000000};
  if (setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof left)) return -1;
  return setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left);
}

// Whether a daemon that is away may come back in time: without its directory none has run since the node booted.
static int may_return(const char *path, int error, const struct timespec *since) {
  struct timespec now, pause = {0, 100 * 1000 * 1000};
  char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
  if (error != ENOENT && error != ECONNREFUSED) return 0;
  strcpy(directory, path);
  char *end = strrchr(directory, '/');
  if (!end || end == directory) return 0;
  *end = 0;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (access(directory, F_OK) != 0 || now.tv_sec - since->tv_sec >= TERWAY_STATUS_GRACE_SECONDS) return 0;
  nanosleep(&pause, NULL);
  return 1;
}

static int connect_daemon(int s, int patient) {
  struct timespec since;
  clock_gettime(CLOCK_MONOTONIC, &since);
  const char *path = getenv("TERWAY_CNI_SOCKET");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!path || !*path) path = TERWAY_CNI_SOCKET;
  if (strlen(path) >= sizeof address.sun_path) return errno = ENAMETOOLONG, -1;
  strcpy(address.sun_path, path);
  for (;;) {
    if (arm(s)) return -1;
    if (connect(s, (struct sockaddr *)&address, sizeof address) == 0) return 0;
    if (errno != EINTR && !(patient && may_return(path, errno, &since))) return -1;
  }
}

static int send_request(int s, size_t size) {
  for (const char *p = request; size > 0;) {
    if (arm(s)) return -1;
    ssize_t n = send(s, p, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    p += n;
    size -= (size_t)n;
  }
  return shutdown(s, SHUT_WR);
}

static ssize_t receive_reply(int s) {
  for (size_t n = 0;;) {
    if (n == sizeof reply) return errno = EMSGSIZE, -1;
    if (arm(s)) return -1;
    ssize_t k = recv(s, reply + n, sizeof reply - n, 0);
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) return -1;
    if (k == 0) return (ssize_t)n;
    n += (size_t)k;
  }
}

// Splits the reply, prints its JSON and returns its exit code.
static int finish(size_t size) {
  size_t digits = 0;
  int status = 0;
  while (digits < size && digits < 3 && reply[digits] >= '0' && reply[digits] <= '9') status = status * 10 + reply[digits++] - '0';
  if (size == 0) return unavailable("closed the connection without an answer", 0);
  if (digits == 0 || status > 255 || digits + 1 >= size || reply[digits] != '\n' || reply[size - 1] != '\n')
    return unavailable("sent an incomplete answer", 0);
  return write_all(STDOUT_FILENO, reply + digits + 1, size - digits - 1) == 0 ? status : 1;
}

int main(void) {
  size_t start = put_environment(), size = start;
  if (start == 0) return fail(BAD_ENVIRONMENT, "CNI environment variables are over %d bytes", ENV_LIMIT);
  for (;;) {
    if (size == sizeof request) return fail(BAD_CONTENT, "network configuration on standard input is over %d bytes", STDIN_LIMIT);
    ssize_t n = read(STDIN_FILENO, request + size, sizeof request - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(BAD_CONTENT, "read standard input: %s", strerror(errno));
    if (n == 0) break;
    size += (size_t)n;
  }
  scan_version(request + start, request + size);
  const char *command = getenv("CNI_COMMAND");
  if (!command || !*command) return fail(BAD_ENVIRONMENT, "CNI_COMMAND is not set: the container runtime executes this program");
  if (strcmp(command, "VERSION") == 0) return print_versions();

  clock_gettime(CLOCK_MONOTONIC, &deadline);
  deadline.tv_sec += TERWAY_TIMEOUT_SECONDS;
  int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (s < 0) return unavailable("socket", errno);
  if (connect_daemon(s, strcmp(command, "STATUS") == 0)) return unavailable("not reachable", errno);
  if (send_request(s, size)) return unavailable("send the request", errno);
  ssize_t n = receive_reply(s);
  if (n < 0) return unavailable("receive the answer", errno);
  return finish((size_t)n);
}
