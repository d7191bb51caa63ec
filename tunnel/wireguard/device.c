/* The device itself: the library's start and stop, keys, and ticks. */
#include "tunnel/wireguard/device.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/wireguard/aead.h"
#include "tunnel/wireguard/device_private.h"

/* The default of WireGuard interfaces: 1,500 minus the largest outer headers. */
#define MTU_DEFAULT 1420
#define PEERS_A_TICK 8 /* each may begin a handshake, which takes some 0.2 ms */

int wireguard_start(size_t slots, bool require_lock)
{
	if (sodium_init() < 0)
		return WIREGUARD_CRYPTO;
	int result = wireguard_aead_start();
	if (result != 0)
		return result;
	/* A peer has at most three sessions and a handshake, plus its own keys and its device's, and an update has the next keys of both. */
	result = wireguard_arena_start(slots + slots / 2 + WIREGUARD_DEVICE_SLOTS + WIREGUARD_PEER_SLOTS + 2, require_lock);
	if (result != 0)
		wireguard_aead_stop();
	return result;
}

void wireguard_stop(void)
{
	wireguard_arena_stop();
	wireguard_aead_stop();
}

int wireguard_key_public(struct wireguard_key *public_key, const struct wireguard_key *private_key)
{
	return crypto_scalarmult_curve25519_base(public_key->bytes, private_key->bytes) == 0 ? 0 : WIREGUARD_CRYPTO;
}

static int set_keys(struct wireguard_device *device, const struct wireguard_key *private_key)
{
	union wireguard_secrets *keys = device->slots[WIREGUARD_DEVICE_KEYS];

	if (wireguard_key_public(&device->public_key, private_key) != 0)
		return WIREGUARD_CRYPTO;
	if (wireguard_cookie_checker_init(&device->checker, device->public_key.bytes, keys->device.cookie_secret) != 0)
		return WIREGUARD_CRYPTO;
	memcpy(keys->device.private_key, private_key->bytes, sizeof(keys->device.private_key));
	device->local = (struct wireguard_noise_local){ WIREGUARD_NOISE_PROLOGUE, keys->device.private_key, device->public_key.bytes };
	return 0;
}

/* A missing function would only be noticed when a datagram needs it. */
static void set_env(struct wireguard_device *device, const struct wireguard_env *env)
{
	assert(env->random != NULL && env->wall_clock != NULL && env->reserve != NULL && env->commit != NULL);
	assert(env->deliver != NULL && env->notify != NULL);
	device->env = *env;
}

int wireguard_device_create(struct wireguard_device **device, const struct wireguard_key *private_key, const uint8_t timestamp_floor[12],
                            const struct wireguard_env *env)
{
	struct wireguard_device *created = calloc(1, sizeof(*created));

	if (created == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	int result = wireguard_arena_acquire(created->slots, WIREGUARD_DEVICE_SLOTS);
	if (result == 0)
		result = set_keys(created, private_key);
	if (result != 0) {
		wireguard_arena_release(created->slots, WIREGUARD_DEVICE_SLOTS);
		free(created);
		return result;
	}
	set_env(created, env);
	created->mtu = MTU_DEFAULT;
	created->timings = wireguard_timings_default;
	memcpy(created->last_timestamp.bytes, timestamp_floor, sizeof(created->last_timestamp.bytes));
	env->random(env->owner, created->chain_key, sizeof(created->chain_key));
	wireguard_load_init(&created->load, env);
	*device = created;
	return 0;
}

void wireguard_device_free(struct wireguard_device *device)
{
	if (device == NULL)
		return;
	wireguard_peer_free_all(device);
	wireguard_schedule_clear(&device->schedule);
	wireguard_allowed_ips_clear(&device->allowed_ips);
	wireguard_indices_clear(&device->indices);
	wireguard_load_clear(&device->load);
	wireguard_obfuscator_free(device->obfuscator);
	wireguard_arena_release(device->slots, WIREGUARD_DEVICE_SLOTS);
	sodium_memzero(device, sizeof(*device));
	free(device);
}

void wireguard_device_share_load(struct wireguard_device *device, struct wireguard_load_queue *shared)
{
	device->load.shared = shared;
}

void wireguard_device_set_mtu(struct wireguard_device *device, uint16_t mtu)
{
	device->mtu = mtu;
}

void wireguard_device_last_timestamp(const struct wireguard_device *device, uint8_t tai64n[12])
{
	memcpy(tai64n, device->last_timestamp.bytes, sizeof(device->last_timestamp.bytes));
}

void wireguard_device_take_drops(struct wireguard_device *device, uint64_t drops[WIREGUARD_DROP_COUNT])
{
	for (size_t i = 0; i < WIREGUARD_DROP_COUNT; i++)
		drops[i] = device->dropped[i];
	memset(device->dropped, 0, sizeof(device->dropped));
}

uint64_t wireguard_device_deadline(const struct wireguard_device *device)
{
	uint64_t deadline = wireguard_timers_deadline(&device->schedule);

	return device->load.sweep_at < deadline ? device->load.sweep_at : deadline;
}

void wireguard_device_tick(struct wireguard_device *device, uint64_t now)
{
	struct wireguard_timers *timers;

	for (size_t done = 0; done < PEERS_A_TICK && (timers = wireguard_timers_next(&device->schedule, now)) != NULL; done++)
		wireguard_peer_tick(wireguard_peer_of_timers(timers), now);
	if (device->load.sweep_at <= now)
		wireguard_load_sweep(&device->load, now);
}
