#include "tests/service/fake_worker.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "ipc/counters.h"
#include "ipc/pool_message.h"
#include "ipc/query.h"
#include "tests/service/fake_pool.h"

#define SOCKETS_MAX 256
#define LATE_MS 400

struct held {
	uint32_t id;
	int descriptor;
};

struct fake_tunnel {
	bool is_used, is_prepared;
	char id[64];
	uint64_t generation, prepared_generation;
	bool enabled;
	struct held held[SOCKETS_MAX];
	size_t held_count;
	uint32_t wanted[SOCKETS_MAX];
	struct held fresh[SOCKETS_MAX];
	size_t wanted_count, fresh_count;
	uint32_t peer_slot;
	bool has_peer;
	unsigned transfers; /* since it was prepared */
	struct wireguard_key peer;
};

static struct fake_tunnel *tunnels;
static struct counters *counters;
static struct channel *channel;
static bool ends, is_mute;           /* nothing is sent any more */
static bool stays;                   /* SHUTDOWN is ignored */
static struct peer_link neighbour;   /* the last link that came; its socket is closed */
static struct message_prepared late; /* an answer that is sent when its time has come */
static int64_t late_at;              /* 0: there is none */

static void send_message(enum message_type type, struct message_writer *writer)
{
	if (is_mute)
		message_writer_clear(writer);
	else if (channel_send(channel, type, writer, NULL, 0) != CHANNEL_OK)
		exit(1);
}

static void send_prepared(const struct message_prepare *message, enum message_status status, enum message_applied applied)
{
	struct message_prepared reply = { .ack = { message->request, message->slot, message->generation, (uint8_t)status },
		                          .applied = (uint8_t)applied };
	snprintf(reply.detail, sizeof(reply.detail), "as the test wishes");
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_prepared(&writer, &reply);
	send_message(MESSAGE_PREPARED, &writer);
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void ask(uint32_t slot, enum message_type type, const char *local);

/* The answer to a change comes after several ticks of the control process, and a wish before it. */
static void answer_late(const struct message_prepare *message, enum message_applied applied)
{
	if (strncmp(message->id, "slow-udp-", 9) == 0)
		ask(message->slot, MESSAGE_WANT_UDP, "127.0.0.1");
	late = (struct message_prepared){ .ack = { message->request, message->slot, message->generation, MESSAGE_STATUS_OK },
		                          .applied = (uint8_t)applied };
	late_at = now_ms() + LATE_MS;
}

static void send_late(void)
{
	struct message_writer writer;
	if (late_at == 0 || now_ms() < late_at)
		return;
	late_at = 0;
	message_writer_init(&writer);
	message_encode_prepared(&writer, &late);
	send_message(MESSAGE_PREPARED, &writer);
}

static void send_done(const struct message_ack *message, enum message_status status)
{
	struct message_ack reply = *message;
	reply.status = (uint8_t)status;
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_ack(&writer, &reply);
	send_message(MESSAGE_DONE, &writer);
}

static bool begins(const char *id, const char *prefix)
{
	return strncmp(id, prefix, strlen(prefix)) == 0;
}

static void drop_prepared(struct fake_tunnel *tunnel)
{
	for (size_t i = 0; i < tunnel->fresh_count; i++)
		close(tunnel->fresh[i].descriptor);
	tunnel->fresh_count = tunnel->wanted_count = 0;
	tunnel->is_prepared = false;
}

static void take_prepare(struct message_reader *body, int *descriptors, size_t count)
{
	struct message_prepare message;
	if (!message_decode_prepare(body, &message))
		exit(2);
	struct fake_tunnel *tunnel = &tunnels[message.slot];
	if (begins(message.id, "crash-"))
		raise(SIGKILL);
	is_mute |= begins(message.id, "mute-");
	stays |= begins(message.id, "stay-");
	bool is_full = begins(message.id, "full-") || getenv("FAKE_WORKER_FULL") != NULL;
	if (begins(message.id, "bad-") || is_full || message.spec.mtu == 1301) {
		send_prepared(&message, is_full ? MESSAGE_STATUS_NO_MEMORY : MESSAGE_STATUS_INVALID, MESSAGE_APPLIED_CREATED);
		message_prepare_clear(&message);
		return;
	}
	drop_prepared(tunnel);
	for (size_t i = 0, next = 0; i < message.socket_count; i++) {
		tunnel->wanted[tunnel->wanted_count++] = message.sockets[i].id;
		if (!message.sockets[i].fresh)
			continue;
		if (next >= count)
			exit(3);
		tunnel->fresh[tunnel->fresh_count++] = (struct held){ message.sockets[i].id, descriptors[next] };
		descriptors[next++] = -1;
	}
	bool restarts = tunnel->is_used && message.spec.mtu == 1300;
	memcpy(tunnel->id, message.id, sizeof(tunnel->id));
	fake_pool_prepare(&message);
	tunnel->is_prepared = true;
	tunnel->transfers = 0;
	tunnel->prepared_generation = message.generation;
	tunnel->enabled = message.spec.enabled;
	tunnel->has_peer = message.spec.peer_count > 0;
	if (tunnel->has_peer) {
		tunnel->peer = message.spec.peers[0].public_key;
		tunnel->peer_slot = message.peer_slots[0];
	}
	if (counter_read(&counters->tunnels[message.slot].total_bytes_used) < message.total_bytes_used)
		counter_set(&counters->tunnels[message.slot].total_bytes_used, message.total_bytes_used);
	enum message_applied applied = restarts ? MESSAGE_APPLIED_RESTARTED : tunnel->is_used ? MESSAGE_APPLIED_IN_PLACE : MESSAGE_APPLIED_CREATED;
	if (begins(message.id, "slow-") && (message.generation > 1 || begins(message.id, "slow-start-")))
		answer_late(&message, applied);
	else
		send_prepared(&message, MESSAGE_STATUS_OK, applied);
	message_prepare_clear(&message);
}

static bool is_wanted(const struct fake_tunnel *tunnel, uint32_t id)
{
	for (size_t i = 0; i < tunnel->wanted_count; i++)
		if (tunnel->wanted[i] == id)
			return true;
	return false;
}

static void settle_sockets(struct fake_tunnel *tunnel)
{
	size_t kept = 0;
	for (size_t i = 0; i < tunnel->held_count; i++) {
		bool replaced = false;
		for (size_t k = 0; k < tunnel->fresh_count; k++)
			replaced |= tunnel->fresh[k].id == tunnel->held[i].id;
		if (is_wanted(tunnel, tunnel->held[i].id) && !replaced)
			tunnel->held[kept++] = tunnel->held[i];
		else
			close(tunnel->held[i].descriptor);
	}
	for (size_t i = 0; i < tunnel->fresh_count; i++)
		tunnel->held[kept++] = tunnel->fresh[i];
	tunnel->held_count = kept;
	tunnel->fresh_count = 0;
}

static void tell_state(uint32_t slot, enum tunnel_state state)
{
	struct fake_tunnel *tunnel = &tunnels[slot];
	struct message_state message = { .slot = slot, .generation = tunnel->generation, .state = (uint8_t)state };
	if (begins(tunnel->id, "up-deaf-"))
		snprintf(message.reason, sizeof(message.reason), "the peer does not answer");
	struct message_writer writer;
	counter_set(&counters->tunnels[slot].state, state);
	counter_set(&counters->tunnels[slot].generation, tunnel->generation);
	message_writer_init(&writer);
	message_encode_state(&writer, &message);
	send_message(MESSAGE_STATE, &writer);
	if (state != TUNNEL_UP || !tunnel->has_peer)
		return;
	struct message_handshake handshake = { .slot = slot, .generation = tunnel->generation, .peer = tunnel->peer, .completed = true, .count = 1 };
	memset(handshake.last_timestamp, 0x40 + (int)(tunnel->generation & 0x3f), sizeof(handshake.last_timestamp));
	message_writer_init(&writer);
	message_encode_handshake(&writer, &handshake);
	send_message(MESSAGE_HANDSHAKE, &writer);
}

static void tell_limit(uint32_t slot)
{
	struct message_state message = { .slot = slot, .generation = tunnels[slot].generation };
	struct message_writer writer;
	counter_add(&counters->tunnels[slot].total_bytes_used, 500);
	message_writer_init(&writer);
	message_encode_state(&writer, &message);
	send_message(MESSAGE_LIMIT, &writer);
}

static void ask(uint32_t slot, enum message_type type, const char *local)
{
	struct message_want want = { .request = (uint64_t)getpid(), .slot = slot, .generation = tunnels[slot].generation };
	struct message_writer writer;
	want.local.v4.sin_family = AF_INET;
	want.source.v4.sin_family = AF_INET;
	inet_pton(AF_INET, local, &want.local.v4.sin_addr);
	message_writer_init(&writer);
	message_encode_want(&writer, &want);
	send_message(type, &writer);
}

/* What is written to the control process from here on says nothing: a frame that is never whole. */
static void send_half(void)
{
	static const uint8_t half[6] = { 100 };
	if (channel_flush(channel) != CHANNEL_OK || write(3, half, sizeof(half)) != sizeof(half))
		exit(5);
	is_mute = true;
}

/* Whole frames, as many as the socket takes, for ever; it beats, and reads nothing. */
static void flood(uint32_t slot)
{
	struct message_state message = { .slot = slot, .generation = tunnels[slot].generation, .state = TUNNEL_HANDSHAKING };
	for (;;) {
		struct message_writer writer;
		message_writer_init(&writer);
		message_encode_state(&writer, &message);
		send_message(MESSAGE_STATE, &writer);
		counter_add(&counters->worker.heartbeat, 1);
		while (channel_wants_write(channel))
			if (channel_flush(channel) != CHANNEL_OK)
				exit(6);
	}
}

static void ask_often(uint32_t slot, enum message_type type, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		ask(slot, type, "127.0.0.1");
}

/* Asks as often as it may, beats and reads nothing. */
static void ask_and_never_read(uint32_t slot)
{
	for (unsigned asked = 0;; asked += 16) {
		if (asked < 1000)
			ask_often(slot, MESSAGE_WANT_RELAY, 16);
		counter_add(&counters->worker.heartbeat, 1);
		poll(NULL, 0, 1);
	}
}

static void send_gift(void)
{
	struct message_writer writer;
	int descriptor = dup(0);
	message_writer_init(&writer);
	if (channel_send(channel, MESSAGE_READY, &writer, &descriptor, 1) != CHANNEL_OK)
		exit(1);
}

static void send_odd_bytes(uint32_t slot)
{
	struct message_state message = { .slot = slot, .generation = tunnels[slot].generation, .state = TUNNEL_STALE };
	struct message_probed probed = { .slot = slot, .generation = tunnels[slot].generation, .rtt_avg_ms = -1e300, .rtt_max_ms = 1e300 };
	struct message_writer writer;
	memset(message.reason, 0xff, sizeof(message.reason));
	memcpy(message.reason, "\"\\\n\x01,\"state\":\"up\"}", 18);
	memcpy(probed.detail, message.reason, 18);
	message_writer_init(&writer);
	message_encode_state(&writer, &message);
	send_message(MESSAGE_STATE, &writer);
	message_writer_init(&writer);
	message_encode_probed(&writer, &probed);
	send_message(MESSAGE_PROBED, &writer);
	counter_set(&counters->tunnels[slot].state, TUNNEL_STALE);
}

static void accuse(uint32_t worker, unsigned times)
{
	const struct peer_link broken = { .worker = worker, .incarnation = neighbour.incarnation };
	for (unsigned i = 0; i < times; i++) {
		struct message_writer writer;
		message_writer_init(&writer);
		peer_link_encode(&writer, &broken);
		send_message(MESSAGE_LINK_BROKEN, &writer);
	}
}

static void be_hostile_as_named(uint32_t slot)
{
	const char *id = tunnels[slot].id;
	if (begins(id, "half-"))
		send_half();
	else if (begins(id, "flood-"))
		flood(slot);
	else if (begins(id, "dials-"))
		ask_often(slot, MESSAGE_WANT_DIAL, 2 * MESSAGE_WANTS_MOST);
	else if (begins(id, "relays-"))
		ask_often(slot, MESSAGE_WANT_RELAY, MESSAGE_WANTS_MOST);
	else if (begins(id, "deaf-"))
		ask_and_never_read(slot);
	else if (begins(id, "gift-"))
		send_gift();
	else if (begins(id, "odd-"))
		send_odd_bytes(slot);
	else if (begins(id, "accuse-"))
		accuse(neighbour.worker, 100);
	else if (begins(id, "nobody-"))
		accuse(UINT32_MAX, 1);
}

static void ask_as_named(uint32_t slot)
{
	const char *id = tunnels[slot].id;
	be_hostile_as_named(slot);
	if (begins(id, "dial-"))
		ask(slot, MESSAGE_WANT_DIAL, "127.0.0.1");
	else if (begins(id, "relay-"))
		ask(slot, MESSAGE_WANT_RELAY, "127.0.0.1");
	else if (begins(id, "stray-"))
		ask(slot, MESSAGE_WANT_RELAY, "192.0.2.1");
	else if (begins(id, "udp-"))
		ask(slot, MESSAGE_WANT_UDP, "127.0.0.1");
	if (begins(id, "lie-"))
		ask(slot, (enum message_type)99, "127.0.0.1");
}

/* Where a test can see it: the port of the tunnel's UDP socket. */
static void show_udp_port(uint32_t slot)
{
	const struct fake_tunnel *tunnel = &tunnels[slot];
	for (size_t i = 0; i < tunnel->held_count; i++) {
		union wireguard_endpoint name;
		int type = 0;
		socklen_t size = sizeof(type), length = sizeof(name);
		getsockopt(tunnel->held[i].descriptor, SOL_SOCKET, SO_TYPE, &type, &size);
		if (type == SOCK_DGRAM && getsockname(tunnel->held[i].descriptor, &name.any, &length) == 0)
			counter_set(&counters->tunnels[slot].throughput_sent, ntohs(name.v6.sin6_port));
	}
}

/* In place of the UDP socket that it has, which is the first. */
static void take_udp(uint32_t slot, int *descriptor)
{
	struct fake_tunnel *tunnel = &tunnels[slot];
	close(tunnel->held[0].descriptor);
	tunnel->held[0].descriptor = *descriptor;
	*descriptor = -1;
	show_udp_port(slot);
}

static void take_granted(const struct message_ack *message, int *descriptors, size_t count)
{
	struct counters_tunnel *own = &counters->tunnels[message->slot];
	if (message->request != (uint64_t)getpid())
		exit(8);
	counter_add(message->status == MESSAGE_STATUS_OK && count == 1 ? &own->probes_ok : &own->probes_failed, 1);
	/* As an honest one does: the next when one is answered. */
	if (begins(tunnels[message->slot].id, "relays-"))
		ask(message->slot, MESSAGE_WANT_RELAY, "127.0.0.1");
	if (count == 1 && begins(tunnels[message->slot].id, "dial-") && write(descriptors[0], "hello", 5) != 5)
		exit(4);
	if (count == 1 && begins(tunnels[message->slot].id, "slow-udp-"))
		take_udp(message->slot, &descriptors[0]);
}

static void take_commit(const struct message_ack *message)
{
	struct fake_tunnel *tunnel = &tunnels[message->slot];
	if (!tunnel->is_prepared || tunnel->prepared_generation != message->generation) {
		send_done(message, MESSAGE_STATUS_UNKNOWN);
		return;
	}
	/* Before it has the new generation, which the registry has by now. */
	if (begins(tunnel->id, "late-") && message->generation > 1)
		tell_state(message->slot, TUNNEL_STALE);
	settle_sockets(tunnel);
	show_udp_port(message->slot);
	tunnel->is_used = true;
	tunnel->is_prepared = false;
	tunnel->generation = message->generation;
	/* Who waits for the state reads it afterwards. */
	counter_add(&counters->tunnels[message->slot].total_bytes_used, 1000);
	tell_state(message->slot, !tunnel->enabled ? TUNNEL_DISABLED : begins(tunnel->id, "up-") ? TUNNEL_UP : TUNNEL_HANDSHAKING);
	/* It owes no answer: what ends it is that it does not read. */
	if (begins(tunnel->id, "deaf-"))
		send_done(message, MESSAGE_STATUS_OK);
	ask_as_named(message->slot);
	if (begins(tunnel->id, "wrong-")) {
		const struct message_prepare prepared = { .request = message->request, .slot = message->slot, .generation = message->generation };
		send_prepared(&prepared, MESSAGE_STATUS_OK, MESSAGE_APPLIED_CREATED);
		return;
	}
	send_done(message, MESSAGE_STATUS_OK);
}

static void take_remove(const struct message_ack *message)
{
	struct fake_tunnel *tunnel = &tunnels[message->slot];
	if (begins(tunnel->id, "hang-"))
		raise(SIGSTOP);
	drop_prepared(tunnel);
	for (size_t i = 0; i < tunnel->held_count; i++)
		close(tunnel->held[i].descriptor);
	bool was_used = tunnel->is_used;
	memset(tunnel, 0, sizeof(*tunnel));
	send_done(message, was_used ? MESSAGE_STATUS_OK : MESSAGE_STATUS_UNKNOWN);
}

static void send_transfer(uint32_t slot, uint64_t generation, size_t length)
{
	static const uint8_t bytes[2 * CHANNEL_UNTRUSTED_MAX];
	const struct message_transfer message = { .slot = slot, .generation = generation, .state = { .bytes = bytes, .left = length } };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_transfer(&writer, &message);
	send_message(MESSAGE_TRANSFER, &writer);
}

static void send_short_transfer(void)
{
	struct message_writer writer;
	message_writer_init(&writer);
	message_put_u16(&writer, 1);
	send_message(MESSAGE_TRANSFER, &writer);
}

/* Sessions of its own, more than it has peers, of others, of other generations, and again when it has told that they were all. */
static void send_swarm(const struct message_ack *message)
{
	for (uint32_t i = 0; i < 100; i++) {
		send_transfer(message->slot + i, message->generation, 100);
		send_transfer(message->slot, message->generation + 1 + i, 100);
		send_transfer(UINT32_MAX - i, UINT64_MAX, 0);
		send_transfer(message->slot, message->generation, 1000);
	}
}

static void take_hand_over(const struct message_ack *message)
{
	const struct fake_tunnel *tunnel = &tunnels[message->slot];
	const struct message_ack foreign = { .request = message->request + 1, .slot = message->slot, .generation = message->generation };
	bool is_swarm = begins(tunnel->id, "swarm-");
	if (begins(tunnel->id, "keeps-"))
		return;
	if (begins(tunnel->id, "huge-"))
		send_transfer(message->slot, message->generation, 2 * CHANNEL_UNTRUSTED_MAX);
	if (begins(tunnel->id, "short-"))
		send_short_transfer();
	if (is_swarm) {
		send_swarm(message);
		send_done(&foreign, MESSAGE_STATUS_OK);
	}
	take_remove(message);
	if (!is_swarm)
		return;
	send_swarm(message);
	send_done(message, MESSAGE_STATUS_OK);
}

/* No more than it has peers, and of what it has prepared. */
static void take_transfer(struct message_reader *body)
{
	struct message_transfer message;
	if (!message_decode_transfer(body, &message) || message.slot >= COUNTERS_TUNNELS)
		exit(2);
	struct fake_tunnel *tunnel = &tunnels[message.slot];
	if (!tunnel->is_prepared || tunnel->prepared_generation != message.generation || ++tunnel->transfers > tunnel->has_peer)
		exit(13);
}

/* A client that no counter shows yet. */
static void take_hand_over_idle(const struct message_ack *message)
{
	if (!begins(tunnels[message->slot].id, "client-")) {
		take_remove(message);
		return;
	}
	counter_add(&counters->tunnels[message->slot].probes_failed, 1);
	send_done(message, MESSAGE_STATUS_REFUSED);
}

static void take_probe(struct message_reader *body)
{
	struct message_probe message;
	if (!message_decode_probe(body, &message))
		exit(2);
	struct message_probed reply = { .request = message.request,
		                        .slot = message.slot,
		                        .generation = message.generation,
		                        .ok = true,
		                        .sent = message.count,
		                        .received = message.count,
		                        .rtt_min_ms = 1,
		                        .rtt_avg_ms = 2,
		                        .rtt_max_ms = 3 };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_probed(&writer, &reply);
	send_message(MESSAGE_PROBED, &writer);
}

static void take_ack(enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	struct message_ack message;
	if (!message_decode_ack(body, &message))
		exit(2);
	if (type == MESSAGE_COMMIT)
		take_commit(&message);
	else if (type == MESSAGE_REMOVE)
		take_remove(&message);
	else if (type == MESSAGE_HAND_OVER)
		take_hand_over(&message);
	else if (type == MESSAGE_HAND_OVER_IDLE)
		take_hand_over_idle(&message);
	else if (type == MESSAGE_GRANTED)
		take_granted(&message, descriptors, count);
	else if (type == MESSAGE_ABORT)
		drop_prepared(&tunnels[message.slot]);
	if (type == MESSAGE_RECONNECT && begins(tunnels[message.slot].id, "limit-"))
		tell_limit(message.slot);
	if (type == MESSAGE_ABORT || type == MESSAGE_RECONNECT)
		send_done(&message, MESSAGE_STATUS_OK);
}

static bool has_one_that_begins(const char *prefix)
{
	for (size_t i = 0; i < COUNTERS_TUNNELS; i++)
		if (tunnels[i].is_used && begins(tunnels[i].id, prefix))
			return true;
	return false;
}

/* Each tunnel in use has one connection, with its slot as the number, and with odd bytes. */
static void take_query(struct message_reader *body)
{
	struct query query;
	struct message_writer writer, items;
	if (!query_decode(body, &query))
		exit(9);
	if (has_one_that_begins("silent-"))
		return;
	bool is_endless = has_one_that_begins("endless-");
	struct queried answer = { .request = query.request, .is_over = !is_endless, .cursor = { .place = query.cursor.place + is_endless } };
	message_writer_init(&writer);
	message_writer_init(&items);
	for (uint32_t slot = 0; slot < COUNTERS_TUNNELS && !is_endless; slot++) {
		struct query_connection connection = { .number = slot + 1, .slot = slot, .opened_at = UINT64_MAX, .user = "\xff\"\x01" };
		if (!tunnels[slot].is_used || (query.filter.slot != QUERY_ANY_SLOT && query.filter.slot != slot))
			continue;
		answer.count += query.counts ? 1 : 2;
		if (query.counts)
			continue;
		query_encode_connection(&items, &connection);
		connection.slot = slot + 1000; /* of no tunnel here */
		query_encode_connection(&items, &connection);
	}
	answer.count += has_one_that_begins("garbled-");
	query_encode_answer(&writer, &answer, &items);
	message_writer_clear(&items);
	send_message(MESSAGE_QUERIED, &writer);
}

static void take_link(struct message_reader *body)
{
	if (!peer_link_decode(body, &neighbour))
		exit(4);
}

static void take_log_level(struct message_reader *body)
{
	enum log_level level;
	if (!message_decode_log_level(body, &level))
		exit(4);
}

static bool on_message(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	(void)owner;
	if (type == MESSAGE_PREPARE)
		take_prepare(body, descriptors, count);
	else if (type == MESSAGE_PROBE)
		take_probe(body);
	else if (type == MESSAGE_QUERY)
		take_query(body);
	else if (type == MESSAGE_PEER_LINK)
		take_link(body);
	else if (type == MESSAGE_TRANSFER)
		take_transfer(body);
	else if (type == MESSAGE_LOG_LEVEL)
		take_log_level(body);
	else if (type == MESSAGE_SHUTDOWN)
		ends = !stays;
	else if (type == MESSAGE_COMMIT || type == MESSAGE_ABORT || type == MESSAGE_REMOVE || type == MESSAGE_RECONNECT || type == MESSAGE_GRANTED ||
	         type == MESSAGE_HAND_OVER || type == MESSAGE_HAND_OVER_IDLE)
		take_ack(type, body, descriptors, count);
	else if (!fake_pool_take(counters, type, body))
		exit(12);
	return true;
}

static int run(void)
{
	struct message_writer writer;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	channel = channel_create(3, true);
	counters = counters_map(4);
	tunnels = calloc(COUNTERS_TUNNELS, sizeof(*tunnels));
	if (channel == NULL || counters == NULL || tunnels == NULL)
		return 1;
	message_writer_init(&writer);
	send_message(MESSAGE_READY, &writer);
	while (!ends) {
		struct pollfd poll_set = { .fd = 3, .events = POLLIN };
		if (channel_wants_write(channel))
			poll_set.events |= POLLOUT;
		poll(&poll_set, 1, 50);
		counter_add(&counters->worker.heartbeat, 1);
		send_late();
		if (channel_flush(channel) != CHANNEL_OK || channel_read(channel, on_message, NULL) != CHANNEL_OK)
			break;
	}
	return 0;
}

bool fake_worker_runs(int argc, char **argv, int *code)
{
	if (argc < 2 || strcmp(argv[1], "worker") != 0)
		return false;
	*code = run();
	/* Without the checks at exit: the memory of the test is not this process's. */
	_exit(*code);
}
