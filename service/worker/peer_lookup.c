#include "service/worker/peer_lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "ipc/place.h"
#include "service/registry/status.h"
#include "service/worker/endpoint_resolver.h"
#include "service/worker/supervisor.h"

#define PAUSE_FIRST_MS 1000
#define PAUSE_LAST_MS 10000 /* a name that exists again is found within 20 s (F8) */

/* One name of one peer. It is freed by the close of its timer. */
struct peer_lookup {
	struct peer_lookup *next, **before;
	const struct peer_lookup_means *means;
	struct entry *entry; /* NULL: cancelled */
	struct wireguard_key peer;
	char name[254];
	uint16_t port;
	struct endpoint_resolver_query *query; /* NULL: none, or its last answer has arrived */
	struct message_addresses answer;       /* that waits for the tunnel's turn */
	struct lock_claim turn;
	bool is_answered; /* `turn` is claimed */
	bool is_closed;
	bool has_failed; /* and that was logged */
	uv_timer_t timer;
	unsigned pause_ms;
};

static const struct spec_peer *peer_of(const struct entry *entry, const struct peer_lookup *lookup, size_t *index)
{
	const struct spec *spec = &entry->snapshot->spec;
	const struct spec_peer *peer = spec_peer_find(spec, &lookup->peer);
	if (spec->via != NULL || peer == NULL || peer->endpoint.kind != SPEC_PLACE_INET || peer->endpoint.port != lookup->port ||
	    strcmp(peer->endpoint.host, lookup->name) != 0)
		return NULL;
	*index = (size_t)(peer - spec->peers);
	return peer;
}

/* One that is looked up here. The names of a tunnel that goes through another are asked for inside that one. */
static bool is_name(const struct spec *spec, const struct spec_peer *peer)
{
	return spec->via == NULL && peer->endpoint.kind == SPEC_PLACE_INET && !place_is_literal(&peer->endpoint);
}

static bool has_name(const struct spec *spec)
{
	for (size_t i = 0; i < spec->peer_count; i++)
		if (is_name(spec, &spec->peers[i]))
			return true;
	return false;
}

bool peer_lookup_addresses(struct message_addresses **made, const struct spec *spec, const struct spec *old_spec, const struct message_addresses *old)
{
	*made = NULL;
	if (!has_name(spec))
		return true;
	struct message_addresses *addresses = calloc(spec->peer_count, sizeof(*addresses));
	if (addresses == NULL)
		return false;
	*made = addresses;
	for (size_t i = 0; i < spec->peer_count; i++) {
		const struct spec_peer *peer = &spec->peers[i];
		if (place_address(&peer->endpoint, &addresses[i].list[0])) {
			addresses[i].count = 1;
			continue;
		}
		const struct spec_peer *before =
		    old == NULL || peer->endpoint.kind == SPEC_PLACE_NONE ? NULL : spec_peer_find(old_spec, &peer->public_key);
		if (before != NULL && spec_place_equal(&peer->endpoint, &before->endpoint))
			addresses[i] = old[before - old_spec->peers];
	}
	return true;
}

static void on_closed(uv_handle_t *handle)
{
	struct peer_lookup *lookup = handle->data;
	lookup->is_closed = true;
	if (!lookup->is_answered)
		free(lookup);
}

static void end(struct peer_lookup *lookup)
{
	*lookup->before = lookup->next;
	if (lookup->next != NULL)
		lookup->next->before = lookup->before;
	endpoint_resolver_cancel(lookup->query);
	lookup->query = NULL;
	lookup->entry = NULL;
	uv_close((uv_handle_t *)&lookup->timer, on_closed);
}

void peer_lookup_end_all(struct entry *entry)
{
	while (entry->lookups != NULL)
		end(entry->lookups);
}

static void tell_worker(const struct entry *entry, const struct peer_lookup *lookup, const struct message_addresses *addresses)
{
	if (entry->worker == NULL)
		return;
	struct message_resolved message = {
		.slot = slot_index(entry->slot), .generation = entry->snapshot->generation, .peer = lookup->peer, .addresses = *addresses
	};
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_resolved(&writer, &message);
	worker_send(entry->worker, MESSAGE_RESOLVED, &writer, NULL, 0);
}

static void ask(struct peer_lookup *lookup);

static void on_pause_over(uv_timer_t *timer)
{
	ask(timer->data);
}

static void ask_later(struct peer_lookup *lookup)
{
	uv_timer_start(&lookup->timer, on_pause_over, lookup->pause_ms, 0);
	lookup->pause_ms = lookup->pause_ms * 2 < PAUSE_LAST_MS ? lookup->pause_ms * 2 : PAUSE_LAST_MS;
}

static void take_answer(struct peer_lookup *lookup)
{
	struct entry *entry = lookup->entry;
	const struct message_addresses *addresses = &lookup->answer;
	size_t index;
	registry_assert_turn(lookup->means->registry, entry, &lookup->turn);
	if (peer_of(entry, lookup, &index) == NULL) {
		end(lookup);
		return;
	}
	tell_worker(entry, lookup, addresses);
	if (addresses->count > 0) {
		entry->addresses[index] = *addresses;
		status_set_obstacle(entry->status, "");
		if (lookup->has_failed)
			log_line(LOG_INFO, entry->id, "the name %.100s resolves again", lookup->name);
		lookup->has_failed = false;
		if (lookup->query == NULL)
			end(lookup);
		return;
	}
	char obstacle[160];
	snprintf(obstacle, sizeof(obstacle), "the name %.100s does not resolve", lookup->name);
	if (entry->addresses[index].count == 0)
		status_set_obstacle(entry->status, obstacle);
	if (!lookup->has_failed)
		log_line(LOG_WARN, entry->id, "%s; it is tried again until it does", obstacle);
	lookup->has_failed = true;
	ask_later(lookup);
}

/* It is this one's turn; the look-up may have been cancelled meanwhile. */
static void on_turn(void *owner)
{
	struct peer_lookup *lookup = owner;
	struct lock_queue *locks = lookup->means->locks;
	lookup->is_answered = false;
	if (lookup->entry != NULL)
		take_answer(lookup);
	lock_queue_release(locks, &lookup->turn);
	if (lookup->is_closed)
		free(lookup);
}

/* The addresses of one family are used while those of the other are awaited. */
static void on_resolved(void *owner, const struct message_addresses *addresses, bool more)
{
	struct peer_lookup *lookup = owner;
	if (!more)
		lookup->query = NULL;
	lookup->answer = *addresses;
	if (lookup->is_answered)
		return; /* its turn is claimed, and will find the newer answer */
	lookup->is_answered = true;
	lock_queue_claim_one(lookup->means->locks, &lookup->turn, lookup->entry->key, on_turn, lookup);
}

static void ask(struct peer_lookup *lookup)
{
	lookup->query = endpoint_resolver_ask(lookup->means->resolver, lookup->name, lookup->port, on_resolved, lookup);
	if (lookup->query == NULL)
		ask_later(lookup);
}

static struct peer_lookup *find(const struct entry *entry, const struct spec_peer *peer)
{
	for (struct peer_lookup *lookup = entry->lookups; lookup != NULL; lookup = lookup->next)
		if (memcmp(&lookup->peer, &peer->public_key, sizeof(lookup->peer)) == 0 && lookup->port == peer->endpoint.port &&
		    strcmp(lookup->name, peer->endpoint.host) == 0)
			return lookup;
	return NULL;
}

static void start(const struct peer_lookup_means *means, struct entry *entry, const struct spec_peer *peer)
{
	struct peer_lookup *lookup = calloc(1, sizeof(*lookup));
	if (lookup == NULL) {
		entry->lacks_lookup = true;
		return;
	}
	*lookup = (struct peer_lookup){ .next = entry->lookups,
		                        .before = &entry->lookups,
		                        .means = means,
		                        .entry = entry,
		                        .peer = peer->public_key,
		                        .port = peer->endpoint.port,
		                        .pause_ms = PAUSE_FIRST_MS };
	snprintf(lookup->name, sizeof(lookup->name), "%s", peer->endpoint.host);
	uv_timer_init(means->loop, &lookup->timer);
	lookup->timer.data = lookup;
	if (lookup->next != NULL)
		lookup->next->before = &lookup->next;
	entry->lookups = lookup;
	ask(lookup);
}

void peer_lookup_start(const struct peer_lookup_means *means, struct entry *entry)
{
	const struct spec *spec = &entry->snapshot->spec;
	bool *is_asked = calloc(spec->peer_count + 1, sizeof(*is_asked));
	for (struct peer_lookup *lookup = entry->lookups; lookup != NULL;) {
		struct peer_lookup *next = lookup->next;
		size_t index;
		if (peer_of(entry, lookup, &index) == NULL || !spec->enabled)
			end(lookup);
		else if (is_asked != NULL)
			is_asked[index] = true;
		lookup = next;
	}
	status_set_obstacle(entry->status, "");
	entry->lacks_lookup = false;
	for (size_t i = 0; spec->enabled && i < spec->peer_count; i++) {
		const struct spec_peer *peer = &spec->peers[i];
		if (!is_name(spec, peer) || entry->addresses[i].count > 0)
			continue;
		/* Without memory for the marks each is searched for. */
		if (is_asked == NULL ? find(entry, peer) == NULL : !is_asked[i])
			start(means, entry, peer);
	}
	free(is_asked);
}

void peer_lookup_retry(const struct peer_lookup_means *means)
{
	for (size_t i = 0; i < registry_count(means->registry); i++) {
		struct entry *entry = registry_at(means->registry, i);
		/* A change that is under way starts them itself, or leaves them to the next time. */
		if (entry->lacks_lookup && lock_queue_is_free(means->locks, entry->key))
			peer_lookup_start(means, entry);
	}
}

void peer_lookup_again(const struct peer_lookup_means *means, struct entry *entry, const struct wireguard_key *peer)
{
	const struct spec_peer *found = spec_peer_find(&entry->snapshot->spec, peer);
	if (found == NULL || !is_name(&entry->snapshot->spec, found))
		return;
	struct peer_lookup *lookup = find(entry, found);
	if (lookup == NULL) {
		start(means, entry, found);
	} else if (lookup->query == NULL && !lookup->is_answered) {
		/* It waits for its next attempt, which is made earlier. */
		uv_timer_stop(&lookup->timer);
		ask(lookup);
	}
}
