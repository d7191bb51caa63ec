#include "netstack/fragments.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netstack/packet/budget.h"
#include "netstack/packet/checksum.h"
#include "netstack/netstack.h"

#define DATAGRAM_COUNT 4
#define DATAGRAM_MAX 65535
#define PIECE_MAX 64                  /* of one datagram: 1,024 bytes each on average */
#define LIFETIME (15 * 1000000000ull) /* RFC 1122, 3.3.2 asks for 60 to 120 s; memory matters more than such a datagram */

struct piece {
	uint32_t start;
	uint32_t end;
};

/* Room for a header and a payload. */
struct bytes {
	struct retired_buffer retired;
	uint8_t packet[];
};

struct datagram {
	struct bytes *bytes; /* for the longest payload; NULL: free */
	uint64_t expires;
	uint8_t addresses[32];
	uint32_t identification;
	uint8_t family;
	uint8_t protocol;
	size_t total; /* payload bytes, 0 while the last fragment is missing */
	size_t received;
	size_t piece_count;
	struct piece pieces[PIECE_MAX];
};

struct fragments {
	struct budget *budget;
	struct datagram datagrams[DATAGRAM_COUNT];
};

struct fragments *fragments_create(struct budget *budget)
{
	struct fragments *fragments = calloc(1, sizeof(*fragments));

	if (fragments != NULL)
		fragments->budget = budget;
	return fragments;
}

static struct bytes *create_bytes(struct fragments *fragments)
{
	size_t size = sizeof(struct bytes) + PACKET_IPV6_HEADER + DATAGRAM_MAX;
	struct bytes *bytes = budget_is_spent(fragments->budget) ? NULL : malloc(size);

	if (bytes == NULL)
		return NULL;
	bytes->retired.charged = size;
	budget_charge(fragments->budget, size);
	return bytes;
}

static void forget(struct fragments *fragments, struct datagram *datagram)
{
	if (datagram->bytes == NULL)
		return;
	budget_release(fragments->budget, datagram->bytes->retired.charged);
	free(datagram->bytes);
	datagram->bytes = NULL;
}

void fragments_free(struct fragments *fragments)
{
	if (fragments == NULL)
		return;
	for (size_t i = 0; i < DATAGRAM_COUNT; i++)
		forget(fragments, &fragments->datagrams[i]);
	free(fragments);
}

uint64_t fragments_deadline(const struct fragments *fragments)
{
	uint64_t deadline = NETSTACK_NEVER;

	for (size_t i = 0; i < DATAGRAM_COUNT; i++) {
		const struct datagram *datagram = &fragments->datagrams[i];
		if (datagram->bytes != NULL && datagram->expires < deadline)
			deadline = datagram->expires;
	}
	return deadline;
}

void fragments_expire(struct fragments *fragments, uint64_t now)
{
	for (size_t i = 0; i < DATAGRAM_COUNT; i++) {
		if (fragments->datagrams[i].bytes != NULL && fragments->datagrams[i].expires <= now)
			forget(fragments, &fragments->datagrams[i]);
	}
}

static void copy_addresses(uint8_t addresses[32], const struct packet *packet)
{
	size_t size = packet->family == AF_INET ? 4 : 16;

	memset(addresses, 0, 32);
	memcpy(addresses, packet->source, size);
	memcpy(addresses + 16, packet->target, size);
}

static bool belongs(const struct datagram *datagram, const struct packet *fragment, const uint8_t addresses[32])
{
	return datagram->bytes != NULL && datagram->family == fragment->family && datagram->identification == fragment->identification &&
	       datagram->protocol == fragment->protocol && memcmp(datagram->addresses, addresses, 32) == 0;
}

/* Its own datagram, else a free place, else the oldest one's place: a flood of first fragments displaces itself. */
static struct datagram *find(struct fragments *fragments, const struct packet *fragment, uint64_t now)
{
	uint8_t addresses[32];
	struct datagram *place = &fragments->datagrams[0];

	copy_addresses(addresses, fragment);
	for (size_t i = 0; i < DATAGRAM_COUNT; i++) {
		struct datagram *datagram = &fragments->datagrams[i];
		if (belongs(datagram, fragment, addresses))
			return datagram;
		if (place->bytes != NULL && (datagram->bytes == NULL || datagram->expires < place->expires))
			place = datagram;
	}
	forget(fragments, place);
	*place = (struct datagram){
		.bytes = create_bytes(fragments),
		.expires = now + LIFETIME,
		.identification = fragment->identification,
		.family = fragment->family,
		.protocol = fragment->protocol,
	};
	memcpy(place->addresses, addresses, sizeof(addresses));
	return place->bytes != NULL ? place : NULL;
}

/* Overlaps are attacks: the whole datagram is dropped (RFC 5722, 4; RFC 8200, 4.5), except for an exact duplicate. */
static bool insert(struct datagram *datagram, const struct packet *fragment, bool *is_double)
{
	uint32_t start = (uint32_t)fragment->offset;
	uint32_t end = start + (uint32_t)fragment->payload_length;

	*is_double = false;
	for (size_t i = 0; i < datagram->piece_count; i++) {
		const struct piece *piece = &datagram->pieces[i];
		if (piece->start == start && piece->end == end) {
			*is_double = true;
			return true;
		}
		if (start < piece->end && piece->start < end)
			return false;
	}
	if (datagram->piece_count == PIECE_MAX || (datagram->total != 0 && end > datagram->total))
		return false;
	datagram->pieces[datagram->piece_count++] = (struct piece){ start, end };
	datagram->received += end - start;
	return true;
}

/* The last fragment gives the length; no fragment may lie beyond it. */
static bool set_total(struct datagram *datagram, const struct packet *fragment)
{
	size_t total = fragment->offset + fragment->payload_length;

	if (datagram->total != 0)
		return datagram->total == total;
	for (size_t i = 0; i < datagram->piece_count; i++) {
		if (datagram->pieces[i].end > total)
			return false;
	}
	datagram->total = total;
	return true;
}

/* Takes the datagram's bytes. */
static struct bytes *take_bytes(struct fragments *fragments, struct datagram *datagram)
{
	size_t size = sizeof(struct bytes) + PACKET_IPV6_HEADER + datagram->total;
	struct bytes *bytes = datagram->bytes;
	struct bytes *cut = realloc(bytes, size);

	datagram->bytes = NULL;
	if (cut == NULL)
		return bytes;
	budget_release(fragments->budget, cut->retired.charged - size);
	cut->retired.charged = size;
	return cut;
}

/* Writes a header as if it had arrived unfragmented, so that every check is repeated on the result. */
static bool finish(struct fragments *fragments, struct datagram *datagram, struct packet *whole, struct retired *retired)
{
	size_t header = datagram->family == AF_INET ? PACKET_IPV4_HEADER : PACKET_IPV6_HEADER;
	struct bytes *taken = take_bytes(fragments, datagram);
	uint8_t *bytes = taken->packet + PACKET_IPV6_HEADER - header;

	retired_add(retired, &taken->retired);
	memset(bytes, 0, header);
	if (datagram->family == AF_INET) {
		bytes[0] = 0x45;
		packet_write16(bytes + 2, (uint16_t)(header + datagram->total));
		bytes[8] = 64;
		bytes[9] = datagram->protocol;
		memcpy(bytes + 12, datagram->addresses, 4);
		memcpy(bytes + 16, datagram->addresses + 16, 4);
		uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, bytes, header));
		memcpy(bytes + 10, &sum, sizeof(sum));
	} else {
		bytes[0] = 0x60;
		packet_write16(bytes + 4, (uint16_t)datagram->total);
		bytes[6] = datagram->protocol;
		bytes[7] = 64;
		memcpy(bytes + 8, datagram->addresses, 32);
	}
	return packet_parse(whole, bytes, header + datagram->total) && !whole->is_fragment;
}

bool fragments_add(struct fragments *fragments, const struct packet *fragment, struct packet *whole, struct retired *retired, uint64_t now)
{
	size_t header = fragment->family == AF_INET ? PACKET_IPV4_HEADER : 0;
	bool is_double;

	fragments_expire(fragments, now);
	if (fragment->payload_length == 0 || (fragment->more && fragment->payload_length % 8 != 0))
		return false;
	if (header + fragment->offset + fragment->payload_length > DATAGRAM_MAX)
		return false;
	struct datagram *datagram = find(fragments, fragment, now);
	if (datagram == NULL)
		return false;
	if (!insert(datagram, fragment, &is_double) || (!fragment->more && !set_total(datagram, fragment))) {
		forget(fragments, datagram);
		return false;
	}
	if (is_double)
		return false;
	memcpy(datagram->bytes->packet + PACKET_IPV6_HEADER + fragment->offset, fragment->payload, fragment->payload_length);
	return datagram->total != 0 && datagram->received == datagram->total && finish(fragments, datagram, whole, retired);
}
