/* Workers' reports become events, and an event is one JSON object whatever a worker sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/registry/status.h"
#include "service/worker/failure.h"
#include "service/worker/report.h"
#include "service/worker/worker_process.h"

static struct registry *registry;
static struct lock_queue *locks;
static struct report report;
static struct worker worker;
static struct slots *slots;
static struct entry *entry;

static void on_told(void *owner, const struct entry *told)
{
	assert_ptr_equal(told, entry);
	(void)owner;
}

static int set_up(void **state)
{
	(void)state;
	assert_true(sodium_init() >= 0);
	log_start(LOG_ERROR, false, "control");
	struct counters *counters;
	int descriptor = counters_create(&counters);
	assert_true(descriptor >= 0);
	slots = slots_create(counters, descriptor, 0);
	locks = lock_queue_create();
	registry = registry_create(locks);
	report = (struct report){ .slots = slot_table_create(1), .events = events_create(64, 0), .told = on_told };
	entry = entry_create("t");
	entry->snapshot = calloc(1, sizeof(*entry->snapshot));
	*entry->snapshot = (struct snapshot){ .references = 1, .id = "t", .generation = 3, .status = status_reference(entry->status) };
	entry->snapshot->spec.peers = calloc(1, sizeof(struct spec_peer));
	entry->snapshot->spec.peer_count = 1;
	memset(&entry->snapshot->spec.peers[0].public_key, 5, 32);
	entry->snapshot->labels_json = strdup("{}");
	entry->snapshot->spec_json = strdup("{}");
	assert_true(registry_reserve(registry, 1));
	registry_add(registry, entry);
	entry->slot = slot_take_tunnel(slots);
	slot_table_put(report.slots, entry);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	registry_free(registry);
	lock_queue_free(locks);
	events_free(report.events);
	slot_table_free(report.slots);
	slots_free(slots);
	return 0;
}

static void tell(enum message_type type, struct message_writer *writer)
{
	struct message_reader reader = { .bytes = writer->bytes, .left = writer->length };
	assert_true(report_take(&report, &worker, type, &reader));
	message_writer_clear(writer);
}

/* The latest event; a new reference. */
static json_t *latest(enum event_type wanted)
{
	uint64_t id = events_last_id(report.events);
	enum event_type type;
	json_error_t error;
	char *text;
	assert_int_equal(events_next(report.events, id - 1, &id, &type, &text), EVENTS_GOT);
	assert_int_equal(type, wanted);
	json_t *event = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (event == NULL)
		fail_msg("%s in %s", error.text, text);
	free(text);
	return event;
}

static const struct {
	const char *sent;
	const char *told;
} texts[] = {
	{ "", "" },
	{ "plain", "plain" },
	{ "\"}, {\"x\":\"\\", "\"}, {\"x\":\"\\" },
	{ "a\x01\n\x1f\x7f", "a\x01\n\x1f\x7f" },
	{ "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\x87", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\x87" },
	{ "\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd" },
	{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },                                   /* overlong */
	{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },                   /* a surrogate */
	{ "\xf4\x90\x80\x80!", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!" }, /* over U+10FFFF */
	{ "cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd" },
};

static void texts_of_any_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct message_state message = { .generation = 3, .state = TUNNEL_STALE };
		struct message_probed probed = { .generation = 3 };
		struct message_writer writer;
		strcpy(message.reason, texts[i].sent);
		strcpy(probed.detail, texts[i].sent);
		message_writer_init(&writer);
		message_encode_state(&writer, &message);
		tell(MESSAGE_STATE, &writer);
		json_t *event = latest(EVENT_TUNNEL_STATE);
		assert_string_equal(json_string_value(json_object_get(event, "reason")), texts[i].told);
		json_decref(event);
		message_writer_init(&writer);
		message_encode_probed(&writer, &probed);
		tell(MESSAGE_PROBED, &writer);
		event = latest(EVENT_TUNNEL_PROBE);
		assert_string_equal(json_string_value(json_object_get(event, "detail")), texts[i].told);
		json_decref(event);
		/* And what a tunnel is said to have failed of. */
		char reason[200];
		snprintf(reason, sizeof(reason), "%zu %s", i, texts[i].sent);
		assert_true(failure_set(registry, report.events, entry, NULL, reason));
		event = latest(EVENT_TUNNEL_STATE);
		assert_string_equal(json_string_value(json_object_get(event, "reason")) + 2, texts[i].told);
		json_decref(event);
	}
}

/* As long as a text can be, of each byte. */
static void long_texts(void **state)
{
	(void)state;
	for (int byte = 1; byte < 256; byte++) {
		struct message_state message = { .generation = 3, .state = TUNNEL_UP };
		struct message_writer writer;
		char reason[200];
		memset(message.reason, byte, sizeof(message.reason) - 1);
		message_writer_init(&writer);
		message_encode_state(&writer, &message);
		tell(MESSAGE_STATE, &writer);
		json_decref(latest(EVENT_TUNNEL_STATE));
		memset(reason, byte, sizeof(reason) - 1);
		reason[sizeof(reason) - 1] = '\0';
		assert_true(failure_set(registry, report.events, entry, NULL, reason));
		json_decref(latest(EVENT_TUNNEL_STATE));
	}
}

static void numbers_of_any_kind(void **state)
{
	static const double numbers[] = { 0, -0.0, 1.5, -1, 1e300, -1e300, INFINITY, -INFINITY, NAN, 5e-324 };
	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct message_probed probed = {
			.generation = 3, .sent = UINT32_MAX, .received = i % 2 == 0, .rtt_min_ms = numbers[i], .rtt_avg_ms = numbers[i]
		};
		struct message_writer writer;
		message_writer_init(&writer);
		message_encode_probed(&writer, &probed);
		/* No honest worker sends what is no number, or less than none: such a one is ended, and nothing is told. */
		struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
		uint64_t before = events_last_id(report.events);
		bool is_taken = report_take(&report, &worker, MESSAGE_PROBED, &reader);
		message_writer_clear(&writer);
		assert_int_equal(events_last_id(report.events), before + is_taken);
		if (!is_taken)
			continue;
		json_t *event = latest(EVENT_TUNNEL_PROBE);
		const json_t *told = json_object_get(event, "rtt_avg_ms");
		assert_true(i == 2 ? json_real_value(told) == 1.5 : json_is_null(told) || json_real_value(told) == 0);
		assert_int_equal(json_is_null(told), probed.received == 0 || numbers[i] > 1e9);
		json_decref(event);
	}
}

static void tell_result(uint64_t generation, uint64_t request, uint32_t failures)
{
	struct message_probed probed = {
		.request = request, .generation = generation, .sent = 1, .failures = failures, .detail = "no answer in time"
	};
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_probed(&writer, &probed);
	tell(MESSAGE_PROBED, &writer);
}

/* A result of the probe that was there before, or of one that was asked for, is not the tunnel's. */
static void results_of_the_periodic_probe_are_kept(void **state)
{
	(void)state;
	struct status_probe probe;
	tell_result(3, 0, 2);
	assert_true(status_get_probe(entry->status, &probe));
	assert_int_equal(probe.failures, 2);
	assert_string_equal(probe.detail, "no answer in time");
	assert_true(probe.rtt_ms < 0);
	tell_result(3, 9, 7);
	tell_result(2, 0, 7);
	entry->old_generation = 2;
	tell_result(2, 0, 7);
	entry->old_generation = 0;
	assert_true(status_get_probe(entry->status, &probe));
	assert_int_equal(probe.failures, 2);
	status_forget_probe(entry->status);
}

static void changes_of_health_are_told(void **state)
{
	(void)state;
	for (uint8_t health = 0; health < TUNNEL_HEALTH_COUNT; health++) {
		struct message_health message = { .generation = 3, .health = health };
		struct message_writer writer;
		message_writer_init(&writer);
		message_encode_health(&writer, &message);
		tell(MESSAGE_HEALTH, &writer);
		json_t *event = latest(EVENT_TUNNEL_HEALTH);
		const json_t *healthy = json_object_get(event, "healthy");
		assert_true(health == TUNNEL_HEALTHY     ? json_is_true(healthy)
		            : health == TUNNEL_UNHEALTHY ? json_is_false(healthy)
		                                         : json_is_null(healthy));
		json_decref(event);
	}
}

static void tell_state_of(uint64_t generation)
{
	struct message_state message = { .generation = generation, .state = TUNNEL_STALE };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_state(&writer, &message);
	tell(MESSAGE_STATE, &writer);
}

/* The worker runs the old generation until it has taken the COMMIT. */
static void the_old_generation_counts_until_the_commit_is_answered(void **state)
{
	(void)state;
	uint64_t before = events_last_id(report.events);
	tell_state_of(2);
	tell_state_of(0);
	assert_int_equal(events_last_id(report.events), before);
	entry->old_generation = 2;
	tell_state_of(2);
	assert_int_equal(events_last_id(report.events), before + 1);
	json_t *event = latest(EVENT_TUNNEL_STATE);
	assert_int_equal(json_integer_value(json_object_get(event, "generation")), 2);
	json_decref(event);
	tell_state_of(1);
	tell_state_of(4);
	assert_int_equal(events_last_id(report.events), before + 1);
	tell_state_of(3);
	assert_int_equal(events_last_id(report.events), before + 2);
}

/* A worker that sends what cannot be decoded, or a number that is none of ours, breaks the protocol. */
static void what_cannot_be_decoded_is_refused(void **state)
{
	static const int types[] = { MESSAGE_STATE,
		                     MESSAGE_HANDSHAKE,
		                     MESSAGE_ENDPOINT,
		                     MESSAGE_PROBED,
		                     MESSAGE_LIMIT,
		                     MESSAGE_CONDITION,
		                     MESSAGE_HEALTH,
		                     MESSAGE_WANT_RESOLVE,
		                     MESSAGE_WANT_UDP,
		                     MESSAGE_WANT_DIAL,
		                     MESSAGE_WANT_RELAY,
		                     MESSAGE_PREPARE,
		                     200 };
	static const uint8_t bytes[] = { 1, 2, 3 };
	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct message_reader reader = { .bytes = bytes, .left = sizeof(bytes) };
		assert_false(report_take(&report, &worker, (enum message_type)types[i], &reader));
	}
	struct message_state message = { .generation = 3, .state = TUNNEL_STATE_COUNT };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_state(&writer, &message);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_false(report_take(&report, &worker, MESSAGE_STATE, &reader));
	message_writer_clear(&writer);
}

static void tell_peer(uint8_t byte)
{
	struct message_handshake handshake = { .generation = 3, .completed = true, .count = 1 };
	struct message_endpoint endpoint = { .generation = 3, .count = 2 };
	struct message_writer writer;
	memset(&handshake.peer, byte, sizeof(handshake.peer));
	endpoint.peer = handshake.peer;
	endpoint.endpoint.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(7), .sin_addr.s_addr = htonl(0xc0000201u) };
	message_writer_init(&writer);
	message_encode_handshake(&writer, &handshake);
	tell(MESSAGE_HANDSHAKE, &writer);
	message_writer_init(&writer);
	message_encode_endpoint(&writer, &endpoint);
	tell(MESSAGE_ENDPOINT, &writer);
}

/* A peer that was removed has no news any more. */
static void news_of_peers_are_of_those_that_there_are(void **state)
{
	(void)state;
	assert_true(spec_index_peers(&entry->snapshot->spec));
	uint64_t before = events_last_id(report.events);
	tell_peer(6);
	assert_int_equal(events_last_id(report.events), before);
	tell_peer(5);
	assert_int_equal(events_last_id(report.events), before + 2);
	json_t *event = latest(EVENT_TUNNEL_ENDPOINT);
	assert_string_equal(json_string_value(json_object_get(event, "endpoint")), "192.0.2.1:7");
	json_decref(event);
}

static void conditions_come_and_go(void **state)
{
	(void)state;
	for (uint32_t value = 0; value < 2; value++) {
		struct message_condition message = { .generation = 3, .type = 0, .value = value };
		struct message_writer writer;
		message_writer_init(&writer);
		message_encode_condition(&writer, &message);
		tell(MESSAGE_CONDITION, &writer);
		json_t *event = latest(EVENT_TUNNEL_CONDITION);
		assert_true(value != 0 ? json_is_true(json_object_get(event, "holds")) : json_is_false(json_object_get(event, "holds")));
		assert_int_equal(json_string_length(json_object_get(event, "detail")) != 0, value != 0);
		json_decref(event);
	}
}

static void a_remedy_is_told_with_its_state(void **state)
{
	struct message_state message = { .generation = 3, .state = TUNNEL_STALE, .healing = MESSAGE_HEALING_NONE + 1, .count = 4 };
	struct message_writer writer;
	(void)state;
	message_writer_init(&writer);
	message_encode_state(&writer, &message);
	tell(MESSAGE_STATE, &writer);
	json_t *event = latest(EVENT_TUNNEL_STATE);
	assert_int_equal(json_integer_value(json_object_get(event, "count")), 4);
	assert_true(json_is_string(json_object_get(event, "healing")));
	json_decref(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(texts_of_any_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(long_texts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(numbers_of_any_kind, set_up, tear_down),
		cmocka_unit_test_setup_teardown(results_of_the_periodic_probe_are_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(changes_of_health_are_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_old_generation_counts_until_the_commit_is_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_decoded_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(news_of_peers_are_of_those_that_there_are, set_up, tear_down),
		cmocka_unit_test_setup_teardown(conditions_come_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_remedy_is_told_with_its_state, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
