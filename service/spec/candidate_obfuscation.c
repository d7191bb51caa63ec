/* interface.obfuscation and the reserved bytes of peers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/key.h"
#include "ipc/signature.h"
#include "service/spec/candidate.h"

#define FIELDS_MAX 32

static void read_range(struct json_reader *reader, const json_t *object, const char *member, uint32_t least, uint32_t most,
                       struct obfuscation_range *range)
{
	uint64_t number = 0;
	if (json_is_integer(json_object_get(object, member))) {
		json_reader_integer(reader, object, member, 0, most, &number);
		*range = (struct obfuscation_range){ (uint32_t)number, (uint32_t)number };
		return;
	}
	const char *text = json_reader_string(reader, object, member);
	char detail[96];
	if (text != NULL && !obfuscation_range_parse(text, most, range)) {
		snprintf(detail, sizeof(detail), "This must be a number, or a range such as \"5-10\", from 0 to %u.", most);
		json_reader_fault_at(reader, member, "invalid_range", detail);
	} else if (text != NULL && !obfuscation_range_begins_at(range, least)) {
		snprintf(detail, sizeof(detail), "A range must begin with at least %u.", least);
		json_reader_fault_at(reader, member, "out_of_range", detail);
	}
}

/* An empty one is none, as in files of the Amnezia app. */
static void read_signature(struct json_reader *reader, const json_t *object, const char *member, char **signature)
{
	const char *text = json_reader_string(reader, object, member);
	int length = text == NULL || *text == '\0' ? 0 : signature_length(text);
	if (length < 0)
		json_reader_fault_at(reader, member, "invalid_signature", signature_error_text((enum signature_error)length));
	else if (length > 0)
		*signature = json_reader_copy(reader, text);
}

static void read_header_key(struct candidate *candidate, struct json_reader *reader, const json_t *object, struct wireguard_key *key)
{
	const char *member = "header_protection_key";
	if (json_object_get(object, member) == NULL)
		return;
	candidate->header_key = json_reader_is_null(object, member) ? CANDIDATE_SECRET_REMOVED : CANDIDATE_SECRET_SET;
	const char *text = json_reader_string(reader, object, member);
	if (text != NULL && !key_parse(text, key))
		json_reader_fault_at(reader, member, "invalid_key", "A key must be 32 bytes in base64: 44 characters, the last one =.");
}

static void read_field(struct candidate *candidate, struct json_reader *reader, const json_t *object, const struct obfuscation_field *field)
{
	void *place = (char *)candidate->spec.obfuscation + field->offset;
	uint64_t number = 0;
	switch (field->value) {
	case OBFUSCATION_NUMBER:
		json_reader_integer(reader, object, field->member, 0, field->most, &number);
		*(uint16_t *)place = (uint16_t)number;
		break;
	case OBFUSCATION_RANGE: read_range(reader, object, field->member, field->least, field->most, place); break;
	case OBFUSCATION_TEXT: read_signature(reader, object, field->member, place); break;
	case OBFUSCATION_KEY: read_header_key(candidate, reader, object, place); break;
	case OBFUSCATION_SWITCH: json_reader_bool(reader, object, field->member, place); break;
	}
}

/* At the one of the two that the document has. */
static void refuse_overlap(struct json_reader *reader, const json_t *object, const struct obfuscation *obfuscation, size_t i, size_t j)
{
	static const char *const members[] = { "h1", "h2", "h3", "h4" };
	const struct obfuscation_range *a = &obfuscation->message_types[i], *b = &obfuscation->message_types[j];
	if (a->low <= b->high && b->low <= a->high)
		json_reader_fault_at(reader, members[json_object_get(object, members[j]) != NULL ? j : i], "overlap",
		                     "h1 to h4 must not overlap; one that is left out has its number.");
}

static void check_numbers(struct json_reader *reader, const json_t *object, const struct obfuscation *obfuscation)
{
	for (size_t j = 1; j < OBFUSCATION_MESSAGES; j++)
		for (size_t i = 0; i < j; i++)
			refuse_overlap(reader, object, obfuscation, i, j);
	if (obfuscation->junk_count > 0 && obfuscation->junk_most == 0)
		json_reader_fault_at(reader, "jmax", "required", "Junk needs a size: jmin and jmax.");
	else if (obfuscation->junk_least > obfuscation->junk_most)
		json_reader_fault_at(reader, "jmax", "out_of_range", "jmax must not be less than jmin.");
}

static void read_fields(struct candidate *candidate, struct json_reader *reader, const json_t *object)
{
	static const char *const ignored[] = { "header_protection_key_set", NULL };
	const char *known[FIELDS_MAX] = { "type" };
	bool has_fields = candidate->spec.obfuscation->type == OBFUSCATION_AMNEZIAWG;
	for (size_t i = 0; has_fields && i < obfuscation_field_count; i++) {
		known[i + 1] = obfuscation_fields[i].member;
		read_field(candidate, reader, object, &obfuscation_fields[i]);
	}
	json_reader_known(reader, object, known, ignored);
	check_numbers(reader, object, candidate->spec.obfuscation);
}

void candidate_read_obfuscation(struct candidate *candidate, struct json_reader *reader, const json_t *interface)
{
	const json_t *object = json_reader_object(reader, interface, "obfuscation");
	enum obfuscation_type type;
	if (object == NULL)
		return;
	size_t mark = json_reader_enter(reader, "obfuscation");
	const char *name = candidate_required_string(reader, object, "type");
	if (name != NULL && !obfuscation_type_parse(name, &type)) {
		json_reader_fault_at(reader, "type", "invalid_value", "This must be lwo or amneziawg.");
	} else if (name != NULL && (candidate->spec.obfuscation = calloc(1, sizeof(*candidate->spec.obfuscation))) == NULL) {
		problem_out_of_memory(reader->problem);
	} else if (name != NULL) {
		obfuscation_init(candidate->spec.obfuscation, type);
		read_fields(candidate, reader, object);
	}
	json_reader_leave(reader, mark);
}

static void fault(struct candidate *candidate, const char *place, size_t number, const char *member, const char *code, const char *detail)
{
	char pointer[160];
	snprintf(pointer, sizeof(pointer), "%s/spec/%s%zu%s", candidate->pointer, place, number, member);
	problem_add(&candidate->problem, pointer, code, "%s", detail);
}

bool candidate_can_reserve(const struct spec *spec)
{
	return spec->obfuscation == NULL || obfuscation_is_plain_wire(spec->obfuscation);
}

static void check_paddings(struct candidate *candidate, bool is_kept)
{
	static const char *const details[] = {
		"With a key of header protection s1 to s4 must be at least 12.",
		"With the key of header protection that is kept, s1 to s4 must be at least 12; \"header_protection_key\": null removes it.",
	};
	const struct obfuscation *obfuscation = candidate->spec.obfuscation;
	if (obfuscation == NULL || !obfuscation_has_header_key(obfuscation))
		return;
	for (size_t i = 0; i < OBFUSCATION_MESSAGES; i++)
		if (obfuscation->padding[i] < OBFUSCATION_KEY_PADDING)
			fault(candidate, "interface/obfuscation/s", i + 1, "", "out_of_range", details[is_kept]);
}

bool candidate_complete_obfuscation(struct candidate *candidate, const struct spec *previous)
{
	struct spec *spec = &candidate->spec;
	struct obfuscation *obfuscation = spec->obfuscation;
	const struct obfuscation *known = previous == NULL ? NULL : previous->obfuscation;
	bool is_kept = obfuscation != NULL && known != NULL && candidate->header_key == CANDIDATE_SECRET_ABSENT &&
	               obfuscation->type == OBFUSCATION_AMNEZIAWG && known->type == OBFUSCATION_AMNEZIAWG;
	if (is_kept)
		obfuscation->header_key = known->header_key;
	check_paddings(candidate, is_kept);
	for (size_t i = 0; i < spec->peer_count && !candidate_can_reserve(spec); i++)
		if (spec_peer_has_reserved(&spec->peers[i]))
			fault(candidate, "peers/", i, "/reserved", "conflict", CANDIDATE_RESERVED_CONFLICT);
	return is_kept && obfuscation_has_header_key(obfuscation);
}

void candidate_read_reserved(struct json_reader *reader, const json_t *value, uint8_t reserved[3])
{
	const json_t *list = json_reader_array(reader, value, "reserved");
	bool is_valid = list == NULL || json_array_size(list) == 3;
	for (size_t i = 0; list != NULL && is_valid && i < 3; i++) {
		json_int_t byte = json_integer_value(json_array_get(list, i));
		is_valid = json_is_integer(json_array_get(list, i)) && byte >= 0 && byte <= 255;
		reserved[i] = (uint8_t)byte;
	}
	if (!is_valid)
		json_reader_fault_at(reader, "reserved", "invalid_value", "This must be three numbers from 0 to 255, such as [35, 74, 190].");
}

void candidate_read_keepalive(struct json_reader *reader, const json_t *value, struct spec_peer *peer)
{
	struct obfuscation_range range = { 0, 0 };
	read_range(reader, value, "persistent_keepalive", 1, 65535, &range);
	peer->persistent_keepalive = (uint16_t)range.low;
	peer->persistent_keepalive_most = (uint16_t)(range.high > range.low ? range.high : 0);
}
