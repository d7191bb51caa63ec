/* Cuts packets into lanes: the packets' keys first, then their blocks one behind the other, so that only the last lanes of a batch stay empty.
 * A packet is authenticated as soon as all of it is ciphertext, while it is in the first cache. */
#include "tunnel/wireguard/aead_batch.h"

#include <assert.h>
#include <sodium.h>

/* A batch in work. */
struct batch {
	const struct aead_vectors *vectors;
	uint32_t key[8];
	uint8_t keys[WIREGUARD_AEAD_BATCH][AEAD_BLOCK];
	struct aead_blocks blocks;
};

static void run_blocks(struct batch *batch)
{
	if (batch->blocks.lanes > 0)
		batch->vectors->xor_blocks(batch->key, &batch->blocks);
	batch->blocks.count = batch->blocks.lanes = 0;
}

/* Bytes of one packet from the block `number` on. */
static void add_bytes(struct batch *batch, uint64_t counter, uint32_t number, uint8_t *bytes, size_t length)
{
	struct aead_blocks *blocks = &batch->blocks;

	while (length > 0) {
		size_t room = (batch->vectors->blocks - blocks->lanes) * (size_t)AEAD_BLOCK, some = length < room ? length : room;
		unsigned lanes = (unsigned)((some + AEAD_BLOCK - 1) / AEAD_BLOCK);
		blocks->spans[blocks->count++] = (struct aead_span){ bytes, some, counter, number, blocks->lanes };
		blocks->lanes += lanes;
		if (blocks->lanes == batch->vectors->blocks)
			run_blocks(batch);
		number += lanes;
		bytes += some;
		length -= some;
	}
}

static void add_packet(struct batch *batch, const struct wireguard_aead_packet *packet)
{
	add_bytes(batch, packet->counter, 1, packet->bytes, packet->length); /* block 0 is its key */
}

static void begin(struct batch *batch, const struct aead_vectors *vectors, const uint8_t *key, const struct wireguard_aead_packet *packets,
                  size_t count)
{
	assert(count > 0 && count <= WIREGUARD_AEAD_BATCH);
	batch->vectors = vectors;
	batch->blocks.count = batch->blocks.lanes = 0;
	memcpy(batch->key, key, sizeof(batch->key));
	memset(batch->keys, 0, count * sizeof(batch->keys[0]));
	for (size_t i = 0; i < count; i++)
		add_bytes(batch, packets[i].counter, 0, batch->keys[i], AEAD_BLOCK);
}

static void authenticate(const struct batch *batch, const struct wireguard_aead_packet *packets, size_t first, size_t count, uint8_t (*tags)[16])
{
	struct aead_message messages[AEAD_LANES_MAX];

	for (size_t i = 0; i < count; i++) {
		const struct wireguard_aead_packet *packet = &packets[first + i];
		uint8_t *tag = tags == NULL ? packet->bytes + packet->length : tags[i];
		messages[i] = (struct aead_message){ batch->keys[first + i], packet->bytes, packet->length, tag };
	}
	batch->vectors->authenticate(messages, (unsigned)count);
}

static void end(struct batch *batch)
{
	batch->vectors->wipe();
	sodium_memzero(batch->key, sizeof(batch->key));
	sodium_memzero(batch->keys, sizeof(batch->keys));
}

void aead_batch_seal(const struct aead_vectors *vectors, const uint8_t key[WIREGUARD_KEY_LENGTH], struct wireguard_aead_packet *packets, size_t count)
{
	struct batch batch;
	size_t authenticated = 0, most = vectors->messages;

	begin(&batch, vectors, key, packets, count);
	for (size_t i = 0; i < count; i++) {
		add_packet(&batch, &packets[i]);
		packets[i].is_good = true;
		/* If all lanes that wait are of this packet, those before it are ciphertext. */
		if (i - authenticated >= most && (size_t)batch.blocks.lanes * AEAD_BLOCK <= packets[i].length) {
			authenticate(&batch, packets, authenticated, most, NULL);
			authenticated += most;
		}
	}
	run_blocks(&batch);
	for (; authenticated < count; authenticated += most)
		authenticate(&batch, packets, authenticated, count - authenticated < most ? count - authenticated : most, NULL);
	end(&batch);
}

void aead_batch_open(const struct aead_vectors *vectors, const uint8_t key[WIREGUARD_KEY_LENGTH], struct wireguard_aead_packet *packets, size_t count)
{
	struct batch batch;
	uint8_t tags[AEAD_LANES_MAX][16];

	begin(&batch, vectors, key, packets, count);
	run_blocks(&batch);
	for (size_t first = 0; first < count; first += vectors->messages) {
		size_t some = count - first < vectors->messages ? count - first : vectors->messages;
		authenticate(&batch, packets, first, some, tags);
		for (size_t i = 0; i < some; i++) {
			struct wireguard_aead_packet *packet = &packets[first + i];
			packet->is_good = crypto_verify_16(tags[i], packet->bytes + packet->length) == 0;
			if (packet->is_good)
				add_packet(&batch, packet);
		}
	}
	run_blocks(&batch);
	sodium_memzero(tags, sizeof(tags));
	end(&batch);
}
