/* The table of all tunnels: its order, its look-ups, and what is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/tunnel_list.h"

static struct lock_queue *locks;
static struct registry *registry;

static int set_up(void **state)
{
	(void)state;
	locks = lock_queue_create();
	registry = registry_create(locks);
	return registry == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	registry_free(registry);
	lock_queue_free(locks);
	return 0;
}

static struct snapshot *make_snapshot(const char *id, uint8_t key)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	assert_non_null(snapshot);
	snapshot->references = 1;
	snprintf(snapshot->id, sizeof(snapshot->id), "%s", id);
	spec_init(&snapshot->spec);
	snapshot->spec.has_private_key = true;
	memset(&snapshot->public_key, key, sizeof(snapshot->public_key));
	return snapshot;
}

static struct entry *add(const char *id, uint8_t key, bool is_unbound)
{
	struct entry *entry = entry_create(id);
	assert_non_null(entry);
	entry->snapshot = make_snapshot(id, key);
	entry->is_unbound = is_unbound;
	assert_true(registry_reserve(registry, 1));
	registry_add(registry, entry);
	registry_unreserve(registry, 1);
	return entry;
}

static void a_pool_may_have_the_id_of_a_tunnel(void **state)
{
	(void)state;
	struct snapshot *some[4];
	struct entry *tunnel = add("a", 1, false), *pool = add("/a", 0, false);
	add("/b", 0, false);
	assert_ptr_equal(registry_entry(registry, "a"), tunnel);
	assert_ptr_equal(registry_entry(registry, "/a"), pool);
	assert_string_equal(pool->id, "a");
	/* A list of one kind ends where that of the other begins. */
	assert_int_equal(registry_read(registry, SPEC_TUNNEL, "", some, 4), 1);
	assert_ptr_equal(some[0], tunnel->snapshot);
	snapshot_release(some[0]);
	assert_int_equal(registry_read(registry, SPEC_POOL, "", some, 4), 2);
	assert_ptr_equal(some[0], pool->snapshot);
	snapshot_release(some[0]);
	snapshot_release(some[1]);
	assert_int_equal(registry_read(registry, SPEC_POOL, "a", some, 4), 1);
	snapshot_release(some[0]);
	assert_int_equal(registry_read(registry, SPEC_POOL, "b", some, 4), 0);
	assert_int_equal(registry_read(registry, SPEC_TUNNEL, "a", some, 4), 0);
}

static void ids_are_in_order_however_they_come(void **state)
{
	static const char *const coming[] = { "m", "a", "z", "b", "aa", "n" }, *const order[] = { "a", "aa", "b", "m", "n", "z" };
	(void)state;
	for (size_t i = 0; i < 6; i++)
		add(coming[i], 1, false);
	for (size_t i = 0; i < 6; i++)
		assert_string_equal(registry_at(registry, i)->id, order[i]);
	assert_null(registry_entry(registry, "ab"));
	assert_null(registry_find(registry, ""));
	struct entry *removed = registry_entry(registry, "b");
	registry_remove(registry, removed);
	entry_free(removed);
	assert_int_equal(registry_count(registry), 5);
	assert_null(registry_entry(registry, "b"));
	struct snapshot *some[3];
	assert_int_equal(registry_read(registry, SPEC_TUNNEL, "aa", some, 3), 3);
	assert_string_equal(some[0]->id, "m");
	assert_string_equal(some[2]->id, "z");
	for (size_t i = 0; i < 3; i++)
		snapshot_release(some[i]);
	assert_int_equal(registry_read(registry, SPEC_TUNNEL, "z", some, 3), 0);
	/* What is between two ids starts at the next one. */
	assert_int_equal(registry_read(registry, SPEC_TUNNEL, "y", some, 3), 1);
	snapshot_release(some[0]);
}

static void a_key_finds_all_tunnels_that_have_it(void **state)
{
	struct wireguard_key key;
	struct snapshot *found[4];
	(void)state;
	struct entry *one = add("one", 7, false);
	add("two", 7, false);
	add("other", 8, false);
	memset(&key, 7, sizeof(key));
	assert_int_equal(registry_read_key(registry, &key, found, 4), 2);
	snapshot_release(found[0]);
	snapshot_release(found[1]);
	snapshot_release(registry_swap(registry, one, NULL, make_snapshot("one", 9)));
	assert_int_equal(registry_read_key(registry, &key, found, 4), 1);
	assert_string_equal(found[0]->id, "two");
	snapshot_release(found[0]);
}

static void the_old_snapshot_is_the_readers_as_long_as_they_want(void **state)
{
	(void)state;
	struct entry *entry = add("t", 1, false);
	struct snapshot *read = registry_find(registry, "t");
	struct snapshot *old = registry_swap(registry, entry, NULL, make_snapshot("t", 2));
	assert_ptr_equal(old, read);
	snapshot_release(old);
	assert_int_equal(read->public_key.bytes[0], 1);
	snapshot_release(read);
}

static void those_that_are_unbound_are_counted(void **state)
{
	(void)state;
	struct entry *one = add("one", 1, true), *two = add("two", 1, true);
	add("three", 1, false);
	assert_int_equal(registry_unbound_count(registry), 2);
	registry_bound(registry, one);
	registry_bound(registry, one);
	assert_int_equal(registry_unbound_count(registry), 1);
	registry_remove(registry, two);
	assert_int_equal(registry_unbound_count(registry), 0);
	entry_free(two);
}

static void add_peer(struct entry *entry, uint8_t key)
{
	struct spec *spec = &entry->snapshot->spec;
	spec->peers = calloc(1, sizeof(*spec->peers));
	spec->peer_count = 1;
	memset(&spec->peers[0].public_key, key, sizeof(spec->peers[0].public_key));
	spec->enabled = true;
}

/* Two with one key towards one peer end each other's sessions. */
static void a_twin_has_the_key_and_a_peer_in_common(void **state)
{
	char id[64];
	(void)state;
	struct entry *one = add("one", 1, false), *other = add("other", 1, false);
	add_peer(one, 5);
	add_peer(other, 6);
	assert_false(tunnel_list_find_twin(registry, access_whole(), one->snapshot, id));
	memset(&other->snapshot->spec.peers[0].public_key, 5, sizeof(struct wireguard_key));
	assert_true(tunnel_list_find_twin(registry, access_whole(), one->snapshot, id));
	assert_string_equal(id, "other");
	other->snapshot->spec.enabled = false;
	assert_false(tunnel_list_find_twin(registry, access_whole(), one->snapshot, id));
}

static size_t count_inside(const char *id)
{
	size_t count = 0;
	for (struct entry *entry = NULL; (entry = registry_next_inside(registry, id, entry)) != NULL; count++)
		assert_string_equal(entry->snapshot->spec.via, id);
	return count;
}

static struct snapshot *through(const char *id, const char *via)
{
	struct snapshot *snapshot = make_snapshot(id, 1);
	snapshot->spec.via = via == NULL ? NULL : strdup(via);
	return snapshot;
}

/* Whether the outer tunnel is there or not, and however it changes. */
static void those_inside_a_tunnel_are_found(void **state)
{
	char id[8];
	struct entry *entries[100];
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "t%u", i);
		entries[i] = add(id, 1, false);
		snapshot_release(registry_swap(registry, entries[i], NULL, through(id, i % 2 == 0 ? "out" : "other")));
	}
	assert_int_equal(count_inside("out"), 50);
	assert_int_equal(count_inside("t1"), 0);
	assert_null(registry_outer(registry, &entries[0]->snapshot->spec));
	assert_false(registry_is_chained(registry, "t1", &(struct spec){ .via = NULL }));
	uint64_t version = registry_chain_version(registry);
	snapshot_release(registry_swap(registry, entries[0], NULL, through("t0", "t1")));
	snapshot_release(registry_swap(registry, entries[2], NULL, through("t2", NULL)));
	assert_true(registry_chain_version(registry) > version);
	assert_int_equal(count_inside("out"), 48);
	assert_int_equal(count_inside("t1"), 1);
	assert_ptr_equal(registry_outer(registry, &entries[0]->snapshot->spec), entries[1]);
	assert_null(registry_outer(registry, &entries[2]->snapshot->spec));
	assert_true(registry_is_chained(registry, "t1", &(struct spec){ .via = NULL }));
	assert_true(registry_is_chained(registry, "t0", &entries[0]->snapshot->spec));
	registry_remove(registry, entries[4]);
	entry_free(entries[4]);
	assert_int_equal(count_inside("out"), 47);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pool_may_have_the_id_of_a_tunnel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ids_are_in_order_however_they_come, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_key_finds_all_tunnels_that_have_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_old_snapshot_is_the_readers_as_long_as_they_want, set_up, tear_down),
		cmocka_unit_test_setup_teardown(those_that_are_unbound_are_counted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_twin_has_the_key_and_a_peer_in_common, set_up, tear_down),
		cmocka_unit_test_setup_teardown(those_inside_a_tunnel_are_found, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
