#include "command/tunnel_commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/collection.h"
#include "command/edit.h"
#include "command/member.h"
#include "command/memory.h"
#include "command/quantity.h"
#include "command/invocation.h"
#include "command/terminal_text.h"
#include "command/tunnel_view.h"

enum exit_code tunnels_list(struct invocation *invocation, const struct arguments *arguments)
{
	char *labels = collection_query(arguments, "label"), *states = collection_query(arguments, "state");
	bool is_quiet = arguments_has(arguments, "quiet");
	char *query = memory_print("%s%s%s", is_quiet ? "" : "&view=full", labels, states);
	json_t *page = collection_list(invocation, &collection_tunnels, query, !is_quiet);
	const json_t *tunnels = json_object_get(page, "tunnels");
	if (page != NULL && is_quiet)
		tunnel_view_ids(tunnels);
	else if (page != NULL && !invocation->is_json)
		tunnel_view_list(invocation, tunnels);
	json_decref(page);
	free(labels);
	free(states);
	free(query);
	return invocation->code;
}

enum exit_code tunnels_show(struct invocation *invocation, const struct arguments *arguments)
{
	char **ids = collection_ids(invocation, &collection_tunnels, arguments->words, arguments->word_count);
	for (size_t i = 0; ids != NULL && ids[i] != NULL; i++) {
		char *path = collection_path(&collection_tunnels, ids[i], "");
		json_t *tunnel = invocation_get(invocation, path, true);
		if (tunnel != NULL && !invocation->is_json)
			tunnel_view_one(invocation, tunnel);
		json_decref(tunnel);
		free(path);
	}
	collection_ids_free(ids);
	return invocation->code;
}

enum exit_code tunnels_add(struct invocation *invocation, const struct arguments *arguments)
{
	tunnel_view_report(invocation, edit_add(invocation, &collection_tunnels, arguments));
	return invocation->code;
}

/* Does the same with every tunnel that the words name. */
static enum exit_code each(struct invocation *invocation, const char **words, size_t count,
                           json_t *(*act)(struct invocation *, const char *id, void *), void *owner)
{
	char **ids = collection_ids(invocation, &collection_tunnels, words, count);
	for (size_t i = 0; ids != NULL && ids[i] != NULL; i++)
		tunnel_view_report(invocation, act(invocation, ids[i], owner));
	collection_ids_free(ids);
	return invocation->code;
}

static json_t *set_one(struct invocation *invocation, const char *id, void *owner)
{
	const struct arguments *arguments = owner;
	return edit_set(invocation, &collection_tunnels, id, arguments->words + 1, arguments->word_count - 1);
}

enum exit_code tunnels_set(struct invocation *invocation, const struct arguments *arguments)
{
	struct arguments copy = *arguments;
	return each(invocation, arguments->words, 1, set_one, &copy);
}

static json_t *enable_one(struct invocation *invocation, const char *id, void *owner)
{
	const bool *enabled = owner;
	char *path = collection_path(&collection_tunnels, id, "");
	json_t *answer = invocation_send(invocation, "PATCH", path, json_pack("{s:{s:b}}", "spec", "enabled", *enabled), true);
	free(path);
	return answer;
}

enum exit_code tunnels_up(struct invocation *invocation, const struct arguments *arguments)
{
	bool enabled = true;
	return each(invocation, arguments->words, arguments->word_count, enable_one, &enabled);
}

enum exit_code tunnels_down(struct invocation *invocation, const struct arguments *arguments)
{
	bool enabled = false;
	return each(invocation, arguments->words, arguments->word_count, enable_one, &enabled);
}

static json_t *reconnect_one(struct invocation *invocation, const char *id, void *owner)
{
	(void)owner;
	char *path = collection_path(&collection_tunnels, id, "/actions/reconnect");
	json_t *answer = invocation_send(invocation, "POST", path, NULL, true);
	free(path);
	return answer;
}

enum exit_code tunnels_reconnect(struct invocation *invocation, const struct arguments *arguments)
{
	return each(invocation, arguments->words, arguments->word_count, reconnect_one, NULL);
}

static json_t *move_one(struct invocation *invocation, const char *id, void *owner)
{
	const json_int_t *worker = owner;
	char *path = collection_path(&collection_tunnels, id, "/actions/move");
	json_t *answer = invocation_send(invocation, "POST", path, json_pack("{s:I}", "worker", *worker), true);
	if (answer != NULL && !invocation->is_json)
		terminal_text_line(stdout, "%s is on worker %.0f", id, member_number(answer, "status.worker", 0));
	json_decref(answer);
	free(path);
	return NULL;
}

enum exit_code tunnels_move(struct invocation *invocation, const struct arguments *arguments)
{
	json_int_t worker = arguments_number(arguments, "worker");
	if (worker >= 0)
		return each(invocation, arguments->words, arguments->word_count, move_one, &worker);
	invocation_fail(invocation, EXIT_USAGE, "give --worker: the index of a worker, as \"warren workers\" lists it");
	return invocation->code;
}

enum exit_code tunnels_remove(struct invocation *invocation, const struct arguments *arguments)
{
	return edit_remove(invocation, &collection_tunnels, arguments);
}

static void show_probe(const char *id, const json_t *probe)
{
	char rtt[QUANTITY_MAX] = QUANTITY_NONE;
	double average = member_number(probe, "rtt_ms.avg", -1);
	if (average >= 0)
		quantity_milliseconds(rtt, average);
	const char *detail = member_text(probe, "detail"), *exit_ip = member_text(probe, "exit_ip");
	terminal_text_line(stdout, "%s: %s, %s %s, %.0f of %.0f answered, round trip %s%s%s%s%s", id, member_is_true(probe, "ok") ? "ok" : "failed",
	                   member_text(probe, "type"), member_text(probe, "target"), member_number(probe, "received", 0),
	                   member_number(probe, "sent", 0), rtt, *exit_ip != '\0' ? ", " : "", exit_ip, *detail != '\0' ? ": " : "", detail);
}

static json_t *probe_body(const struct arguments *arguments)
{
	static const char *const names[] = { "type", "target" };
	json_t *body = NULL;
	for (size_t i = 0; i < 2; i++) {
		const char *value = arguments_value(arguments, names[i]);
		if (value == NULL)
			continue;
		if (body == NULL)
			body = json_object();
		json_object_set_new(body, names[i], json_string(value));
	}
	return body;
}

enum exit_code tunnels_probe(struct invocation *invocation, const struct arguments *arguments)
{
	char **ids = collection_ids(invocation, &collection_tunnels, arguments->words, arguments->word_count);
	for (size_t i = 0; ids != NULL && ids[i] != NULL; i++) {
		char *path = collection_path(&collection_tunnels, ids[i], "/actions/probe");
		json_t *probe = invocation_send(invocation, "POST", path, probe_body(arguments), true);
		if (probe != NULL && !invocation->is_json)
			show_probe(ids[i], probe);
		if (probe != NULL && !member_is_true(probe, "ok"))
			invocation_note(invocation, EXIT_REFUSED);
		json_decref(probe);
		free(path);
	}
	collection_ids_free(ids);
	return invocation->code;
}
