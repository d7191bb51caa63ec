#include "command/instance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/collection.h"
#include "command/event_lines.h"
#include "command/member.h"
#include "command/memory.h"
#include "command/quantity.h"
#include "command/invocation.h"
#include "command/terminal_text.h"
#include "ipc/program_version.h"

#define LINE_MAX_LENGTH 512
#define NEAR_TIMEOUT 5     /* seconds, for an address of this machine */
#define UPGRADE_TIMEOUT 15 /* seconds */

static const struct collection collection_nodes = { "/v1/nodes", "nodes", "node" }, collection_workers = { "/v1/workers", "workers", "worker" };

enum exit_code instance_health(struct invocation *invocation, const struct arguments *arguments)
{
	json_t *ready = invocation_get(invocation, "/readyz", true);
	char *degraded = member_join(ready, "degraded");
	(void)arguments;
	if (ready != NULL && !invocation->is_json)
		terminal_text_line(stdout, "%s%s%s", member_text(ready, "status"), *degraded != '\0' ? ", but degraded: " : "", degraded);
	free(degraded);
	json_decref(ready);
	return invocation->code;
}

/* Every member but lists and objects of lists, as "name  value". */
static void put_members(struct table *table, const char *prefix, json_t *object)
{
	const char *name;
	json_t *value;
	json_object_foreach (object, name, value) {
		char *title = memory_print("%s%s%s", prefix, *prefix != '\0' ? "." : "", name);
		char *text = member_line(value);
		char duration[QUANTITY_MAX];
		if (strcmp(name, "uptime") == 0) {
			quantity_duration(duration, json_number_value(value));
			free(text);
			text = memory_copy(duration);
		}
		if (json_is_object(value)) {
			put_members(table, title, value);
		} else if (!json_is_array(value) || !json_is_object(json_array_get(value, 0))) {
			table_add(table, TABLE_DIM, title);
			table_add(table, TABLE_PLAIN, text);
		}
		free(text);
		free(title);
	}
}

static void show_workers(const struct invocation *invocation, const json_t *workers)
{
	struct table *table = table_create(">WORKER|>PID|STATE|>TUNNELS|>CPU|>MEMORY|>RESTARTS|VERSION|REASON");
	size_t index;
	json_t *worker;
	json_array_foreach (workers, index, worker) {
		static const char *const numbers[] = { "index", "pid", NULL, "tunnels", NULL, NULL, "restarts", NULL };
		char text[QUANTITY_MAX];
		for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
			if (i == 2 || i == 7)
				snprintf(text, sizeof(text), "%.*s", QUANTITY_MAX - 1, member_text(worker, i == 2 ? "state" : "version"));
			else if (i == 4)
				quantity_duration(text, member_number(worker, "cpu_seconds", 0));
			else if (i == 5)
				quantity_bytes(text, member_number(worker, "resident_bytes", 0));
			else
				snprintf(text, sizeof(text), "%.0f", member_number(worker, numbers[i], 0));
			table_add(table, TABLE_PLAIN, text);
		}
		table_add(table, TABLE_PLAIN, member_text(worker, "reason"));
	}
	invocation_print_table(invocation, table);
}

enum exit_code instance_info(struct invocation *invocation, const struct arguments *arguments)
{
	json_t *info = invocation_get(invocation, "/v1/info", true);
	(void)arguments;
	if (info != NULL && !invocation->is_json) {
		struct table *table = table_create("|");
		put_members(table, "", info);
		invocation_print_table(invocation, table);
		show_workers(invocation, json_object_get(info, "workers"));
	}
	json_decref(info);
	return invocation->code;
}

enum exit_code instance_workers(struct invocation *invocation, const struct arguments *arguments)
{
	json_t *info = invocation_get(invocation, "/v1/info", true);
	(void)arguments;
	if (info != NULL && !invocation->is_json)
		show_workers(invocation, json_object_get(info, "workers"));
	json_decref(info);
	return invocation->code;
}

enum exit_code instance_replace(struct invocation *invocation, const struct arguments *arguments)
{
	json_int_t seconds = arguments_number(arguments, "drain-timeout");
	if (arguments_has(arguments, "drain-timeout") && seconds < 0) {
		invocation_fail(invocation, EXIT_USAGE, "--drain-timeout is a whole number of seconds");
		return invocation->code;
	}
	char *path = collection_path(&collection_workers, arguments->words[0], "/actions/replace");
	json_t *answer = invocation_send(invocation, "POST", path, seconds < 0 ? NULL : json_pack("{s:I}", "drain_timeout", seconds), true);
	if (answer != NULL && !invocation->is_json) {
		char patience[QUANTITY_MAX];
		quantity_duration(patience, member_number(answer, "drain_timeout", 0));
		terminal_text_line(stdout, "worker %s is being replaced by worker %.0f, which waits up to %s for open connections",
		                   arguments->words[0], member_number(answer, "successor", 0), patience);
	}
	json_decref(answer);
	free(path);
	return invocation->code;
}

enum exit_code instance_reload(struct invocation *invocation, const struct arguments *arguments)
{
	(void)arguments;
	json_t *answer = invocation_send(invocation, "POST", "/v1/actions/reload", NULL, true);
	char *left = member_join(answer, "restart_needed");
	if (answer != NULL && !invocation->is_json)
		terminal_text_line(stdout, "reloaded%s%s", *left != '\0' ? "; a restart is needed for: " : "", left);
	free(left);
	json_decref(answer);
	return invocation->code;
}

static void tell_upgrade(struct invocation *invocation, const json_t *result)
{
	if (result == NULL)
		invocation_fail(invocation, EXIT_REFUSED, "no result of the upgrade within %d s; see the log of warrend", UPGRADE_TIMEOUT);
	else if (strcmp(member_text(result, "type"), "daemon.upgraded") != 0)
		invocation_fail(invocation, EXIT_REFUSED, "the upgrade failed, and the version before goes on: %s", member_text(result, "detail"));
	else if (!invocation->is_json)
		puts("upgraded");
}

enum exit_code instance_upgrade(struct invocation *invocation, const struct arguments *arguments)
{
	(void)arguments;
	int64_t before = event_lines_latest(invocation);
	json_t *answer = before >= 0 ? invocation_send(invocation, "POST", "/v1/actions/upgrade", NULL, true) : NULL;
	if (answer != NULL) {
		json_t *result = event_lines_await(invocation, before, "type=daemon.upgraded&type=daemon.upgrade_failed", UPGRADE_TIMEOUT);
		tell_upgrade(invocation, result);
		json_decref(result);
	}
	json_decref(answer);
	return invocation->code;
}

enum exit_code instance_version(struct invocation *invocation, const struct arguments *arguments)
{
	(void)arguments;
	if (!invocation->is_json)
		printf("warren   %s\n", program_version.text);
	fflush(stdout);
	json_t *version = invocation_get(invocation, "/v1/version", true);
	if (version != NULL && !invocation->is_json)
		terminal_text_line(stdout, "warrend  %s", member_text(version, "version"));
	json_decref(version);
	return invocation->code;
}

/* The first line of a file in the state directory. False if it cannot be read, which is told. */
static bool read_line(struct invocation *invocation, const char *path, char line[LINE_MAX_LENGTH])
{
	FILE *file = fopen(path, "re");
	bool is_read = file != NULL && fgets(line, LINE_MAX_LENGTH, file) != NULL;
	int error = errno;
	if (file != NULL)
		fclose(file);
	if (is_read)
		line[strcspn(line, "\r\n")] = '\0';
	else
		invocation_fail(invocation, EXIT_UNREACHABLE, "%s cannot be read: %s", path, file == NULL ? strerror(error) : "it is empty");
	return is_read;
}

/* "http" or "https": whichever is spoken there. NULL if neither is, which is told. */
static const char *scheme_of(struct invocation *invocation, const char *host_port)
{
	static const char *const schemes[] = { "http", "https" };
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		char url[LINE_MAX_LENGTH + 16];
		snprintf(url, sizeof(url), "%s://%s", schemes[i], host_port);
		struct api_address address = { .url = url };
		struct api_client *client = api_client_create(&address, NULL);
		struct api_client_answer answer = { 0 };
		/* A certificate need not be trusted here: the browser asks about it. */
		bool is_there =
		    client != NULL && (api_client_ask(client, &(struct api_client_request){ .path = "/livez", .timeout = NEAR_TIMEOUT }, &answer)
		                           ? answer.status == 200
		                           : api_client_met_tls(client));
		api_client_answer_clear(&answer);
		api_client_free(client);
		if (is_there)
			return schemes[i];
	}
	invocation_fail(invocation, EXIT_UNREACHABLE, "nothing answers at %s", host_port);
	return NULL;
}

enum exit_code instance_ui(struct invocation *invocation, const struct arguments *arguments)
{
	const struct api_address *address = &invocation->address;
	char host_port[LINE_MAX_LENGTH], token[LINE_MAX_LENGTH];
	char *token_file = invocation->token_file != NULL ? memory_copy(invocation->token_file) : memory_print("%s/admin.token", address->state_dir);
	char *address_file = memory_print("%s/api.addr", address->state_dir);
	const char *scheme = NULL;
	(void)arguments;
	if (address->url != NULL && invocation->token_file == NULL)
		invocation_fail(invocation, EXIT_USAGE, "with --url give --token-file, too");
	else if (address->url != NULL && read_line(invocation, token_file, token))
		terminal_text_line(stdout, "%s%s#token=%s", address->url, address->url[strlen(address->url) - 1] == '/' ? "" : "/", token);
	else if (address->url == NULL && read_line(invocation, address_file, host_port) && read_line(invocation, token_file, token) &&
	         (scheme = scheme_of(invocation, host_port)) != NULL)
		terminal_text_line(stdout, "%s://%s/#token=%s", scheme, host_port, token);
	explicit_bzero(token, sizeof(token));
	free(address_file);
	free(token_file);
	return invocation->code;
}

static void print_nodes(struct invocation *invocation, const json_t *nodes)
{
	struct table *table = table_create("ID|STATE|>TUNNELS|>CAPACITY|LABELS|VERSION|API");
	size_t index;
	json_t *node;
	json_array_foreach (nodes, index, node) {
		char tunnels[QUANTITY_MAX], capacity[QUANTITY_MAX], *labels = member_join_pairs(node, "labels");
		snprintf(tunnels, sizeof(tunnels), "%.0f", member_number(node, "tunnels", 0));
		snprintf(capacity, sizeof(capacity), "%.0f", member_number(node, "capacity", 0));
		table_add(table, TABLE_PLAIN, member_text(node, "id"));
		table_add(table, TABLE_PLAIN, member_text(node, "state"));
		table_add(table, TABLE_PLAIN, tunnels);
		table_add(table, TABLE_PLAIN, capacity);
		table_add(table, TABLE_PLAIN, labels);
		table_add(table, TABLE_PLAIN, member_text(node, "version"));
		table_add(table, TABLE_PLAIN, member_text(node, "api"));
		free(labels);
	}
	invocation_print_table(invocation, table);
}

enum exit_code instance_nodes(struct invocation *invocation, const struct arguments *arguments)
{
	json_t *all = invocation_get(invocation, "/v1/nodes", true);
	const json_t *nodes = json_object_get(all, "nodes");
	(void)arguments;
	if (all != NULL && !invocation->is_json && json_array_size(nodes) == 0)
		invocation_fail(invocation, EXIT_REFUSED, "this warrend is in no fleet: see --fleet in warrend(8)");
	else if (all != NULL && !invocation->is_json)
		print_nodes(invocation, nodes);
	json_decref(all);
	return invocation->code;
}

static enum exit_code set_draining(struct invocation *invocation, const struct arguments *arguments, bool drains)
{
	for (size_t i = 0; i < arguments->word_count; i++) {
		char *path = collection_path(&collection_nodes, arguments->words[i], "");
		json_t *answer = invocation_send(invocation, "PATCH", path, json_pack("{s:b}", "draining", drains), true);
		if (answer != NULL && !invocation->is_json)
			terminal_text_line(stdout, "%s %s", arguments->words[i], drains ? "drains" : "takes tunnels again");
		json_decref(answer);
		free(path);
	}
	return invocation->code;
}

enum exit_code instance_drain(struct invocation *invocation, const struct arguments *arguments)
{
	return set_draining(invocation, arguments, true);
}

enum exit_code instance_undrain(struct invocation *invocation, const struct arguments *arguments)
{
	return set_draining(invocation, arguments, false);
}
