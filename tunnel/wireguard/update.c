/* Prepares a new private key and new peers beside the running ones. */
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/wireguard/device_private.h"

/* The future configuration of one peer. */
struct wireguard_update_item {
	struct wireguard_peer *peer;
	bool is_new;                          /* created for this, and not in the device yet */
	union wireguard_secrets *keys;        /* replace the peer's own; NULL: those are kept */
	bool has_static_shared;               /* of `keys` */
	union wireguard_endpoint endpoint;    /* AF_UNSPEC: the peer's endpoint at that time */
	uint64_t persistent, persistent_most; /* interval, 0: off */
	uint8_t reserved[3];
	struct wireguard_allowed_node *first; /* the peer's networks in the new tries */
};

struct wireguard_update {
	struct wireguard_device *device;
	union wireguard_secrets *secret; /* a new private key and values derived from it, or NULL */
	struct wireguard_key public_key;
	struct wireguard_cookie_checker checker;
	struct wireguard_allowed_ips allowed_ips;
	struct wireguard_obfuscator *obfuscator;
	struct wireguard_timings timings;
	bool has_obfuscation; /* `obfuscator`, or NULL, replaces the device's */
	size_t most, count, fresh;
	struct wireguard_update_item items[];
};

static const uint8_t *private_key_of(const struct wireguard_update *update)
{
	return update->secret != NULL ? update->secret->device.private_key : update->device->local.private_key;
}

static const struct wireguard_key *public_key_of(const struct wireguard_update *update)
{
	return update->secret != NULL ? &update->public_key : &update->device->public_key;
}

static int prepare_key(struct wireguard_update *update, const struct wireguard_key *private_key)
{
	if (sodium_memcmp(update->device->local.private_key, private_key->bytes, sizeof(private_key->bytes)) == 0)
		return 0;
	if (wireguard_arena_acquire(&update->secret, 1) != 0)
		return WIREGUARD_OUT_OF_MEMORY;
	memcpy(update->secret->device.private_key, private_key->bytes, sizeof(private_key->bytes));
	if (wireguard_key_public(&update->public_key, private_key) != 0)
		return WIREGUARD_CRYPTO;
	/* The cookies' secret stays in its place, and is generated again. */
	return wireguard_cookie_checker_init(&update->checker, update->public_key.bytes,
	                                     update->device->slots[WIREGUARD_DEVICE_KEYS]->device.cookie_secret);
}

int wireguard_update_create(struct wireguard_update **update, struct wireguard_device *device, const struct wireguard_key *private_key, size_t most)
{
	struct wireguard_update *created = calloc(1, sizeof(*created) + most * sizeof(created->items[0]));

	if (created == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	created->device = device;
	created->most = most;
	int result = prepare_key(created, private_key);
	if (result != 0) {
		wireguard_update_free(created);
		return result;
	}
	*update = created;
	return 0;
}

int wireguard_update_obfuscation(struct wireguard_update *update, const struct obfuscation *config, bool has_reserved)
{
	const struct wireguard_env *env = &update->device->env;
	uint8_t seed[32];

	update->has_obfuscation = true;
	update->timings = wireguard_timings_of(config);
	if (config == NULL && !has_reserved)
		return WIREGUARD_OK;
	env->random(env->owner, seed, sizeof(seed));
	update->obfuscator = wireguard_obfuscator_create(config, seed);
	sodium_memzero(seed, sizeof(seed));
	if (update->obfuscator == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	update->obfuscator->takes_reserved = has_reserved;
	return WIREGUARD_OK;
}

/* Computes the peer's secrets if it is new, or one of the keys they derive from has changed. */
static int prepare_secrets(struct wireguard_update *update, struct wireguard_update_item *item, const struct wireguard_key *preshared)
{
	struct wireguard_peer *peer = item->peer;
	union wireguard_secrets *before = peer->slots[WIREGUARD_PEER_KEYS];
	bool is_shared_anew = item->is_new || update->secret != NULL;

	if (!is_shared_anew && sodium_memcmp(before->peer.preshared, preshared->bytes, WIREGUARD_KEY_LENGTH) == 0)
		return 0;
	if (wireguard_arena_acquire(&item->keys, 1) != 0)
		return WIREGUARD_OUT_OF_MEMORY;
	memcpy(item->keys->peer.preshared, preshared->bytes, WIREGUARD_KEY_LENGTH);
	memcpy(item->keys->peer.static_shared, before->peer.static_shared, WIREGUARD_KEY_LENGTH);
	item->has_static_shared = peer->has_static_shared;
	if (is_shared_anew)
		item->has_static_shared =
		    wireguard_noise_exchange(item->keys->peer.static_shared, private_key_of(update), peer->public_key.bytes) == 0;
	return 0;
}

static void forget_item(struct wireguard_update_item *item)
{
	item->peer->pending = NULL;
	wireguard_arena_release(&item->keys, 1);
	if (item->is_new)
		wireguard_peer_discard(item->peer);
}

static int find_or_make(struct wireguard_update *update, const struct wireguard_key *public_key, void *tag, struct wireguard_update_item *item)
{
	struct wireguard_device *device = update->device;

	item->peer = wireguard_peer_find(device, public_key);
	if (item->peer != NULL)
		return item->peer->pending == NULL ? 0 : WIREGUARD_DUPLICATE;
	item->peer = wireguard_peer_make(device, public_key, tag, update->fresh + 1);
	if (item->peer == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	item->is_new = true;
	return 0;
}

int wireguard_update_peer(struct wireguard_update *update, const struct wireguard_peer_config *config, void *tag, struct wireguard_peer **peer)
{
	struct wireguard_update_item *item = &update->items[update->count];

	assert(update->count < update->most);
	if (memcmp(&config->public_key, public_key_of(update), sizeof(config->public_key)) == 0)
		return WIREGUARD_OWN_KEY;
	*item = (struct wireguard_update_item){ .endpoint = config->endpoint, .persistent = config->persistent_keepalive * WIREGUARD_SECOND };
	item->persistent_most = config->persistent_keepalive_most > config->persistent_keepalive
	                            ? config->persistent_keepalive_most * WIREGUARD_SECOND
	                            : item->persistent;
	memcpy(item->reserved, config->reserved, sizeof(item->reserved));
	int result = find_or_make(update, &config->public_key, tag, item);
	if (result != 0)
		return result;
	result = prepare_secrets(update, item, &config->preshared_key);
	if (result == 0)
		result = wireguard_allowed_ips_add(&update->allowed_ips, &item->peer->allowed, &item->first, config->allowed_ips,
		                                   config->allowed_ip_count);
	if (result != 0) {
		forget_item(item);
		return result;
	}
	item->peer->pending = item;
	update->count++;
	update->fresh += item->is_new;
	*peer = item->peer;
	return 0;
}

int wireguard_update_allow(struct wireguard_update *update, const struct wireguard_network *networks, size_t count)
{
	struct wireguard_update_item *item = &update->items[update->count - 1];

	assert(update->count > 0);
	return wireguard_allowed_ips_add(&update->allowed_ips, &item->peer->allowed, &item->first, networks, count);
}

static bool is_active(const struct wireguard_peer *peer)
{
	return peer->sessions.current != NULL || peer->handshake_index.is_listed || peer->staged.count > 0;
}

static void swap_key(struct wireguard_update *update)
{
	struct wireguard_device *device = update->device;

	memcpy(device->slots[WIREGUARD_DEVICE_KEYS]->device.private_key, update->secret->device.private_key, WIREGUARD_KEY_LENGTH);
	device->public_key = update->public_key;
	device->checker = update->checker;
}

static void take_item(struct wireguard_update_item *item, uint64_t now)
{
	struct wireguard_peer *peer = item->peer;

	peer->pending = NULL;
	if (item->is_new)
		wireguard_peer_link(peer);
	if (item->keys != NULL) {
		*peer->slots[WIREGUARD_PEER_KEYS] = *item->keys;
		peer->has_static_shared = item->has_static_shared;
		wireguard_arena_release(&item->keys, 1);
	}
	wireguard_allowed_ips_adopt(&peer->allowed, &item->first);
	if (item->endpoint.any.sa_family != AF_UNSPEC)
		wireguard_peer_set_endpoint(peer, &item->endpoint);
	memcpy(peer->reserved, item->reserved, sizeof(peer->reserved));
	wireguard_timers_set_persistent(&peer->timers, item->persistent, item->persistent_most, now);
}

/* Sessions of the old key end (W33). */
static void renew(const struct wireguard_update *update, uint64_t now)
{
	size_t begun = 0;

	for (size_t i = 0; i < update->count; i++) {
		struct wireguard_peer *peer = update->items[i].peer;
		bool was_active = is_active(peer);
		if (update->items[i].is_new)
			continue;
		wireguard_peer_forget(peer);
		if (was_active)
			wireguard_peer_begin(peer, WIREGUARD_BEGIN_RESTARTED, &begun, now);
	}
}

void wireguard_update_commit(struct wireguard_update *update, uint64_t now)
{
	struct wireguard_device *device = update->device;
	struct wireguard_allowed_ips before = device->allowed_ips;

	if (update->secret != NULL)
		swap_key(update);
	device->allowed_ips = update->allowed_ips;
	update->allowed_ips = before;
	if (update->has_obfuscation) {
		struct wireguard_obfuscator *old = device->obfuscator;
		device->obfuscator = update->obfuscator;
		device->timings = update->timings;
		update->obfuscator = old;
	}
	for (size_t i = 0; i < update->count; i++)
		take_item(&update->items[i], now);
	assert(device->peer_count == update->count);
	if (update->secret != NULL)
		renew(update, now);
	update->count = 0;
	wireguard_arena_release(&update->secret, 1);
}

bool wireguard_update_sweep(struct wireguard_update *update, size_t most)
{
	assert(update->count == 0); /* the commit was */
	return wireguard_allowed_ips_drop(&update->allowed_ips, most);
}

void wireguard_update_free(struct wireguard_update *update)
{
	if (update == NULL)
		return;
	for (size_t i = 0; i < update->count; i++)
		forget_item(&update->items[i]);
	(void)wireguard_allowed_ips_drop(&update->allowed_ips, SIZE_MAX);
	wireguard_obfuscator_free(update->obfuscator);
	wireguard_arena_release(&update->secret, 1);
	free(update);
}
