/* Changes a device's private key or one of its peers at a time, as tests like to do. The product changes the whole configuration at once, by a
 * wireguard_update: so this remembers the peers' networks, and gives an update all that stays with what changes. */
#ifndef WARREN_TESTS_WIREGUARD_CONFIG_H
#define WARREN_TESTS_WIREGUARD_CONFIG_H

#include "tunnel/wireguard/device.h"

/* Each: 0, or what the update says; then nothing has changed. */
int config_add(struct wireguard_device *device, const struct wireguard_peer_config *config, void *tag, struct wireguard_peer **peer, uint64_t now);
int config_change(struct wireguard_peer *peer, const struct wireguard_peer_config *config, uint64_t now);
int config_set_private_key(struct wireguard_device *device, const struct wireguard_key *private_key, uint64_t now);
/* The disguise of its datagrams; `config` is borrowed, NULL: none. */
int config_obfuscate(struct wireguard_device *device, const struct obfuscation *config, bool has_reserved, uint64_t now);
/* One datagram. */
static inline void receive_one(struct wireguard_device *device, uint8_t *bytes, size_t length, const union wireguard_endpoint *from, uint64_t now)
{
	wireguard_device_receive(device, &(struct wireguard_datagram){ bytes, length, from }, 1, now);
}
/* The device goes. */
void config_forget(const struct wireguard_device *device);

#endif
