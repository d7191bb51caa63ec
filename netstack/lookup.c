#include "netstack/lookup.h"

#include <assert.h>
#include <stdlib.h>

#include "netstack/budget.h"
#include "netstack/random.h"

#define SECOND 1000000000ull
#define ATTEMPTS 4
#define MESSAGE_SIZE (2 + (size_t)65535) /* the longest, behind its length */

struct lookup {
	struct lookup_env env;
	struct dns_question question;
	struct netstack_endpoint server;
	struct netstack_flow *flow;
	struct netstack_stream *stream;
	struct timer timer;
	unsigned attempt;
	bool has_failed; /* a server said so; nothing better came */
	size_t query_length;
	uint8_t query[2 + DNS_QUERY_MAX]; /* behind its length, as TCP wants it */
	uint8_t *message;                 /* over TCP */
	size_t message_length;
};

/* Ten seconds in all. */
static const uint64_t patience[ATTEMPTS] = { 1 * SECOND, 2 * SECOND, 3 * SECOND, 4 * SECOND };

static void run_timer(struct timer *timer, uint64_t now);
static void try_next(struct lookup *lookup, uint64_t now);

struct lookup *lookup_create(const struct lookup_env *env, const char *name, uint8_t family)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	assert(env->ended != NULL);
	if (lookup == NULL)
		return NULL;
	lookup->env = *env;
	lookup->question.family = family;
	memcpy(lookup->question.name, name, strlen(name) + 1);
	if (timers_add(&env->stack->timers, &lookup->timer, run_timer) != 0) {
		free(lookup);
		return NULL;
	}
	return lookup;
}

bool lookup_is_for(const struct lookup *lookup, const char *name, uint8_t family)
{
	return lookup->question.family == family && strcmp(lookup->question.name, name) == 0;
}

uint8_t lookup_family(const struct lookup *lookup)
{
	return lookup->question.family;
}

const char *lookup_name(const struct lookup *lookup)
{
	return lookup->question.name;
}

static void hang_up(struct lookup *lookup)
{
	netstack_flow_close(lookup->flow);
	lookup->flow = NULL;
	if (lookup->stream != NULL)
		netstack_stream_abort(lookup->stream, lookup->env.stack->now);
	lookup->stream = NULL;
	if (lookup->message != NULL)
		budget_release(&lookup->env.stack->budget, MESSAGE_SIZE);
	free(lookup->message);
	lookup->message = NULL;
	lookup->message_length = 0;
}

void lookup_free(struct lookup *lookup)
{
	hang_up(lookup);
	timers_remove(&lookup->env.stack->timers, &lookup->timer);
	free(lookup);
}

static void end(struct lookup *lookup, enum netstack_name_error error, const struct dns_answer *answer, uint64_t now)
{
	lookup->env.ended(lookup->env.owner, lookup, error, answer, now);
	lookup_free(lookup);
}

/* --- over TCP (RFC 7766) --- */

static void take_answer(struct lookup *lookup, const uint8_t *bytes, size_t length, bool is_whole);

static void on_connected(void *owner)
{
	struct lookup *lookup = owner;
	netstack_stream_write(lookup->stream, lookup->query, 2 + lookup->query_length, lookup->env.stack->now);
}

static void on_received(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct lookup *lookup = owner;

	netstack_stream_consumed(lookup->stream, length, lookup->env.stack->now);
	for (size_t i = 0; i < count; i++) {
		size_t room = MESSAGE_SIZE - lookup->message_length;
		size_t part = parts[i].iov_len < room ? parts[i].iov_len : room;
		memcpy(lookup->message + lookup->message_length, parts[i].iov_base, part);
		lookup->message_length += part;
	}
	if (lookup->message_length < 2 || lookup->message_length - 2 < packet_read16(lookup->message))
		return;
	take_answer(lookup, lookup->message + 2, packet_read16(lookup->message), true);
}

static void on_finished(void *owner)
{
	try_next(owner, ((struct lookup *)owner)->env.stack->now);
}

static void on_acknowledged(void *owner, size_t bytes)
{
	(void)owner;
	(void)bytes;
}

static void on_closed(void *owner, enum netstack_error why)
{
	struct lookup *lookup = owner;

	(void)why;
	lookup->stream = NULL;
	try_next(lookup, lookup->env.stack->now);
}

static const struct netstack_stream_events stream_events = { on_connected, on_received, on_finished, on_acknowledged, on_closed };

static void ask_by_tcp(struct lookup *lookup, uint64_t now)
{
	hang_up(lookup);
	lookup->message = budget_is_spent(&lookup->env.stack->budget) ? NULL : malloc(MESSAGE_SIZE);
	if (lookup->message != NULL)
		budget_charge(&lookup->env.stack->budget, MESSAGE_SIZE);
	if (lookup->message == NULL || netstack_stream_connect(lookup->env.stack, &lookup->server, &stream_events, lookup, now, &lookup->stream) != 0)
		try_next(lookup, now);
}

/* --- over UDP --- */

static void take_answer(struct lookup *lookup, const uint8_t *bytes, size_t length, bool is_whole)
{
	uint64_t now = lookup->env.stack->now;
	struct dns_answer answer;

	dns_read_answer(&lookup->question, bytes, length, &answer);
	switch (answer.outcome) {
	case DNS_ADDRESSES: end(lookup, NETSTACK_NAME_OK, &answer, now); break;
	case DNS_NOTHING: end(lookup, NETSTACK_NAME_NOT_FOUND, &answer, now); break;
	case DNS_TRUNCATED:
		if (!is_whole) {
			ask_by_tcp(lookup, now);
			break;
		}
		lookup->has_failed = true;
		try_next(lookup, now);
		break;
	case DNS_FAILED:
		lookup->has_failed = true;
		try_next(lookup, now);
		break;
	case DNS_FOREIGN:
		if (is_whole) /* on a connection to the server itself there is nothing else to wait for */
			try_next(lookup, now);
		break;
	}
}

static void on_datagram(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	struct lookup *lookup = owner;

	if (from->port == lookup->server.port && from->family == lookup->server.family &&
	    memcmp(from->bytes, lookup->server.bytes, stack_address_size(from->family)) == 0)
		take_answer(lookup, bytes, length, false);
}

static void on_unreachable(void *owner, const struct netstack_endpoint *to)
{
	(void)to;
	try_next(owner, ((struct lookup *)owner)->env.stack->now);
}

static bool ask(struct lookup *lookup, uint64_t now)
{
	random_bytes(&lookup->question.id, sizeof(lookup->question.id));
	lookup->query_length = dns_write_query(&lookup->question, lookup->query + 2);
	packet_write16(lookup->query, (uint16_t)lookup->query_length);
	if (lookup->query_length == 0 || netstack_flow_open(lookup->env.stack, NULL, on_datagram, lookup, &lookup->flow) != 0)
		return false;
	netstack_flow_on_unreachable(lookup->flow, on_unreachable);
	int result = netstack_flow_send(lookup->flow, &lookup->server, lookup->query + 2, lookup->query_length, now);
	return result == 0 || result == NETSTACK_BUSY; /* then the timer repeats it */
}

static void try_next(struct lookup *lookup, uint64_t now)
{
	size_t count = *lookup->env.server_count;

	hang_up(lookup);
	if (count == 0) {
		end(lookup, NETSTACK_NAME_NO_SERVER, NULL, now);
		return;
	}
	while (lookup->attempt < ATTEMPTS) {
		unsigned attempt = lookup->attempt++;
		lookup->server = (*lookup->env.servers)[attempt % count];
		if (ask(lookup, now)) {
			timers_set(&lookup->env.stack->timers, &lookup->timer, now + patience[attempt]);
			return;
		}
		hang_up(lookup);
	}
	end(lookup, lookup->has_failed ? NETSTACK_NAME_FAILED : NETSTACK_NAME_TIMED_OUT, NULL, now);
}

static void run_timer(struct timer *timer, uint64_t now)
{
	try_next((struct lookup *)((char *)timer - offsetof(struct lookup, timer)), now);
}

void lookup_start(struct lookup *lookup, uint64_t now)
{
	try_next(lookup, now);
}
