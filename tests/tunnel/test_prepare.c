/* Changes of a tunnel in a worker (F1): each allocation of PREPARE fails in turn, and the running tunnel continues; COMMIT never allocates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ipc/log.h"
#include "tests/failing_heap.h"
#include "tunnel/tunnel.h"
#include "tunnel/wireguard/arena.h"
#include "tunnel/wireguard/device_private.h"
#include "tunnel/worker/change.h"

#define MANY SPEC_PEER_MAX

static struct {
	struct context context;
	struct tunnel *tunnel;
	struct wireguard_key key, publics[MANY];
	uint64_t generation;
} world;

static void send_nothing(struct context *context, enum message_type type, struct message_writer *writer)
{
	(void)context;
	(void)type;
	message_writer_clear(writer);
}

static int start(void **state)
{
	(void)state;
	assert_true(sodium_init() >= 0);
	log_start(LOG_ERROR, false, "worker");
	assert_int_equal(wireguard_start(64 * 1024, false), WIREGUARD_OK);
	struct netstack_limits limits = { .memory_budget = 16 << 20 };
	netstack_start(&limits);
	world.context.send = send_nothing;
	close(counters_create(&world.context.counters));
	world.context.loop = loop_create();
	world.context.blocks = block_pool_create();
	world.context.batch = udp_batch_create(world.context.loop, true);
	for (unsigned i = 0; i < MANY; i++) {
		struct wireguard_key secret;
		randombytes_buf(secret.bytes, sizeof(secret.bytes));
		memcpy(&world.publics[i], &secret, sizeof(secret)); /* any 32 bytes are a public key */
	}
	randombytes_buf(world.key.bytes, sizeof(world.key.bytes));
	return 0;
}

static int stop(void **state)
{
	(void)state;
	change_remove(world.tunnel);
	loop_end_turn(world.context.loop);
	udp_batch_free(world.context.batch);
	block_pool_free(world.context.blocks);
	loop_free(world.context.loop);
	counters_unmap(world.context.counters);
	netstack_stop();
	wireguard_stop();
	return 0;
}

static struct wireguard_network network(uint8_t a, uint8_t b, uint8_t c, uint8_t prefix)
{
	return (struct wireguard_network){ .family = AF_INET, .prefix = prefix, .bytes = { 10, a, b, c } };
}

/* What a test changes. */
struct wish {
	unsigned first_peer, peer_count;
	uint8_t networks; /* of the second byte of allowed IPs */
	uint8_t preshared;
	uint16_t mtu;
	const char *forward, *dns;
	bool has_new_key, has_new_sockets;
	unsigned networks_each; /* of a peer, when it is not two */
};

static void describe_peer(struct spec_peer *peer, const struct wish *wish, unsigned number)
{
	peer->public_key = world.publics[number];
	peer->has_preshared_key = wish->preshared != 0;
	memset(&peer->preshared_key, wish->preshared, sizeof(peer->preshared_key));
	peer->endpoint = (struct spec_place){ .kind = SPEC_PLACE_INET, .host = strdup("peer.example"), .port = 51820 };
	peer->allowed_ip_count = wish->networks_each == 0 ? 2 : wish->networks_each;
	peer->allowed_ips = calloc(peer->allowed_ip_count, sizeof(*peer->allowed_ips));
	for (unsigned i = 0; i < peer->allowed_ip_count; i++)
		peer->allowed_ips[i] = network((uint8_t)(wish->networks + (number >> 8)), (uint8_t)number, (uint8_t)i, i == 0 ? 24 : 32);
	peer->persistent_keepalive = 25;
}

static void describe(struct spec *spec, const struct wish *wish)
{
	spec_init(spec);
	spec->private_key = world.key;
	if (wish->has_new_key)
		spec->private_key.bytes[5] ^= 0x55;
	spec->has_private_key = true;
	spec->mtu = wish->mtu;
	spec->addresses[0] = network(200, 0, 1, 32);
	spec->address_count = 1;
	spec->dns = calloc(1, sizeof(*spec->dns));
	spec->dns[0] = network(201, 0, wish->dns == NULL ? 1 : 2, 32);
	spec->dns_count = 1;
	spec->peers = calloc(wish->peer_count, sizeof(*spec->peers));
	spec->peer_count = wish->peer_count;
	for (unsigned i = 0; i < wish->peer_count; i++)
		describe_peer(&spec->peers[i], wish, wish->first_peer + i);
	assert_true(spec_index_peers(spec));
	spec->listen = calloc(1, sizeof(*spec->listen));
	spec->listen[0] = (struct spec_place){ .kind = SPEC_PLACE_INET, .host = strdup("127.0.0.1") };
	spec->listen_count = 1;
	spec->forwards = calloc(2, sizeof(*spec->forwards));
	for (unsigned i = 0; i < 2; i++)
		spec->forwards[i] = (struct spec_forward){ .name = strdup(i == 0 ? wish->forward : "names"),
			                                   .direction = SPEC_INBOUND,
			                                   .transport = i == 0 ? SPEC_TCP : SPEC_UDP,
			                                   .listen = { .kind = SPEC_PLACE_INET, .host = strdup("10.200.0.1"), .port = 80 },
			                                   .target = { .kind = SPEC_PLACE_INET, .host = strdup("127.0.0.1"), .port = 8080 } };
	spec->forward_count = 2;
	spec->probe = (struct spec_probe){ .type = SPEC_PROBE_PING, .target = strdup("10.200.0.9"), .interval = wish->preshared + 1u };
}

static int bound(int type)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int descriptor = socket(AF_INET, type | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(descriptor, (struct sockaddr *)&at, sizeof(at)), 0);
	return descriptor;
}

static double now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double longest_step; /* of the last prepare */
static size_t steps;

/* The heap fails by `allowed` from here on, within change_prepare alone. */
static enum message_status prepare(const struct wish *wish, unsigned allowed)
{
	static uint32_t next_id;
	struct message_prepare message = { .slot = 0, .generation = world.generation + 1, .id = "t", .socket_count = 2 };
	char detail[160];
	enum message_applied applied;
	int descriptors[2];
	size_t fresh = wish->has_new_sockets ? 2 : 0;
	describe(&message.spec, wish);
	message.endpoints = calloc(wish->peer_count, sizeof(*message.endpoints));
	message.peer_slots = calloc(wish->peer_count, sizeof(*message.peer_slots));
	message.sockets = calloc(2, sizeof(*message.sockets));
	for (unsigned i = 0; i < wish->peer_count; i++) {
		message.peer_slots[i] = i;
		message.endpoints[i].count = 2;
		for (unsigned k = 0; k < 2; k++)
			message.endpoints[i].list[k].v4 = (struct sockaddr_in){ .sin_family = AF_INET,
				                                                .sin_port = htons((uint16_t)(9 + k)),
				                                                .sin_addr = { htonl(INADDR_LOOPBACK) } };
	}
	for (uint32_t i = 0; i < 2; i++) {
		next_id += fresh > 0;
		message.sockets[i] = (struct message_socket){ .id = fresh > 0 ? next_id : next_id - 1 + i,
			                                      .kind = i == 0 ? MESSAGE_SOCKET_UDP : MESSAGE_SOCKET_PROXY,
			                                      .fresh = fresh > 0 };
		descriptors[i] = fresh > 0 ? bound(i == 0 ? SOCK_DGRAM : SOCK_STREAM) : -1;
	}
	heap_fails_after(allowed);
	enum message_status status = change_prepare(&world.context, &world.tunnel, &message, descriptors, fresh, &applied, detail);
	longest_step = 0;
	steps = 1;
	while (status == MESSAGE_STATUS_OK && change_is_preparing(world.tunnel)) {
		double start = now_ms();
		steps++;
		status = change_prepare_more(&world.tunnel, detail);
		longest_step = now_ms() - start > longest_step ? now_ms() - start : longest_step;
	}
	heap_works();
	for (size_t i = 0; i < fresh; i++)
		if (descriptors[i] >= 0)
			close(descriptors[i]);
	message_prepare_clear(&message);
	if (status != MESSAGE_STATUS_OK && fresh > 0)
		next_id -= 2;
	return status;
}

static size_t descriptors_open(void)
{
	size_t count = 0;
	for (int i = 0; i < 256; i++)
		count += dup2(i, i) == i;
	return count;
}

/* Prepares with ever more memory until it succeeds; before that nothing of what runs is touched. Then commits with none. */
static unsigned change(const struct wish *wish)
{
	const struct wireguard_peer *peer = world.tunnel == NULL ? NULL : world.tunnel->peers[0]->peer;
	size_t slots = wireguard_arena_used(), descriptors = descriptors_open(), count = peer == NULL ? 0 : world.tunnel->peer_count;
	unsigned allowed = 0;
	while (prepare(wish, allowed) != MESSAGE_STATUS_OK) {
		assert_int_equal(wireguard_arena_used(), slots);
		assert_int_equal(descriptors_open(), descriptors);
		allowed++;
		if (peer == NULL) {
			assert_null(world.tunnel);
			continue;
		}
		assert_int_equal(world.tunnel->generation, world.generation);
		assert_int_equal(world.tunnel->peer_count, count);
		assert_ptr_equal(world.tunnel->peers[0]->peer, peer);
		assert_null(world.tunnel->prepared_change);
		assert_true(allowed < 5000);
	}
	assert_true(change_is_prepared(world.tunnel, world.generation + 1));
	heap_fails_after(0);
	change_commit(world.tunnel);
	assert_int_equal(heap_refused(), 0);
	heap_works();
	tunnel_begin(world.tunnel);
	assert_int_equal(world.tunnel->generation, ++world.generation);
	assert_int_equal(world.tunnel->peer_count, wish->peer_count);
	loop_end_turn(world.context.loop);
	return allowed;
}

static void check(const struct wish *wish)
{
	for (unsigned i = 0; i < wish->peer_count; i++) {
		const struct tunnel_peer *peer = world.tunnel->peers[i];
		assert_memory_equal(wireguard_peer_public_key(peer->peer), &world.publics[wish->first_peer + i], 32);
		assert_ptr_equal(tunnel_peer_find(world.tunnel, &world.publics[wish->first_peer + i]), peer);
		assert_true(peer->has_address && peer->addresses != NULL && peer->addresses->count == 2);
	}
	assert_non_null(world.tunnel->udp);
	assert_non_null(world.tunnel->listeners);
	assert_non_null(world.tunnel->probe);
	assert_non_null(world.tunnel->forwards);
}

static const struct wish first = { .peer_count = 8, .mtu = 1420, .forward = "web", .has_new_sockets = true };

static void a_tunnel_is_made_whole_or_not_at_all(void **state)
{
	(void)state;
	assert_in_range(change(&first), 30, 4999);
	check(&first);
}

static void a_change_in_place_is_done_whole_or_not_at_all(void **state)
{
	(void)state;
	struct wish other = { .first_peer = 4, .peer_count = 33, .networks = 7, .preshared = 3, .mtu = 1420, .forward = "other", .dns = "other" };
	change(&first);
	assert_in_range(change(&other), 30, 4999);
	check(&other);
	assert_in_range(change(&first), 10, 4999);
	check(&first);
}

static void another_key_and_stack_come_whole_or_not_at_all(void **state)
{
	(void)state;
	struct wish other = { .peer_count = 16, .mtu = 1300, .forward = "web", .has_new_key = true, .has_new_sockets = true };
	change(&first);
	assert_in_range(change(&other), 30, 4999);
	check(&other);
}

/* What is given up leaves nothing, and a tunnel that the worker does not hold is not made of less than all of its sockets. */
static void what_is_aborted_leaves_nothing(void **state)
{
	(void)state;
	struct wish other = { .first_peer = 2, .peer_count = 20, .networks = 3, .mtu = 1420, .forward = "other", .has_new_sockets = true };
	struct wish held = { .peer_count = 8, .mtu = 1420, .forward = "web" };
	assert_int_equal(prepare(&held, 100000), MESSAGE_STATUS_UNKNOWN);
	assert_null(world.tunnel);
	change(&first);
	size_t slots = wireguard_arena_used(), descriptors = descriptors_open();
	assert_int_equal(prepare(&other, 100000), MESSAGE_STATUS_OK);
	assert_false(change_abort(world.tunnel, world.generation + 1));
	assert_int_equal(wireguard_arena_used(), slots);
	assert_int_equal(descriptors_open(), descriptors);
	check(&first);
	change(&other);
	check(&other);
}

/* What 4,096 peers with 65,000 allowed IPs cost a worker. The times, of its thread alone, are printed, and no limit. */
static void many_peers_are_taken(void **state)
{
	(void)state;
	static const struct wish many = { .peer_count = MANY, .networks = 9, .mtu = 1420, .forward = "web", .networks_each = 16 };
	change(&first);
	for (int i = 0; i < 2; i++) {
		double start = now_ms();
		assert_int_equal(prepare(&many, UINT32_MAX), MESSAGE_STATUS_OK);
		double prepared = now_ms();
		change_commit(world.tunnel);
		double committed = now_ms();
		tunnel_begin(world.tunnel);
		double begun = now_ms();
		loop_end_turn(world.context.loop);
		world.generation++;
		print_message("%s: prepared in %.1f ms, in steps of up to %.1f ms, committed in %.1f ms, begun in %.1f ms, settled in %.1f ms\n",
		              i == 0 ? "new" : "again", prepared - start, longest_step, committed - prepared, begun - committed, now_ms() - begun);
	}
}

/* Initiations that no peer has answered. */
static unsigned sent(void)
{
	unsigned count = 0;
	for (size_t i = 0; i < world.tunnel->peer_count; i++)
		count += tunnel_peer_stats(world.tunnel->peers[i]).unanswered;
	return count;
}

static void have_many(const struct wish *many)
{
	change(&first);
	assert_int_equal(prepare(many, UINT32_MAX), MESSAGE_STATUS_OK);
	change_commit(world.tunnel);
	world.generation++;
	while (change_clean(world.tunnel))
		;
}

/* Whatever makes thousands of peers begin, a turn of the worker begins with a few. */
static void many_peers_begin_in_bounded_turns(void **state)
{
	static const struct wish many = { .first_peer = 8, .peer_count = MANY - 8, .networks = 9, .mtu = 1420, .forward = "web" };
	(void)state;
	have_many(&many);
	tunnel_begin(world.tunnel);
	assert_int_equal(sent(), 8);
	health_wanted(world.tunnel);
	assert_int_equal(sent(), 16);
	/* More clients at the same time want nothing that was not wanted. */
	health_wanted(world.tunnel);
	assert_int_equal(sent(), 16);
	world.tunnel->health.wanted_until = 0;
	health_wanted(world.tunnel);
	assert_int_equal(sent(), 24);
	/* What was sent before is forgotten with the sessions. */
	tunnel_reconnect(world.tunnel);
	assert_int_equal(sent(), 8);
}

/* A worker that was kept from running finds the pauses of all peers over. */
static void retries_of_many_peers_are_bounded_in_a_turn(void **state)
{
	enum { PEERS = MANY / 16 };
	static const struct wish many = { .first_peer = 8, .peer_count = PEERS, .networks = 9, .mtu = 1420, .forward = "web" };
	(void)state;
	have_many(&many);
	uint64_t now = loop_now(world.context.loop);
	for (unsigned i = 0; i < PEERS; i++)
		world.tunnel->peers[i]->health.retry_at = now;
	health_due_by(world.tunnel, now);
	for (unsigned tick = 1; tick <= PEERS / 8; tick++) {
		assert_true(health_deadline(world.tunnel) <= now);
		health_tick(world.tunnel, now);
		assert_int_equal(sent(), 8 * tick);
	}
	assert_true(health_deadline(world.tunnel) > now);
}

/* How many steps it takes to free what a commit has replaced; none of them wipes the keys of more than 256 peers. */
static size_t clean(void)
{
	size_t count = 1;
	for (bool more = true; more; count++) {
		size_t before = wireguard_arena_used();
		more = change_clean(world.tunnel);
		assert_in_range(before - wireguard_arena_used(), 0, 256 * WIREGUARD_PEER_SLOTS);
	}
	return count;
}

/* What thousands of peers cost is spread over steps, each of which is bounded in its work. */
static void other_peers_replace_many_in_bounded_steps(void **state)
{
	(void)state;
	static const struct wish many = { .peer_count = MANY / 2, .networks = 9, .mtu = 1420, .forward = "web", .networks_each = 16 };
	static const struct wish others = {
		.first_peer = MANY / 2, .peer_count = MANY / 2, .networks = 9, .mtu = 1420, .forward = "web", .networks_each = 16
	};
	change(&first);
	assert_int_equal(prepare(&many, UINT32_MAX), MESSAGE_STATUS_OK);
	assert_in_range(steps, MANY / 2 / 16, MANY / 2);
	change_commit(world.tunnel);
	world.generation++;
	assert_int_equal(clean(), 2);
	size_t slots = wireguard_arena_used();
	assert_int_equal(prepare(&others, UINT32_MAX), MESSAGE_STATUS_OK);
	size_t both = wireguard_arena_used();
	change_commit(world.tunnel);
	world.generation++;
	/* Those that are gone are not known any more, before their memory is freed. */
	assert_int_equal(world.tunnel->peer_count, MANY / 2);
	assert_null(tunnel_peer_find(world.tunnel, &world.publics[0]));
	assert_false(change_is_prepared(world.tunnel, world.generation));
	assert_in_range(both - wireguard_arena_used(), 0, MANY / 2 + 256 * WIREGUARD_PEER_SLOTS); /* keys of the update, and one step */
	assert_in_range(clean(), MANY / 2 / 256, 3 * MANY / 256);
	assert_int_equal(wireguard_arena_used(), slots);
	assert_null(world.tunnel->prepared_change);
}

/* One peer may have as many networks as all others together. */
static void networks_of_one_peer_are_prepared_in_bounded_steps(void **state)
{
	(void)state;
	static const struct wish one = { .peer_count = 1, .networks = 9, .mtu = 1420, .forward = "web", .networks_each = 65536 };
	change(&first);
	assert_int_equal(prepare(&one, UINT32_MAX), MESSAGE_STATUS_OK);
	assert_in_range(steps, 65536 / 1024, 65536 / 1024 + 2);
	change_commit(world.tunnel);
	world.generation++;
	(void)clean();
}

static void many_peers_are_removed_in_bounded_steps(void **state)
{
	(void)state;
	static const struct wish many = { .peer_count = MANY / 2, .networks = 9, .mtu = 1420, .forward = "web", .networks_each = 16 };
	size_t count = 1;
	change(&first);
	assert_int_equal(prepare(&many, UINT32_MAX), MESSAGE_STATUS_OK);
	change_commit(world.tunnel);
	(void)clean();
	struct tunnel *tunnel = world.tunnel;
	world.tunnel = NULL;
	change_end(tunnel);
	for (bool more = true; more; count++) {
		size_t before = wireguard_arena_used();
		more = change_free(tunnel);
		assert_in_range(before - wireguard_arena_used(), 0, 256 * WIREGUARD_PEER_SLOTS + WIREGUARD_DEVICE_SLOTS);
	}
	assert_in_range(count, MANY / 2 / 256, 3 * MANY / 256);
	assert_int_equal(wireguard_arena_used(), 0);
}

/* Their sessions are told in one turn, which takes a millisecond, and the keys are wiped in others. */
static void many_peers_are_handed_over_in_bounded_steps(void **state)
{
	static const struct wish many = { .peer_count = MANY / 2, .networks = 9, .mtu = 1420, .forward = "web", .networks_each = 16 };
	size_t count = 1;
	(void)state;
	have_many(&many);
	tunnel_begin(world.tunnel);
	struct tunnel *tunnel = world.tunnel;
	world.tunnel = NULL;
	size_t before = wireguard_arena_used();
	change_hand_over(tunnel);
	assert_in_range(before - wireguard_arena_used(), 0, 256);
	for (bool more = true; more; count++) {
		before = wireguard_arena_used();
		more = change_free(tunnel);
		assert_in_range(before - wireguard_arena_used(), 0, 256 * WIREGUARD_PEER_SLOTS + WIREGUARD_DEVICE_SLOTS);
	}
	assert_in_range(count, MANY / 2 / 256, 3 * MANY / 256);
	assert_int_equal(wireguard_arena_used(), 0);
}

static int set_up(void **state)
{
	world.generation = 0;
	world.tunnel = NULL;
	return start(state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, stop)
	const struct CMUnitTest tests[] = {
		TEST(a_tunnel_is_made_whole_or_not_at_all),
		TEST(a_change_in_place_is_done_whole_or_not_at_all),
		TEST(another_key_and_stack_come_whole_or_not_at_all),
		TEST(what_is_aborted_leaves_nothing),
		TEST(other_peers_replace_many_in_bounded_steps),
		TEST(networks_of_one_peer_are_prepared_in_bounded_steps),
		TEST(many_peers_are_removed_in_bounded_steps),
		TEST(many_peers_are_handed_over_in_bounded_steps),
		TEST(many_peers_begin_in_bounded_turns),
		TEST(retries_of_many_peers_are_bounded_in_a_turn),
		TEST(many_peers_are_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
