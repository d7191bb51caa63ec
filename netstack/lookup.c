#include "netstack/lookup.h"

#include <assert.h>
#include <stdlib.h>

#include "netstack/packet/budget.h"
#include "netstack/packet/random.h"

#define SECOND 1000000000ull
#define DEADLINE (10 * SECOND)
#define HEAD_START (SECOND / 2) /* of a server before the next one is queried, too */
#define TCP_PATIENCE (2 * SECOND)
#define MEMORY_TIME (600 * SECOND)
#define QUESTIONS_MAX 16                 /* over UDP; over TCP one per server */
#define MESSAGE_SIZE (2 + (size_t)65535) /* the longest message, behind its length */

/* A query over UDP. It stays open until the lookup ends: a slow server's answer is as good as a quick one's. */
struct
try {
	uint16_t id;
	uint8_t server;
	bool plain;
	bool is_over; /* answered */
};

/* Sets of servers have a bit per server. */
struct lookup {
	struct lookup_env env;
	struct dns_question question; /* its id is that of TCP */
	struct netstack_endpoint servers[LOOKUP_SERVERS_MAX];
	size_t server_count;
	struct netstack_flow *flow;
	struct timer timer;
	uint64_t give_up_at;
	unsigned position; /* in the rounds of asking all servers */
	struct try tries[QUESTIONS_MAX];
	size_t try_count;
	uint8_t plain;             /* servers that are queried without EDNS */
	uint8_t failed;            /* servers that cannot help any more */
	uint8_t asked_by_tcp;      /* servers */
	uint8_t cut_short;         /* servers whose answer did not fit, and that gave none over TCP yet */
	bool has_answered;         /* one of the failed servers answered */
	struct dns_answer partial; /* from a truncated answer */
	struct netstack_stream *stream;
	uint8_t stream_server;
	uint64_t stream_since;
	size_t query_length;
	uint8_t query[2 + DNS_QUERY_MAX]; /* over TCP, behind its length */
	uint8_t *message;                 /* over TCP */
	size_t message_length;
};

static void run_timer(struct timer *timer, uint64_t now);
static void ask_next(struct lookup *lookup, uint64_t now);

struct lookup *lookup_create(const struct lookup_env *env, const struct netstack_servers *servers, const char *name, uint8_t family)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	assert(env->ended != NULL && servers->count <= LOOKUP_SERVERS_MAX);
	if (lookup == NULL)
		return NULL;
	lookup->env = *env;
	lookup->question.family = family;
	memcpy(lookup->question.name, name, strlen(name) + 1);
	lookup->server_count = servers->count;
	if (servers->count > 0)
		memcpy(lookup->servers, servers->list, servers->count * sizeof(*servers->list));
	if (timer_heap_add(&env->stack->timers, &lookup->timer, run_timer) != 0) {
		free(lookup);
		return NULL;
	}
	return lookup;
}

void lookup_forget(struct lookup *lookup)
{
	lookup->env.memory = NULL;
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
	netstack_flow_close(lookup->flow);
	timer_heap_remove(&lookup->env.stack->timers, &lookup->timer);
	free(lookup);
}

static void end(struct lookup *lookup, enum netstack_name_error error, const struct dns_answer *answer, uint64_t now)
{
	lookup->env.ended(lookup->env.owner, lookup, error, answer, now);
	lookup_free(lookup);
}

/* Ends with the best answer so far. */
static void conclude(struct lookup *lookup, uint64_t now)
{
	if (lookup->partial.count > 0)
		end(lookup, NETSTACK_NAME_OK, &lookup->partial, now);
	else if (lookup->cut_short != 0)
		end(lookup, NETSTACK_NAME_CUT_SHORT, NULL, now);
	else if (lookup->try_count == 0)
		end(lookup, NETSTACK_NAME_NO_SERVER, NULL, now);
	else
		end(lookup, lookup->has_answered ? NETSTACK_NAME_FAILED : NETSTACK_NAME_TIMED_OUT, NULL, now);
}

/* --- facts about the servers --- */

static uint8_t bit(size_t server)
{
	return (uint8_t)(1u << server);
}

/* NULL: nothing is known, or out of memory. */
static struct lookup_memory *memory_of(const struct lookup *lookup, bool make)
{
	struct lookup_memory **memory = lookup->env.memory;

	if (memory != NULL && *memory == NULL && make)
		*memory = calloc(1, sizeof(**memory));
	return memory != NULL ? *memory : NULL;
}

static size_t first_server(const struct lookup *lookup, uint64_t now)
{
	const struct lookup_memory *memory = memory_of(lookup, false);

	return memory != NULL && memory->first_until > now ? memory->first : 0;
}

/* The one that worked last goes first, the others as they are listed. */
static size_t server_at(const struct lookup *lookup, size_t place, uint64_t now)
{
	size_t first = first_server(lookup, now);

	if (place == 0)
		return first;
	return place <= first ? place - 1 : place;
}

static void recall(struct lookup *lookup, uint64_t now)
{
	const struct lookup_memory *memory = memory_of(lookup, false);

	for (size_t i = 0; memory != NULL && i < lookup->server_count; i++) {
		if (memory->plain_until[i] > now)
			lookup->plain |= bit(i);
	}
}

static void remember_plain(struct lookup *lookup, size_t server, uint64_t now)
{
	struct lookup_memory *memory = memory_of(lookup, true);

	lookup->plain |= bit(server);
	if (memory != NULL)
		memory->plain_until[server] = now + MEMORY_TIME;
}

/* RFC 8305's history, applied to servers. Not extended, so that servers listed earlier get another chance. */
static void remember_good(struct lookup *lookup, size_t server, uint64_t now)
{
	struct lookup_memory *memory = server != first_server(lookup, now) ? memory_of(lookup, true) : NULL;

	if (memory == NULL)
		return;
	memory->first = (uint8_t)server;
	memory->first_until = now + MEMORY_TIME;
}

static bool is_waited_for(const struct lookup *lookup)
{
	for (size_t i = 0; i < lookup->try_count; i++) {
		if (!lookup->tries[i].is_over && (lookup->failed & bit(lookup->tries[i].server)) == 0)
			return true;
	}
	return lookup->stream != NULL;
}

static void server_failed(struct lookup *lookup, size_t server, uint64_t now)
{
	lookup->failed |= bit(server);
	lookup->has_answered = true;
	if (!is_waited_for(lookup))
		ask_next(lookup, now);
}

/* --- over TCP (RFC 7766) --- */

static void tcp_failed(struct lookup *lookup, uint64_t now)
{
	hang_up(lookup);
	if (lookup->partial.count > 0)
		conclude(lookup, now);
	else
		server_failed(lookup, lookup->stream_server, now);
}

static void on_connected(void *owner)
{
	struct lookup *lookup = owner;
	netstack_stream_write(lookup->stream, lookup->query, 2 + lookup->query_length, lookup->env.stack->now);
}

static void take_message(struct lookup *lookup, const uint8_t *bytes, size_t length)
{
	uint64_t now = lookup->env.stack->now;
	struct dns_answer answer;

	dns_read_answer(&lookup->question, bytes, length, &answer);
	if (answer.outcome == DNS_ADDRESSES) {
		end(lookup, NETSTACK_NAME_OK, &answer, now);
	} else if (answer.outcome == DNS_NOTHING) {
		end(lookup, NETSTACK_NAME_NOT_FOUND, &answer, now);
	} else { /* over TCP there is nothing else to wait for */
		lookup->cut_short &= (uint8_t)~bit(lookup->stream_server);
		tcp_failed(lookup, now);
	}
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
	take_message(lookup, lookup->message + 2, packet_read16(lookup->message));
}

static void on_finished(void *owner)
{
	tcp_failed(owner, ((struct lookup *)owner)->env.stack->now);
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
	tcp_failed(lookup, lookup->env.stack->now);
}

static const struct netstack_stream_events stream_events = { on_connected, on_received, on_finished, on_acknowledged, on_closed };

/* The query as sent over UDP, but with another id. */
static bool connect_to(struct lookup *lookup, const struct try *try, uint64_t now)
{
	struct netstack *stack = lookup->env.stack;

	lookup->question.plain = try->plain;
	random_bytes(&lookup->question.id, sizeof(lookup->question.id));
	lookup->query_length = dns_write_query(&lookup->question, lookup->query + 2);
	packet_write16(lookup->query, (uint16_t)lookup->query_length);
	lookup->message = budget_is_spent(&stack->budget) ? NULL : malloc(MESSAGE_SIZE);
	if (lookup->message == NULL)
		return false;
	budget_charge(&stack->budget, MESSAGE_SIZE);
	return netstack_stream_connect(stack, &lookup->servers[try->server], &stream_events, lookup, now, &lookup->stream) == 0;
}

/* One at a time. Whoever says nothing makes way for the next after TCP_PATIENCE. */
static void ask_by_tcp(struct lookup *lookup, const struct try *try, uint64_t now)
{
	if (lookup->stream != NULL && (lookup->stream_server == try->server || now - lookup->stream_since < TCP_PATIENCE))
		return;
	if (lookup->stream != NULL) {
		hang_up(lookup);
		lookup->failed |= bit(lookup->stream_server);
	}
	if (lookup->asked_by_tcp & bit(try->server)) {
		server_failed(lookup, try->server, now);
		return;
	}
	lookup->asked_by_tcp |= bit(try->server);
	lookup->stream_server = try->server;
	lookup->stream_since = now;
	if (!connect_to(lookup, try, now)) {
		lookup->stream = NULL;
		tcp_failed(lookup, now);
		return;
	}
	uint64_t until = now + TCP_PATIENCE;
	timer_heap_set(&lookup->env.stack->timers, &lookup->timer, until < lookup->give_up_at ? until : lookup->give_up_at);
}

/* --- over UDP --- */

static bool ask(struct lookup *lookup, size_t server, bool plain, uint64_t now)
{
	const struct netstack_env *env = &lookup->env.stack->env;
	struct try *try = &lookup->tries[lookup->try_count];
	struct dns_question question = lookup->question;
	uint8_t query[DNS_QUERY_MAX];

	if (env->reaches != NULL && !env->reaches(env->owner, &lookup->servers[server]))
		return false;
	*try = (struct try){ .server = (uint8_t)server, .plain = plain };
	random_bytes(&try->id, sizeof(try->id));
	question.id = try->id;
	question.plain = plain;
	size_t length = dns_write_query(&question, query);
	if (length == 0)
		return false;
	int result = netstack_flow_send(lookup->flow, &lookup->servers[server], query, length, now);
	if (result != 0 && result != NETSTACK_BUSY) /* which the next round repeats */
		return false;
	lookup->try_count++;
	return true;
}

/* A server that ignores EDNS queries, or fails on them, and answers others is no longer sent EDNS. */
static void learn(struct lookup *lookup, const struct try *answered, uint64_t now)
{
	remember_good(lookup, answered->server, now);
	for (size_t i = 0; answered->plain && i < lookup->try_count; i++) {
		const struct try *try = &lookup->tries[i];
		if (try->server == answered->server && !try->plain)
			remember_plain(lookup, try->server, now);
	}
}

static bool has_answered_before(const struct lookup *lookup, size_t server)
{
	size_t count = 0;

	for (size_t i = 0; i < lookup->try_count; i++)
		count += lookup->tries[i].server == server && lookup->tries[i].is_over;
	return count > 1;
}

/* A failure may be of the moment, or due to EDNS (RFC 6891, 6.2.2), so the server is asked once more, without. */
static void ask_once_more(struct lookup *lookup, size_t server, uint64_t now)
{
	if (has_answered_before(lookup, server) || lookup->try_count == QUESTIONS_MAX || !ask(lookup, server, true, now))
		server_failed(lookup, server, now);
}

static void ask_plainly(struct lookup *lookup, size_t server, uint64_t now)
{
	remember_plain(lookup, server, now);
	if (lookup->try_count == QUESTIONS_MAX || !ask(lookup, server, true, now))
		server_failed(lookup, server, now);
}

static void take_answer(struct lookup *lookup, struct try *try, const uint8_t *bytes, size_t length)
{
	uint64_t now = lookup->env.stack->now;
	struct dns_question question = lookup->question;
	struct dns_answer answer;

	question.id = try->id;
	question.plain = try->plain;
	dns_read_answer(&question, bytes, length, &answer);
	if (answer.outcome == DNS_FOREIGN)
		return;
	try->is_over = true;
	switch (answer.outcome) {
	case DNS_ADDRESSES:
		learn(lookup, try, now);
		end(lookup, NETSTACK_NAME_OK, &answer, now);
		break;
	case DNS_NOTHING:
		learn(lookup, try, now);
		end(lookup, NETSTACK_NAME_NOT_FOUND, &answer, now);
		break;
	case DNS_TRUNCATED:
		if (lookup->partial.count == 0)
			lookup->partial = answer;
		lookup->cut_short |= bit(try->server);
		ask_by_tcp(lookup, try, now);
		break;
	case DNS_NO_EDNS: ask_plainly(lookup, try->server, now); break;
	case DNS_FAILED: ask_once_more(lookup, try->server, now); break;
	case DNS_FOREIGN: break;
	}
}

static bool find_server(const struct lookup *lookup, const struct netstack_endpoint *at, size_t *server)
{
	for (*server = 0; *server < lookup->server_count; ++*server) {
		const struct netstack_endpoint *known = &lookup->servers[*server];
		if (at->port == known->port && stack_is_same_host(at, known))
			return true;
	}
	return false;
}

static void on_datagram(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	struct lookup *lookup = owner;
	size_t server;

	if (length < 2 || !find_server(lookup, from, &server))
		return;
	for (size_t i = 0; i < lookup->try_count; i++) {
		struct try *try = &lookup->tries[i];
		if (try->server != server || try->id != packet_read16(bytes) || try->is_over)
			continue;
		take_answer(lookup, try, bytes, length);
		return;
	}
}

static void on_unreachable(void *owner, const struct netstack_endpoint *to)
{
	struct lookup *lookup = owner;
	size_t server;

	if (find_server(lookup, to, &server))
		server_failed(lookup, server, lookup->env.stack->now);
}

/* The wait before the next server is queried, too: short within a round, and longer after each round. */
static uint64_t pause_of(const struct lookup *lookup)
{
	bool is_round_over = lookup->position % lookup->server_count == 0;

	return is_round_over ? lookup->position / lookup->server_count * SECOND : HEAD_START;
}

/* Every second round goes without EDNS, for servers and paths that drop such messages. */
static void ask_next(struct lookup *lookup, uint64_t now)
{
	uint64_t until = lookup->give_up_at;
	uint8_t all = (uint8_t)((1u << lookup->server_count) - 1);

	while (lookup->failed != all && lookup->try_count < QUESTIONS_MAX) {
		bool is_odd_round = lookup->position / lookup->server_count % 2 == 1;
		size_t server = server_at(lookup, lookup->position++ % lookup->server_count, now);
		if (lookup->failed & bit(server))
			continue;
		if (ask(lookup, server, is_odd_round || (lookup->plain & bit(server)) != 0, now)) {
			until = now + pause_of(lookup);
			break;
		}
		lookup->failed |= bit(server);
	}
	if (lookup->failed == all && !is_waited_for(lookup))
		conclude(lookup, now);
	else
		timer_heap_set(&lookup->env.stack->timers, &lookup->timer, until < lookup->give_up_at ? until : lookup->give_up_at);
}

static void run_timer(struct timer *timer, uint64_t now)
{
	struct lookup *lookup = (struct lookup *)((char *)timer - offsetof(struct lookup, timer));

	/* A partial answer now is better than a complete one later. */
	if (now >= lookup->give_up_at || (lookup->stream != NULL && lookup->partial.count > 0))
		conclude(lookup, now);
	else
		ask_next(lookup, now);
}

void lookup_start(struct lookup *lookup, uint64_t now)
{
	lookup->give_up_at = now + DEADLINE;
	if (lookup->server_count == 0) {
		end(lookup, NETSTACK_NAME_NO_SERVER, NULL, now);
		return;
	}
	if (netstack_flow_open(lookup->env.stack, NULL, on_datagram, lookup, &lookup->flow) != 0) {
		end(lookup, NETSTACK_NAME_FAILED, NULL, now);
		return;
	}
	netstack_flow_on_unreachable(lookup->flow, on_unreachable);
	recall(lookup, now);
	ask_next(lookup, now);
}
