#include "tunnel/wireguard/sealing.h"

#include <sodium.h>

#include "tunnel/wireguard/aead.h"

static struct {
	struct wireguard_aead_packet packets[WIREGUARD_AEAD_BATCH];
	const uint8_t *keys[WIREGUARD_AEAD_BATCH];
	size_t count;
	bool has_failed; /* since wireguard_sealing_finish was called */
} waiting;

void wireguard_sealing_add(const uint8_t key[WIREGUARD_KEY_LENGTH], uint8_t *bytes, size_t length, uint64_t counter)
{
	if (waiting.count == WIREGUARD_AEAD_BATCH)
		wireguard_sealing_run();
	waiting.keys[waiting.count] = key;
	waiting.packets[waiting.count++] = (struct wireguard_aead_packet){ .bytes = bytes, .length = length, .counter = counter };
}

static void wipe_failed(const struct wireguard_aead_packet *packets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!packets[i].is_good)
			sodium_memzero(packets[i].bytes, packets[i].length + WIREGUARD_TAG_LENGTH);
	waiting.has_failed = true;
}

/* Neighbours under one key together: a train can have messages of two sessions, or of two peers behind one address. */
void wireguard_sealing_run(void)
{
	for (size_t first = 0, end; first < waiting.count; first = end) {
		for (end = first + 1; end < waiting.count && waiting.keys[end] == waiting.keys[first];)
			end++;
		if (wireguard_aead_seal_batch(waiting.keys[first], &waiting.packets[first], end - first) != 0)
			wipe_failed(&waiting.packets[first], end - first);
	}
	waiting.count = 0;
}

bool wireguard_sealing_finish(void)
{
	wireguard_sealing_run();
	bool is_fine = !waiting.has_failed;
	waiting.has_failed = false;
	return is_fine;
}
