/* Keys are only in the arena, and nowhere once they are no longer needed (W15). */
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/link.h"

/* What a test looks for. Kept inverted, so that the list itself is never found. */
static uint8_t wanted[64][32];
static unsigned wanted_count;

/* In a frame of its own, which forget_stack wipes. */
static __attribute__((noinline)) void want(const uint8_t key[32])
{
	static const uint8_t zero[32];

	if (memcmp(key, zero, sizeof(zero)) == 0)
		return;
	assert_true(wanted_count < 64);
	for (unsigned i = 0; i < 32; i++)
		wanted[wanted_count][i] = (uint8_t)~key[i];
	wanted_count++;
}

static bool holds(const uint8_t *begin, const uint8_t *end)
{
	for (const uint8_t *at = begin; at + 32 <= end; at++)
		for (unsigned w = 0; w < wanted_count; w++) {
			unsigned same = 0;
			while (same < 32 && (at[same] ^ wanted[w][same]) == 0xff)
				same++;
			if (same == 32)
				return true;
		}
	return false;
}

enum where { ARENA, ELSEWHERE };

/* Looks through all writable memory of the process. */
static bool memory_holds(enum where where)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	struct {
		uintptr_t begin, end;
		bool is_arena;
	} regions[512];
	union wireguard_secrets *slot;
	unsigned count = 0;
	char line[512], mode[5];
	unsigned long begin, end;

	assert_non_null(maps);
	assert_int_equal(wireguard_arena_acquire(&slot, 1), 0);
	setvbuf(maps, NULL, _IONBF, 0);
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%lx-%lx %4s", &begin, &end, mode) != 3 || mode[0] != 'r' || mode[1] != 'w')
			continue;
		assert_true(count < 512);
		regions[count].begin = begin;
		regions[count].end = end;
		regions[count++].is_arena = (uintptr_t)slot >= begin && (uintptr_t)slot < end;
	}
	fclose(maps);
	wireguard_arena_release(&slot, 1);
	for (unsigned i = 0; i < count; i++)
		if (regions[i].is_arena == (where == ARENA) && holds((const uint8_t *)regions[i].begin, (const uint8_t *)regions[i].end))
			return true;
	return false;
}

static void want_secrets(const struct wireguard_peer *peer)
{
	for (unsigned slot = 0; slot < WIREGUARD_PEER_SLOTS; slot++) {
		want(peer->slots[slot]->session.sending);
		want(peer->slots[slot]->session.receiving);
	}
}

static __attribute__((noinline)) void forget_stack(void)
{
	volatile uint8_t below[65536];

	for (size_t i = 0; i < sizeof(below); i++)
		below[i] = 0;
}

static bool can_scan(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return false;
#else
#ifdef __has_feature
	if (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer))
		return false;
#endif
	return getenv("LD_PRELOAD") == NULL; /* valgrind */
#endif
}

static void need_scan(void)
{
	if (can_scan())
		return;
	print_message("skipped: this build's memory is too large to look through\n");
	skip();
}

static void test_w15_keys_are_in_the_arena_alone(void **state)
{
	(void)state;
	need_scan();
	wanted_count = 0;
	struct link *link = link_create(2);
	struct wireguard_key key;
	randombytes_buf(key.bytes, sizeof(key.bytes));
	assert_int_equal(config_set_private_key(link->nodes[0].device, &key, link->now), 0);
	want(key.bytes);
	sodium_memzero(&key, sizeof(key));
	link_join(link, 0, 1);
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	want_secrets(link_peer(link, 0, 1)); /* the static secret, the ephemeral key and the chaining key */
	link_run(link, SECOND);
	for (unsigned node = 0; node < 2; node++)
		want_secrets(link_peer(link, node, 1 - node)); /* and the session's */
	assert_true(wanted_count >= 8);
	forget_stack();
	assert_true(memory_holds(ARENA));
	assert_false(memory_holds(ELSEWHERE));
	link_free(link);
	forget_stack();
	assert_false(memory_holds(ARENA));
	assert_false(memory_holds(ELSEWHERE));
}

/* Every way in which keys end: they are found before, and not after. */
static void sessions_are_gone(void (*end)(struct link *link))
{
	need_scan();
	wanted_count = 0;
	struct link *link = link_create(2);
	link_join(link, 0, 1);
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	want(link_peer(link, 0, 1)->slots[WIREGUARD_PEER_HANDSHAKE]->handshake.ephemeral);
	want(link_peer(link, 0, 1)->slots[WIREGUARD_PEER_HANDSHAKE]->handshake.chaining_key);
	assert_true(memory_holds(ARENA));
	link_run(link, SECOND);
	assert_false(memory_holds(ARENA)); /* the handshake ends with its session */
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned node = 0; node < 2; node++)
			for (unsigned slot = WIREGUARD_PEER_SESSIONS; slot < WIREGUARD_PEER_SLOTS; slot++) {
				want(link_peer(link, node, 1 - node)->slots[slot]->session.sending);
				want(link_peer(link, node, 1 - node)->slots[slot]->session.receiving);
			}
		link_run(link, 10 * SECOND);
		wireguard_peer_initiate(link_peer(link, 1, 0), link->now);
		link_run(link, SECOND);
	}
	assert_true(memory_holds(ARENA));
	end(link);
	forget_stack();
	assert_false(memory_holds(ARENA));
	assert_false(memory_holds(ELSEWHERE));
	link_free(link);
}

static void end_by_time(struct link *link)
{
	link_run(link, 540 * SECOND);
}

static void end_by_reconnect(struct link *link)
{
	link->is_cut = true;
	wireguard_peer_reconnect(link_peer(link, 0, 1), link->now);
	wireguard_peer_reconnect(link_peer(link, 1, 0), link->now);
}

static void end_by_removal(struct link *link)
{
	wireguard_peer_remove(link_peer(link, 0, 1));
	wireguard_peer_remove(link_peer(link, 1, 0));
}

static void end_by_new_keys(struct link *link)
{
	struct wireguard_key key;

	link->is_cut = true;
	for (unsigned node = 0; node < 2; node++) {
		randombytes_buf(key.bytes, sizeof(key.bytes));
		assert_int_equal(config_set_private_key(link->nodes[node].device, &key, link->now), 0);
	}
}

static void test_w15_sessions_end_by_time(void **state)
{
	(void)state;
	sessions_are_gone(end_by_time);
}

static void test_w15_sessions_end_by_reconnect(void **state)
{
	(void)state;
	sessions_are_gone(end_by_reconnect);
}

static void test_w15_sessions_end_by_removal(void **state)
{
	(void)state;
	sessions_are_gone(end_by_removal);
}

static void test_w15_sessions_end_by_new_keys(void **state)
{
	(void)state;
	sessions_are_gone(end_by_new_keys);
}

static void test_w15_handshake_ends_with_giving_up(void **state)
{
	(void)state;
	need_scan();
	wanted_count = 0;
	struct link *link = link_create(2);
	link_join(link, 0, 1);
	link->is_cut = true;
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	link_run(link, 92 * SECOND);
	want(link_peer(link, 0, 1)->slots[WIREGUARD_PEER_HANDSHAKE]->handshake.ephemeral);
	want(link_peer(link, 0, 1)->slots[WIREGUARD_PEER_HANDSHAKE]->handshake.chaining_key);
	assert_int_equal(wanted_count, 2);
	assert_true(memory_holds(ARENA));
	link_run(link, 20 * SECOND);
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_GAVE_UP], 1);
	forget_stack();
	assert_false(memory_holds(ARENA));
	assert_false(memory_holds(ELSEWHERE));
	link_free(link);
}

static void test_arena_gives_all_or_nothing(void **state)
{
	union wireguard_secrets *slots[10];
	struct wireguard_key key = { { 1 } };
	(void)state;

	wireguard_stop();
	assert_int_equal(wireguard_start(0, false), 0);
	/* One device with one peer is always possible, and so is another key of it; without slots a peer is refused and nothing is left behind. */
	assert_int_equal(wireguard_arena_acquire(slots, 10), WIREGUARD_OUT_OF_MEMORY);
	struct link *link = link_create(1);
	struct wireguard_peer_config config = { .public_key.bytes = { 9, 1 } }, other = { .public_key.bytes = { 9, 2 } };
	struct wireguard_peer *peer;
	assert_int_equal(config_add(link->nodes[0].device, &config, NULL, &peer, link->now), 0);
	assert_int_equal(config_set_private_key(link->nodes[0].device, &key, link->now), 0);
	assert_int_equal(wireguard_arena_acquire(slots, 1), 0);
	assert_int_equal(config_add(link->nodes[0].device, &other, NULL, &peer, link->now), WIREGUARD_OUT_OF_MEMORY);
	assert_null(wireguard_peer_find(link->nodes[0].device, &other.public_key));
	struct wireguard_device *device = NULL;
	static const uint8_t floor[12];
	assert_int_equal(wireguard_device_create(&device, &link->nodes[0].private_key, floor, &link->nodes[0].device->env), WIREGUARD_OUT_OF_MEMORY);
	assert_null(device);
	wireguard_arena_release(slots, 1);
	wireguard_peer_remove(peer);
	assert_int_equal(config_add(link->nodes[0].device, &other, NULL, &peer, link->now), 0);
	link_free(link);
	assert_int_equal(wireguard_arena_used(), 0);
	slots[0] = NULL;
	wireguard_arena_release(slots, 1);
	wireguard_stop();
	assert_int_equal(wireguard_start(SIZE_MAX / 2, false), WIREGUARD_OUT_OF_MEMORY);
	assert_int_equal(wireguard_start(16, false), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		link_test(test_w15_keys_are_in_the_arena_alone), link_test(test_w15_sessions_end_by_time),
		link_test(test_w15_sessions_end_by_reconnect),   link_test(test_w15_sessions_end_by_removal),
		link_test(test_w15_sessions_end_by_new_keys),    link_test(test_w15_handshake_ends_with_giving_up),
		link_test(test_arena_gives_all_or_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
