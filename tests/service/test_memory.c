/* Every allocation fails in turn (F1), once or permanently: the result is complete and correct, or an error, and nothing in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/endpoint.h"
#include "ipc/log.h"
#include "service/change/delta.h"
#include "service/registry/events.h"
#include "service/registry/snapshot_make.h"
#include "service/registry/tunnel_list.h"
#include "service/socket/socket_path.h"
#include "service/spec/candidate.h"
#include "service/spec/json_writer.h"
#include "service/spec/spec_json.h"
#include "service/spec/wgquick.h"
#include "service/store/scope.h"
#include "service/worker/protection.h"
#include "tests/failing_heap.h"
#include "tests/service/quoted_json.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define OTHER "/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak="

static const char document_text[] =
    "{'labels':{'site':'berlin','team':'net'},'spec':{'interface':{'private_key':'" KEY "','addresses':['10.2.0.2','fd00::2'],'dns':['10.2.0.1']},"
    "'peers':[{'public_key':'" PEER "','endpoint':'vpn.example:51820','allowed_ips':['0.0.0.0/0','::/0'],'preshared_key':'" OTHER "'},"
    "{'public_key':'" OTHER "','endpoint':'192.0.2.1:1','allowed_ips':['10.0.0.0/8']}],"
    "'proxy':{'listen':['127.0.0.1:1080','[::1]:0'],'users':[{'username':'u','password':'p'},{'username':'v','password':'q'}]},"
    "'forwards':[{'name':'web','listen':'127.0.0.1:8080','target':'web.example:80'},"
    "{'name':'in','direction':'inbound','listen':'10.2.0.2:80','target':'127.0.0.1:80'}],"
    "'probe':{'type':'tcp','target':'web.example:80','interval':10}}}";

static struct registry *registry;
static struct lock_queue *locks;
static struct policy policy;
static struct snapshot *tunnel;

/* `run` says whether it succeeded, and has checked then that it did so wholly. It is called with each allocation failing, until none is left. */
static unsigned each_allocation_fails(bool (*run)(void))
{
	unsigned number = 0;
	for (int for_good = 0; for_good < 2; for_good++) {
		bool is_done = false;
		for (number = 0; !is_done; number++) {
			(for_good ? heap_fails_after : heap_fails_once_after)(number);
			bool is_whole = run();
			heap_works();
			is_done = heap_refused() == 0;
			assert_true(is_whole || !is_done);
		}
	}
	return number;
}

static struct operation operation;
static enum operation_kind operation_kind;
static char *wanted_labels, *wanted_spec;
static struct spec wanted;

/* What workers get is the spec, whatever the way on which it came to be. */
static void assert_wire(const struct snapshot *made)
{
	struct message_writer writer;
	message_writer_init(&writer);
	spec_encode(&writer, &made->spec);
	assert_false(writer.failed || made->wire.failed);
	assert_int_equal(made->wire.length, spec_is_large(&made->spec) ? writer.length : 0);
	if (made->wire.length > 0)
		assert_memory_equal(made->wire.bytes, writer.bytes, writer.length);
	message_writer_clear(&writer);
}

static void keep(const struct snapshot *made)
{
	free(wanted_labels);
	free(wanted_spec);
	spec_clear(&wanted);
	wanted_labels = strdup(made->labels_json);
	wanted_spec = strdup(made->spec_json);
	assert_true(spec_copy(&wanted, &made->spec));
	assert_wire(made);
}

/* One operation of a delta; what it leads to is the wanted, or the delta is as it was and the operation has a problem. */
static struct snapshot *do_operation(void)
{
	struct delta delta = { .key = "t" };
	struct candidate candidate;
	if (operation_kind != OPERATION_CREATE) {
		delta.before = snapshot_reference(tunnel);
		delta.after = snapshot_reference(tunnel);
	}
	operation = (struct operation){ .kind = operation_kind, .document = json_incref(operation.document) };
	memcpy(operation.peer.bytes, tunnel == NULL ? (const uint8_t *)KEY : tunnel->spec.peers[1].public_key.bytes, sizeof(operation.peer));
	problem_init(&operation.problem);
	candidate_init(&candidate, SPEC_TUNNEL);
	if (operation_kind == OPERATION_CREATE || operation_kind == OPERATION_PUT)
		candidate_read(&candidate, operation.document, "");
	delta_apply(&delta, &policy, &operation, &candidate, scope_with_included(SCOPE_ADMIN));
	bool is_done = operation.problem.code == PROBLEM_NONE;
	assert_true(is_done || delta.after == delta.before);
	struct snapshot *made = is_done ? snapshot_reference(delta.after) : NULL;
	candidate_clear(&candidate);
	delta_clear(&delta);
	problem_clear(&operation.problem);
	json_decref(operation.document);
	return made;
}

static bool edit_is_whole(void)
{
	struct snapshot *made = do_operation();
	heap_works();
	if (made == NULL)
		return false;
	assert_string_equal(made->labels_json, wanted_labels);
	assert_string_equal(made->spec_json, wanted_spec);
	assert_true(spec_equal(&made->spec, &wanted));
	assert_wire(made);
	snapshot_release(made);
	return true;
}

static void an_edit_is_whole_or_refused(enum operation_kind kind, const char *text, unsigned least)
{
	operation_kind = kind;
	operation.document = quoted_json(text);
	struct snapshot *made = do_operation();
	assert_non_null(made);
	keep(made);
	snapshot_release(made);
	assert_in_range(each_allocation_fails(edit_is_whole), least, 2000);
	json_decref(operation.document);
}

static void a_create(void **state)
{
	(void)state;
	an_edit_is_whole_or_refused(OPERATION_CREATE, document_text, 60);
}

static void a_put_that_keeps_secrets(void **state)
{
	(void)state;
	an_edit_is_whole_or_refused(OPERATION_PUT,
	                            "{'spec':{'interface':{'addresses':['10.2.0.2']},'peers':[{'public_key':'" PEER "'}],"
	                            "'proxy':{'users':[{'username':'v'},{'username':'u'}]}}}",
	                            30);
}

static void a_patch_keeps_labels_and_all_else(void **state)
{
	(void)state;
	an_edit_is_whole_or_refused(OPERATION_PATCH, "{'spec':{'limits':{'connections':5},'interface':{'mtu':1300}}}", 80);
	an_edit_is_whole_or_refused(OPERATION_PATCH, "{'labels':{'team':null,'new':'one'},'spec':{'probe':null}}", 80);
}

static void changes_of_a_peer(void **state)
{
	(void)state;
	an_edit_is_whole_or_refused(OPERATION_PEER_PATCH, "{'allowed_ips':['10.1.0.0/16'],'persistent_keepalive':25}", 50);
	an_edit_is_whole_or_refused(OPERATION_PEER_PUT, "{'endpoint':'vpn.example:2','allowed_ips':['10.1.0.0/16']}", 50);
	an_edit_is_whole_or_refused(OPERATION_PEER_DELETE, "{}", 30);
}

static bool copy_is_whole(void)
{
	struct snapshot *copy = snapshot_copy(tunnel);
	if (copy == NULL)
		return false;
	assert_string_equal(copy->labels_json, tunnel->labels_json);
	assert_string_equal(copy->spec_json, tunnel->spec_json);
	assert_string_equal(copy->failure, "a reason");
	assert_int_equal(copy->listen_count, 1);
	assert_string_equal(copy->listen[0], "127.0.0.1:1080");
	snapshot_release(copy);
	return true;
}

static void a_copy_of_a_failed_tunnel_is_failed(void **state)
{
	(void)state;
	tunnel->failure = strdup("a reason");
	tunnel->listen = calloc(1, sizeof(char *));
	tunnel->listen[0] = strdup("127.0.0.1:1080");
	tunnel->listen_count = 1;
	assert_in_range(each_allocation_fails(copy_is_whole), 30, 2000);
	free(tunnel->failure);
	tunnel->failure = NULL;
}

static char *reference;

static bool json_is_whole(void)
{
	json_t *json = spec_to_json(&tunnel->spec, true);
	char *text = json == NULL ? NULL : json_writer_text(json);
	json_decref(json);
	if (text != NULL && reference != NULL)
		assert_string_equal(text, reference);
	bool is_whole = text != NULL;
	if (reference == NULL)
		reference = text;
	else
		free(text);
	return is_whole;
}

static bool wgquick_is_whole(void)
{
	char *text = spec_to_wgquick(&tunnel->spec, tunnel->labels, tunnel->label_count, true);
	if (text != NULL && reference != NULL)
		assert_string_equal(text, reference);
	bool is_whole = text != NULL;
	if (reference == NULL)
		reference = text;
	else
		free(text);
	return is_whole;
}

static const char wgquick_text[] = "[Interface]\nPrivateKey = " KEY "\nAddress = 10.2.0.2, fd00::2\nDNS = 10.2.0.1, corp.example\nMTU = 1300\n"
				   "PostUp = true\n[Peer]\nPublicKey = " PEER "\nEndpoint = vpn.example:51820\nAllowedIPs = 0.0.0.0/0, ::/0\n"
				   "[Peer]\nPublicKey = " OTHER "\nAllowedIPs = 10.0.0.0/8\nPersistentKeepalive = 25\n";

static bool reading_is_whole(void)
{
	struct problem problem;
	json_t *warnings, *lines;
	problem_init(&problem);
	json_t *document = wgquick_to_document(wgquick_text, sizeof(wgquick_text) - 1, &warnings, &lines, &problem);
	/* A sound file is never refused for another reason. */
	assert_int_equal(problem.code, document == NULL ? PROBLEM_OUT_OF_RESOURCES : PROBLEM_NONE);
	if (document != NULL)
		assert_int_equal(json_array_size(warnings), 2);
	char *text = document == NULL ? NULL : json_writer_text(document);
	json_decref(document);
	json_decref(lines);
	json_decref(warnings);
	problem_clear(&problem);
	bool is_whole = text != NULL;
	if (text != NULL && reference != NULL)
		assert_string_equal(text, reference);
	if (reference == NULL)
		reference = text;
	else
		free(text);
	return is_whole;
}

static bool loading_is_whole(void)
{
	static const char text[] = "{\"private_key\":\"" KEY "\",\"list\":[\"a\",1,2,3,4,5,6,7,8,9],\"m\":{\"a long name of a member\":true}}";
	json_error_t error;
	bool lacks_memory;
	json_t *document = json_reader_load(text, sizeof(text) - 1, &error, &lacks_memory);
	assert_true(lacks_memory == (document == NULL));
	heap_works();
	char *written = document == NULL ? NULL : json_dumps(document, JSON_COMPACT);
	bool is_whole = written != NULL;
	if (is_whole)
		assert_string_equal(written, text);
	free(written);
	json_decref(document);
	return is_whole;
}

static void a_document_is_loaded_whole_or_not_at_all(void **state)
{
	(void)state;
	assert_in_range(each_allocation_fails(loading_is_whole), 10, 200);
}

/* The API's own addresses: what is not protected is told (P1). */
static bool is_protected_or_told(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(8080), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	union wireguard_endpoint endpoint = { .v4 = address };
	struct protection *protection = protection_create(registry);
	if (protection == NULL)
		return false;
	bool has_address = protection_add_address(protection, (const struct sockaddr *)&address);
	bool has_path = protection_add_path(protection, "/nonexistent/api.sock");
	assert_true(has_address == protection_has_address(protection, &endpoint));
	assert_true(has_path == protection_has_path(protection, "/nonexistent/api.sock"));
	protection_free(protection);
	return has_address && has_path;
}

static void what_is_not_protected_is_told(void **state)
{
	(void)state;
	assert_in_range(each_allocation_fails(is_protected_or_told), 4, 20);
}

static struct events *events;

/* The event, or its reader is told that one is missing, and gets the next. */
static bool event_is_read_or_missed(void)
{
	uint64_t before = events_last_id(events), id = 0;
	enum event_type type;
	char *text = NULL;
	events_publish(events, EVENT_TUNNEL_STATE, "t", "\"state\":\"up\"");
	heap_works();
	assert_int_equal(events_last_id(events), before + 1);
	enum events_read result = events_next(events, before, &id, &type, &text);
	assert_true(result == EVENTS_GOT || result == EVENTS_EXPIRED);
	free(text);
	events_publish(events, EVENT_TUNNEL_DELETED, "t", "");
	assert_int_equal(events_next(events, before + 1, &id, &type, &text), EVENTS_GOT);
	assert_int_equal(type, EVENT_TUNNEL_DELETED);
	free(text);
	return result == EVENTS_GOT;
}

static void an_event_is_not_lost_silently(void **state)
{
	(void)state;
	events = events_create(8, 1000);
	assert_in_range(each_allocation_fails(event_is_read_or_missed), 1, 20);
	/* Without memory for its members it is not even begun. */
	uint64_t id = events_last_id(events), next;
	enum event_type type;
	char *text;
	events_publish(events, EVENT_TUNNEL_STATE, "t", NULL);
	assert_int_equal(events_next(events, id, &next, &type, &text), EVENTS_EXPIRED);
	assert_int_equal(events_next(events, id + 1, &next, &type, &text), EVENTS_NONE);
	events_free(events);
}

static void texts(void **state)
{
	(void)state;
	bool (*const all[])(void) = { json_is_whole, wgquick_is_whole, reading_is_whole };
	for (size_t i = 0; i < 3; i++) {
		reference = NULL;
		assert_true(all[i]());
		each_allocation_fails(all[i]);
		free(reference);
	}
}

enum { MANY = 700 };

static bool list_is_whole(void)
{
	const struct tunnel_list_filter filter = { .limit = 0 };
	struct snapshot **list;
	bool more;
	size_t count = tunnel_list_read(registry, access_whole(), &filter, &list, &more);
	if (count == TUNNEL_LIST_FAILED) {
		assert_null(list);
		return false;
	}
	assert_int_equal(count, MANY);
	for (size_t i = 0; i < count; i++)
		snapshot_release(list[i]);
	free(list);
	return true;
}

static void a_list_is_whole_or_none(void **state)
{
	(void)state;
	assert_true(registry_reserve(registry, MANY));
	for (unsigned i = 0; i < MANY; i++) {
		char id[64];
		snprintf(id, sizeof(id), "t-%u", i);
		struct entry *entry = entry_create(id);
		entry->snapshot = snapshot_copy(tunnel);
		memcpy(entry->snapshot->id, id, sizeof(id));
		registry_add(registry, entry);
	}
	assert_in_range(each_allocation_fails(list_is_whole), 2, 100);
	/* Nothing is kept of a list that failed. */
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(registry_at(registry, i)->snapshot->references, 1);
}

static int set_up(void **state)
{
	(void)state;
	static char directory[] = "/tmp", *allowed[] = { directory };
	heap_works();
	assert_true(sodium_init() >= 0);
	log_start(LOG_ERROR, false, "control");
	json_reader_start();
	static const struct socket_roots roots = { .list = allowed, .count = 1 };
	locks = lock_queue_create();
	registry = registry_create(locks);
	policy = (struct policy){ .protection = protection_create(registry), .roots = &roots, .allow_remote = true };
	operation_kind = OPERATION_CREATE;
	operation.document = quoted_json(document_text);
	tunnel = NULL;
	tunnel = do_operation();
	json_decref(operation.document);
	return tunnel == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	protection_free((struct protection *)(uintptr_t)policy.protection);
	registry_free(registry);
	lock_queue_free(locks);
	snapshot_release(tunnel);
	free(wanted_labels);
	free(wanted_spec);
	spec_clear(&wanted);
	wanted_labels = wanted_spec = NULL;
	return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_create),
		TEST(a_put_that_keeps_secrets),
		TEST(a_patch_keeps_labels_and_all_else),
		TEST(changes_of_a_peer),
		TEST(a_copy_of_a_failed_tunnel_is_failed),
		TEST(texts),
		TEST(what_is_not_protected_is_told),
		TEST(an_event_is_not_lost_silently),
		TEST(a_document_is_loaded_whole_or_not_at_all),
		TEST(a_list_is_whole_or_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
