#include "tunnel/wireguard/obfuscator.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/wireguard/device.h"

#define PROTECTED_OF_DATA sizeof(struct wireguard_message_data)
#define LWO_MARK 0x80
/* Each try fails with the share of the type values that are those of handshakes. */
#define REDRAWS 8
#define RUN_LENGTH 64 /* a train has no more (UDP_MAX_SEGMENTS) */

static const size_t sizes[OBFUSCATION_MESSAGES] = {
	[OBFUSCATION_INITIATION] = sizeof(struct wireguard_message_initiation),
	[OBFUSCATION_RESPONSE] = sizeof(struct wireguard_message_response),
	[OBFUSCATION_COOKIE_REPLY] = sizeof(struct wireguard_message_cookie_reply),
	[OBFUSCATION_DATA] = WIREGUARD_OVERHEAD,
};

static const struct obfuscation plain = {
	.type = OBFUSCATION_AMNEZIAWG,
	.message_types = { { 1, 1 }, { 2, 2 }, { 3, 3 }, { 4, 4 } },
};

struct wireguard_obfuscator *wireguard_obfuscator_create(const struct obfuscation *config, const uint8_t seed[32])
{
	struct wireguard_obfuscator *obfuscator = calloc(1, sizeof(*obfuscator));

	if (obfuscator == NULL)
		return NULL;
	obfuscator->config = config == NULL ? &plain : config;
	obfuscator->protects_headers = obfuscation_has_header_key(obfuscator->config);
	for (size_t i = 0; i < OBFUSCATION_DATA; i++)
		obfuscator->can_be_mistaken |= obfuscator->config->padding[i] != obfuscator->config->padding[OBFUSCATION_DATA];
	wireguard_random_pool_init(&obfuscator->random, seed);
	return obfuscator;
}

void wireguard_obfuscator_free(struct wireguard_obfuscator *obfuscator)
{
	if (obfuscator != NULL)
		sodium_memzero(obfuscator, sizeof(*obfuscator));
	free(obfuscator);
}

/* The length of a trailer of a datagram of `size` bytes, of zeroes where it is inside of data. 0 when the datagram fills the window. */
static size_t draw_trailer(struct wireguard_obfuscator *obfuscator, size_t size, size_t window)
{
	if (!obfuscator->config->random_trailers || size + 1 >= window)
		return 0;
	return wireguard_random_pool_draw(&obfuscator->random, 0, (uint32_t)(window - size - 1));
}

static size_t draw_padding(struct wireguard_obfuscator *obfuscator, size_t length, size_t mtu)
{
	const struct obfuscation_range *range = &obfuscator->config->content_padding;
	struct wireguard_run *run = &obfuscator->run;

	if (length <= mtu / 2)
		return wireguard_random_pool_draw(&obfuscator->random, range->low, range->high);
	if (run->left == 0 || run->length != length)
		*run = (struct wireguard_run){ length, wireguard_random_pool_draw(&obfuscator->random, range->low, range->high), RUN_LENGTH };
	run->left--;
	return run->padding;
}

size_t wireguard_obfuscator_payload(struct wireguard_obfuscator *obfuscator, size_t length, size_t mtu, size_t window)
{
	const struct obfuscation *config = obfuscator->config;
	size_t padded = (length + WIREGUARD_PADDING - 1) / WIREGUARD_PADDING * WIREGUARD_PADDING;

	if (config->content_padding.high > 0)
		padded = length + draw_padding(obfuscator, length, mtu);
	else
		padded += draw_trailer(obfuscator, config->padding[OBFUSCATION_DATA] + WIREGUARD_OVERHEAD + padded, window);
	if (padded <= mtu)
		return padded;
	return length < mtu ? mtu : length;
}

struct wireguard_outgoing wireguard_obfuscator_plan(struct wireguard_obfuscator *obfuscator, enum obfuscation_message message, size_t length,
                                                    size_t window)
{
	const struct obfuscation *config = obfuscator->config;
	const struct obfuscation_range *types = &config->message_types[message];
	size_t padding = config->padding[message];

	return (struct wireguard_outgoing){
		.message = message,
		.padding = padding,
		.length = length,
		.trailer = message == OBFUSCATION_DATA ? 0 : draw_trailer(obfuscator, padding + length, window),
		.type = wireguard_random_pool_draw(&obfuscator->random, types->low, types->high),
	};
}

/* LWO. */

static void cover_with_key(uint8_t *head, size_t length, const uint8_t key[WIREGUARD_KEY_LENGTH])
{
	for (size_t i = 0; i < length; i++)
		head[i] ^= key[i % WIREGUARD_KEY_LENGTH];
}

static void wrap_lwo(struct wireguard_obfuscator *obfuscator, const struct wireguard_outgoing *outgoing)
{
	uint8_t mark;

	cover_with_key(outgoing->room, sizes[outgoing->message], outgoing->receiver);
	wireguard_random_pool_take(&obfuscator->random, &mark, sizeof(mark));
	outgoing->room[1] = mark | LWO_MARK;
}

/* Plain messages have a zero where the mark is. */
static void unwrap_lwo(uint8_t *datagram, size_t length, const uint8_t own_key[WIREGUARD_KEY_LENGTH])
{
	uint8_t type = datagram[0] ^ own_key[0];

	if (type < WIREGUARD_INITIATION || type > WIREGUARD_DATA || (datagram[1] & LWO_MARK) == 0)
		return;
	size_t head = sizes[type - WIREGUARD_INITIATION];
	if (length < head)
		return;
	cover_with_key(datagram, head, own_key);
	datagram[1] = 0;
}

/* AmneziaWG. */

/* What the head of data is XORed with: zeroes without header protection. */
static void keystream(const struct wireguard_obfuscator *obfuscator, const uint8_t *datagram, uint8_t stream[PROTECTED_OF_DATA])
{
	memset(stream, 0, PROTECTED_OF_DATA);
	if (obfuscator->protects_headers)
		crypto_stream_chacha20_ietf(stream, PROTECTED_OF_DATA, datagram, obfuscator->config->header_key.bytes);
}

static void cover_with_stream(uint8_t head[PROTECTED_OF_DATA], const uint8_t stream[PROTECTED_OF_DATA])
{
	for (size_t i = 0; i < PROTECTED_OF_DATA; i++)
		head[i] ^= stream[i];
}

static bool has_type(const struct obfuscation *config, enum obfuscation_message message, const uint8_t *datagram, const uint8_t *stream)
{
	const struct obfuscation_range *types = &config->message_types[message];
	uint32_t type = wireguard_message_get32(datagram + config->padding[message]) ^ wireguard_message_get32(stream);

	return type >= types->low && type <= types->high;
}

static bool has_size(const struct obfuscation *config, enum obfuscation_message message, size_t length)
{
	size_t least = config->padding[message] + sizes[message];

	return message == OBFUSCATION_DATA || config->random_trailers ? length >= least : length == least;
}

/* The first handshake message that the datagram looks like, or OBFUSCATION_DATA: none. */
static enum obfuscation_message as_handshake(const struct obfuscation *config, const uint8_t *datagram, size_t length, const uint8_t *stream)
{
	enum obfuscation_message message = OBFUSCATION_INITIATION;

	while (message < OBFUSCATION_DATA && !(has_size(config, message, length) && has_type(config, message, datagram, stream)))
		message++;
	return message;
}

static bool is_known(const struct obfuscation *config, const struct wireguard_indices *indices, const uint8_t *datagram, const uint8_t *stream)
{
	const uint8_t *message = datagram + config->padding[OBFUSCATION_DATA];
	size_t place = offsetof(struct wireguard_message_data, receiver);
	struct wireguard_index *index =
	    wireguard_indices_find(indices, wireguard_message_get32(message + place) ^ wireguard_message_get32(stream + place));

	return index != NULL && index->session != NULL;
}

/* OBFUSCATION_MESSAGES: none. */
static enum obfuscation_message sort(const struct obfuscation *config, const struct wireguard_indices *indices, const uint8_t *datagram,
                                     size_t length, const uint8_t *stream)
{
	bool can_be_data = has_size(config, OBFUSCATION_DATA, length) && has_type(config, OBFUSCATION_DATA, datagram, stream);

	if (can_be_data && is_known(config, indices, datagram, stream))
		return OBFUSCATION_DATA;
	enum obfuscation_message message = as_handshake(config, datagram, length, stream);
	return message == OBFUSCATION_DATA && !can_be_data ? OBFUSCATION_MESSAGES : message;
}

/* The same both ways. */
static void protect(const struct wireguard_obfuscator *obfuscator, enum obfuscation_message message, uint8_t *datagram)
{
	uint8_t *head = datagram + obfuscator->config->padding[message];

	if (obfuscator->protects_headers)
		crypto_stream_chacha20_ietf_xor(head, head, message == OBFUSCATION_DATA ? PROTECTED_OF_DATA : sizes[message], datagram,
		                                obfuscator->config->header_key.bytes);
}

static bool has_size_of_handshake(const struct obfuscation *config, size_t length)
{
	return has_size(config, OBFUSCATION_INITIATION, length) || has_size(config, OBFUSCATION_RESPONSE, length) ||
	       has_size(config, OBFUSCATION_COOKIE_REPLY, length);
}

/* Whether data that is padded and not yet protected will look like a handshake. */
static bool will_be_mistaken(const struct wireguard_obfuscator *obfuscator, const struct wireguard_outgoing *outgoing)
{
	uint8_t stream[PROTECTED_OF_DATA], *head = outgoing->room + outgoing->padding;

	keystream(obfuscator, outgoing->room, stream);
	/* The bytes that are compared may be those that will be protected. */
	cover_with_stream(head, stream);
	bool is_mistaken = as_handshake(obfuscator->config, outgoing->room, outgoing->padding + outgoing->length, stream) != OBFUSCATION_DATA;
	cover_with_stream(head, stream);
	return is_mistaken;
}

/* A peer that asks for handshakes first would drop data that looks like one (amneziawg-go does). With header protection, or where the padding is
 * looked at, other padding makes it look different. */
static void pad(struct wireguard_obfuscator *obfuscator, const struct wireguard_outgoing *outgoing)
{
	const struct obfuscation *config = obfuscator->config;
	bool can_be_mistaken = outgoing->message == OBFUSCATION_DATA && obfuscator->can_be_mistaken && outgoing->padding > 0 &&
	                       has_size_of_handshake(config, outgoing->padding + outgoing->length);

	for (unsigned i = 0; i < REDRAWS; i++) {
		wireguard_random_pool_take(&obfuscator->random, outgoing->room, outgoing->padding);
		if (!can_be_mistaken || !will_be_mistaken(obfuscator, outgoing))
			return;
	}
}

static void write_reserved(const struct wireguard_outgoing *outgoing)
{
	if (outgoing->reserved != NULL)
		memcpy(outgoing->room + 1, outgoing->reserved, 3);
}

void wireguard_obfuscator_wrap(struct wireguard_obfuscator *obfuscator, const struct wireguard_outgoing *outgoing)
{
	if (obfuscator->config->type == OBFUSCATION_LWO) {
		wrap_lwo(obfuscator, outgoing);
		return;
	}
	pad(obfuscator, outgoing);
	wireguard_random_pool_take(&obfuscator->random, outgoing->room + outgoing->padding + outgoing->length, outgoing->trailer);
	protect(obfuscator, outgoing->message, outgoing->room);
	if (obfuscator->takes_reserved)
		write_reserved(outgoing);
}

bool wireguard_obfuscator_unwrap(const struct wireguard_obfuscator *obfuscator, const struct wireguard_indices *indices,
                                 const uint8_t own_key[WIREGUARD_KEY_LENGTH], uint8_t *datagram, size_t length, struct wireguard_incoming *incoming)
{
	const struct obfuscation *config = obfuscator->config;
	uint8_t stream[PROTECTED_OF_DATA];

	if (length < WIREGUARD_OVERHEAD)
		return false;
	if (config->type == OBFUSCATION_LWO)
		unwrap_lwo(datagram, length, own_key);
	else if (obfuscator->takes_reserved)
		memset(datagram + 1, 0, 3);
	keystream(obfuscator, datagram, stream);
	enum obfuscation_message message = sort(config, indices, datagram, length, stream);
	if (message == OBFUSCATION_MESSAGES)
		return false;
	*incoming = (struct wireguard_incoming){ message, config->padding[message], sizes[message] };
	if (message == OBFUSCATION_DATA) {
		incoming->length = length - incoming->offset;
		cover_with_stream(datagram + incoming->offset, stream);
	} else {
		protect(obfuscator, message, datagram);
	}
	return true;
}
