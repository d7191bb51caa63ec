/* The primitives and the handshake against published vectors (W1), and a WireGuard handshake against stored bytes (W2), which an independent
 * program computed from the paper. */
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tests/vectors.h"
#include "tests/wireguard/hex.h"
#include "tests/wireguard/link.h"
#include "tunnel/wireguard/aead.h"
#include "tunnel/wireguard/hash.h"
#include "tunnel/wireguard/sealing.h"

static size_t member(const json_t *object, const char *name, uint8_t *bytes, size_t size)
{
	return hex_read(bytes, size, json_string_value(json_object_get(object, name)));
}

/* Private keys are clamped by the function, as in section 5. */
static void exchange_gives(const char *private_key, const char *public_key, const char *expected)
{
	uint8_t scalar[32], point[32], result[32], shared[32];

	hex_read(scalar, sizeof(scalar), private_key);
	hex_read(point, sizeof(point), public_key);
	hex_read(result, sizeof(result), expected);
	assert_int_equal(wireguard_noise_exchange(shared, scalar, point), 0);
	assert_memory_equal(shared, result, sizeof(shared));
}

static void public_is(const char *private_key, const char *expected)
{
	struct wireguard_key private_bytes, expected_bytes, public_key;

	hex_read(private_bytes.bytes, sizeof(private_bytes.bytes), private_key);
	hex_read(expected_bytes.bytes, sizeof(expected_bytes.bytes), expected);
	assert_int_equal(wireguard_key_public(&public_key, &private_bytes), 0);
	assert_memory_equal(&public_key, &expected_bytes, sizeof(public_key));
}

#define ALICE "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
#define ALICE_PUBLIC "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define BOB "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
#define BOB_PUBLIC "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
#define SHARED "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"

static void test_w1_x25519_of_rfc7748(void **state)
{
	uint8_t k[32] = { 9 }, u[32] = { 9 }, next[32], after_1[32], after_1000[32];
	(void)state;

	exchange_gives("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
	               "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
	               "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
	exchange_gives("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
	               "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
	               "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
	public_is(ALICE, ALICE_PUBLIC);
	public_is(BOB, BOB_PUBLIC);
	exchange_gives(ALICE, BOB_PUBLIC, SHARED);
	exchange_gives(BOB, ALICE_PUBLIC, SHARED);

	hex_read(after_1, 32, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
	hex_read(after_1000, 32, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
	for (unsigned i = 1; i <= 1000; i++) {
		assert_int_equal(wireguard_noise_exchange(next, k, u), 0);
		memcpy(u, k, sizeof(u));
		memcpy(k, next, sizeof(k));
		if (i == 1)
			assert_memory_equal(k, after_1, sizeof(k));
	}
	assert_memory_equal(k, after_1000, sizeof(k));
}

static void test_w1_x25519_of_wycheproof(void **state)
{
	json_t *root = vectors_load("wycheproof-x25519.json"), *group, *test;
	size_t g, t, refused = 0, equal = 0;
	(void)state;

	json_array_foreach (json_object_get(root, "testGroups"), g, group) {
		json_array_foreach (json_object_get(group, "tests"), t, test) {
			uint8_t scalar[32], point[32], expected[32], shared[32];
			static const uint8_t zero[32];
			member(test, "private", scalar, sizeof(scalar));
			member(test, "public", point, sizeof(point));
			member(test, "shared", expected, sizeof(expected));
			if (memcmp(expected, zero, sizeof(zero)) == 0) {
				assert_int_equal(wireguard_noise_exchange(shared, scalar, point), WIREGUARD_CRYPTO);
				refused++;
			} else {
				assert_int_equal(wireguard_noise_exchange(shared, scalar, point), 0);
				assert_memory_equal(shared, expected, sizeof(shared));
				equal++;
			}
		}
	}
	assert_int_equal(refused, 31);
	assert_int_equal(equal, 518 - 31);
	json_decref(root);
}

static void test_w1_blake2s_of_rfc7693(void **state)
{
	uint8_t expected[32], hash[32];
	(void)state;

	hex_read(expected, sizeof(expected), "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
	assert_int_equal(wireguard_hash(hash, "abc", 3, NULL, 0), 0);
	assert_memory_equal(hash, expected, sizeof(hash));
	assert_int_equal(wireguard_hash(hash, "a", 1, "bc", 2), 0);
	assert_memory_equal(hash, expected, sizeof(hash));
}

/* With AVX2, libipsec-mb runs as on a CPU without AVX-512. */
static const enum aead_backend backends[] = { AEAD_LIBSODIUM, AEAD_IPSEC_MB, AEAD_AVX2 };
#define BACKENDS (sizeof(backends) / sizeof(backends[0]))

/* Some lengths of additional data come along, since the handshake's have 32 and packets have none. */
static void seal_and_open(const uint8_t *key, const uint8_t *iv, const uint8_t *additional, size_t additional_length, const uint8_t *plain,
                          size_t length, const uint8_t *sealed, bool is_valid)
{
	struct wireguard_aead_nonce nonce;
	struct wireguard_aead_additional aad = { additional, additional_length };
	uint8_t *bytes = malloc(length + 16);

	memcpy(nonce.bytes, iv, sizeof(nonce.bytes));
	if (is_valid) {
		memcpy(bytes, plain, length);
		assert_int_equal(wireguard_aead_seal(bytes, length, aad, &nonce, key), 0);
		assert_memory_equal(bytes, sealed, length + 16);
		assert_int_equal(wireguard_aead_open(bytes, length, aad, &nonce, key), 0);
		if (length > 0)
			assert_memory_equal(bytes, plain, length);
	} else {
		memcpy(bytes, sealed, length + 16);
		assert_int_equal(wireguard_aead_open(bytes, length, aad, &nonce, key), WIREGUARD_CRYPTO);
	}
	free(bytes);
}

static void test_w1_aead_of_rfc8439(void **state)
{
	static const char text[] =
	    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
	uint8_t key[32], iv[12], additional[12], sealed[114 + 16];
	(void)state;

	hex_read(key, sizeof(key), "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
	hex_read(iv, sizeof(iv), "070000004041424344454647");
	hex_read(additional, sizeof(additional), "50515253c0c1c2c3c4c5c6c7");
	hex_read(sealed, sizeof(sealed),
	         "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	         "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116"
	         "1ae10b594f09e26a7e902ecbd0600691");
	for (size_t b = 0; b < BACKENDS; b++)
		if (wireguard_aead_select(backends[b]))
			seal_and_open(key, iv, additional, sizeof(additional), (const uint8_t *)text, strlen(text), sealed, true);
}

static void test_w1_aead_of_wycheproof(void **state)
{
	json_t *root = vectors_load("wycheproof-chacha20-poly1305.json"), *group, *test;
	size_t g, t, seen = 0;
	(void)state;

	json_array_foreach (json_object_get(root, "testGroups"), g, group) {
		if (json_integer_value(json_object_get(group, "ivSize")) != 96)
			continue;
		json_array_foreach (json_object_get(group, "tests"), t, test) {
			static uint8_t key[32], iv[12], additional[4096], plain[4096], sealed[4096 + 16];
			bool is_valid = strcmp(json_string_value(json_object_get(test, "result")), "valid") == 0;
			size_t additional_length = member(test, "aad", additional, sizeof(additional));
			size_t length = member(test, "msg", plain, sizeof(plain));
			member(test, "key", key, sizeof(key));
			member(test, "iv", iv, sizeof(iv));
			member(test, "ct", sealed, sizeof(sealed));
			assert_int_equal(member(test, "tag", sealed + length, 16), 16);
			for (size_t b = 0; b < BACKENDS; b++)
				if (wireguard_aead_select(backends[b]))
					seal_and_open(key, iv, additional, additional_length, plain, length, sealed, is_valid);
			seen++;
		}
	}
	assert_int_equal(seen, 316);
	json_decref(root);
}

/* Each back end against libsodium itself, at every length that a packet may have. */
static void test_w1_aead_at_every_length(void **state)
{
	static uint8_t plain[2000], sealed[2016], additional[64], key[32];
	(void)state;

	randombytes_buf(plain, sizeof(plain));
	randombytes_buf(key, sizeof(key));
	randombytes_buf(additional, sizeof(additional));
	for (size_t length = 0; length <= 2000; length++) {
		struct wireguard_aead_nonce nonce = wireguard_aead_nonce(length * UINT64_C(0x100000001));
		size_t additional_length = length % 3 == 0 ? 0 : length % 65;
		crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, plain, length, additional, additional_length, NULL, nonce.bytes, key);
		for (size_t b = 0; b < BACKENDS; b++) {
			if (!wireguard_aead_select(backends[b]))
				continue;
			seal_and_open(key, nonce.bytes, additional, additional_length, plain, length, sealed, true);
			sealed[length * 7 % (length + 16)] ^= (uint8_t)(1 << length % 8);
			seal_and_open(key, nonce.bytes, additional, additional_length, plain, length, sealed, false);
			sealed[length * 7 % (length + 16)] ^= (uint8_t)(1 << length % 8);
		}
	}
}

/* Each side's transport messages open on the other side; the initiator sends the first. */
static void transport_is(const json_t *messages, const uint8_t sending[2][32], const uint8_t receiving[2][32])
{
	uint8_t payload[512], expected[512];

	for (size_t m = 2; m < json_array_size(messages); m++) {
		struct wireguard_aead_nonce nonce = wireguard_aead_nonce((m - 2) / 2);
		size_t length = member(json_array_get(messages, m), "payload", payload, sizeof(payload));
		member(json_array_get(messages, m), "ciphertext", expected, sizeof(expected));
		seal_and_open(sending[m % 2], nonce.bytes, NULL, 0, payload, length, expected, true);
		seal_and_open(receiving[1 - m % 2], nonce.bytes, NULL, 0, payload, length, expected, true);
	}
}

/* The Noise core with the published vector's prologue and payloads, which are not WireGuard's. */
static void test_w1_noise_ikpsk2(void **state)
{
	json_t *root = vectors_load("noise-ikpsk2-25519-chachapoly-blake2s.json");
	const json_t *vector = json_array_get(json_object_get(root, "vectors"), 0), *messages = json_object_get(vector, "messages");
	uint8_t psk[32], keys[2][32], publics[2][32], shared[2][32], message[512], expected[512], payload[512], opened[512], hash[32];
	char prologue[64] = { 0 };
	union wireguard_secrets *slots[2];
	(void)state;

	assert_int_equal(wireguard_arena_acquire(slots, 2), 0);
	struct wireguard_noise initiator = { .secrets = slots[0] }, responder = { .secrets = slots[1] };
	member(vector, "init_prologue", (uint8_t *)prologue, sizeof(prologue) - 1);
	hex_read(psk, sizeof(psk), json_string_value(json_array_get(json_object_get(vector, "init_psks"), 0)));
	member(vector, "init_static", keys[0], 32);
	member(vector, "resp_static", keys[1], 32);
	member(vector, "init_remote_static", publics[1], 32);
	member(vector, "init_ephemeral", slots[0]->handshake.ephemeral, 32);
	crypto_scalarmult_base(publics[0], keys[0]);
	assert_int_equal(wireguard_noise_exchange(shared[0], keys[0], publics[1]), 0);
	assert_int_equal(wireguard_noise_exchange(shared[1], keys[1], publics[0]), 0);
	struct wireguard_noise_local locals[2] = { { prologue, keys[0], publics[0] }, { prologue, keys[1], publics[1] } };
	struct wireguard_noise_remote remotes[2] = { { publics[1], shared[0], psk }, { publics[0], shared[1], psk } };

	size_t length = member(json_array_get(messages, 0), "payload", payload, sizeof(payload));
	assert_int_equal(member(json_array_get(messages, 0), "ciphertext", expected, sizeof(expected)), length + WIREGUARD_NOISE_INITIATION_LENGTH);
	assert_int_equal(wireguard_noise_write_initiation(&initiator, &locals[0], &remotes[0], message, payload, length), 0);
	assert_memory_equal(message, expected, length + WIREGUARD_NOISE_INITIATION_LENGTH);
	assert_int_equal(wireguard_noise_read_static(&responder, &locals[1], message), 0);
	assert_memory_equal(responder.remote_static, publics[0], 32);
	assert_int_equal(wireguard_noise_read_payload(&responder, &remotes[1], message, opened, length), 0);
	assert_memory_equal(opened, payload, length);

	length = member(json_array_get(messages, 1), "payload", payload, sizeof(payload));
	member(json_array_get(messages, 1), "ciphertext", expected, sizeof(expected));
	member(vector, "resp_ephemeral", slots[1]->handshake.ephemeral, 32);
	assert_int_equal(wireguard_noise_write_response(&responder, &remotes[1], message, payload, length), 0);
	assert_memory_equal(message, expected, length + WIREGUARD_NOISE_RESPONSE_LENGTH);
	assert_int_equal(wireguard_noise_read_response(&initiator, &locals[0], &remotes[0], message, opened, length), 0);
	assert_memory_equal(opened, payload, length);
	member(vector, "handshake_hash", hash, sizeof(hash));
	assert_memory_equal(initiator.hash, hash, sizeof(hash));
	assert_memory_equal(responder.hash, hash, sizeof(hash));

	uint8_t sending[2][32], receiving[2][32];
	assert_int_equal(wireguard_noise_split(&initiator, sending[0], receiving[0]), 0);
	assert_int_equal(wireguard_noise_split(&responder, receiving[1], sending[1]), 0);
	transport_is(messages, (const uint8_t(*)[32])sending, (const uint8_t(*)[32])receiving);
	wireguard_arena_release(slots, 2);
	json_decref(root);
}

/* A side of the stored handshake. Random bytes are told apart by how many are asked for. */
struct side {
	struct wireguard_device *device;
	uint8_t ephemeral, index;
	uint8_t room[256], sent[256];
	size_t reserved, length;
	unsigned delivered;
};

static void side_random(void *owner, void *bytes, size_t length)
{
	const struct side *side = owner;

	memset(bytes, length == 32 ? side->ephemeral : length == 4 ? side->index : 0x77, length);
}

static void side_wall_clock(void *owner, struct timespec *now)
{
	(void)owner;
	*now = (struct timespec){ 1700000000, 123456789 };
}

static uint8_t *side_reserve(void *owner, const union wireguard_endpoint *to, size_t length)
{
	struct side *side = owner;

	(void)to;
	side->reserved = length;
	return side->room;
}

static void side_commit(void *owner, size_t length)
{
	struct side *side = owner;

	assert_int_equal(length, side->reserved);
	assert_true(wireguard_sealing_finish());
	memcpy(side->sent, side->room, length);
	side->length = length;
}

static void side_deliver(void *owner, struct wireguard_peer *peer, uint8_t *packet, size_t length)
{
	struct side *side = owner;

	(void)peer;
	assert_int_equal(length, 30);
	assert_memory_equal(packet + 20, "0123456789", 10);
	side->delivered++;
}

static void side_notify(void *owner, struct wireguard_peer *peer, enum wireguard_event event)
{
	(void)owner;
	(void)peer;
	(void)event;
}

static void side_create(struct side *side, uint8_t key)
{
	struct wireguard_env env = { side, side_random, side_wall_clock, side_reserve, side_commit, side_deliver, side_notify };
	struct wireguard_key private_key;
	static const uint8_t floor[12];

	memset(&private_key, key, sizeof(private_key));
	assert_int_equal(wireguard_device_create(&side->device, &private_key, floor, &env), 0);
}

static struct wireguard_peer *side_add(struct side *side, const struct side *other, uint8_t inner, const union wireguard_endpoint *endpoint)
{
	struct wireguard_network network = { AF_INET, 32, { 10, 0, 0, inner } };
	struct wireguard_peer_config config = {
		.public_key = other->device->public_key, .endpoint = *endpoint, .allowed_ips = &network, .allowed_ip_count = 1
	};
	struct wireguard_peer *peer;

	memset(&config.preshared_key, 0x55, sizeof(config.preshared_key));
	assert_int_equal(config_add(side->device, &config, NULL, &peer, 1), 0);
	return peer;
}

static void sent_is(const struct side *side, const char *hex, size_t length)
{
	uint8_t expected[256];

	assert_int_equal(hex_read(expected, sizeof(expected), hex), length);
	assert_int_equal(side->length, length);
	assert_memory_equal(side->sent, expected, length);
}

#define INITIATION                                                                                                                                   \
	"01000000616161617b0d47d93427f8311160781c7c733fd89f88970aef490d8aa0ee19a4cb8a1b1481e498317da959fba46669572516a5e6c021bfa620bb6c56"           \
	"ca0082e1feae14988c2c64d024c617734a263f76a008df04d0f94bad8ee75ec8e6c2695569183cc7dc1e27ce0c1b8436de667e274b6a3582ecef10597a50da0f"           \
	"f5fb1d3000000000000000000000000000000000"
#define RESPONSE                                                                                                                                     \
	"020000006262626261616161ff2ee45601ec1b67310c7790404585ae697331eee1c1f8cf2419731c1fff3e6bf3c8d3f436c557547df21dab91e91043af93a51d"           \
	"ea0fbff554eaae370790362600000000000000000000000000000000"
#define KEEPALIVE "04000000626262620000000000000000f1bce9fd9651b3f6b50c00179cbd1e01"
#define PACKET "04000000616161610000000000000000934030ff1cdff002d08eb2dc275ace92b7679d2a8644b46fd3b6e8f10de9e485bda7072ea2def4a5b969ffc950d75f41"
#define COOKIE_REPLY                                                                                                                                 \
	"03000000616161617777777777777777777777777777777777777777777777772cd93e962dd62def62b6bdc519db3e4115a82aac657b6bcd17eae6b01d0dc311"
#define MAC2 "67c1db231989fea4c4a09f98225b726f"

static void test_w2_handshake_equals_stored_bytes(void **state)
{
	static struct side initiator, responder;
	union wireguard_endpoint a = link_ipv4(0xc0000201, 51820), b = link_ipv4(0xc0000202, 51820);
	uint8_t packet[30] = { 0x45, [3] = 30, [12] = 10, [15] = 2, [16] = 10, [19] = 1 };
	struct iovec part = { packet, sizeof(packet) };
	(void)state;

	initiator = (struct side){ .ephemeral = 0x33, .index = 0x61 };
	responder = (struct side){ .ephemeral = 0x44, .index = 0x62 };
	side_create(&initiator, 0x11);
	side_create(&responder, 0x22);
	wireguard_peer_initiate(side_add(&initiator, &responder, 2, &b), 1);
	side_add(&responder, &initiator, 1, &a);
	sent_is(&initiator, INITIATION, 148);
	receive_one(responder.device, initiator.sent, initiator.length, &a, 1);
	sent_is(&responder, RESPONSE, 92);
	receive_one(initiator.device, responder.sent, responder.length, &b, 1);
	sent_is(&initiator, KEEPALIVE, 32);
	receive_one(responder.device, initiator.sent, initiator.length, &a, 1);
	memcpy(packet + 20, "0123456789", 10);
	assert_int_equal(wireguard_device_send(responder.device, &part, 1, sizeof(packet), 1), WIREGUARD_OK);
	sent_is(&responder, PACKET, 64);
	receive_one(initiator.device, responder.sent, responder.length, &b, 1);
	assert_int_equal(initiator.delivered, 1);
	wireguard_device_free(initiator.device);
	wireguard_device_free(responder.device);
}

static void test_w2_cookie_equals_stored_bytes(void **state)
{
	struct side side = { .ephemeral = 0x66 };
	struct wireguard_env env = { .owner = &side, .random = side_random };
	union wireguard_endpoint from = link_ipv4(0xc0000201, 51820);
	struct wireguard_cookie_checker checker;
	struct wireguard_cookie_maker maker;
	struct wireguard_message_cookie_reply reply;
	struct wireguard_key private_key, public_key;
	uint8_t secret[32], message[148], expected[64];
	(void)state;

	memset(&private_key, 0x22, sizeof(private_key));
	assert_int_equal(wireguard_key_public(&public_key, &private_key), 0);
	hex_read(message, sizeof(message), INITIATION);
	assert_int_equal(wireguard_cookie_checker_init(&checker, public_key.bytes, secret), 0);
	assert_true(wireguard_cookie_has_mac1(&checker, message, sizeof(message)));
	assert_int_equal(wireguard_cookie_reply(&checker, &env, &reply, (void *)(message + 148 - 32), message + 4, &from, 5), 0);
	hex_read(expected, sizeof(expected), COOKIE_REPLY);
	assert_memory_equal(&reply, expected, sizeof(reply));

	wireguard_cookie_maker_init(&maker);
	assert_int_equal(wireguard_cookie_add_macs(&maker, public_key.bytes, message, sizeof(message), 5), 0);
	assert_int_equal(wireguard_cookie_take(&maker, public_key.bytes, &reply, 5), 0);
	assert_int_equal(wireguard_cookie_add_macs(&maker, public_key.bytes, message, sizeof(message), 5), 0);
	hex_read(expected, sizeof(expected), MAC2);
	assert_memory_equal(message + 148 - 16, expected, 16);
	assert_true(wireguard_cookie_has_mac2(&checker, &env, message, sizeof(message), &from, 5));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		link_test(test_w1_x25519_of_rfc7748),
		link_test(test_w1_x25519_of_wycheproof),
		link_test(test_w1_blake2s_of_rfc7693),
		link_test(test_w1_aead_of_rfc8439),
		link_test(test_w1_aead_of_wycheproof),
		link_test(test_w1_aead_at_every_length),
		link_test(test_w1_noise_ikpsk2),
		link_test(test_w2_handshake_equals_stored_bytes),
		link_test(test_w2_cookie_equals_stored_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
