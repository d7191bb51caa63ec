/* A linked list: it is short, rarely used, and never searched. */
#include "tunnel/wireguard/staged.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/wireguard/device.h"

void wireguard_staged_gather(uint8_t *bytes, size_t length, const struct iovec *parts, size_t count)
{
	size_t done = 0;

	for (size_t i = 0; i < count; i++) {
		if (parts[i].iov_len == 0)
			continue;
		assert(parts[i].iov_len <= length - done);
		memcpy(bytes + done, parts[i].iov_base, parts[i].iov_len);
		done += parts[i].iov_len;
	}
	assert(done == length);
}

int wireguard_staged_push(struct wireguard_staged *staged, const struct iovec *parts, size_t count, size_t length)
{
	struct wireguard_staged_packet *packet = malloc(sizeof(*packet) + length);
	int gone = 0;

	if (packet == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	wireguard_staged_gather(packet->bytes, length, parts, count);
	packet->length = length;
	packet->next = NULL;
	if (staged->count == WIREGUARD_STAGED_MAX) {
		gone = staged->first->length > 0;
		wireguard_staged_pop(staged);
	}
	if (staged->count == 0)
		staged->last = &staged->first;
	*staged->last = packet;
	staged->last = &packet->next;
	staged->count++;
	return gone;
}

void wireguard_staged_pop(struct wireguard_staged *staged)
{
	struct wireguard_staged_packet *packet = staged->first;

	staged->first = packet->next;
	staged->count--;
	free(packet);
}

unsigned wireguard_staged_purge(struct wireguard_staged *staged)
{
	unsigned gone = 0;

	while (staged->count > 0) {
		gone += staged->first->length > 0;
		wireguard_staged_pop(staged);
	}
	return gone;
}
