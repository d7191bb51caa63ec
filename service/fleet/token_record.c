#include "service/fleet/token_record.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "service/spec/json_reader.h"
#include "service/spec/json_writer.h"
#include "service/store/scope.h"
#include "service/store/token_table.h"

#define MEMBER "token" /* no JSON pointer: nothing else of an object has this place */
#define HASH_TEXT sodium_base64_ENCODED_LEN(sizeof(((struct database_token *)NULL)->hash), sodium_base64_VARIANT_ORIGINAL)

const char *token_record_explain(enum token_record_error error)
{
	switch (error) {
	case TOKEN_RECORD_OK:
	case TOKEN_RECORD_RESERVATION: break;
	case TOKEN_RECORD_SEALED: return "its record in etcd is sealed with a key that is not in --fleet-key-file here";
	case TOKEN_RECORD_FORGED: return "its record in etcd is forged, or was put back after it was revoked";
	case TOKEN_RECORD_INVALID: return "its record in etcd is not one that this version can read";
	case TOKEN_RECORD_TOO_LARGE: return "it is too large for a record";
	case TOKEN_RECORD_NO_MEMORY: return "out of memory";
	}
	return "";
}

bool token_record_key(const char *id, char key[FLEET_KEY_TEXT])
{
	struct fleet_key read, made = { .kind = FLEET_KEY_TOKEN };
	if (id[0] != TOKEN_OF_FLEET || strlen(id) >= sizeof(((struct database_token *)NULL)->id))
		return false;
	memcpy(made.name, id, strlen(id) + 1);
	fleet_key_write(&made, key);
	fleet_key_read(&read, key);
	return read.kind == FLEET_KEY_TOKEN;
}

/* ---- Reading ---- */

static bool read_hash(uint8_t hash[32], const json_t *value)
{
	const char *text = json_string_value(value);
	size_t length = 0;
	return text != NULL && sodium_base642bin(hash, 32, text, strlen(text), NULL, &length, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       length == 32;
}

static int read_scopes(unsigned *scopes, const json_t *list)
{
	*scopes = 0;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));
		unsigned one = name == NULL ? 0 : scope_parse(name);
		if (one == 0)
			return TOKEN_RECORD_INVALID;
		*scopes |= one;
	}
	return *scopes == 0 ? TOKEN_RECORD_INVALID : TOKEN_RECORD_OK;
}

static int read_members(struct database_token *token, const json_t *value)
{
	const char *name = json_string_value(json_object_get(value, "name"));
	const json_t *labels = json_object_get(value, "labels");
	if (name == NULL || strlen(name) > TOKEN_NAME_MAX || !json_is_object(labels) || !read_hash(token->hash, json_object_get(value, "hash")) ||
	    read_scopes(&token->scopes, json_object_get(value, "scopes")) != TOKEN_RECORD_OK)
		return TOKEN_RECORD_INVALID;
	token->created_at = json_integer_value(json_object_get(value, "created_at"));
	token->expires_at = json_integer_value(json_object_get(value, "expires_at"));
	token->name = strdup(name);
	token->labels = json_writer_text(labels);
	return token->name == NULL || token->labels == NULL ? TOKEN_RECORD_NO_MEMORY : TOKEN_RECORD_OK;
}

static int open_record(const struct fleet_keyring *ring, const char *id, const struct fleet_kv *kv, json_t **value)
{
	const struct fleet_seal_place place = { .object = id, .member = MEMBER, .version = (uint64_t)kv->created };
	uint8_t opened[FLEET_SECRET_MAX];
	json_error_t where;
	size_t length;
	bool lacks_memory = false;
	int error = fleet_seal_open(ring, &place, kv->value, opened, &length);
	if (error != FLEET_SEAL_OK)
		return error == FLEET_SEAL_UNKNOWN_KEY ? TOKEN_RECORD_SEALED : TOKEN_RECORD_FORGED;
	*value = json_reader_load((const char *)opened, length, &where, &lacks_memory);
	sodium_memzero(opened, sizeof(opened));
	return lacks_memory ? TOKEN_RECORD_NO_MEMORY : *value == NULL ? TOKEN_RECORD_INVALID : TOKEN_RECORD_OK;
}

int token_record_read(struct database_token *token, const struct fleet_keyring *ring, const struct fleet_kv *kv)
{
	struct fleet_key key;
	char again[FLEET_KEY_TEXT];
	json_t *value = NULL;
	*token = (struct database_token){ .name = NULL };
	fleet_key_read(&key, kv->key);
	if (key.kind != FLEET_KEY_TOKEN || !token_record_key(key.name, again))
		return TOKEN_RECORD_FORGED;
	if (kv->length == strlen(TOKEN_RECORD_RESERVED) && memcmp(kv->value, TOKEN_RECORD_RESERVED, kv->length) == 0)
		return TOKEN_RECORD_RESERVATION;
	int error = open_record(ring, key.name, kv, &value);
	if (error == TOKEN_RECORD_OK)
		error = read_members(token, value);
	json_decref(value);
	if (error == TOKEN_RECORD_OK)
		memcpy(token->id, key.name, strlen(key.name) + 1);
	else
		database_token_clear(token);
	return error;
}

/* ---- Writing ---- */

int token_record_write(char text[FLEET_SEALED_TEXT], const struct fleet_keyring *ring, const struct database_token *token, int64_t created)
{
	const struct fleet_seal_place place = { .object = token->id, .member = MEMBER, .version = (uint64_t)created };
	struct json_writer writer = { .failed = false };
	char hash[HASH_TEXT];
	json_t *value = json_object();
	sodium_bin2base64(hash, sizeof(hash), token->hash, sizeof(token->hash), sodium_base64_VARIANT_ORIGINAL);
	json_writer_set(&writer, value, "name", json_string(token->name));
	json_writer_set(&writer, value, "scopes", scope_list_to_json(token->scopes));
	json_writer_set(&writer, value, "labels", json_loads(token->labels, 0, NULL));
	json_writer_set(&writer, value, "created_at", json_integer(token->created_at));
	json_writer_set(&writer, value, "expires_at", json_integer(token->expires_at));
	json_writer_set(&writer, value, "hash", json_string(hash));
	value = json_writer_end(&writer, value);
	char *plain = json_writer_text(value);
	json_decref(value);
	if (plain == NULL)
		return TOKEN_RECORD_NO_MEMORY;
	bool fits = strlen(plain) <= FLEET_SECRET_MAX;
	int error = fits ? fleet_seal(ring, &place, plain, strlen(plain), text) : FLEET_SEAL_OK;
	free(plain);
	return !fits ? TOKEN_RECORD_TOO_LARGE : error == FLEET_SEAL_OK ? TOKEN_RECORD_OK : TOKEN_RECORD_SEALED;
}
