/* A WireGuard key (Curve25519, or preshared) and its text form. */
#ifndef WARREN_IPC_KEY_H
#define WARREN_IPC_KEY_H

#include <stdbool.h>
#include <stdint.h>

#define KEY_TEXT_SIZE 45 /* base64 of 32 bytes and NUL */

struct wireguard_key {
	uint8_t bytes[32];
};

/* Canonical base64 with padding, 44 characters and nothing else. */
bool key_parse(const char *text, struct wireguard_key *key);
void key_format(const struct wireguard_key *key, char text[KEY_TEXT_SIZE]);
bool key_is_zero(const struct wireguard_key *key);

#endif
