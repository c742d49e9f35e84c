// SPDX-License-Identifier: Apache-2.0
//
// One TCP connection with a beat every millisecond, to see whether something that should not touch it does.
//
//   heartbeat serve PORT           sends back every byte of each connection, both families where there is IPv6
//   heartbeat ask ADDRESS PORT     one byte per millisecond, or as soon as the last one came back; never connects again
//
// The asking side prints one line per second, "beats=<since the start> worst=<longest wait for a beat in this second, ms>", and
// ends with 1 and a reason when the connection breaks or a beat takes longer than two minutes.
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 120000
#define CONNECT_TRIES 300

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void pause_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

static void leave(int signal_number)
{
	(void)signal_number;
	_exit(0);
}

static void echo(int fd)
{
	char bytes[4096];
	ssize_t got;
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	while ((got = read(fd, bytes, sizeof(bytes))) > 0)
		if (write(fd, bytes, got) != got)
			return;
}

static int serve(int port)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1, zero = 0, fd = socket(AF_INET6, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (fd < 0 || bind(fd, (struct sockaddr *)&v6, sizeof(v6)) != 0) {
		close(fd);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (fd < 0 || bind(fd, (struct sockaddr *)&v4, sizeof(v4)) != 0)
			return fail("bind");
	}
	if (listen(fd, 64) != 0)
		return fail("listen");
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int peer = accept(fd, NULL, NULL);

		if (peer < 0)
			continue;
		if (fork() == 0) {
			close(fd);
			echo(peer);
			_exit(0);
		}
		close(peer);
	}
}

// The other side may not listen yet; after the first success there is no second try.
static int reach(const char *address, const char *port)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *found;
	int tries;

	if (getaddrinfo(address, port, &want, &found) != 0)
		return -1;
	for (tries = 0; tries < CONNECT_TRIES; tries++) {
		int one = 1, fd = socket(found->ai_family, SOCK_STREAM, 0);

		if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			return fd;
		}
		close(fd);
		pause_ms(100);
	}
	return -1;
}

static int ask(const char *address, const char *port)
{
	int fd = reach(address, port);
	double second, worst = 0;
	unsigned long beats = 0;

	if (fd < 0)
		return fail("connect");
	for (second = now_ms() + 1000;;) {
		struct pollfd waiting = { .fd = fd, .events = POLLIN };
		double sent = now_ms(), took;
		char beat = 'b';

		if (write(fd, &beat, 1) != 1)
			return fail("the connection broke on a write");
		if (poll(&waiting, 1, PATIENCE_MS) == 0) {
			fprintf(stderr, "no beat for %d ms\n", PATIENCE_MS);
			return 1;
		}
		if (read(fd, &beat, 1) != 1)
			return fail("the connection broke on a read");
		beats++;
		took = now_ms() - sent;
		worst = took > worst ? took : worst;
		if (now_ms() >= second) {
			printf("beats=%lu worst=%.1f\n", beats, worst);
			fflush(stdout);
			worst = 0;
			second = now_ms() + 1000;
		}
		if (took < 1)
			pause_ms(1);
	}
}

int main(int argc, char **argv)
{
	signal(SIGTERM, leave);
	signal(SIGINT, leave);
	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(atoi(argv[2]));
	if (argc == 4 && strcmp(argv[1], "ask") == 0)
		return ask(argv[2], argv[3]);
	fprintf(stderr, "heartbeat serve PORT | heartbeat ask ADDRESS PORT\n");
	return 2;
}
