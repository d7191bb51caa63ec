/* Chunked bodies from strangers: the same outcome whole and byte by byte, passed on and decoded. What is mended of a server's body must be
 * one that the strict reader takes, with the same payload. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/http/http_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void demand(bool holds)
{
	if (!holds)
		abort();
}

static size_t feed_one_by_one(struct http_body *body, const char *text, size_t length)
{
	size_t at = 0;
	while (at < length && http_body_feed(body, text + at, 1) == 1)
		at++;
	return at;
}

/* Appends to `out`, which has room: a bare LF becomes two bytes, and a held name comes out no longer than it was. */
static enum http_body_state mend(const char *bytes, size_t length, size_t step, char *out, size_t *written)
{
	struct http_body body;
	struct http_text rest;
	http_body_init_mended(&body, HTTP_FRAMING_CHUNKED, 0);
	*written = 0;
	for (size_t at = 0; at < length && !http_body_ended(&body) && !http_body_failed(&body);) {
		size_t most = step < length - at ? step : length - at, taken = http_body_feed(&body, bytes + at, most);
		memcpy(out + *written, bytes + at, taken);
		*written += taken;
		at += taken;
		if (taken == most || http_body_ended(&body) || http_body_failed(&body))
			continue;
		struct http_text instead = http_body_mend(&body, bytes[at++]);
		memcpy(out + *written, instead.bytes, instead.length);
		*written += instead.length;
	}
	enum http_body_state state = body.state;
	if (!http_body_failed(&body) && http_body_finish(&body, &rest)) {
		memcpy(out + *written, rest.bytes, rest.length);
		*written += rest.length;
		state = HTTP_BODY_ENDED;
	}
	return state;
}

static void try_mended(const char *bytes, size_t length)
{
	size_t written, slowly, payload, mended_payload;
	char *out = malloc(4 * length + 4), *slow = out + 2 * length + 2, *copy = malloc(length + 1);
	if (out == NULL || copy == NULL) {
		free(out);
		free(copy);
		return;
	}
	enum http_body_state state = mend(bytes, length, length, out, &written);
	demand(mend(bytes, length, 1, slow, &slowly) == state);
	if (state != HTTP_BODY_FAILED)
		demand(written == slowly && memcmp(out, slow, written) == 0);
	if (state == HTTP_BODY_ENDED) {
		struct http_body strict, decoder;
		http_body_init(&strict, HTTP_FRAMING_CHUNKED, 0);
		http_body_init_mended(&decoder, HTTP_FRAMING_CHUNKED, 0);
		memcpy(copy, bytes, length);
		http_body_decode(&decoder, copy, length, &payload);
		demand(http_body_decode(&strict, out, written, &mended_payload) == written && http_body_ended(&strict));
		demand(payload == mended_payload && memcmp(copy, out, payload) == 0);
	}
	free(out);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct http_body whole, slow, decoder;
	size_t payload = 0;
	http_body_init(&whole, HTTP_FRAMING_CHUNKED, 0);
	http_body_init(&slow, HTTP_FRAMING_CHUNKED, 0);
	http_body_init(&decoder, HTTP_FRAMING_CHUNKED, 0);
	size_t taken = http_body_feed(&whole, (const char *)bytes, length);
	size_t slowly = feed_one_by_one(&slow, (const char *)bytes, length);
	demand(whole.state == slow.state && whole.left == slow.left);
	demand(http_body_failed(&whole) ? taken == 0 : taken == slowly);
	demand(taken == length || http_body_ended(&whole) || http_body_failed(&whole));
	try_mended((const char *)bytes, length);
	char *copy = malloc(length + 1);
	if (copy == NULL)
		return 0;
	memcpy(copy, bytes, length);
	demand(http_body_decode(&decoder, copy, length, &payload) == taken);
	demand(decoder.state == whole.state && payload <= taken);
	/* A size and its line end come before any payload. */
	demand(payload == 0 || payload + 3 <= taken);
	free(copy);
	return 0;
}
