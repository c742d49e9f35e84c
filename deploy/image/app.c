// SPDX-License-Identifier: Apache-2.0
//
// The lab's application: a server of TCP (HTTP) and UDP that tells each client the address it is seen with, and such a client.
//
//   PORT             where to listen, default 8080; both families where there is IPv6
//   reply            "client=<address>\npod=<hostname>\n" to every request, and to every datagram
//   app ask TARGET…  asks all targets at once, each "tcp|udp ADDRESS PORT" in one argument; prints a line "TARGET|<reply in one line>"
//                    for each; "refused" when the answer is that nobody listens; nothing after the bar when no answer has come in 3 s, or ANSWER_SECONDS
//
// A child per connection: a client that stalls holds up nobody, and it costs less than 100 KB that last milliseconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUEST_LIMIT 8192
#define STALL_SECONDS 5
#define QUIET_MS 200
#define ANSWER_SECONDS 3

static int listen_on(int family, int type, int port)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1, zero = 0, fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int bound;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
		bound = bind(fd, (struct sockaddr *)&v6, sizeof(v6));
	} else {
		bound = bind(fd, (struct sockaddr *)&v4, sizeof(v4));
	}
	if (bound == 0 && (type == SOCK_DGRAM || listen(fd, 1024) == 0))
		return fd;
	close(fd);
	return -1;
}

static int listen_on_both(int type, int port)
{
	int fd = listen_on(AF_INET6, type, port);

	return fd < 0 ? listen_on(AF_INET, type, port) : fd;
}

// Reads up to the empty line that ends a request's head; false when the client gives up or sends too much.
static int read_request(int fd)
{
	char request[REQUEST_LIMIT + 1];
	size_t used = 0;

	while (used < REQUEST_LIMIT) {
		ssize_t got = read(fd, request + used, REQUEST_LIMIT - used);

		if (got <= 0)
			return 0;
		used += got;
		request[used] = 0;
		if (strstr(request, "\r\n\r\n") || strstr(request, "\n\n"))
			return 1;
	}
	return 0;
}

static void text_of(const struct sockaddr_storage *address, char *text, socklen_t size)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

	if (address->ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, size);
	else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, size);
	else
		inet_ntop(AF_INET6, &v6->sin6_addr, text, size);
}

static void write_body(const struct sockaddr_storage *client, char *body, size_t size)
{
	char address[INET6_ADDRSTRLEN] = "", host[256] = "";

	text_of(client, address, sizeof(address));
	gethostname(host, sizeof(host) - 1);
	snprintf(body, size, "client=%s\npod=%s\n", address, host);
}

static void answer(int fd, const struct sockaddr_storage *client)
{
	struct timeval stall = { .tv_sec = STALL_SECONDS };
	char body[512], reply[1024];
	int length;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof(stall));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof(stall));
	if (!read_request(fd))
		return;
	write_body(client, body, sizeof(body));
	length = snprintf(reply, sizeof(reply),
			  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
			  strlen(body), body);
	// A client that is gone needs no answer, and SIGPIPE is ignored.
	if (write(fd, reply, length) == length)
		shutdown(fd, SHUT_WR);
}

static int answer_datagram(int fd)
{
	struct sockaddr_storage client;
	socklen_t size = sizeof(client);
	char body[512], request[REQUEST_LIMIT];

	if (recvfrom(fd, request, sizeof(request), 0, (struct sockaddr *)&client, &size) < 0)
		return 0;
	write_body(&client, body, sizeof(body));
	sendto(fd, body, strlen(body), 0, (struct sockaddr *)&client, size);
	return 1;
}

static volatile sig_atomic_t ending;

static void end(int signal_number)
{
	(void)signal_number;
	ending = 1;
}

// Serves one connection that is there; false when there is none.
static int serve(int server)
{
	struct sockaddr_storage client;
	socklen_t size = sizeof(client);
	int fd = accept(server, (struct sockaddr *)&client, &size);

	if (fd < 0)
		return errno == ECONNABORTED || errno == EINTR;
	if (fork() == 0) {
		close(server);
		answer(fd, &client);
		_exit(0);
	}
	close(fd);
	return 1;
}

// Serves who comes, until SIGTERM or SIGINT, or until nobody has come for so long. The signals are blocked elsewhere, so that none comes
// between the look at `ending` and the wait.
static void serve_until(int server, int datagrams, const struct timespec *quiet, const sigset_t *mask)
{
	struct pollfd incoming[] = { { .fd = server, .events = POLLIN }, { .fd = datagrams, .events = POLLIN } };

	do {
		while (serve(server))
			;
		while (answer_datagram(datagrams))
			;
	} while (!(ending && !quiet) && ppoll(incoming, 2, quiet, mask) != 0);
}

// What one exchange brought: "" when it brought nothing, "refused" when it was told so. A lost datagram is not sent again: one question, one answer.
static void exchange(const char *protocol, const struct addrinfo *to, char *reply, size_t size)
{
	int datagram = strcmp(protocol, "udp") == 0, fd = socket(to->ai_family, datagram ? SOCK_DGRAM : SOCK_STREAM, 0);
	const char *wanted = getenv("ANSWER_SECONDS");
	struct timeval patience = { .tv_sec = wanted ? atoi(wanted) : ANSWER_SECONDS };
	const char *question = datagram ? "?" : "GET / HTTP/1.0\r\n\r\n";
	size_t used = 0;
	ssize_t got;

	errno = 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) == 0 && write(fd, question, strlen(question)) > 0)
		while (used + 1 < size && (got = read(fd, reply + used, size - 1 - used)) > 0) {
			used += got;
			if (datagram)
				break;
		}
	reply[used] = 0;
	if (used == 0 && errno == ECONNREFUSED)
		snprintf(reply, size, "refused");
	close(fd);
}

static void ask(const char *target)
{
	char protocol[8], address[INET6_ADDRSTRLEN], port[8], reply[2048], line[4096], *body;
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *found;

	if (sscanf(target, "%7s %45s %7s", protocol, address, port) != 3 || getaddrinfo(address, port, &want, &found) != 0) {
		fprintf(stderr, "%s is no target\n", target);
		_exit(2);
	}
	exchange(protocol, found, reply, sizeof(reply));
	body = strstr(reply, "\r\n\r\n");
	body = body ? body + 4 : reply;
	for (char *end; (end = strchr(body, '\n'));)
		*end = ' ';
	// One write: lines of several children do not mix.
	snprintf(line, sizeof(line), "%s|%s\n", target, body);
	_exit(write(STDOUT_FILENO, line, strlen(line)) < 0);
}

static int ask_all(int count, char **targets)
{
	int status, wrong = 0;

	for (int i = 0; i < count; i++)
		if (fork() == 0)
			ask(targets[i]);
	while (wait(&status) > 0)
		wrong |= status;
	return wrong != 0;
}

int main(int argc, char **argv)
{
	const char *wanted = getenv("PORT");
	int port = wanted ? atoi(wanted) : 8080;
	const struct timespec quiet = { .tv_nsec = QUIET_MS * 1000000L };
	sigset_t stop, open_mask;
	int server, datagrams;

	if (argc > 1 && strcmp(argv[1], "ask") == 0)
		return ask_all(argc - 2, argv + 2);
	if (port <= 0 || port > 65535) {
		fprintf(stderr, "PORT=%s is no port\n", wanted);
		return 2;
	}
	server = listen_on_both(SOCK_STREAM, port);
	datagrams = listen_on_both(SOCK_DGRAM, port);
	if (server < 0 || datagrams < 0) {
		fprintf(stderr, "cannot listen on port %d: %s\n", port, strerror(errno));
		return 1;
	}
	// As process 1 of a container there is no default action: without these, stopping a pod takes the whole grace period.
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	sigprocmask(SIG_BLOCK, &stop, &open_mask);
	signal(SIGTERM, end);
	signal(SIGINT, end);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	serve_until(server, datagrams, NULL, &open_mask);
	// A kubelet's probe, or a node that has not heard of the end yet, may still be on its way. Process 1 takes its children along: who has
	// been let in is answered first.
	serve_until(server, datagrams, &quiet, NULL);
	close(server);
	while (wait(NULL) > 0)
		;
	return 0;
}
