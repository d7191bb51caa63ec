#include "tunnel/worker/incoming.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ITEMS_A_STEP 2048 /* peers and networks, some 0.2 ms */

static bool keep_rest(struct incoming *incoming)
{
	struct message_reader *reader = &incoming->decoder.reader;
	incoming->rest = malloc(reader->left);
	if (incoming->rest == NULL)
		return false;
	incoming->rest_length = reader->left;
	memcpy(incoming->rest, reader->bytes, reader->left);
	reader->bytes = incoming->rest;
	return true;
}

bool incoming_begin(struct incoming *incoming, const struct message_reader *body, int *descriptors, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		incoming->descriptors[i] = descriptors[i];
		descriptors[i] = -1;
	}
	incoming->descriptor_count = count;
	message_prepare_begin(&incoming->decoder, body, &incoming->message);
	return message_prepare_more(&incoming->decoder, ITEMS_A_STEP) && (keep_rest(incoming) || message_prepare_more(&incoming->decoder, SIZE_MAX));
}

bool incoming_more(struct incoming *incoming)
{
	return message_prepare_more(&incoming->decoder, ITEMS_A_STEP);
}

bool incoming_is_whole(const struct incoming *incoming)
{
	return !incoming->decoder.reader.failed;
}

void incoming_clear(struct incoming *incoming)
{
	for (size_t i = 0; i < incoming->descriptor_count; i++)
		if (incoming->descriptors[i] >= 0)
			close(incoming->descriptors[i]);
	if (incoming->rest != NULL)
		sodium_memzero(incoming->rest, incoming->rest_length);
	free(incoming->rest);
	message_prepare_clear(&incoming->message);
	*incoming = (struct incoming){ .rest = NULL };
}
