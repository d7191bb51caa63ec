/* The parts of a candidate that are about traffic: proxy, users, forwards, limits. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/message.h"
#include "ipc/network.h"
#include "ipc/object_id.h"
#include "ipc/place.h"
#include "service/spec/candidate.h"

/* The descriptors that fit into one message, minus one for the UDP socket. */
#define LISTENERS_MAX (MESSAGE_DESCRIPTORS_MAX - 1)

void candidate_read_place(struct json_reader *reader, const char *text, bool is_endpoint, struct spec_place *place)
{
	char fault[PLACE_FAULT_SIZE];
	errno = 0;
	if (place_parse(text, place))
		return;
	if (errno == ENOMEM) {
		problem_out_of_memory(reader->problem);
		return;
	}
	place_fault(text, is_endpoint, fault);
	json_reader_fault(reader, "invalid_address", fault);
}

/* A place on this host where a socket will be bound. */
static void read_listener(struct json_reader *reader, const char *text, struct spec_place *place)
{
	candidate_read_place(reader, text, false, place);
	if (place->kind == SPEC_PLACE_INET && !place_is_literal(place)) {
		json_reader_fault(reader, "invalid_address", "A listener needs an IP address, such as 127.0.0.1:1080; names are not resolved.");
		place_clear(place);
	}
}

static void read_listen(struct candidate *candidate, struct json_reader *reader, const json_t *proxy)
{
	struct spec *spec = &candidate->spec;
	const json_t *list = json_reader_array(reader, proxy, "listen");
	const json_t *member = json_object_get(proxy, "listen");
	bool is_left_out = member == NULL || json_is_null(member);
	if (json_array_size(list) > SPEC_LISTEN_MAX) {
		json_reader_fault_at(reader, "listen", "too_many", "A proxy can have at most 16 listeners.");
		return;
	}
	size_t count = is_left_out ? 1 : json_array_size(list);
	spec->listen = calloc(count, sizeof(*spec->listen));
	if (spec->listen == NULL && count > 0) {
		problem_out_of_memory(reader->problem);
		return;
	}
	if (is_left_out) {
		candidate_read_place(reader, "127.0.0.1:0", false, &spec->listen[0]);
		spec->listen_count = 1;
		return;
	}
	size_t mark = json_reader_enter(reader, "listen");
	for (size_t i = 0; i < count; i++) {
		size_t inner = json_reader_enter_index(reader, i);
		const char *text = json_reader_text(reader, json_array_get(list, i));
		struct spec_place *place = &spec->listen[spec->listen_count++];
		if (text != NULL)
			read_listener(reader, text, place);
		for (size_t k = 0; k + 1 < spec->listen_count; k++)
			if (place->kind != SPEC_PLACE_NONE && (place->kind == SPEC_PLACE_UNIX || place->port != 0) &&
			    spec_place_equal(place, &spec->listen[k]))
				json_reader_fault(reader, "duplicate", "This listener is listed twice.");
		json_reader_leave(reader, inner);
	}
	json_reader_leave(reader, mark);
}

static unsigned protocol_parse(const char *text)
{
	static const struct {
		const char *name;
		unsigned protocol;
	} protocols[] = { { "http", SPEC_HTTP }, { "socks5", SPEC_SOCKS5 }, { "socks4", SPEC_SOCKS4 } };
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (strcmp(text, protocols[i].name) == 0)
			return protocols[i].protocol;
	return 0;
}

static void read_protocols(struct spec *spec, struct json_reader *reader, const json_t *proxy)
{
	const json_t *list = json_reader_array(reader, proxy, "protocols");
	if (list == NULL)
		return;
	spec->protocols = 0;
	size_t mark = json_reader_enter(reader, "protocols");
	if (json_array_size(list) == 0)
		json_reader_fault(reader, "required", "A proxy needs at least one of http, socks5 and socks4.");
	for (size_t i = 0; i < json_array_size(list); i++) {
		size_t inner = json_reader_enter_index(reader, i);
		const char *text = json_reader_text(reader, json_array_get(list, i));
		unsigned protocol = text == NULL ? 0 : protocol_parse(text);
		if (text != NULL && protocol == 0)
			json_reader_fault(reader, "invalid_value", "This must be http, socks5 or socks4.");
		else if ((spec->protocols & protocol) != 0)
			json_reader_fault(reader, "duplicate", "This protocol is listed twice.");
		spec->protocols |= protocol;
		json_reader_leave(reader, inner);
	}
	json_reader_leave(reader, mark);
}

/* RFC 1929, 2: lengths of one byte; RFC 7617, 2: no colon in a user's name and no control characters. */
static bool credential_is_valid(const char *text, bool is_name)
{
	if (text[0] == '\0' || strlen(text) > 255 || (is_name && strchr(text, ':') != NULL))
		return false;
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

static void read_user(struct json_reader *reader, const json_t *value, struct spec_user *user, enum candidate_secret *password)
{
	static const char *const known[] = { "username", "password", NULL };
	static const char *const ignored[] = { "password_set", NULL };
	if (!json_is_object(value)) {
		json_reader_fault(reader, "wrong_type", "A user must be an object.");
		*password = CANDIDATE_SECRET_SET;
		return;
	}
	json_reader_known(reader, value, known, ignored);
	const char *text = json_reader_string(reader, value, "username");
	const json_t *member = json_object_get(value, "username");
	if (member == NULL || json_is_null(member))
		json_reader_fault_at(reader, "username", "required", "A user needs a username.");
	else if (text != NULL && !credential_is_valid(text, true))
		json_reader_fault_at(reader, "username", "invalid_value", "A username must have 1 to 255 bytes, no colon and no control characters.");
	else if (text != NULL)
		user->username = json_reader_copy(reader, text);
	if (json_reader_is_null(value, "password"))
		*password = CANDIDATE_SECRET_REMOVED;
	if (json_object_get(value, "password") == NULL || *password == CANDIDATE_SECRET_REMOVED)
		return;
	*password = CANDIDATE_SECRET_SET;
	text = json_reader_string(reader, value, "password");
	if (text != NULL && !credential_is_valid(text, false))
		json_reader_fault_at(reader, "password", "invalid_value", "A password must have 1 to 255 bytes and no control characters.");
	else if (text != NULL)
		user->password = json_reader_copy(reader, text);
}

static void read_users(struct candidate *candidate, struct json_reader *reader, const json_t *proxy)
{
	struct spec *spec = &candidate->spec;
	const json_t *list = json_reader_array(reader, proxy, "users");
	size_t count = json_array_size(list);
	if (count == 0)
		return;
	if (count > SPEC_USER_MAX) {
		json_reader_fault_at(reader, "users", "too_many", "A proxy can have at most 256 users.");
		return;
	}
	spec->users = calloc(count, sizeof(*spec->users));
	candidate->passwords = calloc(count, sizeof(*candidate->passwords));
	if (spec->users == NULL || candidate->passwords == NULL) {
		problem_out_of_memory(reader->problem);
		return;
	}
	size_t mark = json_reader_enter(reader, "users");
	for (size_t i = 0; i < count; i++) {
		size_t inner = json_reader_enter_index(reader, i);
		struct spec_user *user = &spec->users[spec->user_count++];
		read_user(reader, json_array_get(list, i), user, &candidate->passwords[i]);
		for (size_t k = 0; k < i && user->username != NULL; k++)
			if (spec->users[k].username != NULL && strcmp(spec->users[k].username, user->username) == 0)
				json_reader_fault_at(reader, "username", "duplicate", "Another user has this name.");
		json_reader_leave(reader, inner);
	}
	json_reader_leave(reader, mark);
}

void candidate_read_proxy(struct candidate *candidate, struct json_reader *reader, const json_t *spec_json)
{
	static const char *const known[] = { "listen", "protocols", "users", "connect_timeout", "idle_timeout", "allow_private_targets", NULL };
	struct spec *spec = &candidate->spec;
	const json_t *proxy = json_reader_object(reader, spec_json, "proxy");
	uint64_t connect_timeout = spec->connect_timeout, idle_timeout = spec->idle_timeout;
	size_t mark = json_reader_enter(reader, "proxy");
	json_reader_known(reader, proxy, known, NULL);
	read_listen(candidate, reader, proxy);
	read_protocols(spec, reader, proxy);
	read_users(candidate, reader, proxy);
	json_reader_integer(reader, proxy, "connect_timeout", 1, 3600, &connect_timeout);
	json_reader_integer(reader, proxy, "idle_timeout", 1, 604800, &idle_timeout);
	json_reader_bool(reader, proxy, "allow_private_targets", &spec->allow_private_targets);
	spec->connect_timeout = (uint32_t)connect_timeout;
	spec->idle_timeout = (uint32_t)idle_timeout;
	json_reader_leave(reader, mark);
}

static bool read_choice(struct json_reader *reader, const json_t *value, const char *member, const char *first, const char *second)
{
	const char *text = json_reader_string(reader, value, member);
	if (text == NULL || strcmp(text, first) == 0)
		return false;
	if (strcmp(text, second) == 0)
		return true;
	char detail[64];
	snprintf(detail, sizeof(detail), "This must be %s or %s.", first, second);
	json_reader_fault_at(reader, member, "invalid_value", detail);
	return false;
}

const char *candidate_required_string(struct json_reader *reader, const json_t *value, const char *member)
{
	const json_t *found = json_object_get(value, member);
	if (found == NULL || json_is_null(found))
		json_reader_fault_at(reader, member, "required", "This member is required.");
	return json_reader_string(reader, value, member);
}

/* An inbound forward listens on one of the tunnel's own addresses, or on all of them. */
static bool is_inner_address(const struct spec *spec, const struct spec_place *place)
{
	struct wireguard_network address;
	static const uint8_t zero[16];
	if (place->kind != SPEC_PLACE_INET || !network_parse_address(place->host, &address))
		return false;
	size_t size = address.family == AF_INET ? 4 : 16;
	if (memcmp(address.bytes, zero, size) == 0)
		return true;
	for (size_t i = 0; i < spec->address_count; i++)
		if (spec->addresses[i].family == address.family && memcmp(spec->addresses[i].bytes, address.bytes, size) == 0)
			return true;
	return false;
}

static void check_listen(const struct spec *spec, struct json_reader *reader, struct spec_forward *forward)
{
	if (forward->listen.kind == SPEC_PLACE_NONE)
		return;
	if (forward->direction == SPEC_OUTBOUND) {
		if (forward->listen.kind == SPEC_PLACE_INET && !place_is_literal(&forward->listen))
			json_reader_fault(reader, "invalid_address",
			                  "A listener needs an IP address, such as 127.0.0.1:1080; names are not resolved.");
		else if (forward->listen.kind == SPEC_PLACE_UNIX && forward->transport == SPEC_UDP)
			json_reader_fault(reader, "invalid_address", "A unix socket can carry tcp forwards only.");
		return;
	}
	/* Without an address (a fault of its own) nothing can be compared. */
	if (spec->address_count > 0 && !is_inner_address(spec, &forward->listen))
		json_reader_fault(reader, "invalid_address", "An inbound forward must listen on one of the tunnel's own addresses.");
	else if (forward->listen.port == 0)
		json_reader_fault(reader, "out_of_range", "The port of an inbound forward must be from 1 to 65535.");
}

static void check_target(struct json_reader *reader, const struct spec_forward *forward)
{
	if (forward->target.kind == SPEC_PLACE_UNIX && (forward->direction == SPEC_OUTBOUND || forward->transport == SPEC_UDP))
		json_reader_fault(reader, "invalid_address", "A unix socket can be the target of an inbound tcp forward only.");
	else if (forward->target.kind == SPEC_PLACE_INET && forward->target.port == 0)
		json_reader_fault(reader, "out_of_range", "The port of a target must be from 1 to 65535.");
}

static void read_forward(const struct spec *spec, struct json_reader *reader, const json_t *value, struct spec_forward *forward)
{
	static const char *const known[] = { "name", "direction", "protocol", "listen", "target", NULL };
	if (!json_is_object(value)) {
		json_reader_fault(reader, "wrong_type", "A forward must be an object.");
		return;
	}
	json_reader_known(reader, value, known, NULL);
	const char *name = candidate_required_string(reader, value, "name");
	if (name != NULL && !object_id_is_valid(name))
		json_reader_fault_at(reader, "name", "invalid_value", "A name must be 1 to 63 characters of a-z, 0-9, dot, underscore and hyphen.");
	else if (name != NULL)
		forward->name = json_reader_copy(reader, name);
	forward->direction = read_choice(reader, value, "direction", "outbound", "inbound") ? SPEC_INBOUND : SPEC_OUTBOUND;
	forward->transport = read_choice(reader, value, "protocol", "tcp", "udp") ? SPEC_UDP : SPEC_TCP;
	const char *listen = candidate_required_string(reader, value, "listen");
	size_t mark = json_reader_enter(reader, "listen");
	if (listen != NULL)
		candidate_read_place(reader, listen, false, &forward->listen);
	check_listen(spec, reader, forward);
	json_reader_leave(reader, mark);
	const char *target = candidate_required_string(reader, value, "target");
	mark = json_reader_enter(reader, "target");
	if (target != NULL)
		candidate_read_place(reader, target, false, &forward->target);
	check_target(reader, forward);
	json_reader_leave(reader, mark);
}

static void find_duplicate_forward(struct json_reader *reader, const struct spec *spec, size_t index)
{
	const struct spec_forward *forward = &spec->forwards[index];
	for (size_t k = 0; k < index; k++) {
		const struct spec_forward *other = &spec->forwards[k];
		if (forward->name != NULL && other->name != NULL && strcmp(forward->name, other->name) == 0)
			json_reader_fault_at(reader, "name", "duplicate", "Another forward has this name.");
		if (forward->listen.kind != SPEC_PLACE_NONE && forward->direction == other->direction && forward->transport == other->transport &&
		    (forward->listen.kind == SPEC_PLACE_UNIX || forward->listen.port != 0) && spec_place_equal(&forward->listen, &other->listen))
			json_reader_fault_at(reader, "listen", "duplicate", "Another forward listens here.");
	}
}

void candidate_read_forwards(struct candidate *candidate, struct json_reader *reader, const json_t *spec_json)
{
	struct spec *spec = &candidate->spec;
	const json_t *list = json_reader_array(reader, spec_json, "forwards");
	size_t count = json_array_size(list);
	if (count == 0)
		return;
	if (count > SPEC_FORWARD_MAX || count + spec->listen_count > LISTENERS_MAX) {
		json_reader_fault_at(reader, "forwards", "too_many", "A tunnel can have at most 249 listeners and forwards together.");
		return;
	}
	spec->forwards = calloc(count, sizeof(*spec->forwards));
	if (spec->forwards == NULL) {
		problem_out_of_memory(reader->problem);
		return;
	}
	spec->forward_count = count;
	size_t mark = json_reader_enter(reader, "forwards");
	for (size_t i = 0; i < count; i++) {
		size_t inner = json_reader_enter_index(reader, i);
		read_forward(spec, reader, json_array_get(list, i), &spec->forwards[i]);
		find_duplicate_forward(reader, spec, i);
		json_reader_leave(reader, inner);
	}
	json_reader_leave(reader, mark);
}

void candidate_read_limits(struct candidate *candidate, struct json_reader *reader, const json_t *spec_json)
{
	/* What a pool carries is limited where it goes: by its members. */
	static const char *const known[] = { "connections", "rx_bits_per_second", "tx_bits_per_second", "total_bytes", NULL };
	static const char *const known_of_pool[] = { "connections", NULL };
	bool is_pool = candidate->spec.kind == SPEC_POOL;
	struct spec_limits *limits = &candidate->spec.limits;
	const json_t *value = json_reader_object(reader, spec_json, "limits");
	uint64_t connections = limits->connections;
	size_t mark = json_reader_enter(reader, "limits");
	json_reader_known(reader, value, is_pool ? known_of_pool : known, NULL);
	json_reader_integer(reader, value, "connections", 0, 1000000, &connections);
	limits->connections = (uint32_t)connections;
	if (!is_pool) {
		json_reader_integer(reader, value, "rx_bits_per_second", 0, 1000000000000, &limits->rx_bits_per_second);
		json_reader_integer(reader, value, "tx_bits_per_second", 0, 1000000000000, &limits->tx_bits_per_second);
		json_reader_integer(reader, value, "total_bytes", 0, INT64_MAX, &limits->total_bytes);
	}
	json_reader_leave(reader, mark);
}
