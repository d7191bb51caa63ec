/* MAC1, MAC2 and cookies (paper, 5.3, 5.4.4, 5.4.7): how a device under load makes a source prove its address before it does any DH. */
#ifndef WARREN_TUNNEL_WIREGUARD_COOKIE_H
#define WARREN_TUNNEL_WIREGUARD_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tunnel/wireguard/device.h"
#include "tunnel/wireguard/wire_message.h"

/* For messages to this device; embedded in it. `secret` is borrowed from the device's slot of the arena. */
struct wireguard_cookie_checker {
	uint8_t mac1_key[WIREGUARD_HASH_LENGTH];
	uint8_t cookie_key[WIREGUARD_HASH_LENGTH];
	uint8_t *secret;
	uint64_t secret_since; /* WIREGUARD_NEVER: there is none yet */
};

/* For messages to one peer; embedded in the peer. */
struct wireguard_cookie_maker {
	uint8_t cookie[WIREGUARD_COOKIE_LENGTH];
	uint8_t last_mac1[WIREGUARD_MAC_LENGTH];
	uint64_t cookie_since; /* WIREGUARD_NEVER: there is none */
	bool awaits_reply;     /* last_mac1 was sent, and no cookie reply to it was accepted */
};

/* All functions that return int return 0 or WIREGUARD_CRYPTO. Messages end with struct wireguard_message_macs. */
int wireguard_cookie_checker_init(struct wireguard_cookie_checker *checker, const uint8_t public_key[WIREGUARD_KEY_LENGTH], uint8_t *secret)
    __attribute__((warn_unused_result));
bool wireguard_cookie_has_mac1(const struct wireguard_cookie_checker *checker, const uint8_t *message, size_t length)
    __attribute__((warn_unused_result));
/* Takes a fresh secret from the env when the old one is two minutes old. */
bool wireguard_cookie_has_mac2(struct wireguard_cookie_checker *checker, const struct wireguard_env *env, const uint8_t *message, size_t length,
                               const union wireguard_endpoint *from, uint64_t now) __attribute__((warn_unused_result));
/* Writes the reply to a message with a valid MAC1 whose sender index is `receiver`. */
int wireguard_cookie_reply(struct wireguard_cookie_checker *checker, const struct wireguard_env *env, struct wireguard_message_cookie_reply *reply,
                           const struct wireguard_message_macs *macs, const uint8_t receiver[4], const union wireguard_endpoint *from, uint64_t now)
    __attribute__((warn_unused_result));

void wireguard_cookie_maker_init(struct wireguard_cookie_maker *maker);
/* Adds the MACs to a message for the peer with this public key. */
int wireguard_cookie_add_macs(struct wireguard_cookie_maker *maker, const uint8_t public_key[WIREGUARD_KEY_LENGTH], uint8_t *message, size_t length,
                              uint64_t now) __attribute__((warn_unused_result));
/* Accepts the cookie of a reply to the last message, once. */
int wireguard_cookie_take(struct wireguard_cookie_maker *maker, const uint8_t public_key[WIREGUARD_KEY_LENGTH],
                          const struct wireguard_message_cookie_reply *reply, uint64_t now) __attribute__((warn_unused_result));

#endif
