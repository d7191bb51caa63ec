/* Disguised datagrams: the vectors that were made and captured beside the repository, wrapping and unwrapping of random parameters, and two
 * devices on a lossy link. `test_wireguard_obfuscation N` wraps and unwraps N random messages. */
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/signature.h"
#include "tests/vectors.h"
#include "tests/wireguard/hex.h"
#include "tests/wireguard/link.h"
#include "tunnel/wireguard/aead.h"
#include "tunnel/wireguard/hash.h"
#include "tunnel/wireguard/obfuscator.h"

static unsigned long rounds = 20000;

static size_t member(const json_t *object, const char *name, uint8_t *bytes, size_t size)
{
	return hex_read(bytes, size, json_string_value(json_object_get(object, name)));
}

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void read_field(struct obfuscation *config, const struct obfuscation_field *field, const json_t *value)
{
	void *place = (char *)config + field->offset;

	switch (field->value) {
	case OBFUSCATION_NUMBER: *(uint16_t *)place = (uint16_t)json_integer_value(value); break;
	case OBFUSCATION_RANGE: assert_true(obfuscation_range_parse(json_string_value(value), field->most, place)); break;
	case OBFUSCATION_TEXT: *(char **)place = strdup(json_string_value(value)); break;
	case OBFUSCATION_KEY: hex_read(place, 32, json_string_value(value)); break;
	case OBFUSCATION_SWITCH: *(bool *)place = json_integer_value(value) != 0; break;
	}
}

/* Of UAPI members. */
static struct obfuscation *config_of(const json_t *object)
{
	struct obfuscation *config = malloc(sizeof(*config));

	obfuscation_init(config, OBFUSCATION_AMNEZIAWG);
	for (size_t i = 0; i < obfuscation_field_count; i++) {
		const json_t *value = json_object_get(object, obfuscation_fields[i].member);
		if (value != NULL)
			read_field(config, &obfuscation_fields[i], value);
	}
	return config;
}

/* An obfuscator whose random bytes are all the same. */
static struct wireguard_obfuscator *make(const struct obfuscation *config, uint8_t random)
{
	static const uint8_t seed[32];
	struct wireguard_obfuscator *obfuscator = wireguard_obfuscator_create(config, seed);

	memset(obfuscator->random.bytes, random, sizeof(obfuscator->random.bytes));
	obfuscator->random.left = sizeof(obfuscator->random.bytes);
	return obfuscator;
}

static const char *const names[] = { "initiation", "response", "cookie_reply", "data", "none" };

static enum obfuscation_message message_named(const char *name)
{
	enum obfuscation_message message = OBFUSCATION_INITIATION;

	while (message < OBFUSCATION_MESSAGES && strcmp(name, names[message]) != 0)
		message++;
	return message;
}

/* The message that plain WireGuard's bytes are. */
static enum obfuscation_message message_in(const uint8_t *bytes, size_t length)
{
	static const size_t least[] = { 148, 92, 64, 32 };
	unsigned type = bytes[0];

	return type >= 1 && type <= 4 && length >= least[type - 1] ? (enum obfuscation_message)(type - 1) : OBFUSCATION_MESSAGES;
}

static const struct wireguard_indices no_index;

/* What the datagram is taken for, by a device that has no session. */
static enum obfuscation_message sorted(const struct obfuscation *config, const struct wireguard_indices *indices, uint8_t *datagram, size_t length,
                                       struct wireguard_incoming *incoming)
{
	static const uint8_t key[32];
	struct wireguard_obfuscator *obfuscator = make(config, 0);
	bool is_message = wireguard_obfuscator_unwrap(obfuscator, indices, key, datagram, length, incoming);

	wireguard_obfuscator_free(obfuscator);
	return is_message ? incoming->message : OBFUSCATION_MESSAGES;
}

/* The datagram holds this message after it was unwrapped. */
static void unwraps_to(const struct obfuscation *config, const json_t *packet)
{
	uint8_t datagram[2048], message[2048];
	size_t length = member(packet, "datagram", datagram, sizeof(datagram));
	const char *kind = text_of(packet, "kind");
	struct wireguard_incoming incoming;

	assert_string_equal(names[sorted(config, &no_index, datagram, length, &incoming)],
	                    message_named(kind) == OBFUSCATION_MESSAGES ? "none" : kind);
	if (message_named(kind) == OBFUSCATION_MESSAGES)
		return;
	assert_int_equal(incoming.length, member(packet, "message", message, sizeof(message)));
	assert_memory_equal(datagram + incoming.offset, message, incoming.length);
}

/* The message, with this padding and trailer around it, is the datagram. */
static void wraps_to(const struct obfuscation *config, const json_t *packet)
{
	static const uint8_t seed[32];
	uint8_t expected[2048], room[2048], filling[2048];
	size_t length = member(packet, "datagram", expected, sizeof(expected));
	size_t padding = member(packet, "padding", filling, sizeof(filling));
	size_t size = member(packet, "message", room + padding, sizeof(room) - padding);
	size_t trailer = member(packet, "trailer", filling + padding, sizeof(filling) - padding);
	struct wireguard_obfuscator *obfuscator = wireguard_obfuscator_create(config, seed);
	struct wireguard_outgoing outgoing = {
		.message = message_named(text_of(packet, "kind")), .room = room, .padding = padding, .length = size, .trailer = trailer
	};

	assert_int_equal(padding, config->padding[outgoing.message]);
	obfuscator->random.left = padding + trailer;
	memcpy(obfuscator->random.bytes + sizeof(obfuscator->random.bytes) - padding - trailer, filling, padding + trailer);
	wireguard_obfuscator_wrap(obfuscator, &outgoing);
	assert_int_equal(padding + size + trailer, length);
	assert_memory_equal(room, expected, length);
	wireguard_obfuscator_free(obfuscator);
}

static void opens_to(const json_t *packet, const char *key_hex)
{
	uint8_t message[2048], plaintext[2048], key[32];
	size_t length = member(packet, "message", message, sizeof(message));
	size_t size = member(packet, "plaintext", plaintext, sizeof(plaintext));
	struct wireguard_aead_nonce nonce = wireguard_aead_nonce(wireguard_message_get64(message + 8));
	struct wireguard_aead_additional nothing = { NULL, 0 };

	hex_read(key, sizeof(key), key_hex);
	assert_int_equal(length, size + WIREGUARD_OVERHEAD);
	assert_int_equal(wireguard_aead_open(message + 16, size, nothing, &nonce, key), 0);
	assert_memory_equal(message + 16, plaintext, size);
}

static void test_made_datagrams(void **state)
{
	json_t *root = vectors_load("obfuscation/awg-made.json"), *set, *packet;
	size_t s, p, seen = 0;
	(void)state;

	json_array_foreach (json_object_get(root, "configs"), s, set) {
		struct obfuscation *config = config_of(json_object_get(set, "config"));
		json_array_foreach (json_object_get(set, "messages"), p, packet) {
			unwraps_to(config, packet);
			wraps_to(config, packet);
			if (strcmp(text_of(packet, "kind"), "data") == 0)
				opens_to(packet, text_of(set, strcmp(text_of(packet, "from"), "initiator") == 0 ? "initiator_send_key"
				                                                                                : "responder_send_key"));
			seen++;
		}
		obfuscation_free(config);
	}
	assert_int_equal(seen, 8 * 6);
	json_decref(root);
}

/* A session's key is named after its sender: test_send_key. */
static const char *send_key(const json_t *run, const json_t *packet)
{
	char name[32];
	snprintf(name, sizeof(name), "%s_send_key", text_of(packet, "from"));
	return text_of(run, name);
}

static void test_captured_datagrams(void **state)
{
	json_t *root = vectors_load("obfuscation/awg-captured.json"), *run, *packet;
	const char *name;
	size_t p, runs = 0;
	(void)state;

	json_object_foreach (json_object_get(root, "runs"), name, run) {
		struct obfuscation *config = config_of(json_object_get(run, "config"));
		json_array_foreach (json_object_get(run, "packets"), p, packet) {
			unwraps_to(config, packet);
			if (message_named(text_of(packet, "kind")) != OBFUSCATION_MESSAGES)
				wraps_to(config, packet);
			if (json_object_get(packet, "plaintext") != NULL)
				opens_to(packet, send_key(run, packet));
		}
		obfuscation_free(config);
		runs++;
	}
	assert_int_equal(runs, 14);
	json_decref(root);
}

/* MACs cover the value of the type. */
static void has_mac1(const json_t *packet, const char *receiver_private)
{
	struct wireguard_key private_key, public_key;
	uint8_t message[256], secret[32];
	struct wireguard_cookie_checker checker;
	size_t length = member(packet, "message", message, sizeof(message));

	hex_read(private_key.bytes, sizeof(private_key.bytes), receiver_private);
	assert_int_equal(wireguard_key_public(&public_key, &private_key), 0);
	assert_int_equal(wireguard_cookie_checker_init(&checker, public_key.bytes, secret), 0);
	assert_true(wireguard_cookie_has_mac1(&checker, message, length));
}

static void test_captured_pair(void **state)
{
	json_t *root = vectors_load("obfuscation/awg-pair.json"), *run, *packet;
	const char *name;
	size_t p, initiations = 0;
	(void)state;

	json_object_foreach (json_object_get(root, "runs"), name, run) {
		struct obfuscation *config = config_of(json_object_get(run, "config"));
		json_array_foreach (json_object_get(run, "packets"), p, packet) {
			unwraps_to(config, packet);
			if (strcmp(text_of(packet, "kind"), "initiation") != 0)
				continue;
			has_mac1(packet, text_of(json_object_get(root, "keys"), "responder_private"));
			initiations++;
		}
		obfuscation_free(config);
	}
	assert_true(initiations > 0);
	json_decref(root);
}

static void takes_cookie(const json_t *packet, const json_t *initiation, const char *receiver_public)
{
	struct wireguard_cookie_maker maker;
	uint8_t public_key[32], expected[16], message[256], bytes[64];
	size_t length = member(initiation, "message", message, sizeof(message));

	hex_read(public_key, sizeof(public_key), receiver_public);
	member(packet, "cookie", expected, sizeof(expected));
	member(packet, "message", bytes, sizeof(bytes));
	wireguard_cookie_maker_init(&maker);
	memcpy(maker.last_mac1, message + length - 32, sizeof(maker.last_mac1));
	maker.awaits_reply = true;
	assert_int_equal(wireguard_cookie_take(&maker, public_key, (const void *)bytes, 1), 0);
	assert_memory_equal(maker.cookie, expected, sizeof(expected));
}

static void has_mac2(const json_t *initiation, const json_t *reply)
{
	uint8_t message[256], cookie[16], mac[16];
	size_t length = member(initiation, "message", message, sizeof(message));

	member(reply, "cookie", cookie, sizeof(cookie));
	assert_int_equal(wireguard_hash_mac(mac, cookie, sizeof(cookie), message, length - sizeof(mac)), 0);
	assert_memory_equal(mac, message + length - sizeof(mac), sizeof(mac));
}

static void test_captured_cookies(void **state)
{
	json_t *root = vectors_load("obfuscation/awg-cookies.json"), *keys = json_object_get(root, "keys"), *run, *packet;
	const char *name;
	size_t p, taken = 0;
	(void)state;

	json_object_foreach (json_object_get(root, "runs"), name, run) {
		struct obfuscation *config = config_of(json_object_get(run, "config"));
		const json_t *initiation = NULL, *reply = NULL;
		bool is_real_under_load = strstr(name, "real-under-load") != NULL;
		json_array_foreach (json_object_get(run, "packets"), p, packet) {
			unwraps_to(config, packet);
			if (strcmp(text_of(packet, "kind"), "initiation") == 0) {
				if (reply != NULL)
					has_mac2(packet, reply);
				initiation = packet;
			} else if (strcmp(text_of(packet, "kind"), "cookie_reply") == 0) {
				takes_cookie(packet, initiation, text_of(keys, is_real_under_load ? "real_public" : "test_public"));
				reply = packet;
				taken++;
			}
		}
		obfuscation_free(config);
	}
	assert_true(taken >= 10);
	json_decref(root);
}

static void give_index(void *owner, void *bytes, size_t length)
{
	memcpy(bytes, owner, length);
}

static void sorts(const json_t *entry)
{
	struct obfuscation *config = config_of(json_object_get(entry, "config"));
	const json_t *known = json_object_get(entry, "known_index");
	struct wireguard_session session;
	struct wireguard_index index = { .session = &session };
	uint32_t number = (uint32_t)json_integer_value(known);
	struct wireguard_env env = { .owner = &number, .random = give_index };
	struct wireguard_indices indices = { 0 };
	uint8_t datagram[2048], copy[2048];
	size_t length = member(entry, "datagram", datagram, sizeof(datagram));
	struct wireguard_incoming incoming;

	memcpy(copy, datagram, length);
	assert_string_equal(names[sorted(config, &indices, datagram, length, &incoming)], text_of(entry, "kind"));
	if (strcmp(text_of(entry, "kind"), "none") != 0) {
		assert_int_equal(incoming.offset, json_integer_value(json_object_get(entry, "offset")));
		assert_int_equal(incoming.length, json_integer_value(json_object_get(entry, "length")));
	}
	if (known != NULL) {
		assert_int_equal(wireguard_indices_reserve(&indices, 1), 0);
		wireguard_indices_add(&indices, &index, &env);
		assert_string_equal(names[sorted(config, &indices, copy, length, &incoming)], text_of(entry, "kind_when_index_is_known"));
		wireguard_indices_remove(&indices, &index);
		wireguard_indices_clear(&indices);
	}
	obfuscation_free(config);
}

static void test_sorting(void **state)
{
	json_t *root = vectors_load("obfuscation/awg-sorting.json"), *entry;
	size_t i;
	(void)state;

	json_array_foreach (json_object_get(root, "cases"), i, entry)
		sorts(entry);
	assert_int_equal(i, 36);
	json_decref(root);
}

static void test_reserved_bytes(void **state)
{
	json_t *root = vectors_load("obfuscation/reserved.json"), *entry;
	static const uint8_t key[32];
	size_t i, b;
	(void)state;

	json_array_foreach (json_object_get(root, "messages"), i, entry) {
		uint8_t message[512], datagram[512], room[512], reserved[3];
		size_t length = member(entry, "message", message, sizeof(message));
		struct wireguard_obfuscator *obfuscator = make(NULL, 0);
		struct wireguard_incoming incoming;
		json_t *value;
		assert_int_equal(member(entry, "datagram", datagram, sizeof(datagram)), length);
		json_array_foreach (json_object_get(entry, "reserved"), b, value)
			reserved[b] = (uint8_t)json_integer_value(value);
		obfuscator->takes_reserved = true;
		memcpy(room, message, length);
		struct wireguard_outgoing outgoing = { .message = message_in(message, length), .room = room, .length = length, .reserved = reserved };
		wireguard_obfuscator_wrap(obfuscator, &outgoing);
		assert_memory_equal(room, datagram, length);
		assert_true(wireguard_obfuscator_unwrap(obfuscator, &no_index, key, datagram, length, &incoming));
		assert_int_equal(incoming.message, outgoing.message);
		assert_int_equal(incoming.length, length);
		assert_memory_equal(datagram, message, length);
		wireguard_obfuscator_free(obfuscator);
	}
	assert_int_equal(i, 18);
	json_decref(root);
}

static void follows_lwo(const json_t *entry)
{
	struct obfuscation config;
	uint8_t message[2048], datagram[2048], room[2048], key[32];
	size_t length = member(entry, "message", message, sizeof(message));
	struct wireguard_incoming incoming;

	obfuscation_init(&config, OBFUSCATION_LWO);
	struct wireguard_obfuscator *obfuscator = make(&config, (uint8_t)json_integer_value(json_object_get(entry, "random_byte")));
	assert_int_equal(member(entry, "datagram", datagram, sizeof(datagram)), length);
	member(entry, "receiver_public", key, sizeof(key));
	struct wireguard_outgoing outgoing = { .message = message_in(message, length), .room = room, .length = length, .receiver = key };
	memcpy(room, message, length);
	if (outgoing.message != OBFUSCATION_MESSAGES) {
		wireguard_obfuscator_wrap(obfuscator, &outgoing);
		assert_memory_equal(room, datagram, length);
	}
	(void)wireguard_obfuscator_unwrap(obfuscator, &no_index, key, datagram, length, &incoming);
	assert_memory_equal(datagram, message, length);
	wireguard_obfuscator_free(obfuscator);
}

static void test_lwo(void **state)
{
	json_t *root = vectors_load("obfuscation/lwo.json"), *entry;
	size_t i, edges;
	(void)state;

	json_array_foreach (json_object_get(root, "messages"), i, entry)
		follows_lwo(entry);
	json_array_foreach (json_object_get(root, "edges"), edges, entry)
		follows_lwo(entry);
	assert_int_equal(i + edges, 32);
	json_decref(root);
}

/* A plain message is not taken for a covered one, although its first byte may fit. */
static void test_lwo_takes_plain_messages(void **state)
{
	struct obfuscation config;
	uint8_t key[32] = { 5 }, message[32] = { 4 };
	struct wireguard_incoming incoming;
	(void)state;

	obfuscation_init(&config, OBFUSCATION_LWO);
	struct wireguard_obfuscator *obfuscator = make(&config, 0);
	assert_true(wireguard_obfuscator_unwrap(obfuscator, &no_index, key, message, sizeof(message), &incoming));
	assert_int_equal(incoming.message, OBFUSCATION_DATA);
	assert_int_equal(message[0], 4);
	wireguard_obfuscator_free(obfuscator);
}

static void pieces_are(const json_t *expected, const char *text)
{
	static const char *const kinds[] = { "bytes", "random", "letters", "digits", "time", "zeroes" };
	struct signature_piece piece;
	json_t *entry;
	size_t i;

	json_array_foreach (expected, i, entry) {
		uint8_t bytes[64];
		assert_int_equal(signature_next(&text, &piece), 1);
		assert_string_equal(kinds[piece.kind], text_of(entry, "kind"));
		if (piece.kind != SIGNATURE_BYTES) {
			assert_int_equal(piece.length, json_integer_value(json_object_get(entry, "length")));
			continue;
		}
		assert_int_equal(piece.length, member(entry, "bytes", bytes, sizeof(bytes)));
		for (size_t b = 0; b < piece.length; b++)
			assert_int_equal(signature_byte(piece.digits + 2 * b), bytes[b]);
	}
	assert_int_equal(signature_next(&text, &piece), 0);
}

static void test_signatures(void **state)
{
	json_t *root = vectors_load("obfuscation/awg-signatures.json"), *entry;
	size_t i;
	(void)state;

	json_array_foreach (json_object_get(root, "specs"), i, entry) {
		const char *text = text_of(entry, "spec");
		bool is_taken = strcmp(text_of(entry, "amneziawg_go"), "accepted") == 0 && json_object_get(entry, "refuse_because") == NULL;
		int length = signature_length(text);
		assert_true(is_taken == (length > 0));
		if (!is_taken)
			continue;
		assert_int_equal(length, json_integer_value(json_object_get(entry, "length")));
		pieces_are(json_object_get(entry, "pieces"), text);
	}
	assert_int_equal(i, 34);
	json_array_foreach (json_object_get(root, "samples"), i, entry)
		assert_int_equal(signature_length(text_of(entry, "spec")), strlen(text_of(entry, "packet")) / 2);
	assert_int_equal(i, 6);
	json_decref(root);
}

/* Random parameters. */

static uint64_t dice_state = 1;

static uint32_t dice(uint32_t below)
{
	dice_state = dice_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((dice_state >> 33) % below);
}

/* Parameters that the API takes, up to their limits. */
static void draw_config(struct obfuscation *config)
{
	static const uint32_t most[] = { 1132, 1188, 1216, 1248 };

	obfuscation_init(config, dice(8) == 0 ? OBFUSCATION_LWO : OBFUSCATION_AMNEZIAWG);
	if (config->type == OBFUSCATION_LWO)
		return;
	bool has_key = dice(2) == 0, is_long = dice(4) == 0, is_equal = dice(4) == 0;
	uint32_t step = 1 + dice(dice(2) == 0 ? 4 : 1000000000), base = dice(UINT32_MAX - 4 * step), turn = dice(4);
	for (uint32_t i = 0; i < OBFUSCATION_MESSAGES; i++) {
		uint32_t least = has_key ? OBFUSCATION_KEY_PADDING : 0, low = base + (i + turn) % 4 * step;
		config->padding[i] = is_equal && i > 0 ? config->padding[0] : (uint16_t)(least + dice((is_long ? most[i] : 52) - least + 1));
		config->message_types[i] = (struct obfuscation_range){ low, low + dice(step) };
	}
	if (has_key)
		memset(&config->header_key, (int)dice(255) + 1, sizeof(config->header_key));
	config->random_trailers = dice(2) == 0;
}

/* A message with random bytes is wrapped and unwrapped. Data belongs to a session that is there. */
static void comes_back(struct wireguard_obfuscator *obfuscator, enum obfuscation_message kind, size_t length, const uint8_t key[32])
{
	struct wireguard_outgoing outgoing = wireguard_obfuscator_plan(obfuscator, kind, length, 500 + dice(900));
	struct wireguard_incoming incoming;
	struct wireguard_session session;
	uint8_t room[4096], message[1500];

	for (size_t i = 0; i < length; i++)
		message[i] = (uint8_t)dice(256);
	wireguard_message_put32(message, outgoing.type);
	memcpy(room + outgoing.padding, message, length);
	outgoing.room = room;
	outgoing.receiver = key;
	uint32_t number = wireguard_message_get32(message + 4);
	struct wireguard_index index = { .session = &session };
	struct wireguard_env env = { .owner = &number, .random = give_index };
	struct wireguard_indices indices = { 0 };
	assert_int_equal(wireguard_indices_reserve(&indices, 1), 0);
	if (kind == OBFUSCATION_DATA)
		wireguard_indices_add(&indices, &index, &env);
	wireguard_obfuscator_wrap(obfuscator, &outgoing);
	assert_true(wireguard_obfuscator_unwrap(obfuscator, &indices, key, room, outgoing.padding + length + outgoing.trailer, &incoming));
	if (incoming.message == kind) {
		assert_int_equal(incoming.length, length);
		assert_memory_equal(room + incoming.offset, message, length);
	} else {
		/* By the format a handshake may look like an earlier one; data never does. */
		assert_true(kind != OBFUSCATION_DATA && incoming.message < kind);
	}
	wireguard_indices_remove(&indices, &index);
	wireguard_indices_clear(&indices);
}

static void test_any_message_comes_back(void **state)
{
	static const size_t sizes[] = { 148, 92, 64, 32 };
	uint8_t key[32], seed[32] = { 0 };
	(void)state;

	for (unsigned long r = 0; r < rounds; r++) {
		struct obfuscation config;
		draw_config(&config);
		enum obfuscation_message kind = (enum obfuscation_message)dice(OBFUSCATION_MESSAGES);
		memset(key, (int)dice(256), sizeof(key));
		memcpy(seed, &r, sizeof(r));
		struct wireguard_obfuscator *obfuscator = wireguard_obfuscator_create(&config, seed);
		comes_back(obfuscator, kind, sizes[kind] + (kind == OBFUSCATION_DATA ? dice(1400) : 0), key);
		wireguard_obfuscator_free(obfuscator);
	}
}

/* amneziawg-go asks for handshakes first, and would lose half of this data: it is padded so that it does not look like one. */
static void test_data_is_not_mistaken_by_others(void **state)
{
	struct obfuscation config;
	uint8_t room[512], key[32] = { 0 }, seed[32] = { 1 };
	struct wireguard_incoming incoming;
	unsigned mistaken = 0;
	(void)state;

	obfuscation_init(&config, OBFUSCATION_AMNEZIAWG);
	memset(&config.header_key, 9, sizeof(config.header_key));
	config.random_trailers = true;
	memcpy(config.padding, (const uint16_t[]){ 20, 40, 30, 16 }, sizeof(config.padding));
	config.message_types[0] = (struct obfuscation_range){ 0, UINT32_MAX / 2 };
	for (uint32_t i = 1; i < OBFUSCATION_MESSAGES; i++)
		config.message_types[i] = (struct obfuscation_range){ 4000000000 + i, 4000000000 + i };
	struct wireguard_obfuscator *obfuscator = wireguard_obfuscator_create(&config, seed);
	for (unsigned i = 0; i < 1000; i++) {
		struct wireguard_outgoing outgoing = wireguard_obfuscator_plan(obfuscator, OBFUSCATION_DATA, 400, 500);
		outgoing.room = room;
		memset(room, (int)i, sizeof(room));
		wireguard_message_put32(room + outgoing.padding, outgoing.type);
		wireguard_obfuscator_wrap(obfuscator, &outgoing);
		/* No index is known, so that this is the order of the others. */
		assert_true(wireguard_obfuscator_unwrap(obfuscator, &no_index, key, room, outgoing.padding + 400, &incoming));
		mistaken += incoming.message != OBFUSCATION_DATA;
	}
	/* 1000 / 2^8 */
	assert_in_range(mistaken, 0, 16);
	wireguard_obfuscator_free(obfuscator);
}

/* Two devices. */

static char signature[] = "<r 2><b 0x8580><t><rc 4><rd 3>";
static const struct obfuscation sets[] = {
	{ .type = OBFUSCATION_LWO, .message_types = { { 1, 1 }, { 2, 2 }, { 3, 3 }, { 4, 4 } } },
	{ .type = OBFUSCATION_AMNEZIAWG,
	  .junk_count = 4,
	  .junk_least = 10,
	  .junk_most = 50,
	  .padding = { 86, 34 },
	  .message_types = { { 1020325451, 1020325451 }, { 3288052141, 3288052141 }, { 1766607858, 1766607858 }, { 2528465083, 2528465083 } } },
	{ .type = OBFUSCATION_AMNEZIAWG,
	  .junk_count = 5,
	  .junk_least = 10,
	  .junk_most = 50,
	  .padding = { 72, 56, 32, 16 },
	  .message_types = { { 134567, 245678 }, { 3456789, 4567890 }, { 56789012, 67890123 }, { 456789012, 567890123 } },
	  .signatures = { signature } },
	{ .type = OBFUSCATION_AMNEZIAWG,
	  .padding = { 12, 31, 24, 12 },
	  .message_types = { { 100, 200 }, { 300, 400 }, { 500, 600 }, { 700, 800 } },
	  .header_key = { { 1, 2, 3 } },
	  .content_padding = { 1, 64 } },
	{ .type = OBFUSCATION_AMNEZIAWG,
	  .padding = { 16, 16, 16, 16 },
	  .message_types = { { 1, 1 }, { 2, 2 }, { 3, 3 }, { 4, 4 } },
	  .header_key = { { 1, 2, 3 } },
	  .random_trailers = true },
	/* Wide types with trailers, of which the format itself would lose a quarter of the data. */
	{ .type = OBFUSCATION_AMNEZIAWG,
	  .padding = { 20, 40, 30, 16 },
	  .message_types = { { 5, 1073741828 }, { 1100000000, 1100000000 }, { 1200000000, 1200000000 }, { 3000000000, 3000000000 } },
	  .random_trailers = true },
};
#define SETS (sizeof(sets) / sizeof(sets[0]))

static struct link *disguised(const struct obfuscation *config)
{
	struct link *link = link_create(2);

	link_join(link, 0, 1);
	for (unsigned n = 0; n < 2; n++)
		assert_int_equal(config_obfuscate(link->nodes[n].device, config, false, link->now), 0);
	return link;
}

static void test_packets_pass_both_ways(void **state)
{
	(void)state;

	for (size_t s = 0; s < SETS; s++) {
		struct link *link = disguised(&sets[s]);
		link_handshake(link, 0, 1);
		for (size_t length = 20; length <= 1420; length += 7) {
			assert_int_equal(link_send(link, 0, 1, length), 0);
			assert_int_equal(link_send(link, 1, 0, length), 0);
		}
		link_run(link, SECOND);
		assert_int_equal(link->nodes[0].delivered, 201);
		assert_int_equal(link->nodes[1].delivered, 202);
		/* What hides lengths stays within those of full packets. */
		assert_int_equal(link->nodes[0].largest, 1420 + WIREGUARD_OVERHEAD + sets[s].padding[OBFUSCATION_DATA]);
		/* Only what announced the initiation was dropped. */
		unsigned announced = sets[s].junk_count + (sets[s].signatures[0] != NULL);
		assert_int_equal(link_drops(link, 0), 0);
		assert_int_equal(link_drops(link, 1), announced);
		/* Junk of 48 bytes may begin like data. */
		assert_in_range(link->nodes[1].device->dropped[WIREGUARD_DROP_UNRECOGNIZED], announced - announced / 4, announced);
		/* Keepalives, which may have zeroes inside, are no packets. */
		link_run(link, 30 * SECOND);
		assert_int_equal(link->nodes[0].device->dropped[WIREGUARD_DROP_INNER], 0);
		link_free(link);
	}
}

/* Ten minutes of losses, with a rekey every two. */
static void test_sessions_are_renewed_on_a_lossy_link(void **state)
{
	(void)state;

	for (size_t s = 0; s < SETS; s++) {
		struct link *link = disguised(&sets[s]);
		link_handshake(link, 0, 1);
		link->loss = 100;
		link->duplicate = 20;
		link->reorder = 50;
		for (unsigned i = 0; i < 1200; i++) {
			(void)link_send(link, 0, 1, 60 + i);
			(void)link_send(link, 1, 0, 60 + i);
			link_run(link, SECOND / 2);
		}
		assert_true(link_peer(link, 0, 1)->stats.handshakes >= 4);
		assert_in_range(link->nodes[0].delivered, 1000, 1200);
		assert_in_range(link->nodes[1].delivered, 1000, 1202);
		link_free(link);
	}
}

/* Under load an initiation is answered with a cookie, which arrives and is used; or with nothing. */
static void test_cookies_under_load(void **state)
{
	(void)state;

	for (size_t s = 0; s < SETS; s++) {
		for (unsigned disabled = 0; disabled < 2; disabled++) {
			struct obfuscation config = sets[s];
			config.disable_cookies = disabled != 0;
			struct link *link = disguised(&config);
			link->nodes[1].device->load.queue.high_until = link->now + 20 * SECOND;
			assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_STAGED);
			link_run(link, SECOND);
			assert_int_equal(link->nodes[1].device->dropped[WIREGUARD_DROP_COOKIE], 1);
			assert_true((link_peer(link, 0, 1)->cookies.cookie_since != WIREGUARD_NEVER) == (disabled == 0));
			link_run(link, 7 * SECOND);
			assert_int_equal(link->nodes[1].delivered, disabled != 0 ? 0 : 1);
			link_free(link);
		}
	}
}

static size_t last_length;
static unsigned changes;

static bool count_changes(struct link *link, struct link_node *from, uint8_t *bytes, size_t length)
{
	(void)link;
	(void)bytes;
	(void)from;
	changes += length != last_length;
	last_length = length;
	return true;
}

static unsigned changes_of_length(struct link *link, size_t packet, unsigned count)
{
	changes = 0;
	last_length = 0;
	link->filter = count_changes;
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(link_send(link, 0, 1, packet), 0);
	return changes;
}

/* Full packets stay datagrams of one length, so that the kernel takes a train of them at once. */
static void test_full_packets_keep_one_length(void **state)
{
	(void)state;

	for (size_t s = 0; s < SETS; s++) {
		struct link *link = disguised(&sets[s]);
		link_handshake(link, 0, 1);
		assert_int_equal(changes_of_length(link, 1420, 100), 1);
		assert_int_equal(last_length, 1420 + WIREGUARD_OVERHEAD + sets[s].padding[OBFUSCATION_DATA]);
		link_free(link);
	}
}

/* Packets below the MTU, as where the far end's is smaller, stay trains too. Small ones, of which there is no train, are hidden one by one. */
static void test_large_packets_stay_trains(void **state)
{
	(void)state;

	for (size_t s = 0; s < SETS; s++) {
		struct link *link = disguised(&sets[s]);
		link_handshake(link, 0, 1);
		assert_in_range(changes_of_length(link, 1280, 640), 1, 640 / 64);
		if (sets[s].content_padding.high > 0)
			assert_in_range(changes_of_length(link, 60, 200), 150, 200);
		link_free(link);
	}
}

/* The env has room for four datagrams at a time, and the announcement is longer: each of its datagrams goes out once, then the initiation. */
static unsigned sent_by_first;

static bool fill_after_four(struct link *link, struct link_node *from, uint8_t *bytes, size_t length)
{
	(void)link;
	(void)bytes;
	(void)length;
	if (from->number == 0)
		from->is_full = ++sent_by_first % 4 == 0;
	return true;
}

static void test_an_announcement_goes_on_where_room_was_missing(void **state)
{
	struct link *link = disguised(&sets[2]);
	unsigned announced = sets[2].junk_count + 1;
	(void)state;

	sent_by_first = 0;
	link->filter = fill_after_four;
	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_STAGED);
	for (unsigned i = 0; i < 10; i++) {
		link->nodes[0].is_full = false;
		link_run(link, SECOND / 50);
	}
	assert_int_equal(link->nodes[1].delivered, 1);
	/* The initiation and the packet. */
	assert_int_equal(sent_by_first, announced + 2);
	link_free(link);
}

/* A session's packets need no random bytes of the env, where each would be a system call. */
static void test_packets_take_random_bytes_from_the_pool(void **state)
{
	(void)state;

	for (size_t s = 0; s < SETS; s++) {
		struct link *link = disguised(&sets[s]);
		link_handshake(link, 0, 1);
		unsigned before = link->nodes[0].random_calls + link->nodes[1].random_calls;
		for (unsigned i = 0; i < 1000; i++) {
			assert_int_equal(link_send(link, 0, 1, 60 + i), 0);
			assert_int_equal(link_send(link, 1, 0, 60 + i), 0);
		}
		link_run(link, SECOND);
		assert_int_equal(link->nodes[1].delivered, 1001);
		assert_int_equal(link->nodes[0].random_calls + link->nodes[1].random_calls, before);
		link_free(link);
	}
}

static unsigned sent_by(const struct link_node *node)
{
	unsigned sum = 0;

	for (size_t i = 0; i < sizeof(node->sent) / sizeof(node->sent[0]); i++)
		sum += node->sent[i];
	return sum;
}

/* A flood of junk from the peer's own address is dropped, each datagram once, without an answer (P3), and the session goes on. */
static void test_a_flood_of_junk_changes_nothing(void **state)
{
	uint8_t junk[1500];
	(void)state;

	for (size_t s = 0; s < SETS; s++) {
		struct link *link = disguised(&sets[s]);
		link_handshake(link, 0, 1);
		const struct wireguard_session *session = link_peer(link, 1, 0)->sessions.current;
		uint64_t drops = link_drops(link, 1);
		unsigned sent = sent_by(&link->nodes[1]);
		for (unsigned i = 0; i < 10000; i++) {
			size_t length = dice(sizeof(junk) + 1);
			for (size_t b = 0; b < length; b++)
				junk[b] = (uint8_t)dice(256);
			link_inject(link, 1, &link->nodes[0].address, junk, length);
		}
		assert_int_equal(link_drops(link, 1), drops + 10000);
		assert_int_equal(sent_by(&link->nodes[1]), sent);
		assert_int_equal(link_send(link, 0, 1, 300), 0);
		link_run(link, SECOND);
		assert_int_equal(link->nodes[1].delivered, 2);
		assert_ptr_equal(link_peer(link, 1, 0)->sessions.current, session);
		link_free(link);
	}
}

/* The parameters change at both ends while a session goes on. */
static void test_a_change_keeps_the_session(void **state)
{
	(void)state;

	for (size_t s = 0; s < SETS; s++) {
		struct link *link = disguised(&sets[s]);
		link_handshake(link, 0, 1);
		const struct wireguard_session *session = link_peer(link, 0, 1)->sessions.current;
		for (unsigned n = 0; n < 2; n++)
			assert_int_equal(config_obfuscate(link->nodes[n].device, &sets[(s + 1) % SETS], false, link->now), 0);
		assert_int_equal(link_send(link, 0, 1, 300), 0);
		for (unsigned n = 0; n < 2; n++) {
			link_run(link, SECOND);
			assert_int_equal(config_obfuscate(link->nodes[n].device, NULL, false, link->now), 0);
		}
		assert_int_equal(link_send(link, 0, 1, 300), 0);
		link_run(link, SECOND);
		assert_int_equal(link->nodes[1].delivered, 3);
		assert_ptr_equal(link_peer(link, 0, 1)->sessions.current, session);
		link_free(link);
	}
}

/* Reserved bytes are those of the peer, both ways; without them the far end drops. */
static bool watch_reserved(struct link *link, struct link_node *from, uint8_t *bytes, size_t length)
{
	static const uint8_t reserved[] = { 35, 74, 190 };
	(void)link;
	(void)from;
	(void)length;

	assert_memory_equal(bytes + 1, reserved, sizeof(reserved));
	return true;
}

static void test_reserved_bytes_of_a_peer(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	for (unsigned n = 0; n < 2; n++) {
		memcpy(link_peer(link, n, 1 - n)->reserved, (const uint8_t[]){ 35, 74, 190 }, 3);
		assert_int_equal(config_obfuscate(link->nodes[n].device, NULL, true, link->now), 0);
	}
	link->filter = watch_reserved;
	link_handshake(link, 0, 1);
	assert_int_equal(link_send(link, 1, 0, 500), 0);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[0].delivered, 1);
	link_free(link);
}

/* Sessions, retries and keepalives follow the configured times. */
static void test_configured_times(void **state)
{
	struct obfuscation config = sets[0];
	struct wireguard_peer_config peer;
	struct wireguard_network networks[2];
	(void)state;

	config.type = OBFUSCATION_AMNEZIAWG;
	config.rekey_after = (struct obfuscation_range){ 20, 30 };
	config.reject_after = (struct obfuscation_range){ 40, 50 };
	config.rekey_timeout = (struct obfuscation_range){ 2, 3 };
	config.keepalive_timeout = (struct obfuscation_range){ 3, 6 };
	config.attempts = (struct obfuscation_range){ 4, 4 };
	struct link *link = disguised(&config);
	/* A packet a second: a rekey every 20 to 30 s, and 5 s of patience at most. */
	link_handshake(link, 0, 1);
	for (unsigned i = 0; i < 300; i++) {
		(void)link_send(link, 0, 1, 100);
		link_run(link, SECOND);
	}
	assert_in_range(link_peer(link, 0, 1)->stats.handshakes, 10, 16);
	/* Silence ends the session at 50 s. */
	link_run(link, 51 * SECOND);
	assert_null(link_peer(link, 0, 1)->sessions.current);
	/* An initiation, repeated five times 2 to 3 s apart, as 4 says. */
	link->is_cut = true;
	unsigned given_up = link->nodes[0].events[WIREGUARD_HANDSHAKE_GAVE_UP];
	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_STAGED);
	link_run(link, 11 * SECOND);
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_GAVE_UP], given_up);
	link_run(link, 9 * SECOND + SECOND);
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_GAVE_UP], given_up + 1);
	/* Persistent keepalives at drawn intervals. */
	link->is_cut = false;
	link_config(link, 1, &peer, networks);
	peer.persistent_keepalive = 1;
	peer.persistent_keepalive_most = 3;
	assert_int_equal(config_change(link_peer(link, 0, 1), &peer, link->now), 0);
	unsigned before = link->nodes[0].sent[0];
	link_run(link, 100 * SECOND);
	assert_in_range(link->nodes[0].sent[0] - before, 40, 75);
	link_free(link);
}

/* The last check before the network: a cookie reply may go to where it was asked for, and nothing else to a stranger. */
static void test_only_a_cookie_reply_goes_to_a_stranger(void **state)
{
	struct link *link = disguised(&sets[2]);
	const struct wireguard_device *device = link->nodes[1].device;
	union wireguard_endpoint elsewhere = link_ipv4(0xc6336401, 9);
	uint8_t bytes[96] = { 0 };
	(void)state;

	assert_false(wireguard_device_may_answer(device, &link->nodes[0].address, bytes, sizeof(bytes)));
	link->nodes[1].device->load.queue.high_until = link->now + 20 * SECOND;
	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_STAGED);
	link_run(link, SECOND);
	assert_true(wireguard_device_may_answer(device, &link->nodes[0].address, bytes, sizeof(bytes)));
	assert_false(wireguard_device_may_answer(device, &link->nodes[0].address, bytes, sizeof(bytes) - 1));
	assert_false(wireguard_device_may_answer(device, &elsewhere, bytes, sizeof(bytes)));
	link_free(link);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		link_test(test_made_datagrams),
		link_test(test_captured_datagrams),
		link_test(test_captured_pair),
		link_test(test_captured_cookies),
		link_test(test_sorting),
		link_test(test_reserved_bytes),
		link_test(test_lwo),
		link_test(test_lwo_takes_plain_messages),
		link_test(test_signatures),
		link_test(test_any_message_comes_back),
		link_test(test_data_is_not_mistaken_by_others),
		link_test(test_packets_pass_both_ways),
		link_test(test_sessions_are_renewed_on_a_lossy_link),
		link_test(test_cookies_under_load),
		link_test(test_full_packets_keep_one_length),
		link_test(test_large_packets_stay_trains),
		link_test(test_an_announcement_goes_on_where_room_was_missing),
		link_test(test_packets_take_random_bytes_from_the_pool),
		link_test(test_a_flood_of_junk_changes_nothing),
		link_test(test_a_change_keeps_the_session),
		link_test(test_reserved_bytes_of_a_peer),
		link_test(test_configured_times),
		link_test(test_only_a_cookie_reply_goes_to_a_stranger),
	};

	if (argc > 1)
		rounds = strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
