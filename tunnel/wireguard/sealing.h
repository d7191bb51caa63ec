/* Data messages that are written but not yet sealed: those of the train that the env gathers, so that they are sealed together (aead_batch.h).
 * That happens when the env asks for it, and before the keys of a session are wiped. As the AEAD code, it belongs to the process. */
#ifndef WARREN_TUNNEL_WIREGUARD_SEALING_H
#define WARREN_TUNNEL_WIREGUARD_SEALING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tunnel/wireguard/wire_message.h"

/* The tag follows the `length` bytes. Key and bytes are borrowed until the message is sealed. */
void wireguard_sealing_add(const uint8_t key[WIREGUARD_KEY_LENGTH], uint8_t *bytes, size_t length, uint64_t counter);
/* Seals what waits. A message that cannot be sealed is wiped. */
void wireguard_sealing_run(void);
/* The same, for an env that is about to show or send its datagrams. False if one of them could not be sealed: none may be sent. */
bool wireguard_sealing_finish(void) __attribute__((warn_unused_result));

#endif
