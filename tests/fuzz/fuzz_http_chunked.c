/* Chunked bodies from strangers: the same outcome whole and byte by byte, passed on and decoded. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/http_body.h"

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
