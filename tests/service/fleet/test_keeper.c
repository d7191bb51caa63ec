/* What etcd says of a node's shards is made here, and what is of the fleet and in none of them ends, before the node says so. etcd is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/runner.h"
#include "ipc/log.h"
#include "service/fleet/keeper.h"
#include "service/fleet/object_record.h"
#include "service/registry/snapshot_make.h"
#include "service/spec/candidate.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/fleet/fake_store.h"
#include "tests/service/quoted_json.h"

#define TURNS_MOST 5000 /* of a millisecond, against a hang only */

/* ---- etcd ---- */

static struct fleet_keyring ring = { .count = 1 };
static bool is_of_one_creation; /* what is stored under one id */
static const char *former;      /* classes of what is stored */

static void key_of(const char *id, struct fleet_key *key, char text[FLEET_KEY_TEXT])
{
	assert_true(object_record_place(key, SPEC_TUNNEL, id, NULL));
	fleet_key_write(key, text);
}

/* A tunnel of class "any", with that last byte of its address. */
static void store(const char *id, unsigned address, const char *listen)
{
	struct candidate candidate;
	struct fleet_key key;
	char text[256], name[FLEET_KEY_TEXT];
	snprintf(
	    text, sizeof(text),
	    "{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.%u']},'proxy':{'listen':[%s]}}}",
	    address, listen);
	json_t *document = quoted_json(text);
	candidate_init(&candidate, SPEC_TUNNEL);
	candidate_read(&candidate, document, "");
	candidate_complete(&candidate, NULL);
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	struct snapshot *snapshot = snapshot_make(id, &candidate.labels, 0, &candidate.spec, NULL, NULL, NULL, 1000 + fake_store.revision + 1);
	if (is_of_one_creation)
		snapshot->created_at = 1000;
	snapshot->former = former == NULL ? NULL : strdup(former);
	key_of(id, &key, name);
	char *value;
	assert_int_equal(object_record_write(&value, &ring, snapshot), OBJECT_RECORD_OK);
	fake_store_put(name, value);
	free(value);
	snapshot_release(snapshot);
	candidate_clear(&candidate);
	json_decref(document);
}

static void forget(const char *id)
{
	struct fleet_key key;
	char name[FLEET_KEY_TEXT];
	key_of(id, &key, name);
	fake_store_delete(name);
}

/* ---- The node ---- */

static struct keeper *keeper;
static struct fleet_node *node;
static int64_t silent, running, settled;
static void (*when_silent)(void); /* looks at what is here then; or NULL */

static void on_silent(void *owner, int64_t told)
{
	(void)owner;
	silent = told;
	if (when_silent != NULL)
		when_silent();
}

static void on_running(void *owner, int64_t told)
{
	(void)owner;
	running = told;
}

static void on_settled(void *owner, int64_t told)
{
	(void)owner;
	settled = told;
}

static int set_up(void **state)
{
	const struct fleet_node_config config = { .name = "me", .boot = "b", .address = "", .capacity = 10, .rule = FLEET_RULE_DEFAULT };
	bench_mutations_set_up(state);
	changes.policy.is_in_fleet = true;
	node = fleet_node_create(&config, 0);
	const struct keeper_means means = { .loop = &bench.loop,
		                            .registry = bench.registry,
		                            .mutations = changes.mutations,
		                            .ring = &ring,
		                            .node = node,
		                            .silent = on_silent,
		                            .running = on_running,
		                            .settled = on_settled };
	keeper = keeper_create(&means);
	fake_store_reset();
	silent = running = settled = 0;
	when_silent = NULL;
	return keeper == NULL;
}

static int tear_down(void **state)
{
	keeper_free(keeper);
	fleet_node_free(node);
	fake_store_reset();
	return bench_mutations_tear_down(state);
}

static void change_to(const char *id, int64_t epoch, uint64_t ts_floor)
{
	struct fleet_key key;
	char name[FLEET_KEY_TEXT];
	key_of(id, &key, name);
	const struct fleet_change told = {
		.class = key.class, .shard = key.shard, .epoch = epoch, .ts_floor = ts_floor, .changed = fake_store.revision
	};
	keeper_change(keeper, &told);
}

static void change(const char *id, bool is_ours)
{
	change_to(id, is_ours ? 5 : 0, 7000);
}

static void turn(void)
{
	uv_run(&bench.loop, UV_RUN_NOWAIT);
	fake_store_answer();
	bench_mutations_finish();
}

static bool is_told(void)
{
	return silent == fake_store.revision && running == fake_store.revision;
}

static void run_until(bool (*is_over)(void))
{
	for (int i = 0; i < TURNS_MOST && !is_over(); i++) {
		turn();
		if (!is_over())
			uv_sleep(1);
	}
	assert_true(is_over());
}

static void applied(void)
{
	keeper_applied(keeper, ++fake_store.revision);
	run_until(is_told);
}

static const struct snapshot *find(const char *id)
{
	const struct entry *entry = registry_entry(bench.registry, id);
	return entry == NULL ? NULL : entry->snapshot;
}

static unsigned asked_before;

static bool is_read(void)
{
	return fake_store.asked > asked_before && fake_store_waiting() == 0;
}

/* A shard that is served already is told of at once: its records are read all the same. */
static void gain(const char *id)
{
	asked_before = fake_store.asked;
	change(id, true);
	applied();
	run_until(is_read);
	for (int i = 0; i < 4; i++)
		turn();
}

/* ---- Tests ---- */

static void what_is_in_a_shard_of_ours_is_made_and_then_told(void **state)
{
	(void)state;
	store("a", 2, "");
	store("b", 3, "");
	change("a", true);
	keeper_applied(keeper, ++fake_store.revision);
	assert_int_equal(silent, 0); /* never from within */
	fake_store.is_away = true;
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(silent, fake_store.revision); /* nothing was lost */
	assert_int_equal(running, 0);
	fake_store.is_away = false;
	run_until(is_told);
	const struct snapshot *made = find("a");
	assert_non_null(made);
	assert_int_equal(made->origin, SNAPSHOT_OF_FLEET);
	assert_int_equal(made->revision, 1);
	assert_true(made->spec.has_private_key && made->updated_at == 1001);
	assert_null(find("b")); /* of another shard */
	assert_int_equal(fake_store.asked, 1);
}

static void a_shard_follows_its_records(void **state)
{
	(void)state;
	store("a", 2, "");
	gain("a");
	uint64_t generation = find("a")->generation;
	gain("a");
	assert_int_equal(find("a")->generation, generation); /* nothing has changed */
	store("a", 9, "");
	gain("a");
	assert_int_equal(find("a")->spec.addresses[0].bytes[3], 9);
	assert_int_equal(find("a")->generation, generation + 1);
	forget("a");
	gain("a");
	assert_null(find("a"));
}

static void nothing_is_here_any_more(void)
{
	assert_null(find("a"));
}

static void what_is_lost_is_gone_before_it_is_told(void **state)
{
	(void)state;
	store("a", 2, "");
	store("b", 3, "");
	change("b", true);
	gain("a");
	mutation_free(bench_mutations_do(OPERATION_CREATE, "own", "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.2.0.7']}}}"));
	change("a", false);
	when_silent = nothing_is_here_any_more;
	applied();
	assert_non_null(find("b"));
	assert_non_null(find("own"));
}

/* A change that was under way when the shard was lost makes what is to end: it is waited for. */
static void what_is_lost_while_it_is_made_is_gone_too(void **state)
{
	(void)state;
	store("a", 2, "");
	change("a", true);
	keeper_applied(keeper, ++fake_store.revision);
	for (int i = 0; i < 1000 && !mutations_are_under_way(changes.mutations); i++) {
		uv_run(&bench.loop, UV_RUN_NOWAIT);
		fake_store_answer();
	}
	assert_true(mutations_are_under_way(changes.mutations));
	int64_t before = silent;
	change("a", false);
	keeper_applied(keeper, ++fake_store.revision);
	uv_run(&bench.loop, UV_RUN_NOWAIT);
	assert_int_equal(silent, before);
	when_silent = nothing_is_here_any_more;
	run_until(is_told);
	nothing_is_here_any_more();
}

static void a_shard_that_comes_back_is_read_again(void **state)
{
	(void)state;
	store("a", 2, "");
	gain("a");
	change("a", false);
	change("a", true);
	applied();
	assert_non_null(find("a"));
	change("a", false);
	applied();
	assert_null(find("a"));
	gain("a");
	assert_non_null(find("a"));
}

/* Restored from the disk, or of the program before. */
static void what_is_of_no_shard_at_the_start_ends_first(void **state)
{
	struct mutation *mutation = bench_mutations_make(
	    OPERATION_PUT, "a", "{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.7']}}}");
	(void)state;
	mutation->operations[0].origin = SNAPSHOT_OF_FLEET;
	mutation->operations[0].stamp = (struct operation_stamp){ .revision = 1, .generation = 1, .created_at = 1, .updated_at = 1 };
	bench_mutations_start(mutation);
	bench_mutations_finish();
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	mutation_free(mutation);
	for (int i = 0; i < 10; i++)
		turn();
	assert_non_null(find("a")); /* nothing is known yet */
	when_silent = nothing_is_here_any_more;
	applied();
}

static bool is_a_of_the_fleet(void)
{
	return find("a") != NULL && find("a")->origin == SNAPSHOT_OF_FLEET;
}

static void what_cannot_be_made_keeps_nobody_waiting_and_is_tried_again(void **state)
{
	(void)state;
	mutation_free(bench_mutations_do(OPERATION_CREATE, "a", "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.2.0.7']}}}"));
	store("a", 2, "");
	gain("a"); /* and it is told */
	assert_false(is_a_of_the_fleet());
	mutation_free(bench_mutations_do(OPERATION_DELETE, "a", NULL));
	run_until(is_a_of_the_fleet);
}

static void a_record_that_cannot_be_read_leaves_what_is_here(void **state)
{
	struct fleet_key key;
	char name[FLEET_KEY_TEXT], detail[STATUS_SOURCE_FAULT_SIZE];
	int64_t at;
	(void)state;
	store("a", 2, "");
	gain("a");
	assert_false(snapshot_source_fault(find("a"), detail, &at));
	key_of("a", &key, name);
	fake_store_put(name, "{}");
	gain("a");
	assert_int_equal(find("a")->spec.addresses[0].bytes[3], 2);
	assert_true(snapshot_source_fault(find("a"), detail, &at));
	assert_non_null(strstr(detail, "forged"));
	store("a", 2, "");
	gain("a");
	assert_false(snapshot_source_fault(find("a"), detail, &at));
}

/* Who can write to etcd has a copy of each record that ever was. */
static void an_older_record_that_is_put_back_is_refused(void **state)
{
	char name[FLEET_KEY_TEXT], detail[STATUS_SOURCE_FAULT_SIZE];
	struct fleet_key key;
	int64_t at;
	(void)state;
	is_of_one_creation = true;
	store("a", 2, "");
	key_of("a", &key, name);
	char *old = strdup(fake_store_find(name)->value);
	store("a", 3, "");
	gain("a");
	assert_int_equal(find("a")->spec.addresses[0].bytes[3], 3);
	fake_store_put(name, old);
	gain("a");
	assert_int_equal(find("a")->spec.addresses[0].bytes[3], 3);
	assert_true(snapshot_source_fault(find("a"), detail, &at));
	assert_non_null(strstr(detail, "older"));
	free(old);
	is_of_one_creation = false;
}

static void a_shard_that_cannot_be_read_is_not_told_and_read_again(void **state)
{
	(void)state;
	store("a", 2, "");
	change("a", true);
	keeper_applied(keeper, ++fake_store.revision);
	fake_store.is_away = true;
	while (fake_store.asked < 1)
		turn();
	fake_store_fail(ETCD_UNAVAILABLE, false);
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(running, 0);
	fake_store.is_away = false;
	run_until(is_told);
	assert_int_equal(fake_store.asked, 2);
	assert_non_null(find("a"));
}

/* ---- What moves ---- */

/* What a watch tells of another node, or of a shard. */
static void hear(const char *key, const char *value)
{
	const struct fleet_kv kv = { .key = key, .value = value, .length = strlen(value), .revision = ++fake_store.revision };
	assert_int_equal(fleet_view_apply((struct fleet_view *)(uintptr_t)fleet_node_view(node), &kv, etcd_runner_now()), FLEET_VIEW_OK);
}

static void hear_of_shard(const char *class, const char *id, const char *owner)
{
	struct fleet_class read;
	char key[FLEET_KEY_TEXT], value[64];
	assert_int_equal(fleet_class_read(&read, class), FLEET_CLASS_OK);
	snprintf(key, sizeof(key), "p/shard/%s/%u", class, (unsigned)fleet_class_shard_of(&read, id));
	snprintf(value, sizeof(value), "{\"n\":\"%s\"}", owner);
	fleet_class_clear(&read);
	hear(key, value);
}

static void hear_of_node(const char *name, int64_t done, const char *more)
{
	char key[FLEET_KEY_TEXT], value[128];
	snprintf(key, sizeof(key), "p/node/%s", name);
	snprintf(value, sizeof(value), "{\"t\":1,\"c\":%lld,\"wall\":%lld%s}", (long long)done, 4102444800000LL, more);
	hear(key, value);
}

/* So long that it would have been made. */
static void expect_not_made(const char *id)
{
	for (int i = 0; i < 300; i++) {
		turn();
		uv_sleep(1);
	}
	assert_null(find(id));
}

static bool is_a_here(void)
{
	return find("a") != NULL;
}

static void what_moves_here_is_made_when_its_last_node_has_let_it_go(void **state)
{
	(void)state;
	hear_of_shard("@x", "a", "x");
	hear_of_shard("@y", "a", "y");
	hear_of_node("x", 0, "");
	hear_of_node("y", 0, "");
	former = "@x @y";
	store("a", 2, "");
	former = NULL;
	int64_t moved = fake_store.revision;
	gain("a"); /* which is told as served: nobody waits for what moves */
	expect_not_made("a");
	hear_of_node("x", moved, "");
	hear_of_node("y", moved - 1, "");
	expect_not_made("a");
	hear_of_node("y", 0, ",\"bye\":true");
	run_until(is_a_here);
	/* No handshake is before what they may have sent. */
	uint64_t seconds = 0;
	for (int i = 0; i < 8; i++)
		seconds = seconds << 8 | registry_entry(bench.registry, "a")->timestamp_floor[i];
	assert_true(seconds - 0x400000000000000aU >= 4102444800U + 13);
	/* What runs here was let go, whatever is heard of them now. */
	hear_of_node("y", 0, "");
	former = "@x @y";
	store("a", 3, "");
	former = NULL;
	gain("a");
	assert_int_equal(find("a")->spec.addresses[0].bytes[3], 3);
}

static void what_was_in_a_class_that_nobody_has_is_made_at_once(void **state)
{
	(void)state;
	former = "@x";
	store("a", 2, "");
	store("b", 3, "");
	former = "@";
	store("c", 4, "");
	former = NULL;
	hear_of_shard("@x", "a", "");
	gain("a");
	gain("b"); /* there is no record of the shard */
	assert_non_null(find("a"));
	assert_non_null(find("b"));
	gain("c");
	expect_not_made("c"); /* no class at all */
}

/* It leaves one shard of this node for another one. */
static void what_moves_on_this_node_ends_before_it_is_made_anew(void **state)
{
	struct fleet_class pinned;
	(void)state;
	store("a", 2, "");
	gain("a");
	assert_int_equal(fleet_class_read(&pinned, "@x"), FLEET_CLASS_OK);
	const struct fleet_change own = { .class = "@x", .shard = fleet_class_shard_of(&pinned, "b"), .epoch = 5 };
	fleet_class_clear(&pinned);
	former = "@x";
	store("b", 3, "");
	former = NULL;
	/* Ours, and not read since. */
	fake_store.is_away = true;
	keeper_change(keeper, &own);
	change("b", true);
	keeper_applied(keeper, ++fake_store.revision);
	expect_not_made("b");
	fake_store.is_away = false;
	run_until(is_told);
	for (int i = 0; i < 1000 && find("b") == NULL; i++) {
		turn();
		uv_sleep(1);
	}
	assert_non_null(find("b"));
}

static void settled_is_what_has_let_go(void **state)
{
	(void)state;
	store("a", 2, "");
	gain("a");
	assert_int_equal(settled, fake_store.revision);
	forget("a");
	int64_t before = settled;
	change("a", true);
	keeper_applied(keeper, ++fake_store.revision);
	fake_store.is_away = true;
	for (int i = 0; i < 10; i++)
		turn();
	fake_store_fail(ETCD_UNAVAILABLE, false);
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(settled, before); /* it is still here */
	assert_non_null(find("a"));
	fake_store.is_away = false;
	for (int i = 0; i < TURNS_MOST && settled == before; i++) {
		turn();
		uv_sleep(1);
	}
	assert_int_equal(settled, fake_store.revision);
	assert_null(find("a"));
}

static void a_stopped_keeper_changes_nothing(void **state)
{
	(void)state;
	store("a", 2, "");
	change("a", true);
	keeper_stop(keeper);
	keeper_applied(keeper, ++fake_store.revision);
	for (int i = 0; i < 10; i++)
		turn();
	assert_true(fake_store.asked == 0 && silent == 0 && running == 0);
}

static void a_keeper_can_end_while_a_change_is_under_way(void **state)
{
	(void)state;
	store("a", 2, "");
	change("a", true);
	keeper_applied(keeper, ++fake_store.revision);
	for (int i = 0; i < 1000 && !mutations_are_under_way(changes.mutations); i++) {
		uv_run(&bench.loop, UV_RUN_NOWAIT);
		fake_store_answer();
	}
	keeper_free(keeper);
	keeper = NULL;
	uv_run(&bench.loop, UV_RUN_NOWAIT);
	bench_mutations_finish();
}

static void a_handshake_is_later_than_the_last_owner_s(void **state)
{
	(void)state;
	store("a", 2, "");
	gain("a");
	uint8_t none[12] = { 0 };
	assert_memory_not_equal(registry_entry(bench.registry, "a")->timestamp_floor, none, sizeof(none));
}

static uint64_t number_before;

static bool is_made_anew(void)
{
	const struct entry *entry = registry_entry(bench.registry, "a");
	return entry != NULL && entry->number != number_before;
}

/* Cut off for a while, this node hears of it only by another epoch. Its sessions are older than the other node's, and its clock may be behind. */
static void what_another_node_had_meanwhile_is_made_anew(void **state)
{
	(void)state;
	store("a", 2, "");
	gain("a");
	number_before = registry_entry(bench.registry, "a")->number;
	gain("a");
	assert_false(is_made_anew());
	change_to("a", 6, 7000);
	applied();
	run_until(is_made_anew);
}

static void what_nobody_had_before_stays(void **state)
{
	(void)state;
	store("a", 2, "");
	for (int i = 0; i < 2; i++) {
		asked_before = fake_store.asked;
		change_to("a", 5, 0);
		applied();
		run_until(is_read);
		run_until(is_a_of_the_fleet);
		if (i == 0)
			number_before = registry_entry(bench.registry, "a")->number;
	}
	for (int i = 0; i < 4; i++)
		turn();
	assert_false(is_made_anew());
	assert_non_null(find("a"));
}

/* Restored from the disk, after another node may have had it. */
static void what_was_made_with_an_earlier_floor_is_made_anew(void **state)
{
	(void)state;
	store("a", 2, "");
	gain("a");
	struct entry *entry = registry_entry(bench.registry, "a");
	number_before = entry->number;
	memset(entry->timestamp_floor, 0, sizeof(entry->timestamp_floor));
	change("a", true);
	applied();
	run_until(is_made_anew);
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	log_start(LOG_ERROR + 1, false, "control");
	memset(&ring.keys[0], 5, sizeof(ring.keys[0]));
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_in_a_shard_of_ours_is_made_and_then_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_shard_follows_its_records, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_lost_is_gone_before_it_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_lost_while_it_is_made_is_gone_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_shard_that_comes_back_is_read_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_of_no_shard_at_the_start_ends_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_made_keeps_nobody_waiting_and_is_tried_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_record_that_cannot_be_read_leaves_what_is_here, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_older_record_that_is_put_back_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_shard_that_cannot_be_read_is_not_told_and_read_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_moves_here_is_made_when_its_last_node_has_let_it_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_in_a_class_that_nobody_has_is_made_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_moves_on_this_node_ends_before_it_is_made_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(settled_is_what_has_let_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_stopped_keeper_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_keeper_can_end_while_a_change_is_under_way, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_handshake_is_later_than_the_last_owner_s, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_another_node_had_meanwhile_is_made_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_nobody_had_before_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_made_with_an_earlier_floor_is_made_anew, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
