/* The members of a pool, found in tunnels as they come, change and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/pool/member_list.h"
#include "service/registry/registry.h"
#include "service/registry/snapshot_make.h"
#include "service/spec/candidate.h"
#include "tests/failing_heap.h"
#include "tests/service/quoted_json.h"

static struct candidate candidate; /* with the pool */
static struct member_list members;
static struct snapshot *tunnels[16];
static size_t tunnel_count;

static const struct spec_pool *use(const char *json)
{
	json_t *document = quoted_json(json);
	candidate_init(&candidate, SPEC_POOL);
	candidate_read(&candidate, document, "");
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	json_decref(document);
	assert_true(member_list_set_names(&members, &candidate.spec.pool));
	return &candidate.spec.pool;
}

/* With one label, if the key is one. */
static struct snapshot *make(const char *id, const char *key, const char *value)
{
	struct spec_label *labels = NULL;
	struct spec spec;
	spec_init(&spec);
	if (key != NULL) {
		labels = calloc(1, sizeof(*labels));
		*labels = (struct spec_label){ .key = strdup(key), .value = strdup(value) };
	}
	struct snapshot *snapshot = snapshot_make(id, &labels, key != NULL, &spec, NULL, NULL, NULL, 0);
	assert_non_null(snapshot);
	snapshot->status = status_create();
	snapshot->worker = 0;
	assert_true(tunnel_count < 16);
	tunnels[tunnel_count++] = snapshot;
	return snapshot;
}

/* The same tunnel, changed. */
static struct snapshot *change(const struct snapshot *from)
{
	struct snapshot *copy = snapshot_copy(from);
	assert_non_null(copy);
	if (copy->status == NULL)
		copy->status = status_reference(from->status);
	tunnels[tunnel_count++] = copy;
	return copy;
}

static int set_up(void **state)
{
	(void)state;
	members = (struct member_list){ .count = 0 };
	tunnel_count = 0;
	candidate_init(&candidate, SPEC_POOL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	member_list_clear(&members);
	for (size_t i = 0; i < tunnel_count; i++)
		snapshot_release(tunnels[i]);
	candidate_clear(&candidate);
	return 0;
}

/* The order of the members' ids, and their numbers. */
static const char *told(void)
{
	static char text[256];
	size_t length = 0;
	text[0] = '\0';
	for (size_t i = 0; i < members.count; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s:%u", i == 0 ? "" : " ", members.list[i].snapshot->id,
		                           members.list[i].number);
	return text;
}

static void tunnels_come_and_go(void **state)
{
	(void)state;
	const struct spec_pool *pool = use("{'spec':{'members':{'tunnels':['c','a'],'labels':{'x':'1'}}}}");
	struct snapshot *b = make("b", "x", "1");
	assert_int_equal(member_list_put(&members, pool, make("c", NULL, NULL)), MEMBER_LIST_CHANGED);
	assert_int_equal(member_list_put(&members, pool, make("none", "x", "2")), MEMBER_UNCHANGED);
	assert_int_equal(member_list_put(&members, pool, b), MEMBER_LIST_CHANGED);
	assert_int_equal(member_list_put(&members, pool, make("a", NULL, NULL)), MEMBER_LIST_CHANGED);
	assert_string_equal(told(), "a:3 b:2 c:1");
	assert_int_equal(member_list_find(&members, "c")->order, 0);
	assert_int_equal(member_list_find(&members, "a")->order, 1);
	assert_int_equal(member_list_find(&members, "b")->order, UINT32_MAX);
	assert_null(member_list_find(&members, "none"));
	assert_null(member_list_find(&members, "z"));
	assert_string_equal(member_list_at(&members, 2)->snapshot->id, "b");
	assert_null(member_list_at(&members, 4));
	assert_int_equal(member_list_put(&members, pool, b), MEMBER_UNCHANGED);
	/* It loses the label. */
	struct snapshot *other = change(b);
	other->label_count = 0;
	assert_int_equal(member_list_put(&members, pool, other), MEMBER_LIST_CHANGED);
	other->label_count = 1;
	assert_int_equal(member_list_remove(&members, "c"), MEMBER_LIST_CHANGED);
	assert_int_equal(member_list_remove(&members, "c"), MEMBER_UNCHANGED);
	assert_string_equal(told(), "a:3");
}

static void a_change_is_told_as_what_it_is(void **state)
{
	(void)state;
	const struct spec_pool *pool = use("{'spec':{'members':{'tunnels':['a']}}}");
	struct snapshot *a = make("a", NULL, NULL);
	assert_int_equal(member_list_put(&members, pool, a), MEMBER_LIST_CHANGED);
	struct snapshot *next = change(a);
	next->generation++;
	assert_int_equal(member_list_put(&members, pool, next), MEMBER_CHANGED);
	/* On another worker, others have members. */
	struct snapshot *moved = change(next);
	moved->worker = 1;
	assert_int_equal(member_list_put(&members, pool, moved), MEMBER_LIST_CHANGED);
	assert_string_equal(told(), "a:1");
	/* Deleted and made again: it is another one. */
	assert_int_equal(member_list_put(&members, pool, make("a", NULL, NULL)), MEMBER_LIST_CHANGED);
	assert_string_equal(told(), "a:2");
}

/* A name that stands several times has its first place, and the pool's own are before those of rules. */
static void a_tunnel_is_one_member_whoever_names_it(void **state)
{
	(void)state;
	const struct spec_pool *pool =
	    use("{'spec':{'members':{'tunnels':['a']},'rules':[{'ports':['80'],'action':'members','members':{'tunnels':['b','a']}},"
	        "{'ports':['81'],'action':'members','members':{'tunnels':['b'],'labels':{'x':'1'}}},{'ports':['82'],'action':'reject'}]}}");
	member_list_put(&members, pool, make("b", NULL, NULL));
	member_list_put(&members, pool, make("a", NULL, NULL));
	member_list_put(&members, pool, make("c", "x", "1"));
	assert_int_equal(members.count, 3);
	assert_true(member_list_find(&members, "a")->is_own);
	assert_false(member_list_find(&members, "b")->is_own);
	assert_false(member_list_find(&members, "c")->is_own);
	assert_int_equal(member_list_find(&members, "a")->order, 0);
	assert_int_equal(member_list_find(&members, "b")->order, 1);
	/* With another spec, the rule's becomes the pool's own. */
	struct candidate before = candidate;
	pool = use("{'spec':{'members':{'tunnels':['b','a']}}}");
	assert_int_equal(member_list_put(&members, pool, tunnels[0]), MEMBER_LIST_CHANGED);
	assert_true(member_list_find(&members, "b")->is_own);
	assert_int_equal(member_list_find(&members, "b")->order, 0);
	candidate_clear(&before);
}

static struct pool_member described(const char *id)
{
	struct pool_member message;
	const struct member *member = member_list_find(&members, id);
	assert_non_null(member);
	member_describe(&members, (size_t)(member - members.list), &message);
	return message;
}

static void those_without_a_name_follow_by_their_ids(void **state)
{
	(void)state;
	const struct spec_pool *pool = use("{'spec':{'members':{'tunnels':['z','gone'],'labels':{'warren.weight':'7'}}}}");
	member_list_put(&members, pool, make("z", NULL, NULL));
	member_list_put(&members, pool, make("b", "warren.weight", "7"));
	member_list_put(&members, pool, make("a", "warren.weight", "7"));
	assert_int_equal(described("z").order, 0);
	assert_true(described("a").order >= 2);
	assert_true(described("b").order > described("a").order);
	assert_int_equal(described("a").weight, 7);
	assert_int_equal(described("z").weight, 1);
	/* No worker has it: it takes no connection. */
	assert_false(described("z").up);
	assert_int_equal(described("z").worker, 0);
	tunnels[0]->worker = -1;
	assert_int_equal(described("z").worker, 0);
}

static void a_weight_that_is_none_is_one(void **state)
{
	static const char *const texts[] = { "0", "101", "x", "", "7x" };
	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(member_weight(make("a", "warren.weight", texts[i])), 1);
	assert_int_equal(member_weight(make("a", "warren.weight", "100")), 100);
}

static struct counters_tunnel figures;
static struct counters_peer peer_figures;

/* One peer, and figures that the test sets. */
static void give_figures(struct snapshot *tunnel)
{
	tunnel->spec.peers = calloc(1, sizeof(*tunnel->spec.peers));
	tunnel->spec.peer_count = 1;
	tunnel->peer_counters = calloc(1, sizeof(const struct counters_peer *));
	tunnel->peer_counters[0] = &peer_figures;
	tunnel->counters = &figures;
	counter_set(&peer_figures.last_handshake_at, 1);
}

static enum member_change seen(enum tunnel_state tunnel, enum tunnel_health health, uint64_t round_trip_us)
{
	counter_set(&figures.state, tunnel);
	counter_set(&figures.health, health);
	counter_set(&peer_figures.round_trip_us, round_trip_us);
	return member_read(&members.list[0]);
}

static void state_and_health_are_read_anew(void **state)
{
	(void)state;
	const struct spec_pool *pool = use("{'spec':{'members':{'tunnels':['a']}}}");
	struct snapshot *a = make("a", NULL, NULL);
	give_figures(a);
	member_list_put(&members, pool, a);
	const struct member *member = &members.list[0];
	assert_int_equal(seen(TUNNEL_UP, TUNNEL_HEALTHY, 1600), MEMBER_CHANGED);
	assert_true(member_is_up(member));
	assert_int_equal(seen(TUNNEL_UP, TUNNEL_HEALTHY, 1600), MEMBER_UNCHANGED);
	/* A sixteenth is noise. */
	assert_int_equal(seen(TUNNEL_UP, TUNNEL_HEALTHY, 1700), MEMBER_UNCHANGED);
	assert_int_equal(seen(TUNNEL_UP, TUNNEL_HEALTHY, 1500), MEMBER_UNCHANGED);
	assert_int_equal(seen(TUNNEL_UP, TUNNEL_HEALTHY, 1701), MEMBER_CHANGED);
	assert_int_equal(seen(TUNNEL_UP, TUNNEL_HEALTHY, 0), MEMBER_CHANGED);
	assert_int_equal(seen(TUNNEL_UP, TUNNEL_UNHEALTHY, 0), MEMBER_CHANGED);
	assert_false(member_is_up(member));
	assert_int_equal(member->health, POOL_UNHEALTHY);
	assert_int_equal(seen(TUNNEL_UP, TUNNEL_HEALTH_UNKNOWN, 0), MEMBER_CHANGED);
	assert_true(member_is_up(member));
	assert_int_equal(seen(TUNNEL_STALE, TUNNEL_HEALTHY, 0), MEMBER_CHANGED);
	assert_false(member_is_up(member));
	/* A probe says how far the target is, and that it fails. */
	status_set_probe(a->status, &(struct status_probe){ .ok = true, .rtt_ms = 2.5 });
	assert_int_equal(seen(TUNNEL_UP, TUNNEL_HEALTHY, 9), MEMBER_CHANGED);
	assert_int_equal(member->rtt_us, 2500);
	status_set_probe(a->status, &(struct status_probe){ .ok = false, .rtt_ms = 2.5 });
	assert_int_equal(seen(TUNNEL_UP, TUNNEL_HEALTHY, 9), MEMBER_CHANGED);
	assert_int_equal(member->rtt_us, 0);
	/* What is no time that a worker measures. */
	status_set_probe(a->status, &(struct status_probe){ .ok = true, .rtt_ms = 1e9 });
	assert_int_equal(seen(TUNNEL_UP, TUNNEL_HEALTHY, 9), MEMBER_UNCHANGED);
	status_set_probe(a->status, &(struct status_probe){ .ok = true, .rtt_ms = -1 });
	assert_int_equal(seen(TUNNEL_UP, TUNNEL_HEALTHY, 9), MEMBER_UNCHANGED);
}

static void memory_that_is_out_leaves_the_list_as_it_was(void **state)
{
	char id[16];
	(void)state;
	const struct spec_pool *pool = use("{'spec':{'members':{'tunnels':['a'],'labels':{'x':'1'}}}}");
	for (unsigned i = 0; i < 9; i++) {
		snprintf(id, sizeof(id), "t%u", i);
		struct snapshot *tunnel = make(id, "x", "1");
		if (i % 8 == 0) {
			heap_fails_after(0);
			enum member_change result = member_list_put(&members, pool, tunnel);
			heap_works();
			assert_int_equal(result, MEMBER_NO_MEMORY);
			assert_int_equal(members.count, i);
		}
		assert_int_equal(member_list_put(&members, pool, tunnel), MEMBER_LIST_CHANGED);
	}
	heap_fails_after(0);
	bool is_set = member_list_set_names(&members, pool);
	heap_works();
	assert_false(is_set);
	/* The names of the spec before are not used any more: it may be gone. */
	assert_int_equal(members.name_count, 0);
	assert_int_equal(members.count, 9);
	assert_int_equal(member_list_put(&members, pool, make("a", NULL, NULL)), MEMBER_UNCHANGED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tunnels_come_and_go),
		TEST(a_change_is_told_as_what_it_is),
		TEST(a_tunnel_is_one_member_whoever_names_it),
		TEST(those_without_a_name_follow_by_their_ids),
		TEST(a_weight_that_is_none_is_one),
		TEST(state_and_health_are_read_anew),
		TEST(memory_that_is_out_leaves_the_list_as_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
