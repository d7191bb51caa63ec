/* A link in user space, between real UDP sockets: delay, rate, a bounded queue, loss, reordering and outages, the same both ways.
 *   path CONTROL LISTEN_PORT TARGET_HOST TARGET_PORT
 * What comes to 127.0.0.1:LISTEN_PORT goes on to the target, from a socket of its own for each source, and back. All sources share the
 * link. CONTROL is the path of a Unix datagram socket that takes one command a datagram and answers each:
 *   link delay_ms=50 rate_mbit=1000 queue_ms=50 loss=0.01 burst=1 reorder=0.001 seed=1    (one way; also empties the link)
 *   down, up                                                                            an outage begins and ends
 *   stats                                                                               JSON, since the last stats or link */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull
#define GRAIN (100000ull) /* what falls due within this leaves in one train, as a network card that coalesces interrupts has it */
#define HEADERS 28        /* of IP and UDP, which the link carries too */
#define SLOTS (1u << 16)
#define SLOT_SIZE 1600
#define LATE_MAX 4096
#define CLIENTS_MAX 64
#define BATCH 16
#define TRAIN_MAX 64
#define TRAIN_BYTES 65000
#define SOCKET_BUFFER (16 << 20)
#define QUEUE_BINS 2048 /* of a tenth of a millisecond */
#define BIN (MS / 10)

enum { HOME, CONTROL, TIMER, CLIENTS };

struct packet {
	uint64_t due;
	uint32_t slot;
	uint16_t length;
	uint16_t client;
};

struct direction {
	struct packet line[SLOTS]; /* in order of due */
	uint32_t head, tail;
	struct packet late[LATE_MAX]; /* reordered ones, the earliest last */
	size_t late_count;
	uint64_t busy_until, random;
	bool in_burst;
	uint64_t packets, bytes, lost, overflowed, reordered, refused, queue_sum, delay_max;
	uint64_t queue_bins[QUEUE_BINS];
};

struct conditions {
	uint64_t delay, queue, seed;
	double rate; /* bytes a nanosecond, 0: no limit */
	double loss, burst, reorder;
};

struct link {
	struct conditions conditions;
	struct direction up, down;
	struct sockaddr_in clients[CLIENTS_MAX], target;
	int sockets[CLIENTS_MAX];
	size_t client_count;
	int home, control, timer, poll;
	uint32_t free_slots[SLOTS], free_count;
	bool is_down, has_no_gso;
};

static struct link link_;
static char slots[SLOTS][SLOT_SIZE];
static char received[BATCH][65536];

static uint64_t clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "path: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double draw(struct direction *direction)
{
	direction->random ^= direction->random >> 12;
	direction->random ^= direction->random << 25;
	direction->random ^= direction->random >> 27;
	return (double)((direction->random * 0x2545f4914f6cdd1dull) >> 11) / 9007199254740992.0;
}

/* Gilbert's model: bursts of the mean length `burst`, so that the share of all packets is `loss`. */
static bool is_lost(struct direction *direction, const struct conditions *conditions)
{
	if (conditions->loss <= 0)
		return false;
	if (conditions->burst <= 1)
		return draw(direction) < conditions->loss;
	if (direction->in_burst)
		direction->in_burst = draw(direction) >= 1 / conditions->burst;
	else
		direction->in_burst = draw(direction) < conditions->loss / ((1 - conditions->loss) * conditions->burst);
	return direction->in_burst;
}

static void note_queue(struct direction *direction, uint64_t wait)
{
	uint64_t bin = wait / BIN;

	direction->queue_bins[bin < QUEUE_BINS ? bin : QUEUE_BINS - 1]++;
	direction->queue_sum += wait;
}

/* When the packet comes out at the other end; 0 when it does not. A packet that is lost has used the link all the same. */
static uint64_t carry(struct direction *direction, size_t length, uint64_t now)
{
	const struct conditions *conditions = &link_.conditions;
	uint64_t start = direction->busy_until > now ? direction->busy_until : now;

	if (link_.is_down)
		return 0;
	if (start - now > conditions->queue) {
		direction->overflowed++;
		return 0;
	}
	note_queue(direction, start - now);
	direction->packets++;
	direction->bytes += length + HEADERS;
	direction->busy_until = start + (conditions->rate > 0 ? (uint64_t)((double)(length + HEADERS) / conditions->rate) : 0);
	if (is_lost(direction, conditions)) {
		direction->lost++;
		return 0;
	}
	return direction->busy_until + conditions->delay;
}

static void insert_late(struct direction *direction, struct packet packet)
{
	size_t at = direction->late_count++;

	for (; at > 0 && direction->late[at - 1].due < packet.due; at--)
		direction->late[at] = direction->late[at - 1];
	direction->late[at] = packet;
	direction->reordered++;
}

static void enter(struct direction *direction, size_t client, const char *bytes, size_t length, uint64_t now)
{
	uint64_t due = carry(direction, length, now);

	if (due == 0)
		return;
	if (length > SLOT_SIZE || link_.free_count == 0) {
		direction->refused++;
		return;
	}
	struct packet packet = { .due = due, .slot = link_.free_slots[--link_.free_count], .length = (uint16_t)length, .client = (uint16_t)client };
	memcpy(slots[packet.slot], bytes, length);
	if (link_.conditions.reorder > 0 && direction->late_count < LATE_MAX && draw(direction) < link_.conditions.reorder) {
		packet.due += MS + (uint64_t)(draw(direction) * 2 * (double)MS);
		insert_late(direction, packet);
		return;
	}
	direction->line[direction->tail++ % SLOTS] = packet;
}

static const struct packet *earliest(const struct direction *direction)
{
	const struct packet *next = direction->head != direction->tail ? &direction->line[direction->head % SLOTS] : NULL;
	const struct packet *late = direction->late_count > 0 ? &direction->late[direction->late_count - 1] : NULL;

	return !next || (late && late->due < next->due) ? late : next;
}

static struct packet take(struct direction *direction)
{
	const struct packet *next = earliest(direction);
	struct packet packet = *next;

	if (direction->late_count > 0 && next == &direction->late[direction->late_count - 1])
		direction->late_count--;
	else
		direction->head++;
	return packet;
}

/* --- sending --- */

static void transmit(struct direction *direction, struct iovec *parts, size_t count, size_t client)
{
	char space[CMSG_SPACE(sizeof(uint16_t))] = { 0 };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
	int sock = direction == &link_.up ? link_.sockets[client] : link_.home;

	if (direction == &link_.down) {
		message.msg_name = &link_.clients[client];
		message.msg_namelen = sizeof(link_.clients[client]);
	}
	if (count > 1) {
		message.msg_control = space;
		message.msg_controllen = sizeof(space);
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);
		*head = (struct cmsghdr){ .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(uint16_t)) };
		uint16_t size = (uint16_t)parts[0].iov_len;
		memcpy(CMSG_DATA(head), &size, sizeof(size));
	}
	if (sendmsg(sock, &message, 0) >= 0)
		return;
	if (count > 1 && errno == EIO) {
		link_.has_no_gso = true;
		for (size_t i = 0; i < count; i++)
			transmit(direction, &parts[i], 1, client);
		return;
	}
	direction->refused += count;
}

/* One train: packets of one client and one size, the last one may be shorter. */
static void send_train(struct direction *direction, uint64_t now)
{
	struct iovec parts[TRAIN_MAX];
	size_t count = 0, bytes = 0, client = earliest(direction)->client;

	while (count < (link_.has_no_gso ? 1 : TRAIN_MAX)) {
		const struct packet *next = earliest(direction);
		if (!next || next->due > now || next->client != client || bytes + next->length > TRAIN_BYTES)
			break;
		if (count > 0 && (next->length > parts[0].iov_len || parts[count - 1].iov_len != parts[0].iov_len))
			break;
		struct packet packet = take(direction);
		if (now - packet.due > direction->delay_max)
			direction->delay_max = now - packet.due;
		link_.free_slots[link_.free_count++] = packet.slot; /* nothing is received before the train has left */
		bytes += packet.length;
		parts[count++] = (struct iovec){ .iov_base = slots[packet.slot], .iov_len = packet.length };
	}
	if (!link_.is_down)
		transmit(direction, parts, count, client);
}

static void deliver(struct direction *direction, uint64_t now)
{
	while (earliest(direction) && earliest(direction)->due <= now)
		send_train(direction, now);
}

static void arm(uint64_t now)
{
	static uint64_t armed;
	const struct packet *up = earliest(&link_.up), *down = earliest(&link_.down);
	uint64_t due = up && (!down || up->due < down->due) ? up->due : down ? down->due : 0;

	if (due != 0 && due < now + GRAIN)
		due = now + GRAIN;
	if (due == armed)
		return;
	armed = due;
	struct itimerspec when = { .it_value = { .tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u) } };
	timerfd_settime(link_.timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* --- receiving --- */

static int udp_socket(void)
{
	int one = 1, size = SOCKET_BUFFER, sock = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (sock < 0)
		die("socket");
	if (setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
		setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(sock, SOL_UDP, UDP_GRO, &one, sizeof(one));
	return sock;
}

static void watch(int descriptor, uint32_t what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = what };

	if (epoll_ctl(link_.poll, EPOLL_CTL_ADD, descriptor, &event) != 0)
		die("epoll");
}

/* CLIENTS_MAX when there are too many. */
static size_t find_client(const struct sockaddr_in *source)
{
	size_t i;

	for (i = 0; i < link_.client_count; i++) {
		if (link_.clients[i].sin_port == source->sin_port && link_.clients[i].sin_addr.s_addr == source->sin_addr.s_addr)
			return i;
	}
	if (i == CLIENTS_MAX)
		return i;
	link_.clients[i] = *source;
	link_.sockets[i] = udp_socket();
	if (connect(link_.sockets[i], (struct sockaddr *)&link_.target, sizeof(link_.target)) != 0)
		die("connect");
	watch(link_.sockets[i], CLIENTS + (uint32_t)i);
	link_.client_count++;
	return i;
}

static size_t segment_size(struct msghdr *message, size_t length)
{
	for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
		int size;
		if (head->cmsg_level != SOL_UDP || head->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(head), sizeof(size));
		return size > 0 ? (size_t)size : length;
	}
	return length;
}

/* `client` is CLIENTS_MAX when each message tells it by its source. */
static void receive(int sock, size_t client, uint64_t now)
{
	static char controls[BATCH][CMSG_SPACE(sizeof(int))];
	struct sockaddr_in sources[BATCH];
	struct mmsghdr messages[BATCH] = { 0 };
	struct iovec parts[BATCH];

	for (size_t i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ .iov_base = received[i], .iov_len = sizeof(received[i]) };
		messages[i].msg_hdr = (struct msghdr){ .msg_name = &sources[i],
			                               .msg_namelen = sizeof(sources[i]),
			                               .msg_iov = &parts[i],
			                               .msg_iovlen = 1,
			                               .msg_control = controls[i],
			                               .msg_controllen = sizeof(controls[i]) };
	}
	int count = recvmmsg(sock, messages, BATCH, 0, NULL);
	for (int i = 0; i < count; i++) {
		size_t from = client < CLIENTS_MAX ? client : find_client(&sources[i]);
		size_t length = messages[i].msg_len, size = segment_size(&messages[i].msg_hdr, length);
		if (from == CLIENTS_MAX)
			continue;
		for (size_t at = 0; at < length; at += size)
			enter(client < CLIENTS_MAX ? &link_.down : &link_.up, from, received[i] + at, length - at < size ? length - at : size, now);
	}
}

/* --- commands --- */

static void clear_counts(struct direction *direction)
{
	direction->packets = direction->bytes = direction->lost = direction->overflowed = direction->reordered = direction->refused = 0;
	direction->queue_sum = direction->delay_max = 0;
	memset(direction->queue_bins, 0, sizeof(direction->queue_bins));
}

static void empty(struct direction *direction, uint64_t seed)
{
	while (earliest(direction))
		link_.free_slots[link_.free_count++] = take(direction).slot;
	direction->busy_until = 0;
	direction->in_burst = false;
	direction->random = (seed + 1) * 0x9e3779b97f4a7c15ull;
	clear_counts(direction);
}

static void set_conditions(char *words)
{
	struct conditions *conditions = &link_.conditions;

	*conditions = (struct conditions){ .queue = 1000 * MS, .burst = 1, .seed = 1 };
	for (char *next, *word = strtok_r(words, " ", &next); word; word = strtok_r(NULL, " ", &next)) {
		char *equals = strchr(word, '=');
		if (!equals)
			continue;
		*equals = '\0';
		double value = strtod(equals + 1, NULL);
		if (strcmp(word, "delay_ms") == 0)
			conditions->delay = (uint64_t)(value * (double)MS);
		else if (strcmp(word, "queue_ms") == 0)
			conditions->queue = (uint64_t)(value * (double)MS);
		else if (strcmp(word, "rate_mbit") == 0)
			conditions->rate = value / 8e3;
		else if (strcmp(word, "loss") == 0)
			conditions->loss = value;
		else if (strcmp(word, "burst") == 0)
			conditions->burst = value;
		else if (strcmp(word, "reorder") == 0)
			conditions->reorder = value;
		else if (strcmp(word, "seed") == 0)
			conditions->seed = (uint64_t)value;
	}
	empty(&link_.up, 2 * conditions->seed);
	empty(&link_.down, 2 * conditions->seed + 1);
}

static double quantile_ms(const struct direction *direction, double share)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < QUEUE_BINS; i++) {
		seen += direction->queue_bins[i];
		if (seen > 0 && (double)seen >= share * (double)direction->packets)
			return (double)i * (double)BIN / (double)MS;
	}
	return 0;
}

static size_t print_counts(char *text, size_t size, const char *name, struct direction *direction)
{
	double mean = direction->packets > 0 ? (double)direction->queue_sum / (double)direction->packets / (double)MS : 0;
	int length =
	    snprintf(text, size,
	             "\"%s\": {\"packets\": %llu, \"bytes\": %llu, \"lost\": %llu, \"overflowed\": %llu, \"reordered\": %llu, \"refused\": %llu, "
	             "\"queue_mean_ms\": %.2f, \"queue_p50_ms\": %.1f, \"queue_p95_ms\": %.1f, \"late_max_ms\": %.3f}",
	             name, (unsigned long long)direction->packets, (unsigned long long)direction->bytes, (unsigned long long)direction->lost,
	             (unsigned long long)direction->overflowed, (unsigned long long)direction->reordered, (unsigned long long)direction->refused,
	             mean, quantile_ms(direction, 0.5), quantile_ms(direction, 0.95), (double)direction->delay_max / (double)MS);
	clear_counts(direction);
	return (size_t)length;
}

static void obey(void)
{
	char text[2048];
	struct sockaddr_un from;
	socklen_t from_length = sizeof(from);
	ssize_t got = recvfrom(link_.control, text, sizeof(text) - 1, 0, (struct sockaddr *)&from, &from_length);

	if (got < 0)
		return;
	text[got] = '\0';
	if (strncmp(text, "link ", 5) == 0)
		set_conditions(text + 5);
	if (strcmp(text, "down") == 0 || strcmp(text, "up") == 0)
		link_.is_down = text[0] == 'd';
	if (strcmp(text, "stats") == 0) {
		size_t length = (size_t)snprintf(text, sizeof(text), "{");
		length += print_counts(text + length, sizeof(text) - length, "up", &link_.up);
		length += (size_t)snprintf(text + length, sizeof(text) - length, ", ");
		length += print_counts(text + length, sizeof(text) - length, "down", &link_.down);
		snprintf(text + length, sizeof(text) - length, "}");
	} else {
		snprintf(text, sizeof(text), "ok");
	}
	sendto(link_.control, text, strlen(text), 0, (struct sockaddr *)&from, from_length);
}

static void set_up(char **argv)
{
	struct sockaddr_un control = { .sun_family = AF_UNIX };
	struct sockaddr_in home = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	link_.target = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[4])) };
	if (inet_pton(AF_INET, argv[3], &link_.target.sin_addr) != 1 || strlen(argv[1]) >= sizeof(control.sun_path))
		die("arguments");
	strcpy(control.sun_path, argv[1]);
	link_.poll = epoll_create1(0);
	link_.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	link_.control = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	link_.home = udp_socket();
	if (bind(link_.home, (struct sockaddr *)&home, sizeof(home)) != 0 || bind(link_.control, (struct sockaddr *)&control, sizeof(control)) != 0)
		die("bind");
	watch(link_.home, HOME);
	watch(link_.control, CONTROL);
	watch(link_.timer, TIMER);
	while (link_.free_count < SLOTS) {
		link_.free_slots[link_.free_count] = link_.free_count;
		link_.free_count++;
	}
	char none[] = "";
	set_conditions(none);
	/* Punctual on a busy machine, where that is allowed: a late link would be measured as a slow sender. */
	sched_setscheduler(0, SCHED_RR, &(struct sched_param){ .sched_priority = 1 });
}

int main(int argc, char **argv)
{
	struct epoll_event events[BATCH];

	if (argc != 5) {
		fprintf(stderr, "usage: path CONTROL LISTEN_PORT TARGET_HOST TARGET_PORT\n");
		return 2;
	}
	set_up(argv);
	for (;;) {
		int count = epoll_wait(link_.poll, events, BATCH, -1);
		uint64_t expirations, now = clock_now();
		for (int i = 0; i < count; i++) {
			uint32_t what = events[i].data.u32;
			if (what == HOME)
				receive(link_.home, CLIENTS_MAX, now);
			else if (what == CONTROL)
				obey();
			else if (what == TIMER)
				(void)!read(link_.timer, &expirations, sizeof(expirations));
			else
				receive(link_.sockets[what - CLIENTS], what - CLIENTS, now);
		}
		deliver(&link_.up, clock_now());
		deliver(&link_.down, clock_now());
		arm(clock_now());
	}
}
