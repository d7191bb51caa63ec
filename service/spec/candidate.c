/* The top of the document, the interface and the peers; the other parts are in candidate_proxy.c. */
#include "service/spec/candidate.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/key.h"
#include "ipc/network.h"
#include "ipc/object_id.h"
#include "ipc/place.h"
#include "ipc/wall_clock.h"
#include "service/spec/json_writer.h"
#include "service/spec/key_pair.h"
#include "service/spec/spec_json.h"

#define ALLOWED_IPS_MAX 65536

void candidate_init(struct candidate *candidate, enum spec_kind kind)
{
	*candidate = (struct candidate){ .private_key = CANDIDATE_SECRET_ABSENT };
	spec_init_kind(&candidate->spec, kind);
	problem_init(&candidate->problem);
}

void candidate_clear(struct candidate *candidate)
{
	spec_labels_free(candidate->labels, candidate->label_count);
	spec_clear(&candidate->spec);
	free(candidate->preshared_keys);
	free(candidate->passwords);
	free(candidate->spec_json);
	message_writer_clear(&candidate->wire);
	problem_clear(&candidate->problem);
	*candidate = (struct candidate){ .label_count = 0 };
}

static void read_id(struct candidate *candidate, struct json_reader *reader, const json_t *document)
{
	const char *id = json_reader_string(reader, document, "id");
	if (id == NULL)
		return;
	if (object_id_is_valid(id))
		snprintf(candidate->id, sizeof(candidate->id), "%s", id);
	else
		json_reader_fault_at(reader, "id", "invalid_id", CANDIDATE_INVALID_ID);
}

static void read_private_key(struct candidate *candidate, struct json_reader *reader, const json_t *interface)
{
	struct spec *spec = &candidate->spec;
	json_reader_bool(reader, interface, "generate_private_key", &candidate->generate_private_key);
	if (json_reader_is_null(interface, "private_key")) {
		candidate->private_key = CANDIDATE_SECRET_REMOVED;
		return;
	}
	if (json_object_get(interface, "private_key") == NULL)
		return;
	candidate->private_key = CANDIDATE_SECRET_SET;
	const char *text = json_reader_string(reader, interface, "private_key");
	spec->has_private_key = text != NULL && key_parse(text, &spec->private_key) && !key_is_zero(&spec->private_key);
	if (text != NULL && !spec->has_private_key)
		json_reader_fault_at(reader, "private_key", "invalid_key", "A key must be 32 bytes in base64 (44 characters), not all zero.");
}

static void add_address(struct spec *spec, struct json_reader *reader, const char *text)
{
	struct wireguard_network address;
	if (!network_parse(text, true, &address)) {
		json_reader_fault(reader, "invalid_address", network_fault(text));
		return;
	}
	size_t v4 = 0;
	for (size_t i = 0; i < spec->address_count; i++) {
		v4 += spec->addresses[i].family == AF_INET;
		if (spec->addresses[i].family == address.family && memcmp(spec->addresses[i].bytes, address.bytes, 16) == 0) {
			json_reader_fault(reader, "duplicate", "This address is listed twice.");
			return;
		}
	}
	if (!network_is_host(&address))
		json_reader_fault(reader, "invalid_address", "A tunnel cannot have an unspecified, loopback or multicast address.");
	else if (address.family == AF_INET ? v4 >= 1 : spec->address_count - v4 >= SPEC_ADDRESS_MAX - 1)
		json_reader_fault(reader, "too_many", "A tunnel can have at most one IPv4 and three IPv6 addresses.");
	else
		spec->addresses[spec->address_count++] = address;
}

static void read_addresses(struct spec *spec, struct json_reader *reader, const json_t *interface)
{
	const json_t *list = json_reader_array(reader, interface, "addresses");
	if (json_array_size(list) == 0) {
		if (list != NULL || json_object_get(interface, "addresses") == NULL || json_reader_is_null(interface, "addresses"))
			json_reader_fault_at(reader, "addresses", "required", "A tunnel needs at least one inner address.");
		return;
	}
	size_t mark = json_reader_enter(reader, "addresses");
	for (size_t i = 0; i < json_array_size(list); i++) {
		size_t inner = json_reader_enter_index(reader, i);
		const char *text = json_reader_text(reader, json_array_get(list, i));
		if (text != NULL)
			add_address(spec, reader, text);
		json_reader_leave(reader, inner);
	}
	json_reader_leave(reader, mark);
}

static bool read_server(const char *text, struct wireguard_network *address)
{
	if (!network_parse_address(text, address))
		return false;
	network_unmap(address);
	return network_is_host(address);
}

static void read_dns(struct spec *spec, struct json_reader *reader, const json_t *interface)
{
	const json_t *list = json_reader_array(reader, interface, "dns");
	if (json_array_size(list) > SPEC_DNS_MAX) {
		json_reader_fault_at(reader, "dns", "too_many", "A tunnel can have at most 8 DNS servers.");
		return;
	}
	if (json_array_size(list) == 0)
		return;
	spec->dns = calloc(json_array_size(list), sizeof(*spec->dns));
	if (spec->dns == NULL) {
		problem_out_of_memory(reader->problem);
		return;
	}
	size_t mark = json_reader_enter(reader, "dns");
	for (size_t i = 0; i < json_array_size(list); i++) {
		size_t inner = json_reader_enter_index(reader, i);
		const char *text = json_reader_text(reader, json_array_get(list, i));
		if (text != NULL && !read_server(text, &spec->dns[spec->dns_count]))
			json_reader_fault(reader, "invalid_address", "This must be the IP address of a DNS server inside the tunnel.");
		else if (text != NULL)
			spec->dns_count++;
		json_reader_leave(reader, inner);
	}
	json_reader_leave(reader, mark);
}

/* Whether there is such a tunnel is looked at when it is this change's turn. */
static void read_via(struct spec *spec, struct json_reader *reader, const json_t *interface)
{
	const char *text = json_reader_string(reader, interface, "via");
	if (text == NULL)
		return;
	if (!object_id_is_valid(text)) {
		json_reader_fault_at(reader, "via", "invalid_id", "This must be the id of another tunnel.");
		return;
	}
	spec->via = strdup(text);
	if (spec->via == NULL)
		problem_out_of_memory(reader->problem);
}

static bool has_ipv6(const struct spec *spec)
{
	for (size_t i = 0; i < spec->address_count; i++)
		if (spec->addresses[i].family == AF_INET6)
			return true;
	return false;
}

static void read_interface(struct candidate *candidate, struct json_reader *reader, const json_t *spec_json)
{
	static const char *const known[] = { "private_key", "generate_private_key", "addresses", "dns", "mtu", "listen_port",
		                             "via",         "obfuscation",          NULL };
	static const char *const ignored[] = { "private_key_set", "public_key", NULL };
	struct spec *spec = &candidate->spec;
	const json_t *interface = json_reader_object(reader, spec_json, "interface");
	size_t mark = json_reader_enter(reader, "interface");
	json_reader_known(reader, interface, known, ignored);
	read_private_key(candidate, reader, interface);
	read_addresses(spec, reader, interface);
	read_dns(spec, reader, interface);
	uint64_t mtu = SPEC_MTU_DEFAULT, port = 0;
	/* RFC 8200, 5: a link that carries IPv6 has at least 1280. */
	json_reader_integer(reader, interface, "mtu", has_ipv6(spec) ? 1280 : 576, 9000, &mtu);
	json_reader_integer(reader, interface, "listen_port", 0, 65535, &port);
	spec->mtu = (uint16_t)mtu;
	spec->listen_port = (uint16_t)port;
	read_via(spec, reader, interface);
	candidate_read_obfuscation(candidate, reader, interface);
	json_reader_leave(reader, mark);
}

static void read_allowed_ips(struct json_reader *reader, const json_t *value, struct spec_peer *peer)
{
	const json_t *list = json_reader_array(reader, value, "allowed_ips");
	size_t count = json_array_size(list);
	if (count == 0)
		return;
	if (count > ALLOWED_IPS_MAX) {
		json_reader_fault_at(reader, "allowed_ips", "too_many", "A peer can have at most 65536 allowed IPs.");
		return;
	}
	peer->allowed_ips = calloc(count, sizeof(*peer->allowed_ips));
	if (peer->allowed_ips == NULL) {
		problem_out_of_memory(reader->problem);
		return;
	}
	size_t mark = json_reader_enter(reader, "allowed_ips");
	for (size_t i = 0; i < count; i++) {
		size_t inner = json_reader_enter_index(reader, i);
		const char *text = json_reader_text(reader, json_array_get(list, i));
		if (text != NULL && network_parse(text, false, &peer->allowed_ips[peer->allowed_ip_count]))
			peer->allowed_ip_count++;
		else if (text != NULL)
			json_reader_fault(reader, "invalid_network", network_fault(text));
		json_reader_leave(reader, inner);
	}
	json_reader_leave(reader, mark);
}

static void read_peer_keys(struct json_reader *reader, const json_t *value, struct spec_peer *peer, enum candidate_secret *preshared_key)
{
	static const char invalid[] = "A key must be 32 bytes in base64: 44 characters, the last one =.";
	const char *text = json_reader_string(reader, value, "public_key");
	const json_t *member = json_object_get(value, "public_key");
	if (member == NULL || json_is_null(member))
		json_reader_fault_at(reader, "public_key", "required", "A peer needs its public key.");
	else if (text != NULL && !key_parse(text, &peer->public_key))
		json_reader_fault_at(reader, "public_key", "invalid_key", invalid);
	if (json_reader_is_null(value, "preshared_key")) {
		*preshared_key = CANDIDATE_SECRET_REMOVED;
		return;
	}
	if (json_object_get(value, "preshared_key") == NULL)
		return;
	*preshared_key = CANDIDATE_SECRET_SET;
	text = json_reader_string(reader, value, "preshared_key");
	peer->has_preshared_key = text != NULL && key_parse(text, &peer->preshared_key);
	if (text != NULL && !peer->has_preshared_key)
		json_reader_fault_at(reader, "preshared_key", "invalid_key", invalid);
	/* A preshared key of zeros is none (WireGuard paper, 5.2). */
	if (peer->has_preshared_key && key_is_zero(&peer->preshared_key))
		peer->has_preshared_key = false;
}

void candidate_read_peer(struct json_reader *reader, const json_t *value, struct spec_peer *peer, enum candidate_secret *preshared_key)
{
	static const char *const known[] = { "public_key", "preshared_key", "endpoint", "allowed_ips", "persistent_keepalive", "reserved", NULL };
	static const char *const ignored[] = { "preshared_key_set",
		                               "last_handshake_at",
		                               "last_handshake_age",
		                               "bytes_sent",
		                               "bytes_received",
		                               "wire_bytes_sent",
		                               "wire_bytes_received",
		                               "applied",
		                               "etag",
		                               "status",
		                               NULL };
	if (!json_is_object(value)) {
		json_reader_fault(reader, "wrong_type", "A peer must be an object.");
		return;
	}
	json_reader_known(reader, value, known, ignored);
	read_peer_keys(reader, value, peer, preshared_key);
	const char *endpoint = json_reader_string(reader, value, "endpoint");
	if (endpoint != NULL) {
		size_t mark = json_reader_enter(reader, "endpoint");
		candidate_read_place(reader, endpoint, true, &peer->endpoint);
		if (peer->endpoint.kind == SPEC_PLACE_UNIX) {
			json_reader_fault(reader, "invalid_address", "An endpoint must be HOST:PORT.");
			place_clear(&peer->endpoint);
		} else if (peer->endpoint.kind == SPEC_PLACE_INET && peer->endpoint.port == 0) {
			json_reader_fault(reader, "out_of_range", "The port of an endpoint must be from 1 to 65535.");
		}
		json_reader_leave(reader, mark);
	}
	read_allowed_ips(reader, value, peer);
	candidate_read_keepalive(reader, value, peer);
	candidate_read_reserved(reader, value, peer->reserved);
}

static int compare_keys(const void *a, const void *b)
{
	const struct spec_peer *const *first = a, *const *second = b;
	int order = memcmp((*first)->public_key.bytes, (*second)->public_key.bytes, sizeof((*first)->public_key.bytes));
	return order != 0 ? order : (*first > *second) - (*first < *second);
}

/* Sorted, because comparing 4,096 peers pairwise would block an API thread. */
static void find_duplicate_peers(struct json_reader *reader, const struct spec *spec)
{
	const struct spec_peer **sorted = calloc(spec->peer_count + 1, sizeof(const struct spec_peer *));
	if (sorted == NULL) {
		problem_out_of_memory(reader->problem);
		return;
	}
	for (size_t i = 0; i < spec->peer_count; i++)
		sorted[i] = &spec->peers[i];
	qsort(sorted, spec->peer_count, sizeof(*sorted), compare_keys);
	for (size_t i = 1; i < spec->peer_count; i++) {
		if (memcmp(&sorted[i]->public_key, &sorted[i - 1]->public_key, sizeof(sorted[i]->public_key)) != 0 ||
		    key_is_zero(&sorted[i]->public_key))
			continue;
		size_t mark = json_reader_enter_index(reader, (size_t)(sorted[i] - spec->peers));
		json_reader_fault_at(reader, "public_key", "duplicate", "Another peer has this key.");
		json_reader_leave(reader, mark);
	}
	free(sorted);
}

static void read_peers(struct candidate *candidate, struct json_reader *reader, const json_t *spec_json)
{
	struct spec *spec = &candidate->spec;
	const json_t *list = json_reader_array(reader, spec_json, "peers");
	size_t count = json_array_size(list);
	if (count == 0)
		return;
	if (count > SPEC_PEER_MAX) {
		json_reader_fault_at(reader, "peers", "too_many", "A tunnel can have at most 4096 peers.");
		return;
	}
	spec->peers = calloc(count, sizeof(*spec->peers));
	candidate->preshared_keys = calloc(count, sizeof(*candidate->preshared_keys));
	if (spec->peers == NULL || candidate->preshared_keys == NULL) {
		problem_out_of_memory(reader->problem);
		return;
	}
	spec->peer_count = count;
	size_t mark = json_reader_enter(reader, "peers");
	for (size_t i = 0; i < count; i++) {
		size_t inner = json_reader_enter_index(reader, i);
		candidate_read_peer(reader, json_array_get(list, i), &spec->peers[i], &candidate->preshared_keys[i]);
		json_reader_leave(reader, inner);
	}
	find_duplicate_peers(reader, spec);
	if (!spec_index_peers(spec))
		problem_out_of_memory(reader->problem);
	json_reader_leave(reader, mark);
}

/* One that has expired is disabled, whatever the document says: it would be enabled for a moment otherwise, with each PUT of a file. */
static void read_expiry(struct candidate *candidate, struct json_reader *reader, const json_t *spec_json)
{
	struct spec *spec = &candidate->spec;
	const char *text = json_reader_string(reader, spec_json, "expires_at");
	if (text != NULL && !wall_clock_parse(text, &spec->expires_at))
		json_reader_fault_at(reader, "expires_at", "invalid_time", "This must be a time as in RFC 3339, for example 2030-01-31T12:00:00Z.");
	if (spec_is_expired(spec, wall_clock_ms()))
		spec->enabled = false;
}

static void read_tunnel(struct candidate *candidate, struct json_reader *reader, const json_t *spec)
{
	static const char *const known[] = {
		"enabled", "interface", "peers", "proxy", "forwards", "limits", "probe", "expires_at", "placement", NULL
	};
	json_reader_known(reader, spec, known, NULL);
	read_interface(candidate, reader, spec);
	read_peers(candidate, reader, spec);
	candidate_read_proxy(candidate, reader, spec);
	candidate_read_forwards(candidate, reader, spec);
	candidate_read_limits(candidate, reader, spec);
	read_expiry(candidate, reader, spec);
	const json_t *probe = json_reader_object(reader, spec, "probe");
	if (probe != NULL) {
		size_t inner = json_reader_enter(reader, "probe");
		candidate_read_probe(reader, probe, &candidate->spec.probe);
		json_reader_leave(reader, inner);
	}
}

static void read_pool(struct candidate *candidate, struct json_reader *reader, const json_t *spec)
{
	static const char *const known[] = { "enabled", "proxy", "members", "strategy", "sticky", "retries", "rules", "limits", "placement", NULL };
	json_reader_known(reader, spec, known, NULL);
	candidate_read_proxy(candidate, reader, spec);
	candidate_read_pool(candidate, reader, spec);
	candidate_read_limits(candidate, reader, spec);
}

static void read_spec(struct candidate *candidate, struct json_reader *reader, const json_t *document)
{
	bool is_pool = candidate->spec.kind == SPEC_POOL;
	const json_t *spec = json_reader_object(reader, document, "spec");
	if (json_object_get(document, "spec") == NULL || json_reader_is_null(document, "spec"))
		json_reader_fault_at(reader, "spec", "required", is_pool ? "A pool needs a spec." : "A tunnel needs a spec.");
	if (spec == NULL)
		return;
	size_t mark = json_reader_enter(reader, "spec");
	json_reader_bool(reader, spec, "enabled", &candidate->spec.enabled);
	if (is_pool)
		read_pool(candidate, reader, spec);
	else
		read_tunnel(candidate, reader, spec);
	candidate_read_placement(candidate, reader, spec);
	json_reader_leave(reader, mark);
}

void candidate_read(struct candidate *candidate, const json_t *document, const char *pointer)
{
	static const char *const known[] = { "id", "labels", "spec", NULL };
	static const char *const ignored[] = { "etag", "generation", "created_at", "updated_at", "origin", "status", "applied", "warnings", NULL };
	struct json_reader reader;
	snprintf(candidate->pointer, sizeof(candidate->pointer), "%s", pointer);
	json_reader_init(&reader, pointer, &candidate->problem);
	if (!json_is_object(document)) {
		json_reader_fault(&reader, "wrong_type",
		                  candidate->spec.kind == SPEC_POOL ? "A pool must be an object." : "A tunnel must be an object.");
		return;
	}
	json_reader_known(&reader, document, known, ignored);
	read_id(candidate, &reader, document);
	candidate->label_count = labels_read(&reader, document, &candidate->labels);
	read_spec(candidate, &reader, document);
}

void candidate_write(struct candidate *candidate)
{
	json_t *json = candidate->problem.code == PROBLEM_NONE ? spec_to_json(&candidate->spec, false) : NULL;
	free(candidate->spec_json);
	candidate->spec_json = json == NULL ? NULL : json_writer_text(json);
	json_decref(json);
}

static const struct spec_user *user_with_name(const struct spec *spec, const char *username)
{
	for (size_t i = 0; spec != NULL && username != NULL && i < spec->user_count; i++)
		if (strcmp(spec->users[i].username, username) == 0)
			return &spec->users[i];
	return NULL;
}

static void complete_private_key(struct candidate *candidate, const struct spec *previous)
{
	struct spec *spec = &candidate->spec;
	if (candidate->private_key == CANDIDATE_SECRET_ABSENT && previous != NULL && previous->has_private_key) {
		spec->private_key = previous->private_key;
		spec->has_private_key = true;
	}
	if (candidate->private_key != CANDIDATE_SECRET_SET && !spec->has_private_key && candidate->generate_private_key) {
		key_pair_generate(&spec->private_key);
		spec->has_private_key = true;
	}
	if (candidate->private_key == CANDIDATE_SECRET_SET || spec->has_private_key)
		return;
	struct json_reader reader;
	json_reader_init(&reader, candidate->pointer, &candidate->problem);
	json_reader_enter(&reader, "spec");
	json_reader_enter(&reader, "interface");
	json_reader_fault_at(&reader, "private_key", "required", "A tunnel needs a private key, or generate_private_key: true.");
}

static void complete_password(struct candidate *candidate, size_t index, const struct spec *previous)
{
	struct spec_user *user = &candidate->spec.users[index];
	const struct spec_user *known = user_with_name(previous, user->username);
	if (candidate->passwords[index] == CANDIDATE_SECRET_ABSENT && known != NULL && (user->password = strdup(known->password)) == NULL) {
		problem_out_of_memory(&candidate->problem);
		return;
	}
	if (candidate->passwords[index] == CANDIDATE_SECRET_SET || user->password != NULL)
		return;
	char place[160];
	snprintf(place, sizeof(place), "%s/spec/proxy/users/%zu/password", candidate->pointer, index);
	problem_add(&candidate->problem, place, "required", "A user needs a password.");
}

static void refuse_own_key(struct candidate *candidate)
{
	struct wireguard_key own;
	/* When out of memory the peers may be incomplete. */
	if (candidate->problem.code == PROBLEM_OUT_OF_RESOURCES || !candidate->spec.has_private_key ||
	    !key_pair_public(&own, &candidate->spec.private_key))
		return;
	const struct spec_peer *peer = spec_peer_find(&candidate->spec, &own);
	if (peer == NULL)
		return;
	char place[160];
	snprintf(place, sizeof(place), "%s/spec/peers/%zu/public_key", candidate->pointer, (size_t)(peer - candidate->spec.peers));
	problem_add(&candidate->problem, place, "own_key", "This is the tunnel's own public key.");
}

void candidate_complete(struct candidate *candidate, const struct spec *previous)
{
	struct spec *spec = &candidate->spec;
	bool forgets = false;
	assert(candidate->wire.length == 0); /* it would lack what is filled in here */
	if (spec->kind == SPEC_TUNNEL)
		complete_private_key(candidate, previous);
	forgets |= candidate_complete_obfuscation(candidate, previous);
	for (size_t i = 0; i < spec->peer_count; i++) {
		const struct spec_peer *known =
		    candidate->preshared_keys[i] == CANDIDATE_SECRET_ABSENT ? spec_peer_find(previous, &spec->peers[i].public_key) : NULL;
		if (known == NULL)
			continue;
		spec->peers[i].has_preshared_key = known->has_preshared_key;
		spec->peers[i].preshared_key = known->preshared_key;
		forgets |= known->has_preshared_key;
	}
	/* The text says of each peer whether it has one. */
	if (forgets) {
		free(candidate->spec_json);
		candidate->spec_json = NULL;
	}
	for (size_t i = 0; i < spec->user_count; i++)
		complete_password(candidate, i, previous);
	refuse_own_key(candidate);
}

void candidate_prepare(struct candidate *candidate, const struct spec *base)
{
	candidate_complete(candidate, base);
	candidate_compare(candidate, base);
}

void candidate_compare(struct candidate *candidate, const struct spec *base)
{
	candidate_write(candidate);
	if (candidate->problem.code == PROBLEM_NONE && spec_is_large(&candidate->spec))
		spec_encode(&candidate->wire, &candidate->spec);
	candidate->is_prepared = true;
	candidate->base = base;
	candidate->is_equal = base != NULL && candidate->problem.code == PROBLEM_NONE && spec_equal(base, &candidate->spec);
}
