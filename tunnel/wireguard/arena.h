/* The memory for all secrets: slots of locked memory between guard pages, excluded from core files.
 * Guard pages for each key would cost 8 KB and four mappings per key, so all keys of a process share one arena.
 * It grows in regions as tunnels are added, up to a bound.
 * A device takes two slots and each of its peers five, all at creation, so that a handshake never lacks one.
 * The arena and the AEAD code belong to the process: one thread uses them. */
#ifndef WARREN_TUNNEL_WIREGUARD_ARENA_H
#define WARREN_TUNNEL_WIREGUARD_ARENA_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tunnel/wireguard/wire_message.h"

/* One slot, with a member per use. */
union wireguard_secrets {
	struct {
		uint8_t private_key[WIREGUARD_KEY_LENGTH];
		uint8_t cookie_secret[WIREGUARD_KEY_LENGTH];
	} device;
	struct {
		uint8_t static_shared[WIREGUARD_KEY_LENGTH];
		uint8_t preshared[WIREGUARD_KEY_LENGTH];
	} peer;
	struct {
		uint8_t ephemeral[WIREGUARD_KEY_LENGTH];
		uint8_t chaining_key[WIREGUARD_KEY_LENGTH];
	} handshake;
	struct {
		uint8_t sending[WIREGUARD_KEY_LENGTH];
		uint8_t receiving[WIREGUARD_KEY_LENGTH];
	} session;
};

static_assert(sizeof(union wireguard_secrets) == 64, "a slot has no holes");

/* 0, WIREGUARD_OUT_OF_MEMORY, or WIREGUARD_CRYPTO if locking is required and failed. */
int wireguard_arena_start(size_t slots, bool require_lock) __attribute__((warn_unused_result));
void wireguard_arena_stop(void); /* when every slot is released */

/* Takes `count` zeroed slots, or none and WIREGUARD_OUT_OF_MEMORY. */
int wireguard_arena_acquire(union wireguard_secrets *slots[], size_t count) __attribute__((warn_unused_result));
/* Wipes and frees the slots; NULLs are skipped. */
void wireguard_arena_release(union wireguard_secrets *slots[], size_t count);
size_t wireguard_arena_used(void);

#endif
