/* The load of the benchmark, and the server that it talks to: streams of zeros each way, and short exchanges on fresh connections.
 *   load serve HOST PORT                                     until killed; prints the bound port
 *   load stream HOST PORT PROXY down|up BYTES STREAMS        prints {"seconds", "bytes"}
 *   load connects HOST PORT PROXY CLIENTS SECONDS HOW        prints {"seconds", "count", "errors", "p50_ms", "p99_ms"}
 *   load datagrams HOST PORT PROXY SIZE WINDOW SECONDS       prints {"seconds", "count", "lost"}
 *   load hold HOST PORT PROXY CONNECTIONS ACTIVE SECONDS     keeps CONNECTIONS open, exchanges on ACTIVE of them; prints the same
 * PROXY is HOST:PORT of a proxy, or "-". HOW: "connect" or "socks5", a fresh connection each time, or "http", plain requests on kept
 * connections. A request is one line: "D BYTES", "U BYTES", "E", or that of HTTP's GET. Datagrams are echoed; SIZE 0 means a mix. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (256u << 10)
#define EXCHANGE 64u
#define CLIENTS_MAX 1024

static char block[BLOCK];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct addrinfo *resolve(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *found;

	if (getaddrinfo(host, port, &hints, &found) != 0)
		die(host);
	return found;
}

static bool send_all(int sock, const void *data, size_t length)
{
	const char *next = data;

	while (length > 0) {
		ssize_t sent = send(sock, next, length, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		next += sent;
		length -= (size_t)sent;
	}
	return true;
}

/* Reads up to and with `mark`, and nothing after it. */
static bool read_through(int sock, const char *mark, char *line, size_t size)
{
	for (;;) {
		ssize_t got = recv(sock, line, size - 1, MSG_PEEK);
		if (got <= 0)
			return false;
		line[got] = '\0';
		char *end = strstr(line, mark);
		if (end) {
			end[strlen(mark)] = '\0';
			return recv(sock, line, strlen(line), 0) > 0;
		}
		if ((size_t)got == size - 1)
			return false;
	}
}

static bool send_zeros(int sock, uint64_t bytes)
{
	while (bytes > 0) {
		size_t part = bytes < BLOCK ? (size_t)bytes : BLOCK;
		if (!send_all(sock, block, part))
			return false;
		bytes -= part;
	}
	return true;
}

/* Takes bytes without copying them: the load must not cost more than what is measured. */
static bool discard(int sock, uint64_t bytes)
{
	while (bytes > 0) {
		ssize_t got = recv(sock, NULL, bytes < BLOCK ? (size_t)bytes : BLOCK, MSG_TRUNC);
		if (got <= 0)
			return false;
		bytes -= (uint64_t)got;
	}
	return true;
}

/* The rest of a GET's head is left to read; the body is as long as an exchange. */
static bool answer_http(int sock)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n";
	char rest[2048], reply[sizeof(head) - 1 + EXCHANGE] = { 0 };

	memcpy(reply, head, sizeof(head) - 1);
	return read_through(sock, "\r\n\r\n", rest, sizeof(rest)) && send_all(sock, reply, sizeof(reply));
}

static void *serve_connection(void *argument)
{
	int sock = (int)(intptr_t)argument;
	char line[256], message[EXCHANGE];

	while (read_through(sock, "\n", line, sizeof(line))) {
		uint64_t bytes = strtoull(line + 1, NULL, 10);
		bool ok = false;
		if (line[0] == 'D')
			ok = send_zeros(sock, bytes);
		else if (line[0] == 'U')
			ok = discard(sock, bytes) && send_all(sock, "k", 1);
		else if (line[0] == 'E')
			ok = recv(sock, message, EXCHANGE, MSG_WAITALL) == EXCHANGE && send_all(sock, message, EXCHANGE);
		else if (line[0] == 'G')
			ok = answer_http(sock);
		if (!ok)
			break;
	}
	close(sock);
	return NULL;
}

static void *echo_datagrams(void *argument)
{
	int sock = (int)(intptr_t)argument;
	char message[2048];
	struct sockaddr_storage from;

	for (;;) {
		socklen_t length = sizeof(from);
		ssize_t got = recvfrom(sock, message, sizeof(message), 0, (struct sockaddr *)&from, &length);
		if (got > 0)
			sendto(sock, message, (size_t)got, 0, (struct sockaddr *)&from, length);
	}
	return NULL;
}

/* On the port that the listener got. */
static void start_echo(const struct sockaddr *at, socklen_t length)
{
	pthread_t thread;
	int room = 4 << 20, sock = socket(at->sa_family, SOCK_DGRAM, 0);

	setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (bind(sock, at, length) != 0 || pthread_create(&thread, NULL, echo_datagrams, (void *)(intptr_t)sock) != 0)
		die("echo");
}

static void serve(const char *host, const char *port)
{
	struct addrinfo *address = resolve(host, port);
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	int one = 1, listener = socket(address->ai_family, SOCK_STREAM, 0);
	pthread_attr_t small;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, address->ai_addr, address->ai_addrlen) != 0 || listen(listener, 1024) != 0)
		die("listen");
	getsockname(listener, (struct sockaddr *)&bound, &length);
	start_echo((struct sockaddr *)&bound, length);
	printf("%u\n", ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port : ((struct sockaddr_in *)&bound)->sin_port));
	fflush(stdout);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	for (;;) {
		pthread_t thread;
		int sock = accept(listener, NULL, NULL);
		if (sock < 0)
			continue;
		setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (pthread_create(&thread, &small, serve_connection, (void *)(intptr_t)sock) != 0)
			close(sock);
		else
			pthread_detach(thread);
	}
}

enum how { BY_CONNECT, SOCKS5, PLAIN_HTTP };

struct target {
	enum how how;
	const char *host, *port;
	struct addrinfo *address; /* of the proxy, or of the server itself */
	bool by_proxy;
};

static struct target make_target(const char *host, const char *port, const char *proxy)
{
	struct target target = { .host = host, .port = port, .by_proxy = strcmp(proxy, "-") != 0 };

	if (target.by_proxy) {
		char *copy = strdup(proxy), *colon = copy ? strrchr(copy, ':') : NULL;
		if (!colon)
			die(proxy);
		*colon = '\0';
		target.address = resolve(copy, colon + 1);
		free(copy);
	} else {
		target.address = resolve(host, port);
	}
	return target;
}

static bool ask_connect(int sock, const struct target *target)
{
	char head[512];

	snprintf(head, sizeof(head), "CONNECT %s:%s HTTP/1.1\r\nHost: %s:%s\r\n\r\n", target->host, target->port, target->host, target->port);
	return send_all(sock, head, strlen(head)) && read_through(sock, "\r\n\r\n", head, sizeof(head)) && strstr(head, " 200");
}

static bool ask_socks5(int sock, const struct target *target)
{
	uint8_t request[10] = { 5, 1, 0, 1 }, reply[10];
	uint16_t port = htons((uint16_t)strtoul(target->port, NULL, 10));

	if (inet_pton(AF_INET, target->host, request + 4) != 1)
		die("SOCKS5 wants an IPv4 address");
	memcpy(request + 8, &port, 2);
	return send_all(sock, "\5\1\0", 3) && recv(sock, reply, 2, MSG_WAITALL) == 2 && reply[1] == 0 && send_all(sock, request, sizeof(request)) &&
	       recv(sock, reply, sizeof(reply), MSG_WAITALL) == sizeof(reply) && reply[1] == 0;
}

static int open_connection(const struct target *target)
{
	int one = 1, sock = socket(target->address->ai_family, SOCK_STREAM, 0);

	setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(sock, target->address->ai_addr, target->address->ai_addrlen) == 0 &&
	    (!target->by_proxy || target->how == PLAIN_HTTP || (target->how == SOCKS5 ? ask_socks5 : ask_connect)(sock, target)))
		return sock;
	close(sock);
	return -1;
}

struct client {
	pthread_t thread;
	const struct target *target;
	int sock;
	bool down, ok, held;
	uint64_t bytes;
	double until;
	double *samples; /* milliseconds from connect to the exchange's first byte */
	size_t count, capacity, errors;
};

static void *run_stream(void *argument)
{
	struct client *client = argument;
	char line[64], answer;

	snprintf(line, sizeof(line), "%c %llu\n", client->down ? 'D' : 'U', (unsigned long long)client->bytes);
	client->ok = send_all(client->sock, line, strlen(line));
	if (client->ok && client->down)
		client->ok = discard(client->sock, client->bytes);
	else if (client->ok)
		client->ok = send_zeros(client->sock, client->bytes) && recv(client->sock, &answer, 1, 0) == 1;
	close(client->sock);
	return NULL;
}

static int stream(const struct target *target, bool down, uint64_t bytes, unsigned streams)
{
	static struct client clients[CLIENTS_MAX];
	double start;

	for (unsigned i = 0; i < streams; i++) {
		clients[i] = (struct client){ .target = target, .down = down, .bytes = bytes / streams, .sock = open_connection(target) };
		if (clients[i].sock < 0)
			die("connect");
	}
	start = now();
	for (unsigned i = 0; i < streams; i++)
		pthread_create(&clients[i].thread, NULL, run_stream, &clients[i]);
	for (unsigned i = 0; i < streams; i++) {
		pthread_join(clients[i].thread, NULL);
		if (!clients[i].ok)
			die("stream");
	}
	printf("{\"seconds\": %.6f, \"bytes\": %llu}\n", now() - start, (unsigned long long)(bytes / streams * streams));
	return 0;
}

static bool exchange_on(int sock)
{
	char message[2 + EXCHANGE] = "E\n";

	return send_all(sock, message, sizeof(message)) && recv(sock, message, EXCHANGE, MSG_WAITALL) == EXCHANGE;
}

static bool exchange(const struct target *target)
{
	int sock = open_connection(target);
	bool ok = sock >= 0 && exchange_on(sock);

	if (sock >= 0)
		close(sock);
	return ok;
}

static bool request(const struct client *client)
{
	const struct target *target = client->target;
	char head[512], body[EXCHANGE];

	if (target->by_proxy)
		snprintf(head, sizeof(head), "GET http://%s:%s/ HTTP/1.1\r\nHost: %s:%s\r\n\r\n", target->host, target->port, target->host,
		         target->port);
	else
		snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: %s:%s\r\n\r\n", target->host, target->port);
	return send_all(client->sock, head, strlen(head)) && read_through(client->sock, "\r\n\r\n", head, sizeof(head)) && strstr(head, " 200") &&
	       recv(client->sock, body, EXCHANGE, MSG_WAITALL) == EXCHANGE;
}

static bool request_or_open(struct client *client)
{
	if (client->sock < 0)
		client->sock = open_connection(client->target);
	if (client->sock >= 0 && request(client))
		return true;
	if (client->sock >= 0)
		close(client->sock);
	client->sock = -1;
	return false;
}

static void note_sample(struct client *client, double start)
{
	if (client->count == client->capacity) {
		client->capacity = client->capacity ? client->capacity * 2 : 4096;
		client->samples = realloc(client->samples, client->capacity * sizeof(*client->samples));
		if (!client->samples)
			die("memory");
	}
	client->samples[client->count++] = (now() - start) * 1000;
}

static void *run_connects(void *argument)
{
	struct client *client = argument;

	for (double start = now(); start < client->until; start = now()) {
		bool ok = client->held                        ? exchange_on(client->sock)
		          : client->target->how == PLAIN_HTTP ? request_or_open(client)
		                                              : exchange(client->target);
		if (ok)
			note_sample(client, start);
		else
			client->errors++;
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int report(struct client *clients, unsigned count, double seconds)
{
	size_t total = 0, errors = 0;

	for (unsigned i = 0; i < count; i++) {
		total += clients[i].count;
		errors += clients[i].errors;
	}
	double *all = calloc(total ? total : 1, sizeof(*all));
	if (!all)
		die("memory");
	for (size_t i = 0, at = 0; i < count; at += clients[i++].count)
		if (clients[i].count)
			memcpy(all + at, clients[i].samples, clients[i].count * sizeof(*all));
	qsort(all, total, sizeof(*all), compare);
	printf("{\"seconds\": %.6f, \"count\": %zu, \"errors\": %zu, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n", seconds, total, errors,
	       total ? all[total / 2] : 0, total ? all[total * 99 / 100] : 0);
	return 0;
}

static int run_clients(struct client *clients, unsigned count, double seconds)
{
	double start = now();

	for (unsigned i = 0; i < count; i++) {
		clients[i].until = start + seconds;
		pthread_create(&clients[i].thread, NULL, run_connects, &clients[i]);
	}
	for (unsigned i = 0; i < count; i++)
		pthread_join(clients[i].thread, NULL);
	return report(clients, count, now() - start);
}

static int connects(const struct target *target, unsigned count, double seconds)
{
	static struct client clients[CLIENTS_MAX];

	for (unsigned i = 0; i < count; i++)
		clients[i] = (struct client){ .target = target, .sock = -1 };
	return run_clients(clients, count, seconds);
}

/* Connections are opened and used once each; the active ones are spread evenly among them. Says "held" when all are there, and goes on
 * at a line of input, so that the caller can look at what they cost. */
static int hold(const struct target *target, unsigned count, unsigned active, double seconds)
{
	static struct client clients[CLIENTS_MAX];
	struct rlimit limit;
	int go;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	for (unsigned i = 0; i < count; i++) {
		int sock = open_connection(target);
		if (sock < 0 || !exchange_on(sock))
			die("hold");
		if (i % (count / active) == 0 && i / (count / active) < active)
			clients[i / (count / active)] = (struct client){ .target = target, .sock = sock, .held = true };
	}
	printf("held\n");
	fflush(stdout);
	do
		go = getchar();
	while (go != '\n' && go != EOF);
	return run_clients(clients, active, seconds);
}

/* --- datagrams --- */

#define SOCKS_HEADER 10

/* The relay's address for datagrams; the association lasts as long as `*control` is open. */
static void associate(const struct target *target, int *control, struct sockaddr_in *relay)
{
	uint8_t request[10] = { 5, 3, 0, 1 }, reply[10];

	*control = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(*control, target->address->ai_addr, target->address->ai_addrlen) != 0 || !send_all(*control, "\5\1\0", 3) ||
	    recv(*control, reply, 2, MSG_WAITALL) != 2 || reply[1] != 0 || !send_all(*control, request, sizeof(request)) ||
	    recv(*control, reply, sizeof(reply), MSG_WAITALL) != sizeof(reply) || reply[1] != 0 || reply[3] != 1)
		die("associate");
	*relay = (struct sockaddr_in){ .sin_family = AF_INET };
	memcpy(&relay->sin_addr, reply + 4, 4);
	memcpy(&relay->sin_port, reply + 8, 2);
}

/* Of twelve: seven small ones, four of middle size and a large one. */
static size_t size_of(size_t size, size_t number)
{
	static const size_t mix[12] = { 64, 512, 64, 64, 512, 64, 1280, 64, 512, 64, 64, 512 };

	return size > 0 ? size : mix[number % 12];
}

struct echo {
	int sock;
	uint8_t out[2048];
	size_t header; /* of SOCKS, in front of each */
	size_t size, sent, count, lost;
};

static void send_more(struct echo *echo, size_t count)
{
	while (count-- > 0)
		if (send(echo->sock, echo->out, echo->header + size_of(echo->size, echo->sent++), 0) < 0)
			die("send");
}

/* As many as `window` are on their way; when none comes for a while they are lost. */
static void keep_sending(struct echo *echo, size_t window, double until)
{
	char message[2048];

	send_more(echo, window);
	while (now() < until) {
		ssize_t got = recv(echo->sock, message, sizeof(message), 0);
		if (got < 0)
			echo->lost = echo->sent - echo->count;
		else
			echo->count++;
		send_more(echo, got < 0 ? window : 1);
	}
}

static int datagrams(const struct target *target, size_t size, size_t window, double seconds)
{
	struct echo echo = { .size = size, .out = { 0, 0, 0, 1 } };
	struct timeval patience = { .tv_usec = 200000 };
	struct addrinfo *there = resolve(target->host, target->port);
	const struct sockaddr_in *far = (const struct sockaddr_in *)there->ai_addr;
	struct sockaddr_in to = *far;
	int control = -1;

	if (size > sizeof(echo.out) - SOCKS_HEADER || far->sin_family != AF_INET)
		die("datagrams");
	if (target->by_proxy) {
		associate(target, &control, &to);
		memcpy(echo.out + 4, &far->sin_addr, 4);
		memcpy(echo.out + 8, &far->sin_port, 2);
		echo.header = SOCKS_HEADER;
	}
	echo.sock = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(echo.sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(echo.sock, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("datagrams");
	double start = now();
	keep_sending(&echo, window, start + seconds);
	printf("{\"seconds\": %.6f, \"count\": %zu, \"lost\": %zu}\n", now() - start, echo.count, echo.lost);
	return 0;
}

static enum how how_of(const char *name)
{
	return strcmp(name, "socks5") == 0 ? SOCKS5 : strcmp(name, "http") == 0 ? PLAIN_HTTP : BY_CONNECT;
}

static unsigned clients_of(const char *text)
{
	unsigned clients = (unsigned)strtoul(text, NULL, 10);

	return clients < 1 ? 1 : clients < CLIENTS_MAX ? clients : CLIENTS_MAX;
}

int main(int argc, char **argv)
{
	struct target target;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 4 && strcmp(argv[1], "serve") == 0)
		serve(argv[2], argv[3]);
	if (argc != 8) {
		fprintf(stderr,
		        "usage: load serve HOST PORT | stream HOST PORT PROXY down|up BYTES STREAMS | connects HOST PORT PROXY CLIENTS SECONDS HOW"
		        " | datagrams HOST PORT PROXY SIZE WINDOW SECONDS | hold HOST PORT PROXY CONNECTIONS ACTIVE SECONDS\n");
		return 2;
	}
	target = make_target(argv[2], argv[3], argv[4]);
	if (strcmp(argv[1], "stream") == 0)
		return stream(&target, strcmp(argv[5], "down") == 0, strtoull(argv[6], NULL, 10), clients_of(argv[7]));
	if (strcmp(argv[1], "hold") == 0)
		return hold(&target, (unsigned)strtoul(argv[5], NULL, 10), clients_of(argv[6]), strtod(argv[7], NULL));
	if (strcmp(argv[1], "datagrams") == 0)
		return datagrams(&target, strtoul(argv[5], NULL, 10), clients_of(argv[6]), strtod(argv[7], NULL));
	target.how = how_of(argv[7]);
	return connects(&target, clients_of(argv[5]), strtod(argv[6], NULL));
}
