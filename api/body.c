/* Growth copies and wipes by hand: realloc would leave keys behind in freed memory. */
#include "api/body.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

static int grow(struct api_body *body, size_t capacity, atomic_size_t *used)
{
	size_t more = capacity - body->capacity;
	if (atomic_fetch_add(used, more) + more > BODY_BUDGET) {
		atomic_fetch_sub(used, more);
		return BODY_OVER_BUDGET;
	}
	char *bytes = malloc(capacity);
	if (bytes == NULL) {
		atomic_fetch_sub(used, more);
		return BODY_OUT_OF_MEMORY;
	}
	if (body->bytes != NULL) {
		memcpy(bytes, body->bytes, body->length);
		sodium_memzero(body->bytes, body->length);
		free(body->bytes);
	}
	body->bytes = bytes;
	body->capacity = capacity;
	return BODY_OK;
}

int api_body_append(struct api_body *body, const char *bytes, size_t length, size_t expected, atomic_size_t *used)
{
	if (length > body->capacity - body->length) {
		size_t capacity = body->capacity ? body->capacity * 2 : 4096;
		if (capacity < body->length + length)
			capacity = body->length + length;
		if (capacity < expected)
			capacity = expected;
		int status = grow(body, capacity, used);
		if (status != BODY_OK)
			return status;
	}
	memcpy(body->bytes + body->length, bytes, length);
	body->length += length;
	return BODY_OK;
}

void api_body_clear(struct api_body *body, atomic_size_t *used)
{
	if (body->bytes != NULL) {
		sodium_memzero(body->bytes, body->length);
		free(body->bytes);
	}
	atomic_fetch_sub(used, body->capacity);
	*body = (struct api_body){ 0 };
}
