/* Reads members of a JSON document and tracks the pointer of each (RFC 6901), so that every fault has its place. A member that is
 * absent or null leaves the value as it was. */
#ifndef WARREN_SERVICE_SPEC_JSON_READER_H
#define WARREN_SERVICE_SPEC_JSON_READER_H

#include <jansson.h>
#include <stdint.h>

#include "service/spec/problem.h"

struct json_reader {
	struct problem *problem; /* borrowed */
	char pointer[512];
	size_t length;
};

/* Lets jansson tell when an allocation fails, for json_reader_load and json_reader_load_file. Once, before there are threads. */
void json_reader_start(void);
/* json_loadb. When the allocator fails, jansson reports a syntax error, or drops a character of a string without a word; here it is NULL and
 * `lacks_memory`. A new reference. */
json_t *json_reader_load(const char *text, size_t length, json_error_t *error, bool *lacks_memory);
json_t *json_reader_load_file(const char *path, json_error_t *error, bool *lacks_memory); /* as json_load_file, errno too */
void json_reader_init(struct json_reader *reader, const char *pointer, struct problem *problem);
/* Enters a member or an element; pass the mark to json_reader_leave. */
size_t json_reader_enter(struct json_reader *reader, const char *member);
size_t json_reader_enter_index(struct json_reader *reader, size_t index);
void json_reader_leave(struct json_reader *reader, size_t mark);
/* Adds a fault at the current place, or at one of its members. */
void json_reader_fault(struct json_reader *reader, const char *code, const char *detail);
void json_reader_fault_at(struct json_reader *reader, const char *member, const char *code, const char *detail);

/* Adds a fault for each member that is in neither of the NULL-terminated lists; `ignored` may be NULL. */
void json_reader_known(struct json_reader *reader, const json_t *object, const char *const *known, const char *const *ignored);
/* The member with that type, or NULL if it is absent, null or (with a fault) of another type. */
const json_t *json_reader_object(struct json_reader *reader, const json_t *object, const char *member);
const json_t *json_reader_array(struct json_reader *reader, const json_t *object, const char *member);
const char *json_reader_string(struct json_reader *reader, const json_t *object, const char *member);
const char *json_reader_text(struct json_reader *reader, const json_t *value); /* of an element where the reader is */
/* A copy of a member's text, malloc'ed; NULL with a problem when out of memory. */
char *json_reader_copy(struct json_reader *reader, const char *text);
void json_reader_bool(struct json_reader *reader, const json_t *object, const char *member, bool *value);
void json_reader_integer(struct json_reader *reader, const json_t *object, const char *member, uint64_t least, uint64_t most, uint64_t *value);
bool json_reader_is_null(const json_t *object, const char *member);

#endif
