/* Names of peers: asked for when a tunnel begins, again until there is an address, and told to the worker on the tunnel's turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/status.h"
#include "service/worker/endpoint_resolver.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_mutations.h"

#define INTERFACE "'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}"
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define OTHER "gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA="
#define WITH_PEERS(peers) "{'spec':{" INTERFACE ",'peers':[" peers "]}}"
#define NAMED(key, endpoint) "{'public_key':'" key "','endpoint':'" endpoint "'}"

struct endpoint_resolver_query {
	void (*done)(void *owner, const struct message_addresses *addresses, bool more);
	void *owner;
	char name[64];
	uint16_t port;
	bool is_cancelled;
};

static struct endpoint_resolver_query queries[16];
static size_t query_count;
static bool resolver_lacks_memory;

struct endpoint_resolver_query *__wrap_endpoint_resolver_ask(struct endpoint_resolver *resolver, const char *name, uint16_t port,
                                                             void (*done)(void *owner, const struct message_addresses *addresses, bool more),
                                                             void *owner);
void __wrap_endpoint_resolver_cancel(struct endpoint_resolver_query *query);

struct endpoint_resolver_query *__wrap_endpoint_resolver_ask(struct endpoint_resolver *resolver, const char *name, uint16_t port,
                                                             void (*done)(void *owner, const struct message_addresses *addresses, bool more),
                                                             void *owner)
{
	(void)resolver;
	if (resolver_lacks_memory)
		return NULL;
	assert_true(query_count < sizeof(queries) / sizeof(queries[0]));
	struct endpoint_resolver_query *query = &queries[query_count++];
	*query = (struct endpoint_resolver_query){ .done = done, .owner = owner, .port = port };
	snprintf(query->name, sizeof(query->name), "%s", name);
	return query;
}

void __wrap_endpoint_resolver_cancel(struct endpoint_resolver_query *query)
{
	if (query != NULL)
		query->is_cancelled = true;
}

static int set_up(void **state)
{
	query_count = 0;
	resolver_lacks_memory = false;
	return bench_mutations_set_up(state);
}

static struct entry *put(const char *document)
{
	struct mutation *mutation = bench_mutations_do(OPERATION_PUT, "a", document);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	mutation_free(mutation);
	while (bench_worker_next() != 0)
		continue;
	return registry_entry(bench.registry, "a");
}

static struct message_addresses addresses_of(size_t count, uint8_t last)
{
	struct message_addresses addresses = { .count = count };
	for (size_t i = 0; i < count; i++) {
		addresses.list[i].v4.sin_family = AF_INET;
		addresses.list[i].v4.sin_port = htons(51820);
		addresses.list[i].v4.sin_addr.s_addr = htonl(0xc0000200u + last + (uint32_t)i);
	}
	return addresses;
}

static void answer(size_t query, size_t count, uint8_t last, bool more)
{
	const struct message_addresses addresses = addresses_of(count, last);
	assert_false(queries[query].is_cancelled);
	queries[query].done(queries[query].owner, &addresses, more);
}

static uint8_t last_byte(const struct entry *entry, size_t peer)
{
	assert_true(entry->addresses[peer].count > 0);
	return (uint8_t)ntohl(entry->addresses[peer].list[0].v4.sin_addr.s_addr);
}

static void a_name_is_asked_for_and_told_to_the_worker(void **state)
{
	(void)state;
	struct entry *entry = put(WITH_PEERS(NAMED(PEER, "vpn.example:51820") "," NAMED(OTHER, "192.0.2.99:1")));
	assert_int_equal(query_count, 1);
	assert_string_equal(queries[0].name, "vpn.example");
	assert_int_equal(queries[0].port, 51820);
	assert_int_equal(last_byte(entry, 1), 99);
	/* One family at once, both when the other has answered too. */
	answer(0, 1, 7, true);
	assert_int_equal(bench_worker_next(), MESSAGE_RESOLVED);
	assert_int_equal(last_byte(entry, 0), 7);
	assert_non_null(entry->lookups);
	answer(0, 2, 7, false);
	assert_int_equal(bench_worker_next(), MESSAGE_RESOLVED);
	assert_int_equal(entry->addresses[0].count, 2);
	assert_null(entry->lookups);
}

static const char *reason_of(const struct entry *entry)
{
	static struct snapshot_status status;
	snapshot_status(entry->snapshot, &status);
	return status.reason;
}

static void a_name_that_does_not_resolve_is_asked_for_again(void **state)
{
	(void)state;
	struct entry *entry = put(WITH_PEERS(NAMED(PEER, "vpn.example:51820")));
	const struct wireguard_key key = entry->snapshot->spec.peers[0].public_key;
	for (size_t i = 0; i < 4; i++) {
		answer(i, 0, 0, false);
		assert_string_equal(reason_of(entry), "the name vpn.example does not resolve");
		assert_int_equal(query_count, i + 1);
		/* It waits for its next attempt, which a worker that asks makes earlier; but only once. */
		peer_lookup_again(&changes.lookups, entry, &key);
		peer_lookup_again(&changes.lookups, entry, &key);
		assert_int_equal(query_count, i + 2);
	}
	answer(4, 1, 3, false);
	assert_string_equal(reason_of(entry), "");
	assert_int_equal(last_byte(entry, 0), 3);
	assert_null(entry->lookups);
	/* An address that there was stays while the name has none. */
	peer_lookup_again(&changes.lookups, entry, &key);
	answer(5, 0, 0, false);
	assert_string_equal(reason_of(entry), "");
	assert_int_equal(last_byte(entry, 0), 3);
}

static void only_peers_with_a_name_are_asked_for(void **state)
{
	(void)state;
	struct entry *entry = put(WITH_PEERS(NAMED(PEER, "192.0.2.1:51820")));
	const struct wireguard_key unknown = { .bytes = { 1 } };
	peer_lookup_again(&changes.lookups, entry, &entry->snapshot->spec.peers[0].public_key);
	peer_lookup_again(&changes.lookups, entry, &unknown);
	assert_int_equal(query_count, 0);
	assert_null(entry->addresses);
}

/* P1: the host's resolver is not asked for what is reached inside another tunnel, and its answer is not waited for. */
static void a_name_inside_another_tunnel_is_not_asked_for(void **state)
{
	(void)state;
	struct mutation *mutation = bench_mutations_do(OPERATION_PUT, "out", "{'spec':{" INTERFACE "}}");
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	mutation_free(mutation);
	struct entry *entry = put(WITH_PEERS(NAMED(PEER, "vpn.example:51820")));
	assert_int_equal(query_count, 1);
	entry = put("{'spec':{'interface':{'addresses':['10.2.0.2'],'via':'out'},'peers':[" NAMED(PEER, "vpn.example:51820") "]}}");
	assert_true(queries[0].is_cancelled);
	peer_lookup_again(&changes.lookups, entry, &entry->snapshot->spec.peers[0].public_key);
	assert_int_equal(query_count, 1);
	assert_null(entry->addresses);
}

static void nothing(void *owner)
{
	(void)owner;
}

static void an_answer_waits_for_the_tunnels_turn(void **state)
{
	struct lock_claim claim;
	(void)state;
	struct entry *entry = put(WITH_PEERS(NAMED(PEER, "vpn.example:51820")));
	lock_queue_claim_one(bench.locks, &claim, "a", nothing, NULL);
	answer(0, 1, 7, true);
	answer(0, 1, 8, false);
	assert_int_equal(entry->addresses[0].count, 0);
	assert_int_equal(bench_worker_next(), 0);
	lock_queue_release(bench.locks, &claim);
	assert_int_equal(last_byte(entry, 0), 8);
	assert_int_equal(bench_worker_next(), MESSAGE_RESOLVED);
	assert_null(entry->lookups);
}

static void an_answer_for_a_tunnel_that_is_gone_is_dropped(void **state)
{
	struct lock_claim claim;
	(void)state;
	(void)put(WITH_PEERS(NAMED(PEER, "vpn.example:51820")));
	lock_queue_claim_one(bench.locks, &claim, "a", nothing, NULL);
	struct mutation *mutation = bench_mutations_make(OPERATION_DELETE, "a", NULL);
	bench_mutations_start(mutation);
	answer(0, 1, 7, false);
	lock_queue_release(bench.locks, &claim);
	bench_mutations_finish();
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	assert_null(registry_entry(bench.registry, "a"));
	mutation_free(mutation);
}

static void an_answer_for_a_peer_that_is_gone_is_dropped(void **state)
{
	struct lock_claim claim;
	(void)state;
	(void)put(WITH_PEERS(NAMED(PEER, "vpn.example:51820")));
	lock_queue_claim_one(bench.locks, &claim, "a", nothing, NULL);
	struct mutation *mutation = bench_mutations_make(OPERATION_PUT, "a", WITH_PEERS(NAMED(OTHER, "vpn.example:51820")));
	bench_mutations_start(mutation);
	answer(0, 1, 7, false);
	lock_queue_release(bench.locks, &claim);
	bench_mutations_finish();
	mutation_free(mutation);
	assert_int_equal(query_count, 2);
	assert_int_equal(registry_entry(bench.registry, "a")->addresses[0].count, 0);
}

static void what_a_change_keeps_is_not_asked_for_again(void **state)
{
	(void)state;
	struct entry *entry = put(WITH_PEERS(NAMED(PEER, "vpn.example:51820")));
	/* Asked and not answered: it goes on. */
	entry = put(WITH_PEERS(NAMED(OTHER, "other.example:51820") "," NAMED(PEER, "vpn.example:51820")));
	assert_int_equal(query_count, 2);
	assert_string_equal(queries[1].name, "other.example");
	answer(0, 1, 7, false);
	assert_int_equal(last_byte(entry, 1), 7);
	/* Answered: the address stays with its peer. */
	entry = put(WITH_PEERS(NAMED(PEER, "vpn.example:51820")));
	assert_int_equal(query_count, 2);
	assert_true(queries[1].is_cancelled);
	assert_int_equal(last_byte(entry, 0), 7);
	/* Another port or another name is another endpoint. */
	entry = put(WITH_PEERS(NAMED(PEER, "vpn.example:51821")));
	assert_int_equal(query_count, 3);
	assert_int_equal(queries[2].port, 51821);
	entry = put(WITH_PEERS(NAMED(PEER, "new.example:51821")));
	assert_int_equal(query_count, 4);
	assert_true(queries[2].is_cancelled);
	entry = put("{'spec':{" INTERFACE ",'enabled':false,'peers':[" NAMED(PEER, "new.example:51821") "]}}");
	assert_int_equal(query_count, 4);
	assert_true(queries[3].is_cancelled);
	assert_null(entry->lookups);
}

/* A peer whose name nobody looks up would never have an address, and no worker would ask for it. */
static void a_name_that_memory_is_missing_for_is_asked_for_later(void **state)
{
	(void)state;
	struct entry *entry = put(WITH_PEERS(NAMED(PEER, "vpn.example:51820")));
	peer_lookup_end_all(entry);
	heap_fails_after(0);
	peer_lookup_start(&changes.lookups, entry);
	heap_works();
	assert_null(entry->lookups);
	assert_true(entry->lacks_lookup);
	struct lock_claim claim;
	lock_queue_claim_one(bench.locks, &claim, "a", nothing, NULL);
	peer_lookup_retry(&changes.lookups);
	assert_null(entry->lookups);
	lock_queue_release(bench.locks, &claim);
	peer_lookup_retry(&changes.lookups);
	assert_non_null(entry->lookups);
	assert_false(entry->lacks_lookup);
	assert_int_equal(query_count, 2);
	/* Without memory for its marks it still asks for no name twice. */
	heap_fails_once_after(0);
	peer_lookup_start(&changes.lookups, entry);
	heap_works();
	assert_int_equal(query_count, 2);
	heap_fails_after(0);
	struct message_addresses *addresses;
	assert_false(peer_lookup_addresses(&addresses, &entry->snapshot->spec, NULL, NULL));
	heap_works();
}

static void a_question_that_memory_is_missing_for_is_asked_later(void **state)
{
	(void)state;
	resolver_lacks_memory = true;
	struct entry *entry = put(WITH_PEERS(NAMED(PEER, "vpn.example:51820")));
	assert_int_equal(query_count, 0);
	assert_non_null(entry->lookups);
	resolver_lacks_memory = false;
	peer_lookup_again(&changes.lookups, entry, &entry->snapshot->spec.peers[0].public_key);
	assert_int_equal(query_count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, bench_mutations_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_name_is_asked_for_and_told_to_the_worker),
		TEST(a_name_that_does_not_resolve_is_asked_for_again),
		TEST(only_peers_with_a_name_are_asked_for),
		TEST(a_name_inside_another_tunnel_is_not_asked_for),
		TEST(an_answer_waits_for_the_tunnels_turn),
		TEST(an_answer_for_a_tunnel_that_is_gone_is_dropped),
		TEST(an_answer_for_a_peer_that_is_gone_is_dropped),
		TEST(what_a_change_keeps_is_not_asked_for_again),
		TEST(a_name_that_memory_is_missing_for_is_asked_for_later),
		TEST(a_question_that_memory_is_missing_for_is_asked_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
