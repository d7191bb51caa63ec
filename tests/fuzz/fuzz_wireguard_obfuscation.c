/* Datagrams for a device with any configuration, and the language of signature packets. Whatever is recognized lies inside of the datagram, and
 * what was wrapped is recognized. The first 24 bytes are the configuration, then come the datagram and, after a zero, nothing of interest. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/signature.h"
#include "tunnel/wireguard/obfuscator.h"
#include "tunnel/wireguard/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONFIG 24
#define ROOM 4096

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* What the decoder of specs lets pass. */
static void read_config(struct obfuscation *config, const uint8_t *bytes)
{
	obfuscation_init(config, (bytes[0] & 1) != 0 ? OBFUSCATION_LWO : OBFUSCATION_AMNEZIAWG);
	if (config->type == OBFUSCATION_LWO)
		return;
	bool has_key = (bytes[0] & 2) != 0;
	config->random_trailers = (bytes[0] & 4) != 0;
	config->header_key.bytes[0] = has_key;
	config->content_padding = (struct obfuscation_range){ bytes[1] & 15, 15 + (bytes[1] >> 4) };
	if ((bytes[0] & 8) != 0)
		config->content_padding = (struct obfuscation_range){ 0, 0 };
	for (size_t i = 0; i < OBFUSCATION_MESSAGES; i++) {
		const uint8_t *of = bytes + 2 + 5 * i;
		uint32_t low = (uint32_t)of[1] << 24 | of[2];
		config->padding[i] = (uint16_t)((has_key ? OBFUSCATION_KEY_PADDING : 0) + of[0]);
		config->message_types[i] = (struct obfuscation_range){ low, low + ((uint32_t)of[3] << (of[4] & 15)) };
		if (config->message_types[i].high < low)
			config->message_types[i].high = UINT32_MAX;
	}
}

/* What the datagram is taken for; OBFUSCATION_MESSAGES: nothing. */
static enum obfuscation_message take(const struct wireguard_obfuscator *obfuscator, const struct wireguard_indices *indices, const uint8_t *bytes,
                                     size_t size)
{
	static const uint8_t key[WIREGUARD_KEY_LENGTH] = { 7 };
	struct wireguard_incoming incoming = { .message = OBFUSCATION_MESSAGES };
	uint8_t *datagram = malloc(size > 0 ? size : 1); /* exactly as long, so that a read beyond the end is seen */

	if (datagram == NULL)
		return OBFUSCATION_MESSAGES;
	memcpy(datagram, bytes, size);
	if (wireguard_obfuscator_unwrap(obfuscator, indices, key, datagram, size, &incoming)) {
		must(incoming.message < OBFUSCATION_MESSAGES);
		must(incoming.offset + incoming.length <= size && incoming.length >= WIREGUARD_OVERHEAD);
	}
	free(datagram);
	return incoming.message;
}

static void give_zeroes(void *owner, void *bytes, size_t length)
{
	(void)owner;
	memset(bytes, 0, length);
}

/* A session that is known makes data of what else would be something else, and changes nothing about the rest. */
static void sort(const struct wireguard_obfuscator *obfuscator, const uint8_t *bytes, size_t size)
{
	static const struct wireguard_env env = { .random = give_zeroes };
	struct wireguard_session session;
	struct wireguard_index index = { .session = &session };
	struct wireguard_indices indices = { 0 };

	if (wireguard_indices_reserve(&indices, 1) != 0)
		return;
	enum obfuscation_message stranger = take(obfuscator, &indices, bytes, size);
	wireguard_indices_add(&indices, &index, &env);
	enum obfuscation_message known = take(obfuscator, &indices, bytes, size);
	must(known == stranger || known == OBFUSCATION_DATA);
	must(stranger != OBFUSCATION_MESSAGES || known == OBFUSCATION_MESSAGES);
	wireguard_indices_remove(&indices, &index);
	wireguard_indices_clear(&indices);
}

/* One message of each kind. What it looks like to us may be an earlier kind, but it is never dropped. */
static void pass(struct wireguard_obfuscator *obfuscator, size_t packet)
{
	static const size_t sizes[] = { 148, 92, 64, 0 };
	static const struct wireguard_indices nothing;
	static const uint8_t key[WIREGUARD_KEY_LENGTH] = { 7 };

	for (enum obfuscation_message message = 0; message < OBFUSCATION_MESSAGES; message++) {
		size_t payload = wireguard_obfuscator_payload(obfuscator, packet, 1420, WIREGUARD_TRAILER_WINDOW);
		must(payload >= packet && (payload <= 1420 || payload == packet));
		size_t length = message == OBFUSCATION_DATA ? payload + WIREGUARD_OVERHEAD : sizes[message];
		struct wireguard_outgoing outgoing = wireguard_obfuscator_plan(obfuscator, message, length, WIREGUARD_TRAILER_WINDOW);
		struct wireguard_incoming incoming;
		size_t total = outgoing.padding + length + outgoing.trailer;
		must(total <= ROOM);
		outgoing.room = calloc(1, total);
		outgoing.receiver = key;
		if (outgoing.room == NULL)
			return;
		wireguard_message_put32(outgoing.room + outgoing.padding, outgoing.type);
		wireguard_obfuscator_wrap(obfuscator, &outgoing);
		must(wireguard_obfuscator_unwrap(obfuscator, &nothing, key, outgoing.room, total, &incoming));
		free(outgoing.room);
	}
}

static void read_signature(const uint8_t *bytes, size_t size)
{
	char *text = malloc(size + 1);
	struct signature_piece piece;
	size_t sum = 0;
	int more;

	if (text == NULL)
		return;
	memcpy(text, bytes, size);
	text[size] = '\0';
	int length = signature_length(text);
	const char *at = text;
	while (length > 0 && (more = signature_next(&at, &piece)) != 0) {
		must(more == 1);
		sum += piece.length;
		for (size_t i = 0; piece.kind == SIGNATURE_BYTES && i < piece.length; i++)
			(void)signature_byte(piece.digits + 2 * i);
	}
	must(length <= SIGNATURE_SIZE_MAX && (length < 0 || sum == (size_t)length));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct obfuscation config;
	uint8_t seed[32] = { 0 };

	if (size < CONFIG)
		return 0;
	read_config(&config, data);
	memcpy(seed, data, CONFIG);
	struct wireguard_obfuscator *obfuscator = wireguard_obfuscator_create(&config, seed);
	if (obfuscator == NULL)
		return 0;
	obfuscator->takes_reserved = (data[0] & 16) != 0;
	sort(obfuscator, data + CONFIG, size - CONFIG);
	obfuscator->takes_reserved = false;
	pass(obfuscator, data[1] * 6u);
	wireguard_obfuscator_free(obfuscator);
	read_signature(data + CONFIG, size - CONFIG);
	return 0;
}
