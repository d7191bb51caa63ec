/* Fragments are put together, in bounded memory and time; what overlaps or cannot be is thrown away whole (RFC 5722, 4). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/socket.h>

#include "netstack/packet/budget.h"
#include "netstack/fragments.h"
#include "netstack/netstack.h"
#include "tests/failing_heap.h"

#define LIMIT ((size_t)64 << 20)
#define SECOND 1000000000ull

static struct budget budget;
static struct retired retired;
static struct fragments *fragments;
static uint8_t payload[65536];
static struct packet whole;
static uint64_t now;

static int start(void **state)
{
	(void)state;
	budget_start(LIMIT);
	budget = (struct budget){ 0 };
	retired = (struct retired){ .budget = &budget };
	fragments = fragments_create(&budget);
	now = 100 * SECOND;
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 2654435761u >> 11);
	return 0;
}

static int end(void **state)
{
	(void)state;
	heap_works();
	fragments_free(fragments);
	retired_free_all(&retired);
	return budget_used() == 0 ? 0 : -1;
}

static bool add_of(uint8_t family, uint32_t identification, size_t offset, size_t length, bool more)
{
	static const uint8_t source[16] = { 10, 0, 0, 1 }, target[16] = { 10, 0, 0, 2 };
	const struct packet fragment = {
		.source = source,
		.target = target,
		.payload = payload + offset,
		.payload_length = length,
		.family = family,
		.protocol = PACKET_UDP,
		.is_fragment = true,
		.identification = identification,
		.offset = offset,
		.more = more,
	};
	return fragments_add(fragments, &fragment, &whole, &retired, now);
}

static bool add(uint32_t identification, size_t offset, size_t length, bool more)
{
	return add_of(AF_INET, identification, offset, length, more);
}

static void expect_whole(size_t length)
{
	assert_int_equal(whole.payload_length, length);
	assert_memory_equal(whole.payload, payload, length);
	assert_int_equal(whole.protocol, PACKET_UDP);
}

static void pieces_in_any_order_make_the_datagram(void **state)
{
	const size_t orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	const uint8_t families[] = { AF_INET, AF_INET6 };

	(void)state;
	for (size_t f = 0; f < 2; f++) {
		for (uint32_t i = 0; i < 6; i++) {
			for (size_t k = 0; k < 3; k++) {
				size_t at = orders[i][k];
				assert_int_equal(add_of(families[f], i, at * 800, at == 2 ? 333 : 800, at < 2), k == 2);
			}
			expect_whole(1933);
			assert_int_equal(whole.family, families[f]);
		}
	}
	assert_int_equal(fragments_deadline(fragments), NETSTACK_NEVER);
}

static void datagrams_are_told_apart(void **state)
{
	(void)state;
	assert_false(add(1, 0, 800, true));
	assert_false(add(2, 800, 8, false));
	assert_false(add_of(AF_INET6, 1, 800, 8, false));
	assert_true(add(1, 800, 16, false));
	expect_whole(816);
	assert_true(add(2, 0, 800, true));
	expect_whole(808);
}

/* After 0-800 of several: the first piece is there. */
static void what_cannot_be_is_thrown_away_whole(void **state)
{
	const struct {
		size_t offset, length;
		bool more, is_harmless; /* the rest still comes about */
	} cases[] = {
		{ 0, 800, true, true },      /* a double */
		{ 792, 800, true, false },   /* an overlap */
		{ 0, 808, true, false },     /* a longer first */
		{ 8, 8, true, false },       /* inside */
		{ 1600, 801, true, true },   /* not of eight bytes, with more to come: none at all */
		{ 1600, 0, true, true },     /* empty */
		{ 65400, 200, false, true }, /* behind the longest datagram */
	};

	(void)state;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_false(add(i, 0, 800, true));
		assert_false(add(i, cases[i].offset, cases[i].length, cases[i].more));
		assert_false(add(i, 1600, 100, false));
		assert_int_equal(add(i, 800, 800, true), cases[i].is_harmless);
		now += 20 * SECOND;
	}
}

static void an_end_before_what_came_is_thrown_away(void **state)
{
	(void)state;
	assert_false(add(1, 1600, 800, true));
	assert_false(add(1, 800, 100, false));
	assert_int_equal(fragments_deadline(fragments), NETSTACK_NEVER);
	assert_false(add(2, 1600, 800, false));
	assert_false(add(2, 3200, 800, false)); /* a second end */
	assert_int_equal(fragments_deadline(fragments), NETSTACK_NEVER);
	assert_false(add(3, 1600, 800, false));
	assert_false(add(3, 2400, 800, true)); /* more behind the end */
	assert_int_equal(fragments_deadline(fragments), NETSTACK_NEVER);
}

static void a_datagram_waits_for_fifteen_seconds(void **state)
{
	(void)state;
	assert_false(add(1, 0, 800, true));
	now += SECOND;
	assert_false(add(2, 0, 800, true));
	assert_int_equal(fragments_deadline(fragments), now + 14 * SECOND);
	fragments_expire(fragments, now + 14 * SECOND - 1);
	assert_int_equal(fragments_deadline(fragments), now + 14 * SECOND);
	fragments_expire(fragments, now + 14 * SECOND);
	assert_int_equal(fragments_deadline(fragments), now + 15 * SECOND);
	now += 14 * SECOND;
	assert_false(add(1, 800, 100, false)); /* too late */
	assert_true(add(2, 800, 100, false));
}

/* P6: four datagrams at a time, the oldest gives way; 64 pieces each. */
static void datagrams_and_pieces_are_bounded(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 5; i++, now++)
		assert_false(add(i, 0, 800, true));
	assert_true(budget.used <= 4 * 66000);
	for (uint32_t i = 1; i < 5; i++)
		assert_true(add(i, 800, 100, false));
	assert_false(add(0, 800, 100, false));
	retired_free_all(&retired);
	for (size_t i = 1; i < 65; i++)
		assert_false(add(9, 8 * i, 8, true));
	assert_false(add(9, 0, 8, true)); /* the 65th */
	assert_false(add(9, 520, 8, false));
}

/* The longest: 65,535 bytes with the header of IPv4. */
static void the_longest_datagram_fits(void **state)
{
	(void)state;
	assert_false(add(1, 0, 65512, true));
	assert_false(add(1, 65512, 4, false)); /* a byte more than there may be */
	assert_true(add(1, 65512, 3, false));
	expect_whole(65515);
}

/* F1 and P6; and what is whole takes no more than its bytes. */
static void without_room_nothing_is_kept(void **state)
{
	(void)state;
	heap_fails_after(0);
	assert_null(fragments_create(&budget));
	assert_false(add(1, 0, 800, true));
	heap_works();
	budget_charge(&budget, LIMIT);
	assert_false(add(1, 0, 800, true));
	budget_release(&budget, LIMIT);
	assert_int_equal(budget.used, 0);
	assert_false(add(1, 0, 800, true));
	assert_true(add(1, 800, 8, false));
	assert_in_range(budget.used, 808, 1000);
	heap_fails_after(0);
	retired_free_all(&retired);
	heap_works();
	assert_false(add(2, 0, 800, true));
	heap_fails_after(0); /* it cannot be cut, and is whole all the same */
	assert_true(add(2, 800, 8, false));
	heap_works();
	expect_whole(808);
	fragments_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pieces_in_any_order_make_the_datagram, start, end),
		cmocka_unit_test_setup_teardown(datagrams_are_told_apart, start, end),
		cmocka_unit_test_setup_teardown(what_cannot_be_is_thrown_away_whole, start, end),
		cmocka_unit_test_setup_teardown(an_end_before_what_came_is_thrown_away, start, end),
		cmocka_unit_test_setup_teardown(a_datagram_waits_for_fifteen_seconds, start, end),
		cmocka_unit_test_setup_teardown(datagrams_and_pieces_are_bounded, start, end),
		cmocka_unit_test_setup_teardown(the_longest_datagram_fits, start, end),
		cmocka_unit_test_setup_teardown(without_room_nothing_is_kept, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
