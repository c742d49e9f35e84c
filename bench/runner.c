// SPDX-License-Identifier: Apache-2.0
//
// Executes CNI plugins and measures them from outside, the same way for every plugin: posix_spawn -> wait4 around
// clock_gettime, little else in between. Commands come as lines on standard input, fields separated by tabs:
//
//   netns PATH             makes a named network namespace with its loopback up; answers {"ok":true}
//   answer SOCKET          a child answers every request on this unix socket at once, as a daemon that does nothing
//   run COUNT              COUNT job lines follow; all start at once, one after the other when COUNT is 1
//     job: PROGRAM NETNS|- ADDRESS|- STDIN NAME=VALUE...
//
// Each job is answered by one line of JSON: exit code, microseconds from its start to its exit, microseconds from the start
// of the first job to its exit, CPU time of it and of the processes it waited for, the round trip of a ping from NETNS to ADDRESS after all jobs (-1: none came back), and the
// output of a job that failed.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_JOBS 512
#define MOST_FIELDS 64
#define OUTPUT_LIMIT 4096
#define PING_TRIES 40
#define PING_WAIT_MS 50

struct job {
  char *line;
  char *fields[MOST_FIELDS];
  size_t count;
  pid_t pid;
  int in, out, status;
  long cpu;
  struct timespec start, end;
};

static struct job jobs[MOST_JOBS];
static int home;

static void die(const char *what) {
  fprintf(stderr, "runner: %s: %s\n", what, strerror(errno));
  exit(1);
}

static long micros(const struct timespec *a, const struct timespec *b) {
  return (b->tv_sec - a->tv_sec) * 1000000L + (b->tv_nsec - a->tv_nsec) / 1000;
}

static void enter(int fd) {
  if (setns(fd, CLONE_NEWNET)) die("setns");
}

static void make_netns(const char *path) {
  int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
  if (fd < 0) die(path);
  close(fd);
  if (unshare(CLONE_NEWNET)) die("unshare");
  if (mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL)) die("bind the namespace");
  int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  if (s < 0 || ioctl(s, SIOCSIFFLAGS, &lo)) die("bring lo up");
  close(s);
  enter(home);
}

// The daemon that is not there: reads a request to its end and answers it.
static void answer(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) die("socket path");
  strcpy(address.sun_path, path);
  int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (s < 0 || bind(s, (struct sockaddr *)&address, sizeof address) || listen(s, 128)) die(path);
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child > 0) {
    close(s);
    return;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (char buffer[65536];;) {
    int c = accept4(s, NULL, NULL, SOCK_CLOEXEC);
    if (c < 0) continue;
    while (read(c, buffer, sizeof buffer) > 0) continue;
    if (write(c, "0\n{}\n", 5) == 5) shutdown(c, SHUT_WR);
    close(c);
  }
}

// Standard input lies ready in a pipe before the clock starts.
static void prepare(struct job *j) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) die("pipe");
  const char *text = j->fields[3];
  size_t size = strlen(text);
  if (write(in[1], text, size) != (ssize_t)size) die("write standard input");
  close(in[1]);
  fcntl(out[0], F_SETFL, O_NONBLOCK);
  j->in = in[0];
  j->out = out[0];
  j->status = out[1];
}

static void start(struct job *j) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, j->in, 0);
  posix_spawn_file_actions_adddup2(&actions, j->status, 1);
  char *argv[] = {j->fields[0], NULL};
  j->fields[j->count] = NULL;
  clock_gettime(CLOCK_MONOTONIC, &j->start);
  errno = posix_spawn(&j->pid, j->fields[0], &actions, NULL, argv, &j->fields[4]);
  if (errno) die(j->fields[0]);
  posix_spawn_file_actions_destroy(&actions);
  close(j->in);
  close(j->status);
}

static void collect(size_t count) {
  for (size_t left = count; left > 0;) {
    int status;
    struct rusage used;
    pid_t pid = wait4(-1, &status, 0, &used);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (pid < 0) die("wait4");
    for (size_t i = 0; i < count; i++) {
      if (jobs[i].pid != pid) continue;
      jobs[i].end = now;
      jobs[i].cpu = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000L + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
      jobs[i].status = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
      left--;
    }
  }
}

static unsigned short checksum(const void *data, size_t size) {
  const unsigned short *p = data;
  unsigned sum = 0;
  for (; size > 1; size -= 2) sum += *p++;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (unsigned short)~sum;
}

static long ping(const char *netns, const char *address) {
  int fd = open(netns, O_RDONLY | O_CLOEXEC);
  if (fd < 0) die(netns);
  enter(fd);
  close(fd);
  int s = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
  enter(home);
  struct sockaddr_in to = {.sin_family = AF_INET};
  struct timeval wait = {0, PING_WAIT_MS * 1000};
  if (s < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1) die("ping");
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  struct timespec begin, now;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  long found = -1;
  for (int i = 0; i < PING_TRIES && found < 0; i++) {
    struct icmphdr echo = {.type = ICMP_ECHO, .un.echo = {.id = 7, .sequence = (unsigned short)i}};
    echo.checksum = checksum(&echo, sizeof echo);
    if (sendto(s, &echo, sizeof echo, 0, (struct sockaddr *)&to, sizeof to) < 0) usleep(PING_WAIT_MS * 1000);
    char reply[1500];
    ssize_t n = recv(s, reply, sizeof reply, 0);
    const struct iphdr *ip = (const void *)reply;
    if (n < (ssize_t)sizeof *ip || ip->saddr != to.sin_addr.s_addr) continue;
    const struct icmphdr *icmp = (const void *)(reply + ip->ihl * 4);
    if (icmp->type != ICMP_ECHOREPLY) continue;
    clock_gettime(CLOCK_MONOTONIC, &now);
    found = micros(&begin, &now);
  }
  close(s);
  return found;
}

static void print_output(int fd) {
  char text[OUTPUT_LIMIT];
  ssize_t n = read(fd, text, sizeof text);
  printf(",\"output\":\"");
  for (ssize_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c == '"' || c == '\\') printf("\\%c", c);
    else if (c < ' ') printf("\\u%04x", c);
    else putchar(c);
  }
  putchar('"');
}

static void run(size_t count) {
  for (size_t i = 0; i < count; i++) {
    struct job *j = &jobs[i];
    size_t room = 0;
    j->line = NULL;
    ssize_t n = getline(&j->line, &room, stdin);
    if (n <= 0) die("read a job");
    j->line[n - 1] = 0;
    j->count = 0;
    for (char *rest = j->line, *f; (f = strsep(&rest, "\t")) && j->count < MOST_FIELDS - 1;) j->fields[j->count++] = f;
    if (j->count < 4) errno = EINVAL, die("a job has four fields at least");
    prepare(j);
  }
  for (size_t i = 0; i < count; i++) start(&jobs[i]);
  collect(count);
  for (size_t i = 0; i < count; i++) {
    struct job *j = &jobs[i];
    int wanted = j->status == 0 && strcmp(j->fields[2], "-") != 0;
    printf("{\"exit\":%d,\"us\":%ld,\"sinceStartUs\":%ld,\"cpuUs\":%ld", j->status, micros(&j->start, &j->end),
           micros(&jobs[0].start, &j->end), j->cpu);
    if (wanted) printf(",\"pingUs\":%ld", ping(j->fields[1], j->fields[2]));
    if (j->status != 0) print_output(j->out);
    printf("}\n");
    close(j->out);
    free(j->line);
  }
}

int main(void) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) die("own namespace");
  struct rlimit files = {8192, 8192};
  setrlimit(RLIMIT_NOFILE, &files);
  char *line = NULL;
  size_t room = 0;
  for (ssize_t n; (n = getline(&line, &room, stdin)) > 0; fflush(stdout)) {
    line[n - 1] = 0;
    char *rest = line, *verb = strsep(&rest, "\t");
    if (strcmp(verb, "run") == 0 && rest && atoi(rest) > 0 && atoi(rest) <= MOST_JOBS) {
      run((size_t)atoi(rest));
      continue;
    }
    if (strcmp(verb, "netns") == 0 && rest) make_netns(rest);
    else if (strcmp(verb, "answer") == 0 && rest) answer(rest);
    else errno = EINVAL, die(verb);
    printf("{\"ok\":true}\n");
  }
  return 0;
}
