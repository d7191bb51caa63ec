#include "tests/wireguard/config.h"

#include <stdlib.h>
#include <string.h>

#include "tunnel/wireguard/device_private.h"

/* The networks of one peer. Its keys are in the device alone. */
struct record {
	struct record *next;
	const struct wireguard_device *device;
	struct wireguard_key public_key;
	size_t count;
	struct wireguard_network networks[];
};

static struct record *records; /* in the order of their last change: a network is its last owner's */

static void drop(struct record **link)
{
	struct record *record = *link;

	*link = record->next;
	free(record);
}

void config_forget(const struct wireguard_device *device)
{
	for (struct record **link = &records; *link != NULL;)
		if ((*link)->device == device)
			drop(link);
		else
			link = &(*link)->next;
}

static struct record *record_of(const struct wireguard_device *device, const struct wireguard_peer_config *config)
{
	size_t size = config->allowed_ip_count * sizeof(config->allowed_ips[0]);
	struct record *record = malloc(sizeof(*record) + size);

	if (record == NULL)
		return NULL;
	*record = (struct record){ .device = device, .public_key = config->public_key, .count = config->allowed_ip_count };
	if (size > 0)
		memcpy(record->networks, config->allowed_ips, size);
	return record;
}

static void remember(struct record *fresh)
{
	struct record **link = &records;

	while (*link != NULL)
		if ((*link)->device == fresh->device && memcmp(&(*link)->public_key, &fresh->public_key, sizeof(fresh->public_key)) == 0)
			drop(link);
		else
			link = &(*link)->next;
	*link = fresh;
}

/* A peer as it is. */
static int keep(struct wireguard_update *update, struct wireguard_peer *peer, const struct record *record)
{
	struct wireguard_peer_config config = {
		.public_key = record->public_key,
		.persistent_keepalive = (uint16_t)(peer->timers.persistent_interval / WIREGUARD_SECOND),
		.persistent_keepalive_most = (uint16_t)(peer->timers.persistent_most / WIREGUARD_SECOND),
		.allowed_ips = record->networks,
		.allowed_ip_count = record->count,
	};

	memcpy(config.preshared_key.bytes, peer->slots[WIREGUARD_PEER_KEYS]->peer.preshared, sizeof(config.preshared_key.bytes));
	memcpy(config.reserved, peer->reserved, sizeof(config.reserved));
	return wireguard_update_peer(update, &config, NULL, &peer);
}

/* All peers but the one that changes. Those that were removed are forgotten. */
static int keep_all(struct wireguard_update *update, struct wireguard_device *device, const struct wireguard_peer *changes)
{
	int result = 0;

	for (struct record **link = &records; *link != NULL && result == 0;) {
		struct record *record = *link;
		struct wireguard_peer *peer = record->device == device ? wireguard_peer_find(device, &record->public_key) : NULL;
		if (record->device == device && peer == NULL) {
			drop(link);
			continue;
		}
		if (peer != NULL && peer != changes)
			result = keep(update, peer, record);
		link = &record->next;
	}
	return result;
}

static int update_device(struct wireguard_device *device, const struct wireguard_key *private_key, const struct wireguard_peer *changes,
                         const struct wireguard_peer_config *config, void *tag, struct wireguard_peer **peer, uint64_t now)
{
	struct wireguard_update *update;
	struct wireguard_peer *updated = NULL;
	int result = wireguard_update_create(&update, device, private_key, device->peer_count + 1);

	if (result != 0)
		return result;
	result = keep_all(update, device, changes);
	if (result == 0 && config != NULL)
		result = wireguard_update_peer(update, config, tag, &updated);
	if (result != 0) {
		wireguard_update_free(update);
		return result;
	}
	wireguard_update_commit(update, now);
	wireguard_update_free(update);
	if (peer != NULL)
		*peer = updated;
	return 0;
}

static const struct wireguard_key *private_key_of(const struct wireguard_device *device)
{
	return (const struct wireguard_key *)device->local.private_key;
}

static int put(struct wireguard_device *device, const struct wireguard_peer *changes, const struct wireguard_peer_config *config, void *tag,
               struct wireguard_peer **peer, uint64_t now)
{
	struct record *record = record_of(device, config);

	if (record == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	int result = update_device(device, private_key_of(device), changes, config, tag, peer, now);
	if (result != 0)
		free(record);
	else
		remember(record);
	return result;
}

int config_add(struct wireguard_device *device, const struct wireguard_peer_config *config, void *tag, struct wireguard_peer **peer, uint64_t now)
{
	return put(device, NULL, config, tag, peer, now);
}

int config_change(struct wireguard_peer *peer, const struct wireguard_peer_config *config, uint64_t now)
{
	return put(peer->device, peer, config, NULL, NULL, now);
}

int config_set_private_key(struct wireguard_device *device, const struct wireguard_key *private_key, uint64_t now)
{
	return update_device(device, private_key, NULL, NULL, NULL, NULL, now);
}

int config_obfuscate(struct wireguard_device *device, const struct obfuscation *config, bool has_reserved, uint64_t now)
{
	struct wireguard_update *update;
	int result = wireguard_update_create(&update, device, private_key_of(device), device->peer_count);

	if (result != 0)
		return result;
	result = keep_all(update, device, NULL);
	if (result == 0)
		result = wireguard_update_obfuscation(update, config, has_reserved);
	if (result == 0)
		wireguard_update_commit(update, now);
	wireguard_update_free(update);
	return result;
}
