/* Peers: creation and removal, the public functions, and the actions of their timers. */
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/wireguard/device_private.h"

/* Of many peers that begin together so many initiations are sent at once, each of which costs three key exchanges, and the others one by one. */
#define AT_ONCE 8
#define GAP (WIREGUARD_SECOND / 2000)

#define STRANGERS 2 /* in as many looks */
#define STRANGER_PAUSE 100000000ull
#define STRANGER_AGE 2000000000ull /* of a session that the peer has heard of */

static struct wireguard_peer **chain_of(const struct wireguard_device *device, const uint8_t *public_key)
{
	uint64_t hash;

	crypto_shorthash((uint8_t *)&hash, public_key, WIREGUARD_KEY_LENGTH, device->chain_key);
	return &device->chains[hash & (device->chain_count - 1)];
}

static struct wireguard_peer **place_of(const struct wireguard_device *device, const union wireguard_endpoint *endpoint)
{
	struct {
		uint8_t address[16];
		uint32_t scope;
		uint16_t family, port;
	} key = { .family = endpoint->any.sa_family };
	uint64_t hash;

	if (key.family == AF_INET) {
		memcpy(key.address, &endpoint->v4.sin_addr, sizeof(endpoint->v4.sin_addr));
		key.port = endpoint->v4.sin_port;
	} else {
		memcpy(key.address, &endpoint->v6.sin6_addr, sizeof(key.address));
		key.scope = endpoint->v6.sin6_scope_id;
		key.port = endpoint->v6.sin6_port;
	}
	crypto_shorthash((uint8_t *)&hash, (const uint8_t *)&key, sizeof(key), device->chain_key);
	return &device->places[hash & (device->chain_count - 1)];
}

static void link_place(struct wireguard_peer *peer)
{
	if (!wireguard_peer_has_endpoint(peer))
		return;
	peer->place = place_of(peer->device, &peer->endpoint);
	peer->beside = *peer->place;
	if (peer->beside != NULL)
		peer->beside->place = &peer->beside;
	*peer->place = peer;
}

/* Without a walk, since all peers may be at one address. */
static void unlink_place(struct wireguard_peer *peer)
{
	if (!wireguard_peer_has_endpoint(peer))
		return;
	*peer->place = peer->beside;
	if (peer->beside != NULL)
		peer->beside->place = peer->place;
}

void wireguard_peer_set_endpoint(struct wireguard_peer *peer, const union wireguard_endpoint *endpoint)
{
	unlink_place(peer);
	peer->endpoint = *endpoint;
	peer->window = 0;
	link_place(peer);
}

struct wireguard_peer *wireguard_device_next_at(const struct wireguard_device *device, const union wireguard_endpoint *endpoint,
                                                const struct wireguard_peer *last)
{
	if (device->places == NULL)
		return NULL;
	for (struct wireguard_peer *peer = last == NULL ? *place_of(device, endpoint) : last->beside; peer != NULL; peer = peer->beside)
		if (endpoint_equal(&peer->endpoint, endpoint))
			return peer;
	return NULL;
}

bool wireguard_device_has_endpoint(const struct wireguard_device *device, const union wireguard_endpoint *endpoint)
{
	return wireguard_device_next_at(device, endpoint, NULL) != NULL;
}

struct wireguard_peer *wireguard_peer_find(struct wireguard_device *device, const struct wireguard_key *public_key)
{
	if (device->chains == NULL)
		return NULL;
	for (struct wireguard_peer *peer = *chain_of(device, public_key->bytes); peer != NULL; peer = peer->chained)
		if (memcmp(&peer->public_key, public_key, sizeof(*public_key)) == 0)
			return peer;
	return NULL;
}

static int grow_chains(struct wireguard_device *device, size_t peers)
{
	size_t count = device->chain_count == 0 ? 1 : device->chain_count;

	while (count < peers)
		count *= 2;
	if (count == device->chain_count)
		return 0;
	struct wireguard_peer **chains = calloc(count, sizeof(*chains)), **places = calloc(count, sizeof(*places));
	if (chains == NULL || places == NULL) {
		free(chains);
		free(places);
		return WIREGUARD_OUT_OF_MEMORY;
	}
	free(device->chains);
	free(device->places);
	device->chains = chains;
	device->places = places;
	device->chain_count = count;
	for (struct wireguard_peer *peer = device->first; peer != NULL; peer = peer->next) {
		struct wireguard_peer **chain = chain_of(device, peer->public_key.bytes);
		peer->chained = *chain;
		*chain = peer;
		link_place(peer);
	}
	return 0;
}

void wireguard_peer_link(struct wireguard_peer *peer)
{
	struct wireguard_device *device = peer->device;
	struct wireguard_peer **chain = chain_of(device, peer->public_key.bytes);

	peer->chained = *chain;
	*chain = peer;
	peer->before = device->last;
	*(device->last == NULL ? &device->first : &device->last->next) = peer;
	device->last = peer;
	device->peer_count++;
}

static void unlink_peer(struct wireguard_device *device, struct wireguard_peer *peer)
{
	struct wireguard_peer **link = chain_of(device, peer->public_key.bytes);

	while (*link != peer)
		link = &(*link)->chained;
	*link = peer->chained;
	unlink_place(peer);
	*(peer->before == NULL ? &device->first : &peer->before->next) = peer->next;
	*(peer->next == NULL ? &device->last : &peer->next->before) = peer->before;
	device->peer_count--;
}

struct wireguard_noise_remote wireguard_peer_remote(const struct wireguard_peer *peer)
{
	return (struct wireguard_noise_remote){
		.public_key = peer->public_key.bytes,
		.static_shared = peer->slots[WIREGUARD_PEER_KEYS]->peer.static_shared,
		.preshared = peer->slots[WIREGUARD_PEER_KEYS]->peer.preshared,
	};
}

/* Allocates memory, a place in the schedule and room in the tables; everything or nothing. */
struct wireguard_peer *wireguard_peer_make(struct wireguard_device *device, const struct wireguard_key *public_key, void *tag, size_t more)
{
	struct wireguard_peer *peer = calloc(1, sizeof(*peer));
	uint64_t seed;

	if (peer == NULL)
		return NULL;
	device->env.random(device->env.owner, &seed, sizeof(seed));
	if (grow_chains(device, device->peer_count + more) != 0 || wireguard_indices_reserve(&device->indices, device->peer_count + more) != 0 ||
	    wireguard_arena_acquire(peer->slots, WIREGUARD_PEER_SLOTS) != 0)
		goto free_peer;
	if (wireguard_timers_init(&peer->timers, &device->schedule, &device->timings, seed) != 0)
		goto release;
	peer->device = device;
	peer->tag = tag;
	peer->public_key = *public_key;
	memcpy(peer->sessions.slots, &peer->slots[WIREGUARD_PEER_SESSIONS], sizeof(peer->sessions.slots));
	peer->handshake.secrets = peer->slots[WIREGUARD_PEER_HANDSHAKE];
	peer->handshake_index.peer = peer;
	peer->last_sent_handshake = WIREGUARD_NEVER;
	peer->latest_initiation = WIREGUARD_NEVER;
	wireguard_cookie_maker_init(&peer->cookies);
	return peer;

release:
	wireguard_arena_release(peer->slots, WIREGUARD_PEER_SLOTS);
free_peer:
	free(peer);
	return NULL;
}

void wireguard_peer_leave(struct wireguard_peer *peer)
{
	struct wireguard_device *device = peer->device;

	assert(peer->pending == NULL);
	wireguard_handshake_abandon(peer);
	wireguard_sessions_clear(&peer->sessions, &device->indices);
	wireguard_peer_drop_staged(peer);
	unlink_peer(device, peer);
	wireguard_timers_clear(&peer->timers, &device->schedule);
}

void wireguard_peer_free(struct wireguard_peer *peer)
{
	wireguard_arena_release(peer->slots, WIREGUARD_PEER_SLOTS);
	sodium_memzero(peer, sizeof(*peer));
	free(peer);
}

void wireguard_peer_remove(struct wireguard_peer *peer)
{
	wireguard_allowed_ips_remove(&peer->device->allowed_ips, &peer->allowed);
	wireguard_peer_leave(peer);
	wireguard_peer_free(peer);
}

void wireguard_peer_discard(struct wireguard_peer *peer)
{
	wireguard_timers_clear(&peer->timers, &peer->device->schedule);
	wireguard_peer_free(peer);
}

void wireguard_peer_free_all(struct wireguard_device *device)
{
	while (device->first != NULL)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the call takes the first from the list. */
		wireguard_peer_remove(device->first);
	free(device->chains);
	free(device->places);
}

void *wireguard_peer_tag(const struct wireguard_peer *peer)
{
	return peer->tag;
}

const struct wireguard_key *wireguard_peer_public_key(const struct wireguard_peer *peer)
{
	return &peer->public_key;
}

const union wireguard_endpoint *wireguard_peer_endpoint(const struct wireguard_peer *peer)
{
	return &peer->endpoint;
}

bool wireguard_peer_has_endpoint(const struct wireguard_peer *peer)
{
	return peer->endpoint.any.sa_family != AF_UNSPEC;
}

void wireguard_peer_latest_timestamp(const struct wireguard_peer *peer, uint8_t tai64n[12])
{
	memcpy(tai64n, peer->latest_timestamp.bytes, sizeof(peer->latest_timestamp.bytes));
}

void wireguard_peer_set_latest_timestamp(struct wireguard_peer *peer, const uint8_t tai64n[12])
{
	memcpy(peer->latest_timestamp.bytes, tai64n, sizeof(peer->latest_timestamp.bytes));
}

void wireguard_peer_stats(const struct wireguard_peer *peer, struct wireguard_peer_stats *stats, uint64_t now)
{
	*stats = peer->stats;
	stats->can_send = wireguard_session_can_send(peer->sessions.current, now);
}

void wireguard_peer_notify(struct wireguard_peer *peer, enum wireguard_event event)
{
	peer->device->env.notify(peer->device->env.owner, peer, event);
}

void wireguard_peer_received(struct wireguard_peer *peer, const union wireguard_endpoint *from, size_t length, uint64_t now)
{
	peer->stats.bytes_received += length + (peer->device->obfuscator == NULL ? 0 : peer->device->obfuscator->extra);
	peer->stats.last_received = now;
	if (peer->stats.unanswered > 1)
		wireguard_peer_notify(peer, WIREGUARD_PEER_RETURNED);
	peer->stats.unanswered = 0;
	peer->is_robbed = false;
	wireguard_timers_authenticated_received(&peer->timers, now);
	if (endpoint_equal(&peer->endpoint, from))
		return;
	wireguard_peer_set_endpoint(peer, from);
	wireguard_peer_notify(peer, WIREGUARD_ENDPOINT_MOVED);
}

/* While another device with our key has the newest session, the peer answers what we send, to where we are, by that session: one index, and counters
 * that rise. Our own restart does so too, until the peer has heard of the new session. Anyone can forge such data, so it only makes us suspect:
 * wireguard_peer_is_robbed. */
static void note_stranger(struct wireguard_peer *peer, uint32_t index, uint64_t counter, uint64_t now)
{
	const struct wireguard_session *current = peer->sessions.current;
	struct wireguard_stranger *stranger = &peer->stranger;

	if (current == NULL || now - current->created < STRANGER_AGE)
		return;
	if (peer->stats.last_received >= stranger->since || stranger->index != index || counter <= stranger->counter)
		*stranger = (struct wireguard_stranger){ .since = now };
	stranger->index = index;
	stranger->counter = counter;
	stranger->count++;
}

/* The answer to an initiation cannot be forged. Who answers it, but not the data before it, has answered somebody else. */
static void suspect(struct wireguard_peer *peer)
{
	peer->is_robbed = peer->stranger.count >= STRANGERS && peer->stats.last_received < peer->stranger.since;
}

bool wireguard_peer_is_robbed(const struct wireguard_peer *peer)
{
	return peer->is_robbed && peer->stats.unanswered == 1;
}

void wireguard_peer_heard_stranger(struct wireguard_device *device, const union wireguard_endpoint *from, uint32_t index, uint64_t counter,
                                   uint64_t now)
{
	if (now < device->strangers_from)
		return;
	device->strangers_from = now + STRANGER_PAUSE;
	for (struct wireguard_peer *peer = device->places == NULL ? NULL : *place_of(device, from); peer != NULL; peer = peer->beside) {
		if (endpoint_equal(&peer->endpoint, from))
			note_stranger(peer, index, counter, now);
	}
}

void wireguard_peer_sent(struct wireguard_peer *peer, size_t length, uint64_t now)
{
	peer->stats.bytes_sent += length;
	wireguard_timers_authenticated_sent(&peer->timers, now);
}

void wireguard_peer_completed(struct wireguard_peer *peer, uint64_t now)
{
	peer->stats.handshakes++;
	peer->stats.last_handshake = now;
	wireguard_timers_handshake_completed(&peer->timers);
	wireguard_peer_notify(peer, WIREGUARD_HANDSHAKE_COMPLETED);
}

void wireguard_peer_expire(struct wireguard_peer *peer, uint64_t now)
{
	bool had_current = peer->sessions.current != NULL;

	wireguard_sessions_expire(&peer->sessions, &peer->device->indices, now);
	wireguard_timers_sessions_changed(&peer->timers, wireguard_sessions_oldest(&peer->sessions));
	if (had_current && peer->sessions.current == NULL)
		wireguard_peer_notify(peer, WIREGUARD_SESSION_EXPIRED);
}

struct wireguard_session *wireguard_peer_session(struct wireguard_peer *peer, uint64_t now)
{
	if (peer->sessions.current != NULL && !wireguard_session_can_send(peer->sessions.current, now))
		wireguard_peer_expire(peer, now);
	return peer->sessions.current;
}

void wireguard_peer_forget(struct wireguard_peer *peer)
{
	bool had_current = peer->sessions.current != NULL;

	wireguard_handshake_abandon(peer);
	wireguard_timers_initiation_abandoned(&peer->timers);
	wireguard_sessions_clear(&peer->sessions, &peer->device->indices);
	wireguard_timers_sessions_changed(&peer->timers, WIREGUARD_NEVER);
	peer->is_urgent = true;
	peer->stats.unanswered = 0;
	if (had_current)
		wireguard_peer_notify(peer, WIREGUARD_SESSION_EXPIRED);
}

void wireguard_peer_drop_staged(struct wireguard_peer *peer)
{
	peer->device->dropped[WIREGUARD_DROP_STAGED] += wireguard_staged_purge(&peer->staged);
}

void wireguard_peer_initiate(struct wireguard_peer *peer, uint64_t now)
{
	wireguard_handshake_initiate(peer, false, now);
}

void wireguard_peer_ask(struct wireguard_peer *peer, uint64_t now)
{
	if (peer->last_sent_handshake != WIREGUARD_NEVER &&
	    now - peer->last_sent_handshake < peer->device->timings.rekey_timeout.low * WIREGUARD_SECOND)
		wireguard_timers_initiation_delayed(&peer->timers, peer->last_sent_handshake);
	else
		wireguard_handshake_initiate(peer, false, now);
}

static void prepare(struct wireguard_peer *peer, enum wireguard_beginning how)
{
	if (how == WIREGUARD_BEGIN_WITHOUT_SESSION)
		wireguard_peer_forget(peer);
	if (how == WIREGUARD_BEGIN_RESTARTED) {
		peer->is_urgent = true;
		peer->stats.unanswered = 0;
	}
}

void wireguard_peer_reconnect(struct wireguard_peer *peer, uint64_t now)
{
	prepare(peer, WIREGUARD_BEGIN_WITHOUT_SESSION);
	wireguard_handshake_initiate(peer, false, now);
}

void wireguard_peer_restart(struct wireguard_peer *peer, uint64_t now)
{
	prepare(peer, WIREGUARD_BEGIN_RESTARTED);
	wireguard_handshake_initiate(peer, false, now);
}

void wireguard_peer_begin(struct wireguard_peer *peer, enum wireguard_beginning how, size_t *begun, uint64_t now)
{
	prepare(peer, how);
	if (!wireguard_peer_has_endpoint(peer))
		return;
	if (*begun < AT_ONCE || !wireguard_handshake_is_due(peer, now)) {
		*begun += wireguard_handshake_is_due(peer, now);
		wireguard_handshake_initiate(peer, false, now);
		return;
	}
	peer->timers.attempts = 0;
	wireguard_timers_initiation_due(&peer->timers, now + (++*begun - AT_ONCE) * GAP);
}

void wireguard_peer_retry(struct wireguard_peer *peer, uint64_t now)
{
	wireguard_handshake_initiate(peer, true, now);
}

void wireguard_peer_stop(struct wireguard_peer *peer)
{
	wireguard_peer_forget(peer);
	wireguard_peer_drop_staged(peer);
	peer->stats.last_handshake = 0;
}

/* An initiation was not answered: repeat it or, after REKEY_ATTEMPT_TIME, give up (paper, 6.4). */
static void retransmit(struct wireguard_peer *peer, uint64_t now)
{
	if (wireguard_timers_may_repeat(&peer->timers)) {
		wireguard_handshake_initiate(peer, true, now);
		return;
	}
	wireguard_handshake_abandon(peer);
	wireguard_timers_initiation_abandoned(&peer->timers);
	wireguard_peer_drop_staged(peer);
	wireguard_peer_notify(peer, WIREGUARD_HANDSHAKE_GAVE_UP);
}

static void keepalive(struct wireguard_peer *peer, uint64_t now)
{
	wireguard_send_keepalive(peer, now);
	wireguard_timers_keepalive_elapsed(&peer->timers, now);
}

static void persistent_keepalive(struct wireguard_peer *peer, uint64_t now)
{
	wireguard_timers_persistent_elapsed(&peer->timers, now);
	wireguard_send_keepalive(peer, now);
}

static void room(struct wireguard_peer *peer, uint64_t now)
{
	if (peer->wants_initiation)
		wireguard_handshake_initiate(peer, true, now);
	if (peer->staged.count > 0)
		wireguard_send_staged(peer, now);
}

void wireguard_peer_tick(struct wireguard_peer *peer, uint64_t now)
{
	struct wireguard_timers *timers = &peer->timers;

	if (wireguard_timers_elapsed(timers, WIREGUARD_TIMER_EXPIRY, now))
		wireguard_peer_expire(peer, now);
	if (wireguard_timers_elapsed(timers, WIREGUARD_TIMER_RETRANSMIT, now))
		retransmit(peer, now);
	if (wireguard_timers_elapsed(timers, WIREGUARD_TIMER_QUIET, now)) {
		suspect(peer);
		wireguard_timers_quiet_elapsed(timers);
		wireguard_peer_notify(peer, WIREGUARD_PEER_QUIET);
	}
	if (wireguard_timers_elapsed(timers, WIREGUARD_TIMER_NEW_HANDSHAKE, now)) {
		suspect(peer);
		wireguard_peer_notify(peer, WIREGUARD_PEER_SILENT);
		wireguard_handshake_initiate(peer, false, now);
	}
	if (wireguard_timers_elapsed(timers, WIREGUARD_TIMER_KEEPALIVE, now))
		keepalive(peer, now);
	if (wireguard_timers_elapsed(timers, WIREGUARD_TIMER_PERSISTENT, now))
		persistent_keepalive(peer, now);
	if (wireguard_timers_elapsed(timers, WIREGUARD_TIMER_ROOM, now))
		room(peer, now);
}
