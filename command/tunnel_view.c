#include "command/tunnel_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/member.h"
#include "command/memory.h"
#include "command/quantity.h"
#include "command/invocation.h"
#include "command/terminal_text.h"
#include "ipc/wall_clock.h"

enum table_tone tunnel_view_tone(const char *state)
{
	static const struct {
		const char *state;
		enum table_tone tone;
	} tones[] = { { "up", TABLE_GOOD },   { "starting", TABLE_WAITING }, { "handshaking", TABLE_WAITING },
		      { "stale", TABLE_BAD }, { "failed", TABLE_BAD },       { "disabled", TABLE_DIM } };
	for (size_t i = 0; i < sizeof(tones) / sizeof(tones[0]); i++)
		if (strcmp(tones[i].state, state) == 0)
			return tones[i].tone;
	return TABLE_PLAIN;
}

const char *tunnel_view_health(const json_t *status)
{
	const json_t *healthy = member_at(status, "health.healthy");
	return json_is_true(healthy) ? "yes" : json_is_false(healthy) ? "no" : "";
}

char *tunnel_view_reason(const json_t *status)
{
	const char *reason = member_text(status, "reason"), *fault = "", *source = "";
	size_t index;
	json_t *condition;
	json_array_foreach (member_at(status, "conditions"), index, condition) {
		const char *type = member_text(condition, "type");
		bool is_of_file = strcmp(type, "FileInvalid") == 0;
		if (!is_of_file && strcmp(type, "record_refused") != 0)
			continue;
		fault = member_text(condition, "detail");
		source = is_of_file ? "its file is wrong" : "its change is refused";
	}
	if (*fault == '\0')
		return memory_copy(reason);
	return memory_print("%s%s%s: %s", reason, *reason != '\0' ? "; " : "", source, fault);
}

void tunnel_view_ids(const json_t *list)
{
	size_t index;
	json_t *element;
	json_array_foreach (list, index, element)
		terminal_text_line(stdout, "%s", member_text(element, "id"));
}

/* The age of the youngest handshake of any peer. */
static void handshake_age(char text[QUANTITY_MAX], const json_t *status)
{
	double youngest = -1;
	size_t index;
	json_t *peer;
	json_array_foreach (member_at(status, "peers"), index, peer) {
		double age = member_number(peer, "last_handshake_age", -1);
		if (age >= 0 && (youngest < 0 || age < youngest))
			youngest = age;
	}
	snprintf(text, QUANTITY_MAX, QUANTITY_NONE);
	if (youngest >= 0)
		quantity_age(text, youngest);
}

void tunnel_view_list(const struct invocation *invocation, const json_t *tunnels)
{
	struct table *table = table_create("ID|STATE|HEALTHY|PROXY|HANDSHAKE|LABELS|REASON");
	size_t index;
	json_t *tunnel;
	json_array_foreach (tunnels, index, tunnel) {
		const json_t *status = json_object_get(tunnel, "status");
		const char *state = member_text(status, "state"), *health = tunnel_view_health(status);
		char age[QUANTITY_MAX];
		char *listen = member_join(status, "listen"), *labels = member_join_pairs(tunnel, "labels");
		char *reason = tunnel_view_reason(status);
		handshake_age(age, status);
		table_add(table, TABLE_PLAIN, member_text(tunnel, "id"));
		table_add(table, tunnel_view_tone(state), state);
		table_add(table, strcmp(health, "no") == 0 ? TABLE_BAD : TABLE_PLAIN, health);
		table_add(table, TABLE_PLAIN, listen);
		table_add(table, TABLE_PLAIN, age);
		table_add(table, TABLE_PLAIN, labels);
		table_add(table, TABLE_DIM, reason);
		free(reason);
		free(labels);
		free(listen);
	}
	invocation_print_table(invocation, table);
}

/* A line "name  value" of a view; the text is freed. */
static void field(struct table *table, const char *name, enum table_tone tone, char *text)
{
	if (*text != '\0') {
		table_add(table, TABLE_DIM, name);
		table_add(table, tone, text);
	}
	free(text);
}

/* As "amneziawg, jc=4, jmin=10". */
static char *obfuscation_text(const json_t *spec)
{
	char *text = memory_copy(member_text(spec, "interface.obfuscation.type"));
	const char *name;
	json_t *value;
	json_object_foreach (member_at(spec, "interface.obfuscation"), name, value) {
		if (strcmp(name, "type") == 0)
			continue;
		char *before = text, *line = member_line(value);
		text = memory_print("%s, %s=%s", before, name, line);
		free(before);
		free(line);
	}
	return text;
}

/* Both lists have one order. */
static void put_peers(struct table *table, const json_t *status, const json_t *spec)
{
	size_t index;
	json_t *peer;
	json_array_foreach (member_at(status, "peers"), index, peer) {
		const json_t *reserved = member_at(json_array_get(member_at(spec, "peers"), index), "reserved");
		char sent[QUANTITY_MAX], received[QUANTITY_MAX], age[QUANTITY_MAX] = "never";
		double seconds = member_number(peer, "last_handshake_age", -1);
		quantity_bytes(sent, member_number(peer, "wire_bytes_sent", 0));
		quantity_bytes(received, member_number(peer, "wire_bytes_received", 0));
		if (seconds >= 0)
			quantity_age(age, seconds);
		const char *endpoint = member_text(peer, "endpoint");
		field(table, "peer", TABLE_PLAIN, memory_copy(member_text(peer, "public_key")));
		field(table, "  endpoint", TABLE_PLAIN, memory_copy(*endpoint != '\0' ? endpoint : "none"));
		field(table, "  handshake", TABLE_PLAIN, memory_copy(age));
		if (reserved != NULL)
			field(table, "  reserved", TABLE_PLAIN, member_line(reserved));
		field(table, "  on the wire", TABLE_PLAIN, memory_print("%s sent, %s received", sent, received));
	}
}

static void put_conditions(struct table *table, const json_t *status)
{
	size_t index;
	json_t *condition;
	json_array_foreach (member_at(status, "conditions"), index, condition)
		field(table, "condition", TABLE_WAITING, memory_print("%s: %s", member_text(condition, "type"), member_text(condition, "detail")));
}

static void put_forwards(struct table *table, const json_t *spec)
{
	size_t index;
	json_t *forward;
	json_array_foreach (member_at(spec, "forwards"), index, forward)
		field(table, "forward", TABLE_PLAIN,
		      memory_print("%s: %s %s, %s to %s", member_text(forward, "name"), member_text(forward, "direction"),
		                   member_text(forward, "protocol"), member_text(forward, "listen"), member_text(forward, "target")));
}

static void put_health(struct table *table, const json_t *status)
{
	char rtt[QUANTITY_MAX] = "";
	double milliseconds = member_number(status, "health.probe.rtt_ms", -1);
	const char *health = tunnel_view_health(status);
	if (milliseconds >= 0)
		quantity_milliseconds(rtt, milliseconds);
	if (*health != '\0')
		field(table, "healthy", strcmp(health, "no") == 0 ? TABLE_BAD : TABLE_GOOD,
		      memory_print("%s%s%s%s%s", health, *rtt != '\0' ? ", round trip " : "", rtt,
		                   *member_text(status, "health.probe.detail") != '\0' ? ", " : "", member_text(status, "health.probe.detail")));
	field(table, "exit address", TABLE_PLAIN, memory_copy(member_text(status, "health.exit_ip")));
}

/* What is in effect, which is less inside another tunnel. */
static char *mtu_text(const json_t *spec, const json_t *status)
{
	double wanted = member_number(spec, "interface.mtu", 0), effective = member_number(status, "mtu", wanted);
	return effective < wanted ? memory_print("%.0f (%.0f inside %s)", wanted, effective, member_text(spec, "interface.via"))
	                          : memory_print("%.0f", wanted);
}

void tunnel_view_one(const struct invocation *invocation, const json_t *tunnel)
{
	const json_t *status = json_object_get(tunnel, "status"), *spec = json_object_get(tunnel, "spec");
	const char *state = member_text(status, "state"), *reason = member_text(status, "reason");
	char since[QUANTITY_MAX];
	struct table *table = table_create("|");
	quantity_since(since, member_text(status, "since"), wall_clock_ms());
	field(table, "tunnel", TABLE_PLAIN, memory_copy(member_text(tunnel, "id")));
	field(table, "state", tunnel_view_tone(state), memory_print("%s, since %s%s%s", state, since, *reason != '\0' ? ": " : "", reason));
	if (strcmp(member_text(tunnel, "origin"), "file") == 0)
		field(table, "origin", TABLE_PLAIN, memory_copy("a file of warrend's --tunnels-dir"));
	put_health(table, status);
	put_conditions(table, status);
	field(table, "proxy", TABLE_PLAIN, member_join(status, "listen"));
	field(table, "labels", TABLE_PLAIN, member_join_pairs(tunnel, "labels"));
	field(table, "addresses", TABLE_PLAIN, member_join(spec, "interface.addresses"));
	field(table, "dns", TABLE_PLAIN, member_join(spec, "interface.dns"));
	field(table, "mtu", TABLE_PLAIN, mtu_text(spec, status));
	field(table, "via", TABLE_PLAIN, memory_copy(member_text(spec, "interface.via")));
	field(table, "obfuscation", TABLE_PLAIN, obfuscation_text(spec));
	field(table, "public key", TABLE_PLAIN, memory_copy(member_text(status, "public_key")));
	put_forwards(table, spec);
	put_peers(table, status, spec);
	invocation_print_table(invocation, table);
}

static void write_result(const json_t *tunnel)
{
	const json_t *status = json_object_get(tunnel, "status");
	const char *applied = member_text(tunnel, "applied"), *reason = member_text(status, "reason");
	char *listen = member_join(status, "listen");
	terminal_text_line(stdout, "%s %s, %s%s%s%s%s", member_text(tunnel, "id"), strcmp(applied, "in_place") == 0 ? "changed" : applied,
	                   member_text(status, "state"), *listen != '\0' ? ", proxy " : "", listen, *reason != '\0' ? ": " : "", reason);
	free(listen);
}

void tunnel_view_warnings(const json_t *tunnel)
{
	size_t index;
	json_t *warning;
	json_array_foreach (json_object_get(tunnel, "warnings"), index, warning) {
		const char *detail = member_text(warning, "detail");
		if (json_object_get(warning, "line") != NULL)
			terminal_text_line(stderr, "warning: line %.0f: %s", member_number(warning, "line", 0), detail);
		else
			terminal_text_line(stderr, "warning: %s", detail);
	}
}

void tunnel_view_report(const struct invocation *invocation, json_t *object)
{
	if (object != NULL && !invocation->is_json)
		write_result(object);
	tunnel_view_warnings(object);
	json_decref(object);
}
