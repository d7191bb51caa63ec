#include "fleet/seal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT 1
#define FILE_SIZE crypto_kdf_KEYBYTES
#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES
#define ID_SIZE sizeof(((struct fleet_seal_key *)NULL)->id)
#define HEAD_SIZE (1 + ID_SIZE + NONCE_SIZE)
#define SEALED_MAX (HEAD_SIZE + FLEET_SECRET_MAX + TAG_SIZE)

static_assert(FLEET_SEALED_TEXT >= sodium_base64_ENCODED_LEN(SEALED_MAX, sodium_base64_VARIANT_ORIGINAL), "every secret fits");
static_assert(sizeof(((struct fleet_seal_key *)NULL)->bytes) == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "a key of the cipher");

/* ---- Keys ---- */

/* The id and the cipher's key are derived apart, so that neither says anything about the other. */
static void derive(struct fleet_seal_key *key, const uint8_t file[FILE_SIZE])
{
	uint8_t id[crypto_kdf_BYTES_MIN];
	crypto_kdf_derive_from_key(key->bytes, sizeof(key->bytes), 1, "warrflee", file);
	crypto_kdf_derive_from_key(id, sizeof(id), 2, "warrflee", file);
	memcpy(key->id, id, sizeof(key->id));
}

static int read_file(int descriptor, uint8_t bytes[FILE_SIZE + 1])
{
	struct stat info;
	if (fstat(descriptor, &info) != 0)
		return FLEET_SEAL_UNREADABLE;
	if (!S_ISREG(info.st_mode)) {
		errno = EISDIR;
		return FLEET_SEAL_UNREADABLE;
	}
	if ((info.st_mode & 077) != 0)
		return FLEET_SEAL_OPEN_TO_ALL;
	ssize_t length = read(descriptor, bytes, FILE_SIZE + 1);
	if (length < 0)
		return FLEET_SEAL_UNREADABLE;
	return length == FILE_SIZE ? FLEET_SEAL_OK : FLEET_SEAL_NO_KEY;
}

int fleet_keyring_add(struct fleet_keyring *ring, const char *path)
{
	uint8_t bytes[FILE_SIZE + 1];
	if (ring->count == FLEET_SEAL_KEYS)
		return FLEET_SEAL_TOO_MANY;
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (descriptor < 0)
		return FLEET_SEAL_UNREADABLE;
	int error = read_file(descriptor, bytes), told = errno;
	close(descriptor);
	if (error == FLEET_SEAL_OK)
		derive(&ring->keys[ring->count++], bytes);
	sodium_memzero(bytes, sizeof(bytes));
	errno = told;
	return error;
}

void fleet_keyring_clear(struct fleet_keyring *ring)
{
	sodium_memzero(ring, sizeof(*ring));
}

static const struct fleet_seal_key *find(const struct fleet_keyring *ring, const uint8_t id[ID_SIZE])
{
	for (size_t i = 0; i < ring->count; i++)
		if (memcmp(ring->keys[i].id, id, ID_SIZE) == 0)
			return &ring->keys[i];
	return NULL;
}

/* ---- Sealing ---- */

/* A digest of what a secret belongs to. Texts are hashed with their ends, so that no two places are the same bytes. */
static void digest(uint8_t bytes[crypto_generichash_BYTES], const struct fleet_seal_place *place)
{
	crypto_generichash_state state;
	uint8_t version[8];
	for (size_t i = 0; i < sizeof(version); i++)
		version[i] = (uint8_t)(place->version >> 8 * i);
	crypto_generichash_init(&state, NULL, 0, crypto_generichash_BYTES);
	crypto_generichash_update(&state, (const uint8_t *)place->object, strlen(place->object) + 1);
	crypto_generichash_update(&state, (const uint8_t *)place->member, strlen(place->member) + 1);
	crypto_generichash_update(&state, version, sizeof(version));
	if (place->rest != NULL)
		crypto_generichash_update(&state, (const uint8_t *)place->rest, place->rest_length);
	crypto_generichash_final(&state, bytes, crypto_generichash_BYTES);
}

int fleet_seal(const struct fleet_keyring *ring, const struct fleet_seal_place *place, const void *secret, size_t length,
               char text[FLEET_SEALED_TEXT])
{
	uint8_t sealed[SEALED_MAX], bound[crypto_generichash_BYTES];
	unsigned long long encrypted;
	assert(length <= FLEET_SECRET_MAX);
	if (ring->count == 0)
		return FLEET_SEAL_NO_KEY;
	const struct fleet_seal_key *key = &ring->keys[0];
	uint8_t *nonce = sealed + 1 + ID_SIZE;
	sealed[0] = FORMAT;
	memcpy(sealed + 1, key->id, ID_SIZE);
	randombytes_buf(nonce, NONCE_SIZE);
	digest(bound, place);
	crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + HEAD_SIZE, &encrypted, secret, length, bound, sizeof(bound), NULL, nonce, key->bytes);
	sodium_bin2base64(text, FLEET_SEALED_TEXT, sealed, HEAD_SIZE + (size_t)encrypted, sodium_base64_VARIANT_ORIGINAL);
	return FLEET_SEAL_OK;
}

/* The bytes of a text; false: it is no sealed text. */
static bool decode(const char *text, uint8_t sealed[SEALED_MAX], size_t *length)
{
	return sodium_base642bin(sealed, SEALED_MAX, text, strlen(text), NULL, length, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       *length >= HEAD_SIZE + TAG_SIZE && sealed[0] == FORMAT;
}

int fleet_seal_open(const struct fleet_keyring *ring, const struct fleet_seal_place *place, const char *text, uint8_t secret[FLEET_SECRET_MAX],
                    size_t *length)
{
	uint8_t sealed[SEALED_MAX], bound[crypto_generichash_BYTES];
	unsigned long long opened;
	size_t size;
	*length = 0;
	if (!decode(text, sealed, &size))
		return FLEET_SEAL_MALFORMED;
	const struct fleet_seal_key *key = find(ring, sealed + 1);
	if (key == NULL)
		return FLEET_SEAL_UNKNOWN_KEY;
	digest(bound, place);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(secret, &opened, NULL, sealed + HEAD_SIZE, size - HEAD_SIZE, bound, sizeof(bound),
	                                               sealed + 1 + ID_SIZE, key->bytes) != 0)
		return FLEET_SEAL_FORGED;
	*length = (size_t)opened;
	return FLEET_SEAL_OK;
}

bool fleet_seal_is_current(const struct fleet_keyring *ring, const char *text)
{
	uint8_t sealed[SEALED_MAX];
	size_t length;
	return ring->count > 0 && decode(text, sealed, &length) && find(ring, sealed + 1) == &ring->keys[0];
}

/* ---- Whole records ---- */

#define RECORD_HEAD "{\"seal\":\""
#define RECORD_TAIL "\","
#define RECORD_MEMBER "record" /* no JSON pointer, so it is no secret's place */

int fleet_seal_record(const struct fleet_keyring *ring, const char *object, const char *json, char **text)
{
	const struct fleet_seal_place place = { .object = object, .member = RECORD_MEMBER, .rest = json + 1, .rest_length = strlen(json + 1) };
	char seal[FLEET_SEALED_TEXT];
	assert(json[0] == '{' && json[1] == '"');
	*text = NULL;
	if (fleet_seal(ring, &place, "", 0, seal) != FLEET_SEAL_OK)
		return FLEET_SEAL_NO_KEY;
	size_t size = sizeof(RECORD_HEAD RECORD_TAIL) + strlen(seal) + place.rest_length;
	*text = malloc(size);
	if (*text == NULL)
		return FLEET_SEAL_NO_MEMORY;
	snprintf(*text, size, RECORD_HEAD "%s" RECORD_TAIL "%s", seal, place.rest);
	return FLEET_SEAL_OK;
}

/* Its seal, and in `place` what that covers; false: it has none. */
static bool split_record(const char *text, size_t length, char seal[FLEET_SEALED_TEXT], struct fleet_seal_place *place)
{
	const size_t head = strlen(RECORD_HEAD), tail = strlen(RECORD_TAIL);
	const char *end = length < head || memcmp(text, RECORD_HEAD, head) != 0 ? NULL : memchr(text + head, '"', length - head);
	size_t size = end == NULL ? 0 : (size_t)(end - text) - head;
	if (end == NULL || size >= FLEET_SEALED_TEXT || length - head - size < tail || memcmp(end, RECORD_TAIL, tail) != 0)
		return false;
	memcpy(seal, text + head, size);
	seal[size] = '\0';
	place->rest = end + tail;
	place->rest_length = length - head - size - tail;
	return true;
}

int fleet_seal_check_record(const struct fleet_keyring *ring, const char *object, const char *text, size_t length)
{
	struct fleet_seal_place place = { .object = object, .member = RECORD_MEMBER };
	char seal[FLEET_SEALED_TEXT];
	uint8_t nothing[FLEET_SECRET_MAX];
	size_t size;
	return split_record(text, length, seal, &place) ? fleet_seal_open(ring, &place, seal, nothing, &size) : FLEET_SEAL_MALFORMED;
}

bool fleet_seal_record_is_current(const struct fleet_keyring *ring, const char *text, size_t length)
{
	struct fleet_seal_place place;
	char seal[FLEET_SEALED_TEXT];
	return split_record(text, length, seal, &place) && fleet_seal_is_current(ring, seal);
}
