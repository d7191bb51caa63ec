#include "netstack/flow.h"

#include <assert.h>
#include <stdlib.h>

#include "netstack/packet/checksum.h"
#include "netstack/datagram.h"
#include "netstack/packet/random.h"

#define PORT_TRIES 64
#define BUCKETS_FIRST 16
#define DATAGRAM_MAX 65507 /* IPv4's limit; longer ones over IPv6 are not used in practice */

struct netstack_flow {
	struct netstack *stack;
	struct netstack_flow *next;
	struct netstack_endpoint at; /* family 0: any address */
	void (*received)(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length);
	void (*unreachable)(void *owner, const struct netstack_endpoint *to);
	void *owner;
};

static struct netstack_flow **bucket_of(struct netstack *stack, uint16_t port)
{
	struct stack_flows *flows = &stack->flows;

	return flows->buckets == NULL ? &flows->few : &flows->buckets[port & flows->mask];
}

static struct netstack_flow *take_any(struct netstack_flow **bucket)
{
	struct netstack_flow *flow = *bucket;

	if (flow != NULL)
		*bucket = flow->next;
	return flow;
}

static void put(struct netstack *stack, struct netstack_flow *flow)
{
	struct netstack_flow **bucket = bucket_of(stack, flow->at.port);

	flow->next = *bucket;
	*bucket = flow;
}

/* Without memory the lists only get longer. */
static void grow(struct netstack *stack)
{
	struct stack_flows *flows = &stack->flows, old = *flows;
	size_t size = old.buckets == NULL ? BUCKETS_FIRST : 2 * (old.mask + 1);
	struct netstack_flow **buckets = calloc(size, sizeof(*buckets)), *flow;

	if (buckets == NULL)
		return;
	*flows = (struct stack_flows){ .buckets = buckets, .mask = size - 1, .count = old.count };
	while ((flow = take_any(&old.few)) != NULL)
		put(stack, flow);
	for (size_t i = 0; old.buckets != NULL && i <= old.mask; i++) {
		while ((flow = take_any(&old.buckets[i])) != NULL)
			put(stack, flow);
	}
	free(old.buckets);
}

static bool covers(const struct netstack_flow *flow, const struct netstack_endpoint *local)
{
	if (flow->at.port != local->port)
		return false;
	return flow->at.family == 0 || stack_is_same_host(&flow->at, local);
}

static struct netstack_flow *find(struct netstack *stack, const struct netstack_endpoint *local)
{
	struct netstack_flow *flow = *bucket_of(stack, local->port);

	while (flow != NULL && !covers(flow, local))
		flow = flow->next;
	return flow;
}

bool flow_input(struct netstack *stack, const struct packet *packet)
{
	const uint8_t *header = packet->payload;
	struct netstack_endpoint local = { .family = packet->family, .port = packet_read16(header + 2) };
	struct netstack_endpoint from = { .family = packet->family, .port = packet_read16(header) };
	size_t size = stack_address_size(packet->family);

	memcpy(local.bytes, packet->target, size);
	memcpy(from.bytes, packet->source, size);
	struct netstack_flow *flow = find(stack, &local);
	if (flow == NULL)
		return false;
	flow->received(flow->owner, &from, header + PACKET_UDP_HEADER, packet->payload_length - PACKET_UDP_HEADER);
	return true;
}

void flow_unreachable(struct netstack *stack, const struct netstack_endpoint *local, const struct netstack_endpoint *to)
{
	struct netstack_flow *flow = find(stack, local);

	if (flow != NULL && flow->unreachable != NULL)
		flow->unreachable(flow->owner, to);
}

static bool is_taken(struct netstack *stack, const struct netstack_endpoint *at)
{
	for (const struct netstack_flow *flow = *bucket_of(stack, at->port); flow != NULL; flow = flow->next) {
		if (flow->at.port == at->port && (at->family == 0 || covers(flow, at)))
			return true;
	}
	return false;
}

static bool choose_port(struct netstack *stack, struct netstack_endpoint *at)
{
	for (int i = 0; i < PORT_TRIES; i++) {
		at->port = random_port();
		if (!is_taken(stack, at))
			return true;
	}
	return false;
}

int netstack_flow_open(struct netstack *stack, const struct netstack_endpoint *at,
                       void (*received)(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length), void *owner,
                       struct netstack_flow **flow)
{
	struct netstack_endpoint place = { 0 };

	assert(received != NULL);
	if (at != NULL)
		place = *at;
	if (place.family != 0 && !stack_owns(stack, place.family, place.bytes))
		return NETSTACK_NO_ADDRESS;
	if (place.port == 0 ? !choose_port(stack, &place) : is_taken(stack, &place))
		return NETSTACK_IN_USE;
	struct netstack_flow *fresh = calloc(1, sizeof(*fresh));
	if (fresh == NULL)
		return NETSTACK_OUT_OF_MEMORY;
	*fresh = (struct netstack_flow){ .stack = stack, .at = place, .received = received, .owner = owner };
	if (++stack->flows.count > stack->flows.mask + BUCKETS_FIRST)
		grow(stack);
	put(stack, fresh);
	*flow = fresh;
	return 0;
}

void netstack_flow_on_unreachable(struct netstack_flow *flow, void (*unreachable)(void *owner, const struct netstack_endpoint *to))
{
	flow->unreachable = unreachable;
}

int netstack_flow_send(struct netstack_flow *flow, const struct netstack_endpoint *to, const void *bytes, size_t length, uint64_t now)
{
	const struct netstack_endpoint *from = &flow->at;
	uint8_t header[PACKET_UDP_HEADER] = { 0 };

	(void)now;
	if (length > DATAGRAM_MAX)
		return NETSTACK_TOO_BIG;
	if (from->family == 0)
		from = stack_source_for(flow->stack, to);
	if (from == NULL || from->family != to->family)
		return NETSTACK_NO_ADDRESS;
	packet_write16(header, flow->at.port);
	packet_write16(header + 2, to->port);
	packet_write16(header + 4, (uint16_t)(sizeof(header) + length));
	struct iovec parts[2] = { { header, sizeof(header) }, { (void *)(uintptr_t)bytes, length } };
	uint64_t sum = checksum_pseudo(from->family, from->bytes, to->bytes, PACKET_UDP, sizeof(header) + length);
	uint16_t folded = (uint16_t)~checksum_fold(checksum_add_parts(sum, parts, 2));
	if (folded == 0)
		folded = 0xffff;
	memcpy(header + 6, &folded, sizeof(folded));
	return datagram_send(flow->stack, from, to, PACKET_UDP, parts, 2, sizeof(header) + length) ? 0 : NETSTACK_BUSY;
}

void netstack_flow_close(struct netstack_flow *flow)
{
	if (flow == NULL)
		return;
	struct netstack_flow **at = bucket_of(flow->stack, flow->at.port);
	while (*at != flow)
		at = &(*at)->next;
	*at = flow->next;
	flow->stack->flows.count--;
	free(flow);
}

void flow_free_all(struct netstack *stack)
{
	struct stack_flows *flows = &stack->flows;

	for (size_t i = 0; i <= flows->mask; i++) {
		struct netstack_flow **bucket = flows->buckets == NULL ? &flows->few : &flows->buckets[i];
		while (*bucket != NULL)
			/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the call takes the first from the list. */
			netstack_flow_close(*bucket);
	}
	free(flows->buckets);
	*flows = (struct stack_flows){ .count = 0 };
}
