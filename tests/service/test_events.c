#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/events.h"

static void ids_rise_by_one_and_old_ones_expire(void **state)
{
	struct events *events = events_create(4, 0);
	uint64_t id;
	enum event_type type;
	char *json;
	(void)state;
	assert_int_equal(events_next(events, 0, &id, &type, &json), EVENTS_NONE);
	for (int i = 0; i < 6; i++)
		events_publish(events, EVENT_TUNNEL_STATE, i % 2 ? "a" : NULL, i % 2 ? "\"state\":\"up\"" : "");
	assert_int_equal(events_last_id(events), 6);
	assert_int_equal(events_next(events, 0, &id, &type, &json), EVENTS_EXPIRED);
	assert_int_equal(events_next(events, 1, &id, &type, &json), EVENTS_EXPIRED);
	for (uint64_t after = 2; after < 6; after++) {
		assert_int_equal(events_next(events, after, &id, &type, &json), EVENTS_GOT);
		assert_int_equal(id, after + 1);
		json_t *parsed = json_loads(json, 0, NULL);
		assert_int_equal(json_integer_value(json_object_get(parsed, "id")), id);
		assert_string_equal(json_string_value(json_object_get(parsed, "type")), "tunnel.state");
		assert_int_equal(json_is_null(json_object_get(parsed, "tunnel")), id % 2 == 1);
		json_decref(parsed);
		free(json);
	}
	assert_int_equal(events_next(events, 6, &id, &type, &json), EVENTS_NONE);
	/* An id that an earlier daemon gave. */
	assert_int_equal(events_next(events, 7, &id, &type, &json), EVENTS_EXPIRED);
	events_free(events);
}

/* A reader of the next program goes on with the id that it had; an event of unknown type, or a cut one, is refused. */
static void the_next_program_goes_on(void **state)
{
	(void)state;
	struct message_writer writer;
	struct events *events = events_create(4, 100), *next = events_create(4, 7);
	for (int i = 0; i < 6; i++)
		events_publish(events, EVENT_TUNNEL_STATE, i % 2 == 0 ? "a" : NULL, i < 4 ? "" : "\"more\":1");
	message_writer_init(&writer);
	events_save(events, &writer);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_true(events_load(next, &reader));
	assert_int_equal(reader.left, 0);
	uint64_t id;
	enum event_type type;
	for (uint64_t after = 101; after < 108; after++) {
		char *json = NULL, *same = NULL;
		uint64_t same_id;
		enum events_read expected = events_next(events, after, &id, &type, &json);
		assert_int_equal(events_next(next, after, &same_id, &type, &same), expected);
		if (expected == EVENTS_GOT)
			assert_string_equal(json, same);
		free(json);
		free(same);
	}
	events_publish(next, EVENT_TUNNEL_STATE, "a", "");
	assert_int_equal(events_last_id(next), 107);
	struct message_reader cut = { .bytes = writer.bytes, .left = writer.length - 1 };
	assert_false(events_load(next, &cut));
	writer.bytes[16] = EVENT_TYPE_COUNT;
	struct message_reader unknown = { .bytes = writer.bytes, .left = writer.length };
	assert_false(events_load(next, &unknown));
	message_writer_clear(&writer);
	events_free(events);
	events_free(next);
}

struct woken {
	_Atomic int count;
};

static void count_wake(void *owner)
{
	struct woken *woken = owner;
	woken->count++;
}

static void *publish_many(void *argument)
{
	for (int i = 0; i < 1000; i++)
		events_publish(argument, EVENT_TUNNEL_HANDSHAKE, "a", "");
	return NULL;
}

static void readers_are_woken(void **state)
{
	struct events *events = events_create(64, 0);
	struct woken first = { 0 }, second = { 0 };
	pthread_t threads[2];
	(void)state;
	struct events_subscription *one = events_subscribe(events, count_wake, &first);
	struct events_subscription *two = events_subscribe(events, count_wake, &second);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, publish_many, events);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(first.count, 2000);
	events_unsubscribe(events, one);
	events_publish(events, EVENT_WORKER_RESTARTED, NULL, "");
	assert_int_equal(first.count, 2000);
	assert_int_equal(second.count, 2001);
	assert_int_equal(events_last_id(events), 2001);
	events_unsubscribe(events, two);
	events_unsubscribe(events, NULL);
	events_free(events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_program_goes_on),
		cmocka_unit_test(ids_rise_by_one_and_old_ones_expire),
		cmocka_unit_test(readers_are_woken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
