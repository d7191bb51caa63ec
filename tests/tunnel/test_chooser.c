/* Which member of a pool a connection gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/failing_heap.h"
#include "tunnel/pool/chooser.h"

#define MANY 10000

static const struct chooser_query any = { .group = CHOOSER_POOL };

/* The labels «K=V K=V …». */
static struct spec_label *labels_of(const char *text, size_t *count)
{
	struct spec_label *labels = calloc(strlen(text) + 1, sizeof(*labels));
	char *copy = strdup(text), *rest = copy;
	assert_non_null(labels);
	for (char *pair = strtok_r(copy, " ", &rest); pair != NULL; pair = strtok_r(NULL, " ", &rest)) {
		char *equals = strchr(pair, '=');
		labels[(*count)++] = (struct spec_label){ .key = strndup(pair, (size_t)(equals - pair)), .value = strdup(equals + 1) };
	}
	free(copy);
	return labels;
}

/* Numbered from 1, with the id t1 … */
static void put(struct chooser *chooser, uint32_t number, struct pool_member member, const char *labels)
{
	member.number = number;
	member.order = number;
	if (member.id[0] == '\0')
		snprintf(member.id, sizeof(member.id), "t%u", number);
	member.labels = labels_of(labels, &member.label_count);
	assert_true(chooser_put(chooser, &member));
	assert_null(member.labels);
}

/* Each has its number as its weight. */
static void put_weighted(struct chooser *chooser, uint32_t count)
{
	for (uint32_t i = 1; i <= count; i++)
		put(chooser, i, (struct pool_member){ .up = true, .weight = i }, "pool=p");
}

/* All members have the label pool=p. */
static struct chooser *make(enum spec_strategy strategy, struct spec_rule *rules, size_t rule_count)
{
	static const uint8_t hash_key[CHOOSER_HASH_KEY] = { 1 };
	struct spec_label label = { .key = (char *)(uintptr_t) "pool", .value = (char *)(uintptr_t) "p" };
	struct spec_pool pool = { .members = { .labels = &label, .label_count = 1 }, .strategy = strategy, .rules = rules, .rule_count = rule_count };
	struct chooser *chooser = chooser_create(hash_key, 1);
	assert_non_null(chooser);
	assert_true(chooser_configure(chooser, &pool));
	return chooser;
}

static uint32_t choose(struct chooser *chooser, const struct chooser_query *query)
{
	const struct pool_member *member = chooser_choose(chooser, query);
	if (member == NULL)
		return 0;
	assert_true(chooser_is_eligible(chooser, member->number, query));
	return member->number;
}

static uint32_t choose_named(struct chooser *chooser, const char *name)
{
	struct spec spec = { .user_count = 0 };
	struct user_name user;
	user_name_read(&user, name, strlen(name), &spec, chooser_label_keys(chooser));
	return choose(chooser, &(struct chooser_query){ .user = &user });
}

static void count_choices(struct chooser *chooser, unsigned *counts, size_t members, unsigned choices)
{
	memset(counts, 0, (members + 1) * sizeof(*counts));
	for (unsigned i = 0; i < choices; i++) {
		uint32_t number = choose(chooser, &any);
		assert_in_range(number, 1, members);
		counts[number]++;
	}
}

static void test_round_robin_is_exact_and_smooth(void **state)
{
	(void)state;
	static const uint32_t weights[] = { 5, 1, 1 }, expected[] = { 1, 1, 2, 1, 3, 1, 1 };
	struct chooser *chooser = make(SPEC_ROUND_ROBIN, NULL, 0);
	for (uint32_t i = 0; i < 3; i++)
		put(chooser, i + 1, (struct pool_member){ .up = true, .weight = weights[i] }, "pool=p");
	for (unsigned i = 0; i < 700; i++)
		assert_int_equal(choose(chooser, &any), expected[i % 7]);
	chooser_free(chooser);
}

static void test_weights_are_kept_within_a_turn(void **state)
{
	(void)state;
	struct chooser *chooser = make(SPEC_ROUND_ROBIN, NULL, 0);
	unsigned counts[101], total = 100 * 101 / 2;
	put_weighted(chooser, 100);
	count_choices(chooser, counts, 100, 2 * total);
	for (unsigned i = 1; i <= 100; i++)
		assert_int_equal(counts[i], 2 * i);
	chooser_free(chooser);
}

static void test_random_follows_the_weights(void **state)
{
	(void)state;
	struct chooser *chooser = make(SPEC_RANDOM, NULL, 0);
	unsigned counts[4];
	put_weighted(chooser, 3);
	count_choices(chooser, counts, 3, 6 * MANY);
	for (unsigned i = 1; i <= 3; i++)
		assert_in_range(counts[i], i * MANY * 97 / 100, i * MANY * 103 / 100);
	chooser_free(chooser);
}

static void test_least_connections_are_weighted_and_ties_take_turns(void **state)
{
	(void)state;
	struct chooser *chooser = make(SPEC_LEAST_CONNECTIONS, NULL, 0);
	unsigned counts[4];
	put_weighted(chooser, 3);
	count_choices(chooser, counts, 3, 600); /* nothing stays open */
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(counts[i], 100 * i);
	for (unsigned i = 0; i < 600; i++)
		chooser_opened(chooser, choose(chooser, &any));
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(chooser_open(chooser, i), 100 * i);
	chooser_closed(chooser, 2);
	assert_int_equal(choose(chooser, &any), 2);
	chooser_closed(chooser, 99); /* one that is gone */
	chooser_free(chooser);
}

static void test_latency_changes_the_choice_by_more_than_a_tenth(void **state)
{
	(void)state;
	struct chooser *chooser = make(SPEC_LOWEST_LATENCY, NULL, 0);
	put(chooser, 1, (struct pool_member){ .up = true }, "pool=p");
	assert_int_equal(choose(chooser, &any), 1); /* it is not known */
	put(chooser, 2, (struct pool_member){ .up = true, .rtt_us = 20000 }, "pool=p");
	assert_int_equal(choose(chooser, &any), 2);
	put(chooser, 1, (struct pool_member){ .up = true, .rtt_us = 18000 }, "pool=p");
	assert_int_equal(choose(chooser, &any), 2);
	put(chooser, 1, (struct pool_member){ .up = true, .rtt_us = 17999 }, "pool=p");
	/* A detour around it is not a change. */
	uint32_t tried[] = { 1 };
	assert_int_equal(choose(chooser, &(struct chooser_query){ .tried = tried, .tried_count = 1 }), 2);
	assert_int_equal(choose(chooser, &any), 1);
	put(chooser, 2, (struct pool_member){ .up = true, .rtt_us = 17000 }, "pool=p");
	assert_int_equal(choose(chooser, &any), 1);
	put(chooser, 1, (struct pool_member){ .up = false, .rtt_us = 17999 }, "pool=p");
	assert_int_equal(choose(chooser, &any), 2);
	chooser_free(chooser);
}

static void test_failover_takes_the_first_that_is_healthy(void **state)
{
	(void)state;
	struct chooser *chooser = make(SPEC_FAILOVER, NULL, 0);
	for (uint32_t i = 3; i >= 1; i--)
		put(chooser, i, (struct pool_member){ .up = true, .health = POOL_HEALTHY }, "pool=p");
	assert_int_equal(choose(chooser, &any), 1);
	put(chooser, 1, (struct pool_member){ .up = true, .health = POOL_UNHEALTHY }, "pool=p");
	assert_int_equal(choose(chooser, &any), 2);
	put(chooser, 2, (struct pool_member){ .up = false, .health = POOL_HEALTHY }, "pool=p");
	assert_int_equal(choose(chooser, &any), 3);
	uint32_t tried[] = { 3, 17 };
	assert_int_equal(choose(chooser, &(struct chooser_query){ .tried = tried, .tried_count = 2 }), 0);
	put(chooser, 1, (struct pool_member){ .up = true }, "pool=p");
	assert_int_equal(choose(chooser, &any), 1);
	chooser_free(chooser);
}

static void test_names_narrow_the_choice(void **state)
{
	(void)state;
	struct chooser *chooser = make(SPEC_ROUND_ROBIN, NULL, 0);
	put(chooser, 1, (struct pool_member){ .up = true }, "pool=p country=us city=ny");
	put(chooser, 2, (struct pool_member){ .up = true }, "pool=p country=us city=la");
	put(chooser, 3, (struct pool_member){ .up = true }, "pool=p country=de empty=");
	put(chooser, 4, (struct pool_member){ .up = true, .id = "other" }, "country=us");
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(choose_named(chooser, "b-country-us"), 1 + i % 2);
	assert_int_equal(choose_named(chooser, "b-city-la-country-us"), 2);
	assert_int_equal(choose_named(chooser, "b-country-us-city-la"), 2);
	assert_int_equal(choose_named(chooser, "b-country-de-city-la"), 0);
	/* The same keys and values, paired otherwise, right after. */
	assert_int_equal(choose_named(chooser, "b-country-la-city-us"), 0);
	assert_int_equal(choose_named(chooser, "b-country-us-city-la"), 2);
	assert_int_equal(choose_named(chooser, "b-country-la-city-us"), 0);
	assert_int_equal(choose_named(chooser, "b-country-fr"), 0);
	assert_int_equal(choose_named(chooser, "b-country-"), 0);
	assert_int_equal(choose_named(chooser, "b-empty-"), 3);
	assert_int_equal(choose_named(chooser, "b-tunnel-t3"), 3);
	assert_int_equal(choose_named(chooser, "b-tunnel-t3-country-us"), 0);
	assert_int_equal(choose_named(chooser, "b-tunnel-other"), 0); /* no member of the pool */
	assert_int_equal(choose_named(chooser, "b-tunnel-"), 0);
	assert_int_equal(choose_named(chooser, "b-country-us-country-us"), 0);
	assert_in_range(choose_named(chooser, "b-session-1"), 1, 3);
	chooser_free(chooser);
}

static void test_rules_have_members_of_their_own(void **state)
{
	(void)state;
	struct spec_label us = { .key = (char *)(uintptr_t) "country", .value = (char *)(uintptr_t) "us" };
	char *ids[] = { (char *)(uintptr_t) "t1", (char *)(uintptr_t) "away" };
	struct spec_rule rules[] = { { .members = { .labels = &us, .label_count = 1 } },
		                     { .members = { .tunnels = ids, .tunnel_count = 2 } },
		                     { .action = SPEC_RULE_REJECT } };
	struct chooser *chooser = make(SPEC_FAILOVER, rules, 3);
	put(chooser, 1, (struct pool_member){ .up = true }, "pool=p");
	put(chooser, 2, (struct pool_member){ .up = true }, "country=us");
	put(chooser, 3, (struct pool_member){ .up = false, .id = "away" }, "");
	assert_int_equal(choose(chooser, &any), 1);
	assert_int_equal(choose(chooser, &(struct chooser_query){ .group = 1 }), 2);
	assert_int_equal(choose(chooser, &(struct chooser_query){ .group = 2 }), 1);
	assert_int_equal(choose(chooser, &(struct chooser_query){ .group = 3 }), 0);
	assert_true(chooser_allows(chooser, 3, &(struct chooser_query){ .group = 2 }));
	assert_false(chooser_is_eligible(chooser, 3, &(struct chooser_query){ .group = 2 }));
	assert_true(chooser_is_ready(chooser, 2));
	assert_false(chooser_is_ready(chooser, 3));
	assert_false(chooser_is_ready(chooser, 4));
	assert_false(chooser_allows(chooser, 3, &any));
	assert_false(chooser_allows(chooser, 4, &any));
	chooser_free(chooser);
}

static void test_a_list_replaces_the_members(void **state)
{
	(void)state;
	struct chooser *chooser = make(SPEC_FAILOVER, NULL, 0);
	for (uint32_t i = 1; i <= 200; i++)
		put(chooser, i, (struct pool_member){ .up = true }, "pool=p old=1");
	chooser_opened(chooser, 150);
	chooser_list_begin(chooser);
	for (uint32_t i = 300; i >= 150; i--)
		put(chooser, i, (struct pool_member){ .up = true }, "pool=p");
	assert_int_equal(choose(chooser, &any), 1);
	chooser_list_end(chooser);
	assert_int_equal(choose(chooser, &any), 150);
	assert_int_equal(chooser_open(chooser, 150), 1);
	assert_null(chooser_find(chooser, 149));
	assert_null(chooser_find_id(chooser, "t149"));
	assert_int_equal(chooser_find_id(chooser, "t151")->number, 151);
	assert_int_equal(chooser_label_keys(chooser)->count, 1);
	unsigned count = 0;
	for (const struct pool_member *member = chooser_next(chooser, NULL); member != NULL; member = chooser_next(chooser, member))
		count++;
	assert_int_equal(count, 151);
	chooser_free(chooser);
}

/* More combinations of labels than are remembered: their turns begin anew, and nothing else. */
static void test_many_combinations_are_forgotten_in_order(void **state)
{
	(void)state;
	struct chooser *chooser = make(SPEC_ROUND_ROBIN, NULL, 0);
	for (uint32_t i = 1; i <= 3; i++)
		put(chooser, i, (struct pool_member){ .up = true }, "pool=p k=1");
	for (unsigned i = 0; i < 3000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "b-k-%u", i);
		uint32_t chosen = choose_named(chooser, name);
		assert_true(i == 1 ? chosen == 1 : chosen == 0);
		assert_int_equal(choose(chooser, &any), 1 + i % 3);
	}
	chooser_free(chooser);
}

/* Whichever allocation fails, the members and the choice are as before. */
static void test_nothing_changes_without_memory(void **state)
{
	(void)state;
	char *ids[] = { (char *)(uintptr_t) "t65" };
	struct spec_pool pool = { .strategy = SPEC_FAILOVER, .members = { .tunnels = ids, .tunnel_count = 1 } };
	struct chooser *chooser = make(SPEC_FAILOVER, NULL, 0);
	for (uint32_t i = 1; i <= 64; i++)
		put(chooser, i, (struct pool_member){ .up = true }, "pool=p a=1");
	struct pool_member member = { .number = 65, .order = 0, .up = true, .id = "t65" };
	member.labels = labels_of("pool=p b=1 c=1", &member.label_count);
	bool is_done = false;
	for (unsigned allowed = 0; !is_done; allowed++) {
		heap_fails_once_after(allowed);
		is_done = chooser_put(chooser, &member);
		heap_works();
		assert_int_equal(choose(chooser, &any), is_done ? 65 : 1);
		assert_int_equal(member.label_count, is_done ? 0 : 3);
		assert_int_equal(chooser_label_keys(chooser)->count, is_done ? 4 : 2);
	}
	put(chooser, 66, (struct pool_member){ .up = true }, "pool=p");
	is_done = false;
	for (unsigned allowed = 0; !is_done; allowed++) {
		chooser_opened(chooser, 65);
		heap_fails_once_after(allowed);
		is_done = chooser_configure(chooser, &pool);
		heap_works();
		assert_int_equal(choose(chooser, &any), 65);
		assert_int_equal(chooser_allows(chooser, 66, &any), !is_done);
	}
	chooser_free(chooser);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_robin_is_exact_and_smooth),
		cmocka_unit_test(test_weights_are_kept_within_a_turn),
		cmocka_unit_test(test_random_follows_the_weights),
		cmocka_unit_test(test_least_connections_are_weighted_and_ties_take_turns),
		cmocka_unit_test(test_latency_changes_the_choice_by_more_than_a_tenth),
		cmocka_unit_test(test_failover_takes_the_first_that_is_healthy),
		cmocka_unit_test(test_names_narrow_the_choice),
		cmocka_unit_test(test_rules_have_members_of_their_own),
		cmocka_unit_test(test_a_list_replaces_the_members),
		cmocka_unit_test(test_many_combinations_are_forgotten_in_order),
		cmocka_unit_test(test_nothing_changes_without_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
