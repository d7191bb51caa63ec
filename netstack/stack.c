#include "netstack/stack.h"

#include <assert.h>
#include <stdlib.h>

#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"

#include "netstack/assertion.h"
#include "netstack/packet/budget.h"
#include "netstack/flow.h"
#include "netstack/gate.h"
#include "netstack/icmp.h"
#include "netstack/lwip_address.h"
#include "netstack/path.h"
#include "netstack/ping.h"
#include "netstack/packet/random.h"
#include "netstack/resolver.h"
#include "netstack/stream.h"
#include "netstack/stream_table.h"
#include "netstack/tcp_handshake.h"
#include "netstack/tcp_listener.h"

#define TICK (250 * 1000000ull) /* TCP_TMR_INTERVAL */
#define HELD_MAX 64
#define PBUFS_MAX 8

/* All of lwIP's mutable state: cmake/Lwip.cmake gave its sections this name, and the linker defines the symbols of its ends. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker names them. */
extern char __start_lwip_state[], __stop_lwip_state[];

/* lwIP's state of one stack. */
struct stack_lwip {
	struct netif interface;
	char state[]; /* used while another stack's is in place */
};

/* A packet from lwIP that waits for room. */
struct stack_held {
	struct stack_held *next;
	size_t length;
	uint8_t bytes[];
};

static struct {
	char *pristine;            /* the state as it was linked */
	struct netstack *in_place; /* whose state lwIP has now */
	struct netstack *entered;
	unsigned entered_depth;
} process;

/* --- the process --- */

size_t netstack_state_size(void)
{
	return (size_t)(__stop_lwip_state - __start_lwip_state);
}

int netstack_start(const struct netstack_limits *limits)
{
	random_start(limits->seed);
	assertion_start(limits->failed);
	budget_start(limits->memory_budget);
	if (process.pristine != NULL)
		return NETSTACK_OK;
	process.pristine = malloc(netstack_state_size());
	if (process.pristine == NULL)
		return NETSTACK_OUT_OF_MEMORY;
	memcpy(process.pristine, __start_lwip_state, netstack_state_size());
	return NETSTACK_OK;
}

void netstack_stop(void)
{
	random_stop();
	if (process.pristine == NULL)
		return;
	memcpy(__start_lwip_state, process.pristine, netstack_state_size());
	free(process.pristine);
	process.pristine = NULL;
	process.in_place = NULL;
}

size_t netstack_memory_used(void)
{
	return budget_used();
}

/* --- entering --- */

/* Leaving costs nothing: the state stays in place until another stack needs it. */
void stack_enter(struct netstack *stack)
{
	size_t size = netstack_state_size();

	assert(process.entered == NULL || process.entered == stack);
	process.entered = stack;
	process.entered_depth++;
	if (process.in_place == stack)
		return;
	if (process.in_place != NULL)
		memcpy(process.in_place->lwip->state, __start_lwip_state, size);
	memcpy(__start_lwip_state, stack->lwip->state, size);
	process.in_place = stack;
}

void stack_leave(struct netstack *stack)
{
	assert(process.entered == stack);
	if (--process.entered_depth == 0)
		process.entered = NULL;
}

struct netstack *stack_current(void)
{
	return process.entered;
}

void stack_begin(struct netstack *stack, uint64_t now)
{
	if (now > stack->now)
		stack->now = now;
	stack->depth++;
}

void stack_end(struct netstack *stack)
{
	if (--stack->depth == 0)
		stream_bury(stack);
}

/* --- to the tunnel --- */

bool stack_output(struct netstack *stack, const struct iovec *parts, size_t count, size_t length)
{
	if (!stack->is_blocked && !stack->env.output(stack->env.owner, parts, count, length))
		stack->is_blocked = true;
	return !stack->is_blocked;
}

/* lwIP would repeat a SYN only after a second, so its packets wait here for room; echo replies and resets may be lost. */
static err_t hold(struct netstack *stack, const struct pbuf *packet)
{
	if (stack->held_count >= HELD_MAX)
		return ERR_MEM;
	struct stack_held *held = malloc(sizeof(*held) + packet->tot_len);
	if (held == NULL)
		return ERR_MEM;
	held->next = NULL;
	held->length = pbuf_copy_partial(packet, held->bytes, packet->tot_len, 0);
	struct stack_held **at = &stack->held;
	while (*at != NULL)
		at = &(*at)->next;
	*at = held;
	stack->held_count++;
	return ERR_OK;
}

static err_t send_packet(struct netif *interface, struct pbuf *packet)
{
	struct netstack *stack = interface->state;
	struct iovec parts[PBUFS_MAX];
	size_t count = 0;

	if (stack->is_muted)
		return ERR_OK;
	for (const struct pbuf *part = packet; part != NULL && count < PBUFS_MAX; part = part->next)
		parts[count++] = (struct iovec){ part->payload, part->len };
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): lwIP never sends a NULL packet. */
	return (err_t)(stack_output(stack, parts, count, packet->tot_len) ? ERR_OK : hold(stack, packet));
}

static err_t send4(struct netif *interface, struct pbuf *packet, const ip4_addr_t *to)
{
	(void)to;
	return send_packet(interface, packet);
}

static err_t send6(struct netif *interface, struct pbuf *packet, const ip6_addr_t *to)
{
	(void)to;
	return send_packet(interface, packet);
}

static void send_held(struct netstack *stack)
{
	while (stack->held != NULL && !stack->is_blocked) {
		struct stack_held *held = stack->held;
		struct iovec part = { held->bytes, held->length };
		if (!stack_output(stack, &part, 1, held->length))
			return;
		stack->held = held->next;
		stack->held_count--;
		free(held);
	}
}

/* --- from the tunnel --- */

void stack_limit(struct netstack *stack, const struct netstack_endpoint *remote)
{
	stack->lwip->interface.mtu = path_mtu(stack, remote);
}

static struct netstack_endpoint source_of(const uint8_t *packet, size_t length)
{
	bool is4 = packet[0] >> 4 == 4;
	struct netstack_endpoint source = { .family = is4 ? AF_INET : AF_INET6 };

	if (length >= (is4 ? PACKET_IPV4_HEADER : PACKET_IPV6_HEADER))
		memcpy(source.bytes, packet + (is4 ? 12 : 8), stack_address_size(source.family));
	return source;
}

void stack_feed(struct netstack *stack, const uint8_t *packet, size_t length)
{
	if (length > UINT16_MAX || !stack_start(stack)) /* lwIP's lengths have 16 bits */
		return;
	stack_enter(stack);
	struct netstack_endpoint source = source_of(packet, length);
	struct pbuf *copy = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_RAM);
	if (copy != NULL) {
		memcpy(copy->payload, packet, length);
		stack_limit(stack, &source);
		stack->lwip->interface.input(copy, &stack->lwip->interface);
	}
	stack_leave(stack);
}

static void input_open(struct netstack_stream *stream, const struct segment *segment, uint64_t now)
{
	if (segment->flags & (SEGMENT_SYN | SEGMENT_RST))
		gate_input_open(stream, segment, now);
	else if (segment->flags & SEGMENT_ACK)
		stream_input(stream, segment, now);
}

static void input_tcp(struct netstack *stack, const struct packet *packet, uint64_t now)
{
	struct segment segment;

	packet_segment(packet, &segment);
	struct netstack_stream *stream = stream_find_by_packet(stack, packet, &segment);
	if (stream != NULL && stream->state == STREAM_OPEN) {
		input_open(stream, &segment, now);
	} else if (gate_input(stack, packet, &segment, now)) {
		stream_act_on_notes(stack, now);
		stream = stream_find_by_packet(stack, packet, &segment);
		if (stream != NULL && stream->state == STREAM_OPEN)
			input_open(stream, &segment, now);
	}
	stream_act_on_notes(stack, now);
}

static void input_whole(struct netstack *stack, const struct packet *packet, uint64_t now)
{
	if (!packet_is_sound(packet))
		return;
	switch (packet->protocol) {
	case PACKET_TCP: input_tcp(stack, packet, now); break;
	case PACKET_UDP:
		if (!flow_input(stack, packet))
			stack_feed(stack, packet->bytes, packet->length); /* it replies that the port is unreachable */
		break;
	case PACKET_ICMP:
	case PACKET_ICMP6: icmp_hear(stack, packet, now); break;
	}
}

static void input_fragment(struct netstack *stack, const struct packet *fragment, uint64_t now)
{
	struct packet whole;

	if (stack->fragments == NULL)
		stack->fragments = fragments_create(&stack->budget);
	if (stack->fragments == NULL)
		return;
	if (fragments_add(stack->fragments, fragment, &whole, &stack->retired, now))
		input_whole(stack, &whole, now);
	timer_heap_set(&stack->timers, &stack->fragment_timer, fragments_deadline(stack->fragments));
}

void netstack_input(struct netstack *stack, uint8_t *bytes, size_t length, uint64_t now)
{
	struct packet packet;

	if (!packet_parse(&packet, bytes, length) || !stack_owns(stack, packet.family, packet.target) ||
	    stack_owns(stack, packet.family, packet.source))
		return;
	stack_begin(stack, now);
	stack->is_showing = true;
	if (packet.is_fragment)
		input_fragment(stack, &packet, now);
	else
		input_whole(stack, &packet, now);
	stack->is_showing = false;
	stack_end(stack);
}

void netstack_settle(struct netstack *stack, uint64_t now)
{
	stack_begin(stack, now);
	stream_settle_all(stack, now);
	stream_act_on_notes(stack, now);
	retired_free_all(&stack->retired);
	stack_end(stack);
}

void netstack_writable(struct netstack *stack, uint64_t now)
{
	stack_begin(stack, now);
	stack->is_blocked = false;
	send_held(stack);
	stream_resume_all(stack);
	netstack_settle(stack, now);
	stack_end(stack);
}

void netstack_kick(struct netstack *stack, uint64_t now)
{
	stack_begin(stack, now);
	if (stack->lwip != NULL) {
		stack_enter(stack);
		tcp_handshake_kick();
		stack_leave(stack);
	}
	stream_kick_all(stack, now);
	netstack_settle(stack, now);
	stack_end(stack);
}

/* --- time --- */

uint64_t netstack_deadline(const struct netstack *stack)
{
	return timer_heap_next(&stack->timers);
}

void netstack_tick(struct netstack *stack, uint64_t now)
{
	stack_begin(stack, now);
	timer_heap_run(&stack->timers, now);
	netstack_settle(stack, now);
	stack_end(stack);
}

static struct netstack *of_timer(struct timer *timer, size_t offset)
{
	return (struct netstack *)((char *)timer - offset);
}

static void run_fragment_timer(struct timer *timer, uint64_t now)
{
	struct netstack *stack = of_timer(timer, offsetof(struct netstack, fragment_timer));

	fragments_expire(stack->fragments, now);
	timer_heap_set(&stack->timers, timer, fragments_deadline(stack->fragments));
}

static void want_timer(struct netstack *stack)
{
	if (stack->lwip_timer.at == NETSTACK_NEVER)
		timer_heap_set(&stack->timers, &stack->lwip_timer, stack->now + TICK);
}

/* lwIP calls this when it starts to track a connection. An idle stack has no timer. */
void tcp_timer_needed(void)
{
	want_timer(stack_current());
}

static void run_lwip_timer(struct timer *timer, uint64_t now)
{
	struct netstack *stack = of_timer(timer, offsetof(struct netstack, lwip_timer));

	stack_enter(stack);
	bool again = tcp_handshake_tick();
	stack_leave(stack);
	stream_act_on_notes(stack, now);
	if (again)
		want_timer(stack);
}

/* --- addresses --- */

bool stack_owns(const struct netstack *stack, uint8_t family, const uint8_t *address)
{
	for (size_t i = 0; i < stack->config.address_count; i++) {
		const struct netstack_endpoint *own = &stack->config.addresses[i];
		if (own->family == family && memcmp(own->bytes, address, stack_address_size(family)) == 0)
			return true;
	}
	return false;
}

static unsigned common_bits(const uint8_t *one, const uint8_t *other, size_t size)
{
	unsigned bits = 0;

	for (size_t i = 0; i < size; i++) {
		uint8_t difference = one[i] ^ other[i];
		if (difference != 0)
			return bits + (unsigned)__builtin_clz(difference) - 24;
		bits += 8;
	}
	return bits;
}

/* The longest common prefix wins (RFC 6724, 5, rule 8). */
const struct netstack_endpoint *stack_source_for(const struct netstack *stack, const struct netstack_endpoint *to)
{
	const struct netstack_endpoint *best = NULL;
	unsigned best_bits = 0;

	for (size_t i = 0; i < stack->config.address_count; i++) {
		const struct netstack_endpoint *own = &stack->config.addresses[i];
		if (own->family != to->family)
			continue;
		unsigned bits = common_bits(own->bytes, to->bytes, stack_address_size(own->family));
		if (best == NULL || bits > best_bits) {
			best = own;
			best_bits = bits;
		}
	}
	return best;
}

bool netstack_has_family(const struct netstack *stack, uint8_t family)
{
	return stack_source_for(stack, &(struct netstack_endpoint){ .family = family }) != NULL;
}

size_t netstack_stream_count(const struct netstack *stack)
{
	return stack->streams.count;
}

/* --- life --- */

static err_t set_up_interface(struct netif *interface)
{
	struct netstack *stack = interface->state;

	interface->output = send4;
	interface->output_ip6 = send6;
	interface->mtu = stack->config.mtu;
	interface->name[0] = 'w';
	interface->name[1] = 'g';
	return ERR_OK;
}

/* lwIP reserves the first IPv6 slot for a link-local address. Ours are all looked up by value, so that slot works, too. */
static void set_addresses(struct netstack *stack)
{
	int8_t place = 0;

	for (size_t i = 0; i < stack->config.address_count; i++) {
		ip_addr_t address;
		lwip_address_from_endpoint(&address, &stack->config.addresses[i]);
		if (IP_IS_V4_VAL(address)) {
			ip4_addr_t mask;
			IP4_ADDR(&mask, 255, 255, 255, 255);
			netif_set_addr(&stack->lwip->interface, ip_2_ip4(&address), &mask, NULL);
		} else {
			netif_ip6_addr_set(&stack->lwip->interface, place, ip_2_ip6(&address));
			netif_ip6_addr_set_state(&stack->lwip->interface, place++, IP6_ADDR_PREFERRED);
		}
	}
}

static bool add_interface(struct netstack *stack)
{
	struct netif *interface = &stack->lwip->interface;

	stack_enter(stack);
	lwip_init();
	bool added = netif_add_noaddr(interface, stack, set_up_interface, ip_input) != NULL;
	if (added) {
		netif_set_default(interface);
		set_addresses(stack);
		netif_set_up(interface);
		netif_set_link_up(interface);
	}
	stack_leave(stack);
	return added;
}

static void free_lwip(struct netstack *stack)
{
	if (process.in_place == stack)
		process.in_place = NULL;
	free(stack->lwip);
	stack->lwip = NULL;
}

bool stack_start(struct netstack *stack)
{
	if (stack->lwip != NULL)
		return true;
	stack->lwip = malloc(sizeof(*stack->lwip) + netstack_state_size());
	if (stack->lwip == NULL)
		return false;
	memset(&stack->lwip->interface, 0, sizeof(stack->lwip->interface));
	memcpy(stack->lwip->state, process.pristine, netstack_state_size());
	if (add_interface(stack))
		return true;
	free_lwip(stack);
	return false;
}

static void release(struct netstack *stack)
{
	free_lwip(stack);
	fragments_free(stack->fragments);
	timer_heap_clear(&stack->timers);
	free(stack);
}

int netstack_create(struct netstack **stack, const struct netstack_config *config, const struct netstack_env *env, uint64_t now)
{
	struct netstack *fresh = calloc(1, sizeof(*fresh));

	assert(process.pristine != NULL && config->address_count <= NETSTACK_ADDRESS_MAX && env->output != NULL);
	if (fresh == NULL)
		return NETSTACK_OUT_OF_MEMORY;
	fresh->config = *config;
	fresh->env = *env;
	fresh->now = now;
	fresh->retired.budget = &fresh->budget;
	if (timer_heap_add(&fresh->timers, &fresh->lwip_timer, run_lwip_timer) != 0 ||
	    timer_heap_add(&fresh->timers, &fresh->fragment_timer, run_fragment_timer) != 0) {
		release(fresh);
		return NETSTACK_OUT_OF_MEMORY;
	}
	*stack = fresh;
	return 0;
}

void netstack_free(struct netstack *stack)
{
	if (stack == NULL)
		return;
	assert(stack->depth == 0);
	stack_begin(stack, stack->now);
	stack->is_muted = true;
	stack->is_blocked = true;
	resolver_detach_all(stack);
	stream_abandon_all(stack);
	ping_free_all(stack);
	flow_free_all(stack);
	tcp_listener_free_all(stack);
	if (stack->lwip != NULL) {
		stack_enter(stack);
		tcp_handshake_forget_all();
		stack_leave(stack);
	}
	stack->noted = (struct stack_queue){ NULL, NULL };
	for (struct netstack_stream *stream = stack->graveyard; stream != NULL; stream = stream->next)
		stream->note.is_queued = false;
	free(stack->paths);
	while (stack->held != NULL) {
		struct stack_held *held = stack->held;
		stack->held = held->next;
		free(held);
	}
	stack_end(stack);
	retired_free_all(&stack->retired);
	assert(netstack_stream_count(stack) == 0);
	stream_table_clear(&stack->streams);
	release(stack);
}
