#include "netstack/ping.h"

#include <assert.h>
#include <stdlib.h>

#include "netstack/packet/checksum.h"
#include "netstack/datagram.h"
#include "netstack/packet/random.h"

#define COOKIE_SIZE 16
#define PAYLOAD_SIZE 56 /* as ping(8) sends */
#define PING_MAX 64
#define ECHO_REQUEST 8
#define ECHO_REQUEST6 128

/* Identifier, sequence number and the first bytes of the payload are one cookie: a guess does not answer it. */
struct ping {
	struct netstack *stack;
	struct ping *next;
	struct timer timer;
	struct netstack_endpoint to;
	uint8_t cookie[4 + COOKIE_SIZE];
	uint64_t sent_at;
	void (*answered)(void *owner, uint64_t round_trip);
	void *owner;
};

static void unlink_ping(struct ping *ping)
{
	struct ping **at = &ping->stack->pings;

	while (*at != ping)
		at = &(*at)->next;
	*at = ping->next;
	timer_heap_remove(&ping->stack->timers, &ping->timer);
}

static void end(struct ping *ping, uint64_t round_trip)
{
	unlink_ping(ping);
	ping->answered(ping->owner, round_trip);
	free(ping);
}

static void time_out(struct timer *timer, uint64_t now)
{
	(void)now;
	end((struct ping *)((char *)timer - offsetof(struct ping, timer)), NETSTACK_NEVER);
}

void ping_reply(struct netstack *stack, const struct packet *packet, uint64_t now)
{
	size_t size = stack_address_size(packet->family);

	if (packet->payload_length < PACKET_ICMP_HEADER + COOKIE_SIZE)
		return;
	for (struct ping *ping = stack->pings; ping != NULL; ping = ping->next) {
		if (ping->to.family == packet->family && memcmp(ping->to.bytes, packet->source, size) == 0 &&
		    memcmp(ping->cookie, packet->payload + 4, sizeof(ping->cookie)) == 0) {
			end(ping, now - ping->sent_at);
			return;
		}
	}
}

void ping_free_all(struct netstack *stack)
{
	while (stack->pings != NULL) {
		struct ping *ping = stack->pings;
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the call takes the first from the list. */
		unlink_ping(ping);
		free(ping);
	}
}

static bool send_request(struct netstack *stack, const struct ping *ping, const struct netstack_endpoint *from)
{
	uint8_t message[PACKET_ICMP_HEADER + PAYLOAD_SIZE] = { 0 };
	bool is4 = from->family == AF_INET;
	uint8_t protocol = is4 ? PACKET_ICMP : PACKET_ICMP6;

	message[0] = is4 ? ECHO_REQUEST : ECHO_REQUEST6;
	memcpy(message + 4, ping->cookie, sizeof(ping->cookie));
	uint64_t sum = is4 ? 0 : checksum_pseudo(from->family, from->bytes, ping->to.bytes, protocol, sizeof(message));
	uint16_t folded = (uint16_t)~checksum_fold(checksum_add(sum, message, sizeof(message)));
	memcpy(message + 2, &folded, sizeof(folded));
	struct iovec part = { message, sizeof(message) };
	return datagram_send(stack, from, &ping->to, protocol, &part, 1, sizeof(message));
}

int netstack_ping(struct netstack *stack, const struct netstack_endpoint *to, uint64_t timeout, void (*answered)(void *owner, uint64_t round_trip),
                  void *owner, uint64_t now)
{
	const struct netstack_endpoint *from = stack_source_for(stack, to);
	size_t count = 0;

	assert(answered != NULL);
	for (struct ping *ping = stack->pings; ping != NULL; ping = ping->next)
		count++;
	if (from == NULL)
		return NETSTACK_NO_ADDRESS;
	if (count >= PING_MAX)
		return NETSTACK_BUSY;
	struct ping *ping = calloc(1, sizeof(*ping));
	if (ping == NULL)
		return NETSTACK_OUT_OF_MEMORY;
	*ping = (struct ping){ .stack = stack, .to = *to, .sent_at = now, .answered = answered, .owner = owner };
	random_bytes(ping->cookie, sizeof(ping->cookie));
	if (!send_request(stack, ping, from)) {
		free(ping);
		return NETSTACK_BUSY;
	}
	if (timer_heap_add(&stack->timers, &ping->timer, time_out) != 0) {
		free(ping);
		return NETSTACK_OUT_OF_MEMORY;
	}
	timer_heap_set(&stack->timers, &ping->timer, now + timeout);
	ping->next = stack->pings;
	stack->pings = ping;
	return 0;
}
