#include "service/socket/socket_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/spec/json_writer.h"

static const struct spec_place any_place = { .kind = SPEC_PLACE_NONE };

static const struct spec_place *place_of(const struct socket_entry *entry, const struct spec *spec)
{
	const struct spec_place *place = &any_place;
	switch (entry->kind) {
	case MESSAGE_SOCKET_UDP: break;
	case MESSAGE_SOCKET_PROXY: place = &spec->listen[entry->index]; break;
	case MESSAGE_SOCKET_FORWARD: place = &spec->forwards[entry->index].listen; break;
	}
	return place;
}

static enum spec_transport transport_of(const struct socket_entry *entry, const struct spec *spec)
{
	return entry->kind == MESSAGE_SOCKET_FORWARD ? spec->forwards[entry->index].transport : SPEC_TCP;
}

static void want(struct socket_list *list, enum message_socket_kind kind, size_t index)
{
	list->list[list->count++] = (struct socket_entry){ .kind = kind, .index = (uint16_t)index };
}

bool socket_list_want(struct socket_list *list, const struct spec *spec)
{
	*list = (struct socket_list){ .list = calloc(1 + spec->listen_count + spec->forward_count, sizeof(*list->list)) };
	if (list->list == NULL)
		return false;
	/* A tunnel that goes through another has no socket through which its datagrams could leave. */
	if (spec->enabled && spec->kind == SPEC_TUNNEL && spec->via == NULL)
		want(list, MESSAGE_SOCKET_UDP, 0);
	for (size_t i = 0; i < spec->listen_count; i++)
		want(list, MESSAGE_SOCKET_PROXY, i);
	for (size_t i = 0; i < spec->forward_count; i++)
		if (spec->forwards[i].direction == SPEC_OUTBOUND)
			want(list, MESSAGE_SOCKET_FORWARD, i);
	return true;
}

static bool is_v4_at(const struct spec_place *place, uint16_t port)
{
	return place->kind == SPEC_PLACE_INET && place->port == port && strchr(place->host, ':') == NULL;
}

/* [::] leaves IPv4 to a place of the same tunnel that names the same port. */
static bool is_v6_only(const struct spec_place *place, const struct spec *spec)
{
	bool has_v4 = false;
	if (place->kind != SPEC_PLACE_INET || place->port == 0 || strchr(place->host, ':') == NULL)
		return false;
	for (size_t i = 0; i < spec->listen_count; i++)
		has_v4 = has_v4 || is_v4_at(&spec->listen[i], place->port);
	for (size_t i = 0; i < spec->forward_count; i++)
		has_v4 = has_v4 || (spec->forwards[i].direction == SPEC_OUTBOUND && is_v4_at(&spec->forwards[i].listen, place->port));
	return has_v4;
}

static bool serves(const struct host_socket *socket, const struct socket_entry *entry, const struct spec *spec)
{
	if (entry->kind == MESSAGE_SOCKET_UDP)
		return socket->kind == HOST_SOCKET_WIREGUARD && (spec->listen_port == 0 || spec->listen_port == host_socket_port(socket));
	const struct spec_place *place = place_of(entry, spec);
	return host_socket_serves(socket, place, transport_of(entry, spec)) &&
	       (socket->kind == HOST_SOCKET_UNIX || socket->v6_only == is_v6_only(place, spec));
}

static bool is_exact(const struct socket_entry *entry, const struct spec *spec)
{
	return entry->kind == MESSAGE_SOCKET_UDP || place_of(entry, spec)->port != 0 || place_of(entry, spec)->kind == SPEC_PLACE_UNIX;
}

static const struct socket_entry *find_kept(const struct socket_list *list, const struct socket_entry *wanted, const struct spec *spec,
                                            const struct socket_list *old, bool must_be_there)
{
	for (size_t i = 0; i < old->count; i++)
		if (old->list[i].kind == wanted->kind && serves(old->list[i].socket, wanted, spec) && !socket_list_has(list, old->list[i].socket) &&
		    (!must_be_there || host_socket_is_there(old->list[i].socket)))
			return &old->list[i];
	return NULL;
}

void socket_list_keep(struct socket_list *list, const struct spec *spec, const struct socket_list *old, bool must_be_there)
{
	/* Entries with a fixed port first, so that one with any port does not take it. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < list->count; i++) {
			struct socket_entry *wanted = &list->list[i];
			if (wanted->socket != NULL || is_exact(wanted, spec) != (pass == 0))
				continue;
			const struct socket_entry *kept = find_kept(list, wanted, spec, old, must_be_there);
			if (kept == NULL)
				continue;
			wanted->id = kept->id;
			wanted->socket = host_socket_reference(kept->socket);
		}
	}
}

bool socket_list_is_there(const struct socket_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->list[i].socket != NULL && !host_socket_is_there(list->list[i].socket))
			return false;
	return true;
}

static uint16_t port_at(const json_t *ports, const struct socket_entry *entry)
{
	const json_t *value = NULL;
	switch (entry->kind) {
	case MESSAGE_SOCKET_UDP: value = json_object_get(ports, "udp"); break;
	case MESSAGE_SOCKET_PROXY: value = json_array_get(json_object_get(ports, "listen"), entry->index); break;
	case MESSAGE_SOCKET_FORWARD: value = json_array_get(json_object_get(ports, "forwards"), entry->index); break;
	}
	json_int_t port = json_integer_value(value);
	return port > 0 && port < 65536 ? (uint16_t)port : 0;
}

static struct host_socket *take_over(const struct socket_entry *entry, const struct spec *spec, struct socket_pool *pool)
{
	for (size_t i = 0; i < pool->count; i++) {
		struct host_socket *socket = pool->list[i];
		/* An entry that accepts any port does not take one from another tunnel. */
		if (socket == NULL || socket->is_shared || !is_exact(entry, spec) || !serves(socket, entry, spec) || !host_socket_is_there(socket))
			continue;
		if (entry->kind == MESSAGE_SOCKET_UDP && spec->listen_port == 0)
			continue;
		pool->list[i] = NULL;
		return host_socket_reference(socket);
	}
	return NULL;
}

static struct host_socket *open_one(const struct socket_entry *entry, const struct socket_request *request, bool v6_only, bool beside, int *error)
{
	const struct spec *spec = request->spec;
	uint16_t preferred = port_at(request->ports, entry);
	if (entry->kind == MESSAGE_SOCKET_UDP)
		return host_socket_open_wireguard(spec->listen_port, preferred, request->insists, beside, error);
	return host_socket_open(request->roots, place_of(entry, spec), transport_of(entry, spec), preferred, request->insists, v6_only, beside,
	                        error);
}

static bool overlaps(const struct host_socket *socket, const struct socket_entry *entry, const struct spec *spec)
{
	return socket != NULL && host_socket_overlaps(socket, place_of(entry, spec), transport_of(entry, spec));
}

static bool would_make_way(const struct socket_entry *entry, const struct spec *spec, const struct socket_pool *pool)
{
	for (size_t i = 0; i < pool->count; i++)
		if (overlaps(pool->list[i], entry, spec))
			return true;
	return false;
}

/* Whether a socket that this change gives up is in the way: it shares its port then, and serves until it is closed. */
static bool make_way(const struct socket_entry *entry, const struct spec *spec, struct socket_pool *pool)
{
	bool made = false;
	for (size_t i = 0; i < pool->count; i++) {
		struct host_socket *socket = pool->list[i];
		if (!overlaps(socket, entry, spec))
			continue;
		made = true;
		if (socket->is_shared)
			continue;
		struct host_socket **grown = realloc(pool->shared, (pool->shared_count + 1) * sizeof(struct host_socket *));
		if (grown == NULL)
			return false;
		pool->shared = grown;
		host_socket_share(socket, true);
		pool->shared[pool->shared_count++] = host_socket_reference(socket);
	}
	return made;
}

static void tell_fault(const struct socket_entry *entry, const struct socket_request *request, int error, struct problem *problem)
{
	char pointer[160];
	if (entry->kind == MESSAGE_SOCKET_UDP)
		snprintf(pointer, sizeof(pointer), "%s/spec/interface/listen_port", request->pointer);
	else if (entry->kind == MESSAGE_SOCKET_PROXY)
		snprintf(pointer, sizeof(pointer), "%s/spec/proxy/listen/%u", request->pointer, entry->index);
	else
		snprintf(pointer, sizeof(pointer), "%s/spec/forwards/%u/listen", request->pointer, entry->index);
	if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
		problem_set(problem, PROBLEM_OUT_OF_RESOURCES, "No socket can be opened: %s.", strerror(error));
	} else if (error == EADDRINUSE) {
		if (problem->code == PROBLEM_NONE)
			problem_set(problem, PROBLEM_LISTENER_IN_USE, "An address or port is already in use.");
		problem_add(problem, pointer, "listener_in_use", "This address is already in use by another tunnel or program.");
	} else {
		problem_add(problem, pointer, "cannot_bind", "This address cannot be bound: %s.", strerror(error));
	}
}

static struct host_socket *open_in_turn(const struct socket_entry *entry, const struct socket_request *request, struct socket_pool *pool, int *error)
{
	bool v6_only = is_v6_only(place_of(entry, request->spec), request->spec);
	struct host_socket *socket = open_one(entry, request, v6_only, false, error);
	if (socket == NULL && *error == EADDRINUSE && !request->is_trial && make_way(entry, request->spec, pool))
		socket = open_one(entry, request, v6_only, true, error);
	if (socket != NULL || *error != EADDRINUSE || v6_only)
		return socket;
	/* Another tunnel or program has IPv4's port: [::] is left with its own family. */
	socket = open_one(entry, request, true, false, error);
	if (socket != NULL)
		socket->v6_only = v6_only;
	return socket;
}

bool socket_list_open(struct socket_list *list, const struct socket_request *request, struct socket_pool *pool, struct problem *problem)
{
	for (size_t i = 0; i < list->count; i++) {
		struct socket_entry *entry = &list->list[i];
		int error = 0;
		if (entry->socket != NULL)
			continue;
		entry->socket = take_over(entry, request->spec, pool);
		if (entry->socket == NULL)
			entry->socket = open_in_turn(entry, request, pool, &error);
		/* What the write would have at this address cannot be tried while the other socket serves. */
		if (entry->socket == NULL && error == EADDRINUSE && request->is_trial && would_make_way(entry, request->spec, pool))
			continue;
		if (entry->socket == NULL) {
			tell_fault(entry, request, error, problem);
			continue;
		}
		entry->is_fresh = true;
		entry->id = ++*request->next_id;
	}
	return problem->code == PROBLEM_NONE;
}

void socket_list_clear(struct socket_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		host_socket_release(list->list[i].socket);
	free(list->list);
	*list = (struct socket_list){ .count = 0 };
}

bool socket_list_has(const struct socket_list *list, const struct host_socket *socket)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->list[i].socket == socket)
			return true;
	return false;
}

struct socket_entry *socket_list_udp(const struct socket_list *list)
{
	/* The first when there is one. */
	return list->count > 0 && list->list[0].kind == MESSAGE_SOCKET_UDP ? &list->list[0] : NULL;
}

uint16_t socket_list_udp_port(const struct socket_list *list)
{
	const struct socket_entry *udp = socket_list_udp(list);
	return udp == NULL || udp->socket == NULL ? 0 : host_socket_port(udp->socket);
}

bool socket_list_format(const struct socket_list *list, char ***listen, size_t *count)
{
	*count = 0;
	*listen = calloc(list->count + 1, sizeof(char *));
	if (*listen == NULL)
		return false;
	for (size_t i = 0; i < list->count; i++) {
		if (list->list[i].kind != MESSAGE_SOCKET_PROXY)
			continue;
		(*listen)[*count] = host_socket_format(list->list[i].socket);
		if ((*listen)[(*count)++] == NULL)
			return false;
	}
	return true;
}

bool socket_list_format_forwards(const struct socket_list *list, size_t forward_count, char ***forwards)
{
	*forwards = forward_count == 0 ? NULL : calloc(forward_count, sizeof(char *));
	if (*forwards == NULL)
		return forward_count == 0;
	for (size_t i = 0; i < list->count; i++) {
		const struct socket_entry *entry = &list->list[i];
		if (entry->kind != MESSAGE_SOCKET_FORWARD)
			continue;
		(*forwards)[entry->index] = host_socket_format(entry->socket);
		if ((*forwards)[entry->index] == NULL)
			return false;
	}
	return true;
}

void socket_list_save(const struct socket_list *list, struct handover *handover)
{
	message_put_u32(&handover->writer, (uint32_t)list->count);
	for (size_t i = 0; i < list->count; i++) {
		message_put_u32(&handover->writer, list->list[i].id);
		host_socket_save(list->list[i].socket, handover);
	}
}

bool socket_list_load(struct socket_list *list, const struct spec *spec, struct handover *handover)
{
	if (!socket_list_want(list, spec) || message_get_u32(&handover->reader) != list->count)
		return false;
	for (size_t i = 0; i < list->count; i++) {
		list->list[i].id = message_get_u32(&handover->reader);
		list->list[i].socket = host_socket_load(handover);
		if (list->list[i].socket == NULL)
			return false;
	}
	return true;
}

char *socket_list_ports(const struct socket_list *list)
{
	struct json_writer writer = { .failed = false };
	json_t *listen = json_array(), *forwards = json_array(), *ports = json_object();
	json_writer_set(&writer, ports, "udp", json_integer(socket_list_udp_port(list)));
	json_writer_set(&writer, ports, "listen", listen);
	json_writer_set(&writer, ports, "forwards", forwards);
	for (size_t i = 0; !writer.failed && i < list->count; i++) {
		const struct socket_entry *entry = &list->list[i];
		json_t *array = entry->kind == MESSAGE_SOCKET_PROXY ? listen : forwards;
		/* Inbound forwards have no socket; their places stay empty, so that the index is that of the spec. */
		while (entry->kind != MESSAGE_SOCKET_UDP && !writer.failed && json_array_size(array) < entry->index)
			json_writer_add(&writer, array, json_integer(0));
		if (entry->kind != MESSAGE_SOCKET_UDP && !writer.failed)
			json_writer_add(&writer, array, json_integer(host_socket_port(entry->socket)));
	}
	ports = json_writer_end(&writer, ports);
	char *text = ports == NULL ? NULL : json_writer_text(ports);
	json_decref(ports);
	return text;
}

bool socket_pool_add(struct socket_pool *pool, struct host_socket *socket)
{
	struct host_socket **grown = realloc(pool->list, (pool->count + 1) * sizeof(struct host_socket *));
	if (grown == NULL)
		return false;
	pool->list = grown;
	pool->list[pool->count++] = socket;
	return true;
}

void socket_pool_clear(struct socket_pool *pool)
{
	for (size_t i = 0; i < pool->shared_count; i++)
		host_socket_release(pool->shared[i]);
	free(pool->shared);
	free(pool->list);
	*pool = (struct socket_pool){ .count = 0 };
}
