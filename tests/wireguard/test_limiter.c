/* The limiter (W25), and the rule by which a device is under load. */
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/link.h"
#include "tunnel/wireguard/limiter.h"
#include "tunnel/wireguard/load.h"

static const uint8_t key[16] = { 1, 2, 3 };

/* The kernel's table: what is asked after so many milliseconds is answered like this. */
static const struct {
	bool is_allowed;
	unsigned wait;
} expected[] = {
	{ true, 0 },  { true, 0 },  { true, 0 },   { true, 0 }, { true, 0 },  { false, 0 },
	{ true, 50 }, { false, 0 }, { true, 100 }, { true, 0 }, { false, 0 },
};

static void test_w25_the_kernels_table(void **state)
{
	struct wireguard_limiter *limiter = wireguard_limiter_create(key);
	uint64_t now = 5 * SECOND;
	(void)state;

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		union wireguard_endpoint v4 = link_ipv4(0x7f000001, (uint16_t)(1000 + i));   /* the port does not matter */
		union wireguard_endpoint v6 = link_ipv6(UINT64_C(0x20010db800000001), i, 7); /* nor the lower half of an IPv6 address */
		union wireguard_endpoint other = link_ipv6(UINT64_C(0x20010db800000002), i, 7);
		now += expected[i].wait * MILLISECOND;
		assert_int_equal(wireguard_limiter_allow(limiter, &v4, now), expected[i].is_allowed);
		assert_int_equal(wireguard_limiter_allow(limiter, &v6, now), expected[i].is_allowed);
		assert_int_equal(wireguard_limiter_allow(limiter, &other, now), expected[i].is_allowed);
	}
	wireguard_limiter_free(limiter);
}

static void test_w25_full_table_refuses_only_new_sources(void **state)
{
	struct wireguard_limiter *limiter = wireguard_limiter_create(key);
	union wireguard_endpoint from;
	(void)state;

	for (uint32_t i = 0; i < WIREGUARD_LIMITER_CAPACITY; i++) {
		from = link_ipv4(i, 1);
		assert_true(wireguard_limiter_allow(limiter, &from, SECOND));
	}
	for (uint32_t i = 0; i < 100; i++) {
		from = link_ipv4(WIREGUARD_LIMITER_CAPACITY + i, 1);
		assert_false(wireguard_limiter_allow(limiter, &from, SECOND));
	}
	from = link_ipv4(77, 1);
	assert_true(wireguard_limiter_allow(limiter, &from, 3 * SECOND / 2));
	assert_true(wireguard_limiter_sweep(limiter, 2 * SECOND)); /* the last one is left */
	for (uint32_t i = 0; i < WIREGUARD_LIMITER_CAPACITY - 1; i++) {
		from = link_ipv4(1000000 + i, 1);
		assert_true(wireguard_limiter_allow(limiter, &from, 2 * SECOND));
	}
	from = link_ipv4(1, 1);
	assert_false(wireguard_limiter_allow(limiter, &from, 2 * SECOND));
	assert_false(wireguard_limiter_sweep(limiter, 4 * SECOND));
	wireguard_limiter_free(limiter);
}

/* The naive model counts when a source's next handshake is due in theory (GCRA), which is the same rule told another way. */
static void test_w25_two_million_steps_against_a_model(void **state)
{
	enum { SOURCES = 3000, STEPS = 2000000 };
	struct wireguard_limiter *limiter = wireguard_limiter_create(key);
	uint64_t *theoretical = calloc(SOURCES, sizeof(*theoretical)), now = SECOND, random = 3, swept = now, wrong = 0, allowed = 0;
	(void)state;

	for (unsigned i = 0; i < STEPS; i++) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		unsigned source = (unsigned)(random >> 40) % (random >> 60 == 0 ? SOURCES : 20);
		now += random >> 33 & 0x3fffff; /* 2 ms on average */
		if (now - swept >= SECOND) {
			wireguard_limiter_sweep(limiter, now);
			swept = now;
		}
		union wireguard_endpoint from = source % 2 == 0 ? link_ipv4(source, 1) : link_ipv6(source, random, 1);
		uint64_t due = theoretical[source] > now ? theoretical[source] : now;
		bool is_allowed = due <= now + 4 * 50 * MILLISECOND;
		if (is_allowed)
			theoretical[source] = due + 50 * MILLISECOND;
		wrong += wireguard_limiter_allow(limiter, &from, now) != is_allowed;
		allowed += is_allowed;
	}
	assert_int_equal(wrong, 0);
	assert_in_range(allowed, STEPS / 10, STEPS - STEPS / 10);
	free(theoretical);
	wireguard_limiter_free(limiter);
}

static void no_random(void *owner, void *bytes, size_t length)
{
	(void)owner;
	memset(bytes, 9, length);
}

static void test_w23_load_is_an_eighth_of_the_queue_and_sticks_for_a_second(void **state)
{
	struct wireguard_env env = { .random = no_random };
	struct wireguard_load load;
	uint64_t now = 100 * SECOND;
	(void)state;

	wireguard_load_init(&load, &env);
	for (unsigned i = 0; i < WIREGUARD_LOAD_HIGH; i++) {
		assert_false(wireguard_load_is_high(&load, true, now));
		assert_true(wireguard_load_enter(&load, true, now));
	}
	assert_true(wireguard_load_is_high(&load, true, now));
	assert_true(wireguard_load_is_high(&load, true, now + SECOND - 1));
	assert_false(wireguard_load_is_high(&load, true, now + SECOND));

	/* 500 a second go on for ever. */
	for (now += 10 * SECOND; now < 200 * SECOND; now += 2 * MILLISECOND) {
		assert_false(wireguard_load_is_high(&load, true, now));
		assert_true(wireguard_load_enter(&load, true, now));
	}
	/* And no more than the queue holds at once. */
	unsigned entered = 0;
	while (wireguard_load_enter(&load, true, now))
		entered++;
	assert_in_range(entered, WIREGUARD_LOAD_QUEUE - 1, WIREGUARD_LOAD_QUEUE);
	wireguard_load_clear(&load);
}

static void test_w23_devices_share_a_queue_of_initiations(void **state)
{
	struct wireguard_env env = { .random = no_random };
	struct wireguard_load_queue shared = { 0 };
	struct wireguard_load loads[8];
	uint64_t now = 100 * SECOND;
	unsigned entered = 0, own = 0;
	(void)state;

	for (unsigned i = 0; i < 8; i++) {
		wireguard_load_init(&loads[i], &env);
		loads[i].shared = &shared;
	}
	/* One device alone fills its own queue and leaves the others room. */
	while (wireguard_load_enter(&loads[0], true, now))
		own++;
	assert_in_range(own, WIREGUARD_LOAD_QUEUE - 1, WIREGUARD_LOAD_QUEUE);
	assert_true(wireguard_load_is_high(&loads[7], true, now)); /* but asks for cookies everywhere */
	assert_false(wireguard_load_is_high(&loads[7], false, now));
	for (unsigned i = 1; i < 8; i++)
		while (wireguard_load_enter(&loads[i], true, now))
			entered++;
	assert_in_range(own + entered, WIREGUARD_LOAD_SHARED * WIREGUARD_LOAD_QUEUE - 1, WIREGUARD_LOAD_SHARED * WIREGUARD_LOAD_QUEUE);
	/* A response has its place all the same. */
	assert_true(wireguard_load_enter(&loads[7], false, now));
}

static void test_w25_limiter_is_there_only_while_it_is_needed(void **state)
{
	struct wireguard_env env = { .random = no_random };
	struct wireguard_load load;
	union wireguard_endpoint from = link_ipv4(1, 1);
	(void)state;

	wireguard_load_init(&load, &env);
	assert_true(load.sweep_at == WIREGUARD_NEVER);
	assert_true(wireguard_load_allow(&load, &from, SECOND));
	assert_true(load.sweep_at == 2 * SECOND);
	assert_true(wireguard_load_allow(&load, &from, SECOND + 1));
	wireguard_load_sweep(&load, 2 * SECOND);
	assert_non_null(load.limiter);
	assert_true(load.sweep_at == 3 * SECOND);
	wireguard_load_sweep(&load, 3 * SECOND);
	assert_null(load.limiter);
	assert_true(load.sweep_at == WIREGUARD_NEVER);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_w25_the_kernels_table),
		cmocka_unit_test(test_w25_full_table_refuses_only_new_sources),
		cmocka_unit_test(test_w25_two_million_steps_against_a_model),
		cmocka_unit_test(test_w23_load_is_an_eighth_of_the_queue_and_sticks_for_a_second),
		cmocka_unit_test(test_w23_devices_share_a_queue_of_initiations),
		cmocka_unit_test(test_w25_limiter_is_there_only_while_it_is_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
