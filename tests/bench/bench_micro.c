/* What the data path is made of, each alone, in nanoseconds of CPU a packet of 1,420 bytes: AEAD, UDP in trains, a local TCP socket. And
 * all of it in one line of four processes (client, sealing, opening, server) as two workers have it, with no protocol in between: what AEAD
 * and the batched system calls alone allow on this machine. Prints one JSON object. Usage: bench_micro [SECONDS] */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tunnel/wireguard/aead.h"

#define PACKET 1420u
#define HEADERS 40u /* IPv4 and TCP, within the packet */
#define PAYLOAD (PACKET - HEADERS)
#define DATAGRAM (16u + PACKET + 16u)
#define TRAIN 44u
#define BUFFER (7 << 20)
#define FLYING_MAX (4u << 20) /* bytes between the two ends: less than the socket's buffer takes */

static double seconds = 1;
static uint8_t key[32];

static double read_clock(clockid_t id)
{
	struct timespec time;
	clock_gettime(id, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void must(bool is_fine, const char *what)
{
	if (is_fine)
		return;
	perror(what);
	exit(1);
}

static struct sockaddr_in loopback(void)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void udp_pair(int ends[2], bool batched)
{
	int size = BUFFER, on = 1, segment = DATAGRAM;
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in address = loopback();
		ends[i] = socket(AF_INET, SOCK_DGRAM, 0);
		must(ends[i] >= 0 && bind(ends[i], (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
		if (setsockopt(ends[i], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
			setsockopt(ends[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	}
	struct sockaddr_in to;
	socklen_t length = sizeof(to);
	must(getsockname(ends[1], (struct sockaddr *)&to, &length) == 0 && connect(ends[0], (struct sockaddr *)&to, length) == 0, "connect");
	if (batched)
		must(setsockopt(ends[0], IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) == 0 &&
		         setsockopt(ends[1], IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) == 0,
		     "UDP_SEGMENT, UDP_GRO");
}

static void tcp_pair(int ends[2])
{
	struct sockaddr_in address = loopback();
	socklen_t length = sizeof(address);
	int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	must(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 1) == 0, "listen");
	must(getsockname(listener, (struct sockaddr *)&address, &length) == 0, "getsockname");
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	must(connect(ends[0], (struct sockaddr *)&address, length) == 0, "connect");
	ends[1] = accept(listener, NULL, NULL);
	must(ends[1] >= 0, "accept");
	close(listener);
	for (int i = 0; i < 2; i++)
		setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* --- each alone --- */

/* The messages of a train. */
static void seal_train(uint8_t *train, size_t length, uint64_t counter)
{
	struct wireguard_aead_packet packets[TRAIN];
	for (size_t i = 0; i < TRAIN; i++)
		packets[i] = (struct wireguard_aead_packet){ train + i * DATAGRAM + 16, length, counter + i, false };
	must(wireguard_aead_seal_batch(key, packets, TRAIN) == 0, "seal");
}

static void open_train(uint8_t *train, size_t count, size_t length, uint64_t counter)
{
	struct wireguard_aead_packet packets[TRAIN];
	for (size_t i = 0; i < count; i++)
		packets[i] = (struct wireguard_aead_packet){ train + i * DATAGRAM + 16, length, counter + i, false };
	wireguard_aead_open_batch(key, packets, count);
	for (size_t i = 0; i < count; i++)
		must(packets[i].is_good, "open");
}

static double aead_ns(size_t length, bool opening)
{
	static uint8_t train[TRAIN * DATAGRAM], sealed[TRAIN * DATAGRAM];
	unsigned long count = 0;
	seal_train(sealed, length, 1);
	double start = read_clock(CLOCK_THREAD_CPUTIME_ID), spent = 0;
	for (; spent < seconds; spent = read_clock(CLOCK_THREAD_CPUTIME_ID) - start)
		for (int i = 0; i < 20; i++, count += TRAIN) {
			if (opening) {
				memcpy(train, sealed, sizeof(train));
				open_train(train, TRAIN, length, 1);
			} else {
				seal_train(train, length, 1);
			}
		}
	return spent * 1e9 / (double)count;
}

/* Sends `rounds` messages and then receives them, so that each is timed alone: 256 KB lie between. */
static void udp_ns(bool batched, double *sending, double *receiving)
{
	static uint8_t out[TRAIN * DATAGRAM], in[65536];
	size_t length = batched ? sizeof(out) : DATAGRAM, rounds = batched ? 4 : 64, packets = 0;
	int ends[2];
	udp_pair(ends, batched);
	*sending = *receiving = 0;
	for (double start = read_clock(CLOCK_MONOTONIC); read_clock(CLOCK_MONOTONIC) - start < seconds;) {
		double before = read_clock(CLOCK_THREAD_CPUTIME_ID);
		for (size_t i = 0; i < rounds; i++)
			must(send(ends[0], out, length, 0) == (ssize_t)length, "send");
		double between = read_clock(CLOCK_THREAD_CPUTIME_ID);
		for (size_t got = 0; got < rounds * length;)
			got += (size_t)recv(ends[1], in, sizeof(in), 0);
		*sending += between - before;
		*receiving += read_clock(CLOCK_THREAD_CPUTIME_ID) - between;
		packets += rounds * length / DATAGRAM;
	}
	*sending *= 1e9 / (double)packets;
	*receiving *= 1e9 / (double)packets;
	close(ends[0]);
	close(ends[1]);
}

static void tcp_ns(double *writing, double *reading)
{
	static uint8_t bytes[65536];
	double packets = 0;
	int ends[2];
	tcp_pair(ends);
	*writing = *reading = 0;
	for (double start = read_clock(CLOCK_MONOTONIC); read_clock(CLOCK_MONOTONIC) - start < seconds;) {
		double before = read_clock(CLOCK_THREAD_CPUTIME_ID);
		must(send(ends[0], bytes, sizeof(bytes), 0) == sizeof(bytes), "send");
		double between = read_clock(CLOCK_THREAD_CPUTIME_ID);
		must(recv(ends[1], bytes, sizeof(bytes), MSG_WAITALL) == sizeof(bytes), "recv");
		*writing += between - before;
		*reading += read_clock(CLOCK_THREAD_CPUTIME_ID) - between;
		packets += (double)sizeof(bytes) / PAYLOAD;
	}
	*writing *= 1e9 / packets;
	*reading *= 1e9 / packets;
	close(ends[0]);
	close(ends[1]);
}

/* --- the line --- */

struct line {
	int client[2], outer[2], server[2]; /* TCP, UDP, TCP */
	pthread_mutex_t lock;
	pthread_cond_t room;
	size_t flying;
	atomic_size_t delivered;
};

static void run_client(struct line *line)
{
	static uint8_t block[256 << 10];
	while (send(line->client[0], block, sizeof(block), MSG_NOSIGNAL) > 0)
		continue;
}

static void take_off(struct line *line, size_t bytes)
{
	pthread_mutex_lock(&line->lock);
	while (line->flying > FLYING_MAX)
		pthread_cond_wait(&line->room, &line->lock);
	line->flying += bytes;
	pthread_mutex_unlock(&line->lock);
}

static void land(struct line *line, size_t bytes)
{
	pthread_mutex_lock(&line->lock);
	line->flying -= bytes;
	pthread_cond_signal(&line->room);
	pthread_mutex_unlock(&line->lock);
}

/* Reads a train's payload, then copies, seals and sends it: as a worker does upwards. */
static void run_sealing(struct line *line)
{
	static uint8_t payload[TRAIN * PAYLOAD], train[TRAIN * DATAGRAM];
	uint64_t counter = 0;
	while (recv(line->client[1], payload, sizeof(payload), MSG_WAITALL) == sizeof(payload)) {
		for (size_t i = 0; i < TRAIN; i++) {
			uint8_t *at = train + i * DATAGRAM + 16;
			uint64_t own = counter + i;
			memcpy(at - 8, &own, sizeof(own));
			memcpy(at + HEADERS, payload + i * PAYLOAD, PAYLOAD);
		}
		seal_train(train, PACKET, counter);
		counter += TRAIN;
		take_off(line, sizeof(train));
		must(send(line->outer[0], train, sizeof(train), 0) == sizeof(train), "send");
	}
}

static void run_opening(struct line *line)
{
	static uint8_t train[65536];
	for (ssize_t got; (got = recv(line->outer[1], train, sizeof(train), 0)) > 0;) {
		struct iovec parts[TRAIN + 1];
		size_t count = (size_t)got / DATAGRAM;
		uint64_t counter;
		memcpy(&counter, train + 8, sizeof(counter));
		open_train(train, count, PACKET, counter);
		for (size_t i = 0; i < count; i++)
			parts[i] = (struct iovec){ train + i * DATAGRAM + 16 + HEADERS, PAYLOAD };
		land(line, (size_t)got);
		struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
		if (sendmsg(line->server[0], &message, MSG_NOSIGNAL) < 0)
			break;
	}
}

static void run_server(struct line *line)
{
	for (ssize_t got; (got = recv(line->server[1], NULL, 256 << 10, MSG_TRUNC)) > 0;)
		line->delivered += (size_t)got;
}

static struct line *make_line(void)
{
	struct line *line = mmap(NULL, sizeof(*line), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t lock;
	pthread_condattr_t room;
	must(line != MAP_FAILED, "mmap");
	pthread_mutexattr_init(&lock);
	pthread_mutexattr_setpshared(&lock, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&line->lock, &lock);
	pthread_condattr_init(&room);
	pthread_condattr_setpshared(&room, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&line->room, &room);
	tcp_pair(line->client);
	udp_pair(line->outer, true);
	tcp_pair(line->server);
	return line;
}

static void wait_for(double time)
{
	struct timespec pause = { .tv_sec = (time_t)time, .tv_nsec = (long)((time - (double)(time_t)time) * 1e9) };
	nanosleep(&pause, NULL);
}

/* Processes, because a process has one AEAD. */
static double line_gbit(void)
{
	void (*const roles[])(struct line *) = { run_client, run_sealing, run_opening, run_server };
	struct line *line = make_line();
	pid_t children[4];
	for (int i = 0; i < 4; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			roles[i](line);
			_exit(0);
		}
	}
	wait_for(0.3);
	double start = read_clock(CLOCK_MONOTONIC);
	size_t before = line->delivered;
	wait_for(seconds);
	double gbit = (double)(line->delivered - before) * 8 / (read_clock(CLOCK_MONOTONIC) - start) / 1e9;
	for (int i = 0; i < 4; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	return gbit;
}

int main(int argc, char **argv)
{
	double single_out, single_in, train_out, train_in, writing, reading;
	if (argc > 1)
		seconds = atof(argv[1]);
	must(sodium_init() >= 0 && wireguard_aead_start() == 0, "the AEAD's back end");
	setvbuf(stdout, NULL, _IOFBF, 4096);
	printf("{\"seal_ns\": %.0f, \"open_ns\": %.0f, \"seal64_ns\": %.0f, ", aead_ns(PACKET, false), aead_ns(PACKET, true), aead_ns(64, false));
	must(wireguard_aead_select(AEAD_LIBSODIUM), "libsodium");
	printf("\"sodium_seal_ns\": %.0f, ", aead_ns(PACKET, false));
	wireguard_aead_stop();
	must(wireguard_aead_start() == 0, "the AEAD's back end");
	udp_ns(false, &single_out, &single_in);
	udp_ns(true, &train_out, &train_in);
	tcp_ns(&writing, &reading);
	printf("\"udp_send_ns\": %.0f, \"udp_receive_ns\": %.0f, \"gso_send_ns\": %.0f, \"gro_receive_ns\": %.0f, ", single_out, single_in, train_out,
	       train_in);
	printf("\"tcp_write_ns\": %.0f, \"tcp_read_ns\": %.0f, \"line_gbit\": %.2f}\n", writing, reading, line_gbit());
	wireguard_aead_stop();
	return 0;
}
