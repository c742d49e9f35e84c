// SPDX-License-Identifier: Apache-2.0
//
// One flow with a beat every millisecond, to see whether something that should not touch it does.
//
//   heartbeat serve PORT              sends back every byte of each connection and every datagram, both families where there is IPv6
//   heartbeat ask ADDRESS PORT        one byte per millisecond, or as soon as the last one came back; never connects again
//   heartbeat ask-udp ADDRESS PORT    the same with datagrams, from one port
//   heartbeat measure ADDRESS PORT EXCHANGES CONNECTIONS
//                                     so many bytes there and back over one connection, as fast as they go, then so many new connections
//
// The asking side prints one line per second, "beats=<since the start> worst=<longest wait for a beat in this second, ms>", and
// ends with 1 and a reason when the connection breaks or a beat takes longer than two minutes. After a second without an answer to a datagram
// the next one follows, and that one is lost unless its answer comes after all: such a line says "worst=<…> lost=<since the start>".
// Measuring prints "exchange_us=<median> connect_us=<median>": the wait for the byte, and that for a connection to be there. It ends with 1
// and a reason when something does not come.
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
#define LOST_MS 1000
#define MEASURE_SECONDS 10
#define MEASURE_MOST 100000

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

static int bound(int type, int port)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1, zero = 0, fd = socket(AF_INET6, type, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (fd >= 0 && bind(fd, (struct sockaddr *)&v6, sizeof(v6)) == 0)
		return fd;
	close(fd);
	fd = socket(AF_INET, type, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd >= 0 && bind(fd, (struct sockaddr *)&v4, sizeof(v4)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void echo_datagrams(int fd)
{
	struct sockaddr_storage from;
	char bytes[4096];

	for (;;) {
		socklen_t size = sizeof(from);
		ssize_t got = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size);

		if (got >= 0)
			sendto(fd, bytes, got, 0, (struct sockaddr *)&from, size);
	}
}

static int serve(int port)
{
	int fd = bound(SOCK_STREAM, port), datagrams = bound(SOCK_DGRAM, port);

	if (fd < 0 || datagrams < 0)
		return fail("bind");
	if (listen(fd, 64) != 0)
		return fail("listen");
	signal(SIGCHLD, SIG_IGN);
	if (fork() == 0)
		echo_datagrams(datagrams);
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

static struct addrinfo *parsed(const char *address, const char *port)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *found;

	return getaddrinfo(address, port, &want, &found) == 0 ? found : NULL;
}

// The other side may not listen yet; after the first success there is no second try.
static int reach(const struct addrinfo *to)
{
	int tries;

	for (tries = 0; to && tries < CONNECT_TRIES; tries++) {
		int one = 1, fd = socket(to->ai_family, SOCK_STREAM, 0);

		if (fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) == 0) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			return fd;
		}
		close(fd);
		pause_ms(100);
	}
	return -1;
}

struct told {
	unsigned long beats, lost;
	double second, worst;
};

// Counts one beat, and prints a line when a second is over.
static void count(struct told *told, double took, int datagrams)
{
	told->worst = took > told->worst ? took : told->worst;
	if (now_ms() < told->second)
		return;
	printf("beats=%lu worst=%.1f", told->beats, told->worst);
	if (datagrams)
		printf(" lost=%lu", told->lost);
	putchar('\n');
	fflush(stdout);
	told->worst = 0;
	told->second = now_ms() + 1000;
}

static int ask(const char *address, const char *port)
{
	struct told told = { .second = now_ms() + 1000 };
	int fd = reach(parsed(address, port));

	if (fd < 0)
		return fail("connect");
	for (;;) {
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
		told.beats++;
		took = now_ms() - sent;
		count(&told, took, 0);
		if (took < 1)
			pause_ms(1);
	}
}

// A closed port counts as lost: the other side may not listen yet. `first` is the first datagram that was answered, 0 while there is none.
static int answered(int fd, unsigned long wanted, double until, unsigned long first, unsigned long *lost)
{
	for (;;) {
		struct pollfd waiting = { .fd = fd, .events = POLLIN };
		double left = until - now_ms();
		unsigned long got;

		if (left <= 0 || poll(&waiting, 1, left + 1) == 0)
			return 0;
		if (read(fd, &got, sizeof(got)) != sizeof(got))
			continue;
		if (got == wanted)
			return 1;
		// It was late, on a machine that stood still, and counts as lost since.
		if (first && got > first && *lost)
			--*lost;
	}
}

static int ask_udp(const char *address, const char *port)
{
	const struct addrinfo *to = parsed(address, port);
	struct told told = { .second = now_ms() + 1000 };
	int fd = to ? socket(to->ai_family, SOCK_DGRAM, 0) : -1;
	unsigned long first = 0;

	if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) != 0)
		return fail("connect");
	for (unsigned long number = 1;; number++) {
		double sent = now_ms();
		int there = write(fd, &number, sizeof(number)) == sizeof(number) && answered(fd, number, sent + LOST_MS, first, &told.lost);

		if (there)
			told.beats++;
		// Before the first answer nobody listens yet.
		else if (told.beats)
			told.lost++;
		if (there && !first)
			first = number;
		count(&told, told.beats ? now_ms() - sent : 0, 1);
		if (now_ms() - sent < 1)
			pause_ms(1);
	}
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_us(double *took_ms, long count)
{
	qsort(took_ms, count, sizeof(*took_ms), ascending);
	return took_ms[count / 2] * 1e3;
}

static int patient_socket(const struct addrinfo *to)
{
	struct timeval patience = { .tv_sec = MEASURE_SECONDS };
	int one = 1, fd = socket(to->ai_family, SOCK_STREAM, 0);

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

static int exchanged(int fd)
{
	char byte = 'm';

	return write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1;
}

static int measure_exchanges(const struct addrinfo *to, double *took, long count)
{
	int fd = patient_socket(to), good = connect(fd, to->ai_addr, to->ai_addrlen) == 0 && exchanged(fd);

	for (long i = 0; good && i < count; i++) {
		double before = now_ms();

		good = exchanged(fd);
		took[i] = now_ms() - before;
	}
	close(fd);
	return good;
}

// The kernel of the other side answers a new connection; the byte after it, which is not counted, waits until the server has taken it from
// its queue. A reset ends it, so that no closed connection keeps its port; the server's process for it has a moment to end before the next.
static int measure_connections(const struct addrinfo *to, double *took, long count)
{
	struct linger reset = { .l_onoff = 1 };
	int good = 1;

	for (long i = 0; good && i < count; i++) {
		int fd = patient_socket(to);
		double before = now_ms();

		good = connect(fd, to->ai_addr, to->ai_addrlen) == 0;
		took[i] = now_ms() - before;
		good = good && exchanged(fd);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		pause_ms(1);
	}
	return good;
}

static int measure(const char *address, const char *port, long exchanges, long connections)
{
	static double took[MEASURE_MOST];
	const struct addrinfo *to = parsed(address, port);
	double exchange;

	if (!to || exchanges <= 0 || exchanges > MEASURE_MOST || connections <= 0 || connections > MEASURE_MOST) {
		fprintf(stderr, "cannot measure %ld exchanges and %ld connections with %s port %s\n", exchanges, connections, address, port);
		return 2;
	}
	if (!measure_exchanges(to, took, exchanges))
		return fail("an exchange did not come back");
	exchange = median_us(took, exchanges);
	if (!measure_connections(to, took, connections))
		return fail("a new connection did not work");
	printf("exchange_us=%.1f connect_us=%.1f\n", exchange, median_us(took, connections));
	return 0;
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
	if (argc == 4 && strcmp(argv[1], "ask-udp") == 0)
		return ask_udp(argv[2], argv[3]);
	if (argc == 6 && strcmp(argv[1], "measure") == 0)
		return measure(argv[2], argv[3], atol(argv[4]), atol(argv[5]));
	fprintf(stderr, "heartbeat serve PORT | heartbeat ask|ask-udp ADDRESS PORT | heartbeat measure ADDRESS PORT EXCHANGES CONNECTIONS\n");
	return 2;
}
