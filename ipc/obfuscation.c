#include "ipc/obfuscation.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/message.h"
#include "ipc/signature.h"

#define SECONDS_MAX 65535
#define JUNK_MAX 1280 /* a datagram that no path fragments */

#define FIELD(member, key, value, place, most)                                                                                                       \
	{                                                                                                                                            \
		member, key, value, offsetof(struct obfuscation, place), most, 0                                                                     \
	}
#define FROM_ONE(member, key, place)                                                                                                                 \
	{                                                                                                                                            \
		member, key, OBFUSCATION_RANGE, offsetof(struct obfuscation, place), SECONDS_MAX, 1                                                  \
	}

const struct obfuscation_field obfuscation_fields[] = {
	FIELD("jc", "Jc", OBFUSCATION_NUMBER, junk_count, 128),
	FIELD("jmin", "Jmin", OBFUSCATION_NUMBER, junk_least, JUNK_MAX),
	FIELD("jmax", "Jmax", OBFUSCATION_NUMBER, junk_most, JUNK_MAX),
	FIELD("s1", "S1", OBFUSCATION_NUMBER, padding[OBFUSCATION_INITIATION], JUNK_MAX - 148),
	FIELD("s2", "S2", OBFUSCATION_NUMBER, padding[OBFUSCATION_RESPONSE], JUNK_MAX - 92),
	FIELD("s3", "S3", OBFUSCATION_NUMBER, padding[OBFUSCATION_COOKIE_REPLY], JUNK_MAX - 64),
	FIELD("s4", "S4", OBFUSCATION_NUMBER, padding[OBFUSCATION_DATA], JUNK_MAX - 32),
	FIELD("h1", "H1", OBFUSCATION_RANGE, message_types[OBFUSCATION_INITIATION], UINT32_MAX),
	FIELD("h2", "H2", OBFUSCATION_RANGE, message_types[OBFUSCATION_RESPONSE], UINT32_MAX),
	FIELD("h3", "H3", OBFUSCATION_RANGE, message_types[OBFUSCATION_COOKIE_REPLY], UINT32_MAX),
	FIELD("h4", "H4", OBFUSCATION_RANGE, message_types[OBFUSCATION_DATA], UINT32_MAX),
	FIELD("i1", "I1", OBFUSCATION_TEXT, signatures[0], SIGNATURE_TEXT_MAX),
	FIELD("i2", "I2", OBFUSCATION_TEXT, signatures[1], SIGNATURE_TEXT_MAX),
	FIELD("i3", "I3", OBFUSCATION_TEXT, signatures[2], SIGNATURE_TEXT_MAX),
	FIELD("i4", "I4", OBFUSCATION_TEXT, signatures[3], SIGNATURE_TEXT_MAX),
	FIELD("i5", "I5", OBFUSCATION_TEXT, signatures[4], SIGNATURE_TEXT_MAX),
	FIELD("header_protection_key", "HeaderProtectionKey", OBFUSCATION_KEY, header_key, 0),
	FIELD("content_padding_addition", "ContentPaddingAddition", OBFUSCATION_RANGE, content_padding, 65535),
	FIELD("random_trailers", "RandomTrailers", OBFUSCATION_SWITCH, random_trailers, 1),
	FIELD("disable_cookies", "DisableCookies", OBFUSCATION_SWITCH, disable_cookies, 1),
	FROM_ONE("rekey_after_time", "RekeyAfterTime", rekey_after),
	FROM_ONE("rekey_timeout", "RekeyTimeout", rekey_timeout),
	FROM_ONE("reject_after_time", "RejectAfterTime", reject_after),
	FROM_ONE("keepalive_timeout", "KeepaliveTimeout", keepalive_timeout),
	FROM_ONE("max_handshake_attempts", "MaxHandshakeAttempts", attempts),
};
const size_t obfuscation_field_count = sizeof(obfuscation_fields) / sizeof(obfuscation_fields[0]);

static const char *const type_names[] = { [OBFUSCATION_LWO] = "lwo", [OBFUSCATION_AMNEZIAWG] = "amneziawg" };
static_assert(sizeof(type_names) / sizeof(type_names[0]) == OBFUSCATION_TYPES, "a name for each type");

const char *obfuscation_type_name(enum obfuscation_type type)
{
	return type_names[type];
}

bool obfuscation_type_parse(const char *name, enum obfuscation_type *type)
{
	for (*type = 0; *type < OBFUSCATION_TYPES; (*type)++)
		if (strcmp(name, type_names[*type]) == 0)
			return true;
	return false;
}

void obfuscation_init(struct obfuscation *obfuscation, enum obfuscation_type type)
{
	*obfuscation = (struct obfuscation){ .type = type };
	for (uint32_t i = 0; i < OBFUSCATION_MESSAGES; i++)
		obfuscation->message_types[i] = (struct obfuscation_range){ i + 1, i + 1 };
}

void obfuscation_free(struct obfuscation *obfuscation)
{
	if (obfuscation == NULL)
		return;
	for (size_t i = 0; i < OBFUSCATION_SIGNATURES; i++)
		free(obfuscation->signatures[i]);
	sodium_memzero(obfuscation, sizeof(*obfuscation));
	free(obfuscation);
}

bool obfuscation_has_header_key(const struct obfuscation *obfuscation)
{
	return !key_is_zero(&obfuscation->header_key);
}

static bool range_equal(const struct obfuscation_range *a, const struct obfuscation_range *b)
{
	return a->low == b->low && a->high == b->high;
}

bool obfuscation_is_default(const struct obfuscation *obfuscation, const struct obfuscation_field *field)
{
	struct obfuscation fresh;
	const void *value = (const char *)obfuscation + field->offset, *other = (const char *)&fresh + field->offset;

	obfuscation_init(&fresh, obfuscation->type);
	switch (field->value) {
	case OBFUSCATION_NUMBER: return *(const uint16_t *)value == 0;
	case OBFUSCATION_RANGE: return range_equal(value, other);
	case OBFUSCATION_TEXT: return *(char *const *)value == NULL;
	case OBFUSCATION_KEY: return key_is_zero(value);
	case OBFUSCATION_SWITCH: return !*(const bool *)value;
	}
	return true;
}

bool obfuscation_is_plain_wire(const struct obfuscation *obfuscation)
{
	struct obfuscation plain;

	obfuscation_init(&plain, OBFUSCATION_AMNEZIAWG);
	for (size_t i = 0; i < OBFUSCATION_MESSAGES; i++)
		if (obfuscation->padding[i] != 0 || !range_equal(&obfuscation->message_types[i], &plain.message_types[i]))
			return false;
	return obfuscation->type == OBFUSCATION_AMNEZIAWG && !obfuscation_has_header_key(obfuscation) && !obfuscation->random_trailers;
}

/* Moves behind the digits. */
static bool parse_bound(const char **text, uint32_t most, uint32_t *bound)
{
	uint64_t value = 0;
	size_t digits = strspn(*text, "0123456789");

	for (size_t i = 0; i < digits && value <= most; i++)
		value = 10 * value + (uint64_t)((*text)[i] - '0');
	*text += digits;
	*bound = (uint32_t)value;
	return digits > 0 && value <= most;
}

bool obfuscation_range_parse(const char *text, uint32_t most, struct obfuscation_range *range)
{
	if (!parse_bound(&text, most, &range->low))
		return false;
	range->high = range->low;
	if (*text == '\0')
		return true;
	if (*text++ != '-')
		return false;
	return parse_bound(&text, most, &range->high) && *text == '\0' && range->low <= range->high;
}

void obfuscation_range_format(const struct obfuscation_range *range, char text[OBFUSCATION_RANGE_TEXT])
{
	if (range->low == range->high)
		snprintf(text, OBFUSCATION_RANGE_TEXT, "%u", range->low);
	else
		snprintf(text, OBFUSCATION_RANGE_TEXT, "%u-%u", range->low, range->high);
}

bool obfuscation_range_begins_at(const struct obfuscation_range *range, uint32_t least)
{
	return range->high == 0 || range->low >= least;
}

static void encode_field(struct message_writer *writer, const struct obfuscation *obfuscation, const struct obfuscation_field *field)
{
	const void *value = (const char *)obfuscation + field->offset;
	const struct obfuscation_range *range = value;

	switch (field->value) {
	case OBFUSCATION_NUMBER: message_put_u16(writer, *(const uint16_t *)value); break;
	case OBFUSCATION_RANGE:
		message_put_u32(writer, range->low);
		message_put_u32(writer, range->high);
		break;
	case OBFUSCATION_TEXT: message_put_string(writer, *(char *const *)value); break;
	case OBFUSCATION_KEY: message_put_bytes(writer, value, sizeof(struct wireguard_key)); break;
	case OBFUSCATION_SWITCH: message_put_u8(writer, *(const bool *)value); break;
	}
}

void obfuscation_encode(struct message_writer *writer, const struct obfuscation *obfuscation)
{
	message_put_u8(writer, obfuscation == NULL ? OBFUSCATION_TYPES : (uint8_t)obfuscation->type);
	for (size_t i = 0; obfuscation != NULL && i < obfuscation_field_count; i++)
		encode_field(writer, obfuscation, &obfuscation_fields[i]);
}

static void decode_field(struct message_reader *reader, struct obfuscation *obfuscation, const struct obfuscation_field *field)
{
	void *value = (char *)obfuscation + field->offset;
	struct obfuscation_range *range = value;
	char **text = value;

	switch (field->value) {
	case OBFUSCATION_NUMBER:
		*(uint16_t *)value = message_get_u16(reader);
		reader->failed |= *(uint16_t *)value > field->most;
		break;
	case OBFUSCATION_RANGE:
		range->low = message_get_u32(reader);
		range->high = message_get_u32(reader);
		reader->failed |= range->low > range->high || range->high > field->most || !obfuscation_range_begins_at(range, field->least);
		break;
	case OBFUSCATION_TEXT:
		*text = message_get_string(reader, field->most);
		reader->failed |= *text != NULL && signature_length(*text) < 0;
		break;
	case OBFUSCATION_KEY: message_get_bytes(reader, value, sizeof(struct wireguard_key)); break;
	case OBFUSCATION_SWITCH: *(bool *)value = message_get_u8(reader) != 0; break;
	}
}

/* What the worker relies on. */
static bool is_sound(const struct obfuscation *obfuscation)
{
	for (size_t i = 0; i < OBFUSCATION_MESSAGES; i++)
		if (obfuscation_has_header_key(obfuscation) && obfuscation->padding[i] < OBFUSCATION_KEY_PADDING)
			return false;
	return obfuscation->junk_least <= obfuscation->junk_most;
}

struct obfuscation *obfuscation_decode(struct message_reader *reader)
{
	uint8_t type = message_get_u8(reader);

	reader->failed |= type > OBFUSCATION_TYPES;
	if (type == OBFUSCATION_TYPES || reader->failed)
		return NULL;
	struct obfuscation *obfuscation = calloc(1, sizeof(*obfuscation));
	if (obfuscation == NULL) {
		reader->failed = true;
		return NULL;
	}
	obfuscation->type = (enum obfuscation_type)type;
	for (size_t i = 0; i < obfuscation_field_count && !reader->failed; i++)
		decode_field(reader, obfuscation, &obfuscation_fields[i]);
	reader->failed |= !is_sound(obfuscation);
	return obfuscation;
}
