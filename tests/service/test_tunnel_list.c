/* Lists: in order, whole or none, and only what every filter accepts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/tunnel_list.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_mutations.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define OTHER_KEY "kOanC2OM3sWnrwyOBX2xtU3mvQEtUlxEo2PJmFrtmkM="
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define OTHER "gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA="

static void add(const char *id, const char *label, const char *more, const char *key, const char *peer)
{
	char text[512];
	snprintf(text, sizeof(text),
	         "{'labels':{'site':'%s'},'spec':{%s'interface':{'private_key':'%s','addresses':['10.2.0.2']},'peers':[{'public_key':'%s'}]}}", label,
	         more, key, peer);
	struct mutation *mutation = bench_mutations_do(OPERATION_CREATE, id, text);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	mutation_free(mutation);
}

static void assert_list(const struct tunnel_list_filter *filter, const char *wanted, bool has_more)
{
	struct snapshot **list;
	bool more;
	char ids[256] = "";
	size_t count = tunnel_list_read(bench.registry, access_whole(), filter, &list, &more);
	for (size_t i = 0; i < count; i++) {
		snprintf(ids + strlen(ids), sizeof(ids) - strlen(ids), "%s ", list[i]->id);
		snapshot_release(list[i]);
	}
	free(list);
	assert_string_equal(ids, wanted);
	assert_int_equal(more, has_more);
}

static void set_state(const char *id, enum tunnel_state to)
{
	counter_set(&slot_tunnel(registry_entry(bench.registry, id)->slot)->state, to);
}

static void every_filter_must_accept(void **state)
{
	static const char *const named[] = { "d", "a", "nobody" };
	struct selector site;
	(void)state;
	add("c", "eu", "", KEY, PEER);
	add("a", "eu", "", KEY, PEER);
	add("d", "us", "", KEY, PEER);
	add("b", "us", "", KEY, PEER);
	assert_list(&(const struct tunnel_list_filter){ .limit = 0 }, "a b c d ", false);
	assert_list(&(const struct tunnel_list_filter){ .limit = 2 }, "a b ", true);
	assert_list(&(const struct tunnel_list_filter){ .limit = 2, .after = "b" }, "c d ", false);
	assert_list(&(const struct tunnel_list_filter){ .after = "z" }, "", false);
	assert_list(&(const struct tunnel_list_filter){ .ids = named, .id_count = 3 }, "a d ", false);
	assert_int_equal(selector_parse("site=eu", &site), 0);
	assert_list(&(const struct tunnel_list_filter){ .selectors = &site, .selector_count = 1 }, "a c ", false);
	assert_list(&(const struct tunnel_list_filter){ .selectors = &site, .selector_count = 1, .ids = named, .id_count = 3 }, "a ", false);
	set_state("a", TUNNEL_UP);
	set_state("d", TUNNEL_STALE);
	assert_list(&(const struct tunnel_list_filter){ .states = 1u << TUNNEL_UP }, "a ", false);
	assert_list(&(const struct tunnel_list_filter){ .states = 1u << TUNNEL_UP | 1u << TUNNEL_STALE }, "a d ", false);
	assert_list(&(const struct tunnel_list_filter){ .healths = 1u << TUNNEL_UNHEALTHY, .ids = named, .id_count = 3 }, "d ", false);
	struct selector *owned = malloc(sizeof(*owned));
	*owned = site;
	selectors_free(owned, 1);
}

/* F1: a part of the list never passes for the whole. */
static void memory_that_is_missing_gives_no_list(void **state)
{
	struct snapshot **list;
	bool more, is_over = false;
	(void)state;
	for (char id[2] = "a"; id[0] <= 'e'; id[0]++)
		add(id, "eu", "", KEY, PEER);
	for (unsigned number = 0; !is_over; number++) {
		heap_fails_once_after(number);
		size_t count = tunnel_list_read(bench.registry, access_whole(), &(const struct tunnel_list_filter){ .limit = 0 }, &list, &more);
		is_over = heap_refused() == 0;
		heap_works();
		assert_true(count == (is_over ? 5 : TUNNEL_LIST_FAILED));
		for (size_t i = 0; is_over && i < count; i++)
			snapshot_release(list[i]);
		if (is_over)
			free(list);
	}
}

static bool has_twin(const char *id, char twin[64])
{
	return tunnel_list_find_twin(bench.registry, access_whole(), registry_entry(bench.registry, id)->snapshot, twin);
}

static void a_twin_has_the_same_key_and_the_same_peer(void **state)
{
	char twin[64];
	(void)state;
	add("a", "eu", "", KEY, PEER);
	assert_false(has_twin("a", twin));
	add("b", "eu", "", KEY, OTHER);
	add("c", "eu", "", OTHER_KEY, PEER);
	add("d", "eu", "'enabled':false,", KEY, PEER);
	assert_false(has_twin("a", twin));
	assert_false(has_twin("d", twin));
	add("e", "eu", "", KEY, PEER);
	assert_true(has_twin("a", twin));
	assert_string_equal(twin, "e");
	assert_true(has_twin("e", twin));
	assert_string_equal(twin, "a");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_mutations_set_up, bench_mutations_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(every_filter_must_accept),
		TEST(memory_that_is_missing_gives_no_list),
		TEST(a_twin_has_the_same_key_and_the_same_peer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
