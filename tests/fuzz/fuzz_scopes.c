/* Writes by scope: a tunnel that an admin and a token with the scope write change in turn, each input a sequence of edits put together
 * from parts that matter (service/change/delta.c, policy.c). No sequence of a writer's edits may end in an inbound target, a unix socket or a
 * forward for other hosts that no admin has named, or lead one that is there to another far end. The check reads the tunnel's JSON and
 * shares no code with the policy. */
#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/change/delta.h"
#include "service/socket/socket_path.h"
#include "service/spec/candidate.h"
#include "service/spec/spec_json.h"
#include "service/store/scope.h"
#include "service/worker/protection.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define KEY(letter) #letter "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="
#define PEER(letter, endpoint) "{\"public_key\":\"" KEY(letter) "\",\"endpoint\":\"" endpoint "\",\"allowed_ips\":[\"10.0.0.0/8\"]}"

/* Parts of a spec; NULL leaves the member out, which a patch keeps and a put drops. */
static const char *const listens[] = {
	NULL, "[\"127.0.0.1:0\"]", "[\"unix:/tmp/p\"]", "[\"127.0.0.1:0\",\"unix:/tmp/p\"]", "[\"unix:/tmp/q\"]", "[\"0.0.0.0:3128\"]"
};
static const char *const forwards[] = {
	NULL,
	"[]",
	"null",
	"[{\"name\":\"a\",\"direction\":\"inbound\",\"listen\":\"10.0.0.2:80\",\"target\":\"127.0.0.1:8080\"}]",
	"[{\"name\":\"b\",\"direction\":\"inbound\",\"listen\":\"10.0.0.2:80\",\"target\":\"127.0.0.1:8080\"}]",
	"[{\"name\":\"a\",\"direction\":\"inbound\",\"listen\":\"10.0.0.2:81\",\"target\":\"127.0.0.1:8080\"}]",
	"[{\"name\":\"a\",\"direction\":\"inbound\",\"listen\":\"10.0.0.2:80\",\"target\":\"127.0.0.1:22\"}]",
	"[{\"name\":\"a\",\"direction\":\"inbound\",\"listen\":\"10.0.0.2:80\",\"target\":\"unix:/tmp/docker.sock\"}]",
	"[{\"name\":\"a\",\"direction\":\"inbound\",\"protocol\":\"udp\",\"listen\":\"10.0.0.2:80\",\"target\":\"127.0.0.1:8080\"}]",
	"[{\"name\":\"a\",\"listen\":\"0.0.0.0:5432\",\"target\":\"10.9.0.5:5432\"}]",
	"[{\"name\":\"a\",\"listen\":\"127.0.0.1:5432\",\"target\":\"10.9.0.5:5432\"}]",
	"[{\"name\":\"a\",\"listen\":\"unix:/tmp/f\",\"target\":\"10.9.0.5:5432\"}]",
};
static const char *const peers[] = { NULL,
	                             "[]",
	                             "[" PEER(B, "192.0.2.1:51820") "]",
	                             "[" PEER(C, "192.0.2.1:51820") "]",
	                             "[" PEER(B, "192.0.2.9:51820") "]",
	                             "[" PEER(B, "192.0.2.1:51820") "," PEER(C, "192.0.2.9:1") "]" };
static const char *const interfaces[] = {
	"{\"addresses\":[\"10.0.0.2\"]}",
	"{\"private_key\":\"" KEY(D) "\",\"addresses\":[\"10.0.0.2\"]}",
	"{\"private_key\":\"" KEY(E) "\",\"addresses\":[\"10.0.0.2\"]}",
	"{\"addresses\":[\"10.0.0.2\",\"fd00::2\"]}",
	"{\"addresses\":[\"10.0.0.3\"]}",
	"{\"addresses\":[\"10.0.0.2\"],\"dns\":[\"10.0.0.9\"],\"mtu\":1300}",
};
static const char *const members[] = { "\"enabled\":false", "\"limits\":{\"connections\":3}", "\"enabled\":true" };
static const char *const one_peer[] = { PEER(B, "192.0.2.1:51820"), PEER(B, "192.0.2.9:9"), "{\"endpoint\":\"192.0.2.7:7\"}",
	                                "{\"allowed_ips\":[\"0.0.0.0/0\"]}", "{}" };

static void demand(bool holds)
{
	if (!holds)
		abort();
}

struct input {
	const uint8_t *bytes;
	size_t left;
};

static unsigned take(struct input *input, size_t below)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->bytes++ % (unsigned)below;
}

static json_t *take_spec(struct input *input, bool has_interface)
{
	char text[4096];
	const char *interface = interfaces[take(input, COUNT(interfaces))], *listen = listens[take(input, COUNT(listens))];
	const char *forward = forwards[take(input, COUNT(forwards))], *peer = peers[take(input, COUNT(peers))];
	int length = snprintf(text, sizeof(text), "{\"spec\":{%s", members[take(input, COUNT(members))]);
	if (has_interface || take(input, 2) == 1)
		length += snprintf(text + length, sizeof(text) - (size_t)length, ",\"interface\":%s", interface);
	if (listen != NULL)
		length += snprintf(text + length, sizeof(text) - (size_t)length, ",\"proxy\":{\"listen\":%s}", listen);
	if (forward != NULL)
		length += snprintf(text + length, sizeof(text) - (size_t)length, ",\"forwards\":%s", forward);
	if (peer != NULL)
		length += snprintf(text + length, sizeof(text) - (size_t)length, ",\"peers\":%s", peer);
	snprintf(text + length, sizeof(text) - (size_t)length, "}}");
	json_t *document = json_loads(text, 0, NULL);
	demand(document != NULL);
	return document;
}

static void take_document(struct input *input, struct operation *operation)
{
	switch (operation->kind) {
	case OPERATION_CREATE:
	case OPERATION_PUT: operation->document = take_spec(input, true); break;
	case OPERATION_PATCH: operation->document = take_spec(input, false); break;
	case OPERATION_PEER_PUT:
	case OPERATION_PEER_PATCH: operation->document = json_loads(one_peer[take(input, COUNT(one_peer))], 0, NULL); break;
	case OPERATION_DELETE:
	case OPERATION_PEER_DELETE:
	case OPERATION_RECONNECT:
	case OPERATION_PROBE:
	case OPERATION_MOVE:
	case OPERATION_FORGET:
	case OPERATION_COUNT: break;
	}
}

/* What needs an admin, as text: each inbound or open forward without its name, each unix path. */
static json_t *admin_parts(const json_t *spec)
{
	json_t *parts = json_object(), *value;
	size_t i;
	json_array_foreach (json_object_get(json_object_get(spec, "proxy"), "listen"), i, value)
		if (strncmp(json_string_value(value), "unix:", 5) == 0)
			json_object_set_new(parts, json_string_value(value), json_true());
	json_array_foreach (json_object_get(spec, "forwards"), i, value) {
		const char *listen = json_string_value(json_object_get(value, "listen"));
		bool is_inbound = strcmp(json_string_value(json_object_get(value, "direction")), "inbound") == 0;
		if (!is_inbound && strncmp(listen, "127.", 4) == 0)
			continue;
		json_t *nameless = json_copy(value);
		json_object_del(nameless, "name");
		char *text = json_dumps(nameless, JSON_SORT_KEYS | JSON_COMPACT);
		json_object_set_new(parts, text, json_true());
		free(text);
		json_decref(nameless);
	}
	return parts;
}

static json_t *route(const json_t *spec)
{
	const json_t *interface = json_object_get(spec, "interface");
	return json_pack("{s:O?, s:O?, s:O?, s:O?}", "key", json_object_get(interface, "private_key"), "addresses",
	                 json_object_get(interface, "addresses"), "dns", json_object_get(interface, "dns"), "peers", json_object_get(spec, "peers"));
}

static void check_write(const struct snapshot *before, const struct snapshot *after)
{
	json_t *old = before == NULL ? json_object() : spec_to_json(&before->spec, true), *new = spec_to_json(&after->spec, true);
	json_t *had = admin_parts(old), *has = admin_parts(new), *value;
	const char *part;
	json_object_foreach (has, part, value)
		demand(json_object_get(had, part) != NULL);
	if (json_object_size(has) > 0) {
		json_t *old_route = route(old), *new_route = route(new);
		demand(json_equal(old_route, new_route));
		json_decref(old_route);
		json_decref(new_route);
	}
	json_decref(had);
	json_decref(has);
	json_decref(old);
	json_decref(new);
}

static void run_operation(const struct policy *policy, struct delta *delta, struct input *input)
{
	static const enum operation_kind kinds[] = { OPERATION_PATCH,       OPERATION_PUT,    OPERATION_PEER_PUT, OPERATION_PEER_PATCH,
		                                     OPERATION_PEER_DELETE, OPERATION_DELETE, OPERATION_CREATE };
	unsigned choice = take(input, 256);
	bool is_admin = choice % 4 == 0;
	struct operation operation = { .kind = kinds[choice / 4 % COUNT(kinds)], .id = "t" };
	struct candidate candidate;
	size_t written;
	demand(sodium_base642bin(operation.peer.bytes, sizeof(operation.peer.bytes), take(input, 2) == 0 ? KEY(B) : KEY(C), 44, NULL, &written, NULL,
	                         sodium_base64_VARIANT_ORIGINAL) == 0);
	problem_init(&operation.problem);
	take_document(input, &operation);
	candidate_init(&candidate, SPEC_TUNNEL);
	if (operation.kind == OPERATION_CREATE || operation.kind == OPERATION_PUT)
		candidate_read(&candidate, operation.document, "");
	struct snapshot *before = delta->after == NULL ? NULL : snapshot_reference(delta->after);
	unsigned scope = scope_with_included(is_admin ? SCOPE_ADMIN : SCOPE_WRITE);
	delta_apply(delta, policy, &operation, &candidate, scope);
	demand(operation.problem.code == PROBLEM_NONE || delta->after == before);
	if (!is_admin && operation.problem.code == PROBLEM_NONE && delta->after != NULL)
		check_write(before, delta->after);
	snapshot_release(before);
	candidate_clear(&candidate);
	problem_clear(&operation.problem);
	json_decref(operation.document);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static char directory[] = "/tmp", *allowed[] = { directory };
	static const struct socket_roots roots = { .list = allowed, .count = 1 };
	static struct policy policy = { .roots = &roots, .allow_remote = true };
	if (policy.protection == NULL) {
		demand(sodium_init() >= 0);
		policy.protection = protection_create(registry_create(NULL));
		demand(policy.protection != NULL);
	}
	struct input input = { bytes, length };
	struct delta delta = { .key = "t" };
	while (input.left > 0)
		run_operation(&policy, &delta, &input);
	delta_clear(&delta);
	return 0;
}
