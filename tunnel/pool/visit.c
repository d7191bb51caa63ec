#include "tunnel/pool/visit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_TEXT_SIZE 256u /* of a key without its mark */
#define NO_ERROR ((struct http_fault){ .error = HTTP_ERROR_NONE })

/* What is asked, by the pool's rules. */
struct asked {
	struct user_name user;
	struct chooser_query query;
	bool is_rejected;
	char key[POOL_KEY_SIZE];
	size_t key_length; /* 0: none */
	uint64_t identity;
};

static uint64_t now_of(const struct pool *pool)
{
	return loop_now(pools_means(pool->pools)->context->loop);
}

/* What the client asks for. */

static size_t client_text(const struct connection *connection, char *to, size_t size)
{
	const struct netstack_endpoint *client = &connection->client;
	return client->family == 0 || inet_ntop(client->family, client->bytes, to, (socklen_t)size) == NULL ? 0 : strlen(to);
}

static size_t copy_text(char *to, size_t size, const char *bytes, size_t length)
{
	return (size_t)snprintf(to, size, "%.*s", (int)length, bytes == NULL ? "" : bytes);
}

/* A key is text. A name that is not UTF-8 is taken for Latin-1, and cut where it is too long for a key. */
static size_t user_text(char *to, size_t size, struct user_name_text name)
{
	if (user_name_is_utf8(name))
		return copy_text(to, size, name.bytes, name.length);
	size_t length = 0;
	for (size_t i = 0; i < name.length && length + 2 < size; i++) {
		unsigned char c = (unsigned char)name.bytes[i];
		if (c >= 0x80)
			to[length++] = (char)(0xc0 | c >> 6);
		to[length++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
	}
	to[length] = '\0';
	return length;
}

/* A rule's members keep keys of their own, which end in a mark with the rule's place. So does a text that has such a sign itself, with the place 0
 * where no rule led: no text of a client's is the key of another. */
static size_t mark_key(char key[POOL_KEY_SIZE], size_t length, size_t group)
{
	_Static_assert(SESSION_TEXT_SIZE + sizeof("#1024") - 1 <= POOL_KEY_SIZE && POOL_SPEC_RULES_MAX == 1024,
	               "the longest text has room for its mark");
	if (length == 0 || (group == CHOOSER_POOL && memchr(key, '#', length) == NULL))
		return length;
	return length + (size_t)snprintf(key + length, POOL_KEY_SIZE - length, "#%zu", group);
}

static void write_key(struct asked *asked, const struct spec_pool *spec, const struct pool_ask *ask)
{
	const size_t size = SESSION_TEXT_SIZE;
	size_t length = 0;
	enum spec_sticky by = asked->user.session.length > 0 ? SPEC_STICKY_SESSION : spec->sticky_by;
	switch (by) {
	case SPEC_STICKY_CLIENT: length = client_text(ask->connection, asked->key, size); break;
	case SPEC_STICKY_USER: length = user_text(asked->key, size, asked->user.name); break;
	case SPEC_STICKY_SESSION: length = copy_text(asked->key, size, asked->user.session.bytes, asked->user.session.length); break;
	case SPEC_STICKY_TARGET: length = copy_text(asked->key, size, ask->target->host, strlen(ask->target->host)); break;
	case SPEC_STICKY_NONE:
	case SPEC_STICKIES: break;
	}
	asked->key_length = mark_key(asked->key, length < size ? length : size - 1, asked->query.group);
}

/* Two requests with the same identity have the same choice. */
static uint64_t identity_of(const struct pool *pool, const struct asked *asked, const struct pool_ask *ask)
{
	struct {
		uint64_t user, key, group;
	} parts = { .group = asked->query.group };
	parts.user = ask->user == NULL ? 0 : pools_hash(pool->pools, ask->user, strlen(ask->user));
	parts.key = pools_hash(pool->pools, asked->key, asked->key_length);
	return pools_hash(pool->pools, &parts, sizeof(parts));
}

/* The group whose members serve the target; false when a rule rejects it. */
static bool apply_rules(const struct pool *pool, const struct target *target, const char *user, size_t user_length, size_t *group)
{
	int rule = rule_set_match(pool->parts.rules, target, user, user_length);
	*group = rule == RULE_SET_NONE ? CHOOSER_POOL : 1 + (size_t)rule;
	return rule == RULE_SET_NONE || pool_spec(pool)->pool.rules[rule].action != SPEC_RULE_REJECT;
}

static void read_ask(struct asked *asked, const struct pool *pool, const struct pool_ask *ask)
{
	const struct spec *spec = pool_spec(pool);
	const char *user = ask->user == NULL ? "" : ask->user;
	*asked = (struct asked){ .is_rejected = false };
	user_name_read(&asked->user, user, strlen(user), spec, chooser_label_keys(pool->parts.chooser));
	asked->is_rejected = !apply_rules(pool, ask->target, asked->user.name.bytes, asked->user.name.length, &asked->query.group);
	/* Each datagram of an association has a target of its own. The address in the request may be the client's (RFC 1928, 4). */
	if (asked->is_rejected && ask->connection->is_association) {
		asked->is_rejected = false;
		asked->query.group = CHOOSER_POOL;
	}
	asked->query.user = &asked->user;
	write_key(asked, &spec->pool, ask);
	asked->identity = identity_of(pool, asked, ask);
}

/* Who chose the key, for the bound of keys (sticky.h). */
static uint64_t owner_of(const struct pool *pool, const struct asked *asked, const struct pool_ask *ask)
{
	return asked->user.name.length == 0 ? ask->connection->source : pools_hash(pool->pools, asked->user.name.bytes, asked->user.name.length);
}

/* Choosing. */

static void link_in(struct pool *pool, struct pool_visit *visit)
{
	visit->pool = pool;
	visit->next = pool->visits;
	visit->before = &pool->visits;
	if (visit->next != NULL)
		visit->next->before = &visit->next;
	pool->visits = visit;
	pool->visit_count++;
}

struct pool_visit *visit_create(struct pool *pool, struct connection *connection)
{
	struct pool_visit *visit = calloc(1, sizeof(*visit));
	if (visit == NULL)
		return NULL;
	visit->connection = connection;
	link_in(pool, visit);
	uint64_t most = pool_spec(pool)->connect_timeout * LOOP_SECOND;
	visit->patient_until = now_of(pool) + (most < POOL_PATIENCE ? most : POOL_PATIENCE);
	return visit;
}

/* The member has a connection less. */
static void leave_member(struct pool_visit *visit)
{
	struct pool *pool = visit->pool;
	if (visit->member == 0 || pool->front == NULL)
		return;
	chooser_closed(pool->parts.chooser, visit->member);
	sticky_release(pool->sticky, visit->session, now_of(pool));
	visit->session = NULL;
	visit->member = 0;
	pool->has_opened = true;
}

static void take_asked(struct pool_visit *visit, const struct asked *asked)
{
	visit->is_own = asked->query.group == CHOOSER_POOL;
	visit->identity = asked->identity;
	free(visit->key);
	visit->key = asked->key_length == 0 ? NULL : strndup(asked->key, asked->key_length);
}

static void enter_member(struct pool_visit *visit, uint32_t member, const struct asked *asked, const struct pool_ask *ask)
{
	struct pool *pool = visit->pool;
	visit->member = member;
	visit->is_later = false;
	take_asked(visit, asked);
	chooser_opened(pool->parts.chooser, member);
	if (asked->key_length > 0)
		visit->session = sticky_hold(pool->sticky, asked->key, asked->key_length, owner_of(pool, asked, ask), member, now_of(pool));
	pool->has_opened = true;
}

static bool is_patient(const struct pool_visit *visit)
{
	return now_of(visit->pool) < visit->patient_until;
}

/* Those that are awaited may be chosen once more; false if there is none, or it is too late. */
static bool try_awaited(struct pool_visit *visit)
{
	size_t kept = 0, count = visit->tried_count;
	if (!is_patient(visit))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!visit->is_awaited[i])
			visit->tried[kept++] = visit->tried[i];
	}
	memset(visit->is_awaited, 0, sizeof(visit->is_awaited));
	visit->tried_count = kept;
	return kept < count;
}

struct http_fault visit_choose(struct pool_visit *visit, const struct pool_ask *ask)
{
	struct pool *pool = visit->pool;
	struct asked asked;
	read_ask(&asked, pool, ask);
	if (asked.is_rejected)
		return (struct http_fault){ .error = HTTP_ERROR_DESTINATION_IP_PROHIBITED, .detail = "a rule of the pool rejects the target" };
	asked.query.tried = visit->tried;
	asked.query.tried_count = visit->tried_count;
	bool is_over = visit->tried_count == POOL_TRIED_MOST;
	uint32_t kept = asked.key_length == 0 || is_over ? 0 : sticky_find(pool->sticky, asked.key, asked.key_length, now_of(pool));
	bool is_kept = kept != 0 && chooser_is_eligible(pool->parts.chooser, kept, &asked.query);
	if (kept != 0 && !is_kept && chooser_is_starting(pool->parts.chooser, kept, &asked.query) && is_patient(visit))
		return NO_ERROR;
	kept = is_kept ? kept : 0;
	if (kept == 0 && !is_over) {
		const struct pool_member *chosen = chooser_choose(pool->parts.chooser, &asked.query);
		kept = chosen == NULL ? 0 : chosen->number;
	}
	if (kept == 0 && try_awaited(visit))
		return NO_ERROR;
	if (kept == 0)
		return (struct http_fault){ .error = HTTP_ERROR_DESTINATION_UNAVAILABLE, .detail = "no_member: no tunnel of the pool can take this" };
	visit->is_kept = is_kept;
	enter_member(visit, kept, &asked, ask);
	return NO_ERROR;
}

struct tunnel *visit_tunnel(const struct pool_visit *visit)
{
	return pools_member_tunnel(visit->pool->pools, chooser_find(visit->pool->parts.chooser, visit->member));
}

struct link *visit_link(const struct pool_visit *visit)
{
	const struct pool_member *member = chooser_find(visit->pool->parts.chooser, visit->member);
	return member == NULL ? NULL : pools_link(visit->pool->pools, member->worker);
}

static void skip(struct pool_visit *visit, bool is_awaited)
{
	if (visit->tried_count < POOL_TRIED_MOST && visit->member != 0) {
		visit->is_awaited[visit->tried_count] = is_awaited;
		visit->tried[visit->tried_count++] = visit->member;
	}
	leave_member(visit);
}

/* It has just left, or is to come. */
static bool is_said_to_be_here(const struct pool_visit *visit)
{
	const struct pool_member *member = chooser_find(visit->pool->parts.chooser, visit->member);
	return member != NULL && member->worker == pools_means(visit->pool->pools)->worker;
}

bool visit_waits(struct pool_visit *visit, bool is_bounced)
{
	bool waits = visit->is_kept && is_patient(visit);
	if (waits)
		leave_member(visit);
	else
		skip(visit, is_bounced || is_said_to_be_here(visit));
	return waits;
}

void visit_skip(struct pool_visit *visit)
{
	skip(visit, false);
}

bool visit_fail(struct pool_visit *visit, enum http_error error)
{
	const struct pool *pool = visit->pool;
	bool is_healthy = error != HTTP_ERROR_DESTINATION_UNAVAILABLE && chooser_is_ready(pool->parts.chooser, visit->member);
	visit->failures++;
	if ((visit->session != NULL && is_healthy) || visit->failures > pool_spec(pool)->pool.retries || visit->tried_count == POOL_TRIED_MOST)
		return false;
	visit_skip(visit);
	return true;
}

bool visit_stays(const struct pool_visit *visit, const struct pool_ask *ask)
{
	struct asked asked;
	read_ask(&asked, visit->pool, ask);
	return !asked.is_rejected && asked.identity == visit->identity &&
	       chooser_is_eligible(visit->pool->parts.chooser, visit->member, &asked.query);
}

void visit_begin_request(struct pool_visit *visit)
{
	visit->tried_count = visit->failures = 0;
	visit->is_later = true;
}

bool visit_begin_datagrams(struct pool_visit *visit, const struct pool_ask *ask)
{
	struct asked asked;
	read_ask(&asked, visit->pool, ask);
	free(visit->user);
	visit->user_length = asked.user.name.length;
	visit->user = calloc(1, visit->user_length + 1);
	if (visit->user == NULL)
		return false;
	if (visit->user_length > 0)
		memcpy(visit->user, asked.user.name.bytes, visit->user_length);
	return true;
}

bool visit_lets_pass(const struct pool_visit *visit, const struct target *target)
{
	const struct pool *pool = visit->pool;
	struct chooser_query query = { .group = CHOOSER_POOL };
	if (!apply_rules(pool, target, visit->user, visit->user_length, &query.group))
		return false;
	return (query.group == CHOOSER_POOL && visit->is_own) || chooser_allows(pool->parts.chooser, visit->member, &query);
}

bool visit_is_over_limit(const struct pool_visit *visit)
{
	uint32_t most = pool_spec(visit->pool)->limits.connections;
	return most != 0 && visit->pool->visit_count > most;
}

/* Elsewhere. */

struct pool_visit *visit_receive(struct pool *pool, uint32_t member)
{
	if (!pool->is_listed || chooser_find(pool->parts.chooser, member) == NULL)
		return NULL;
	struct pool_visit *visit = calloc(1, sizeof(*visit));
	if (visit == NULL)
		return NULL;
	link_in(pool, visit);
	visit->member = member;
	if (visit_tunnel(visit) != NULL)
		return visit;
	visit_end(visit);
	return NULL;
}

bool visit_allows(struct pool_visit *visit, const struct pool_ask *ask)
{
	struct asked asked;
	read_ask(&asked, visit->pool, ask);
	take_asked(visit, &asked);
	return !asked.is_rejected && chooser_allows(visit->pool->parts.chooser, visit->member, &asked.query);
}

void visit_end(struct pool_visit *visit)
{
	if (visit == NULL)
		return;
	leave_member(visit);
	if (visit->link_before != NULL)
		link_tell_ended(visit);
	link_forget(visit);
	*visit->before = visit->next;
	if (visit->next != NULL)
		visit->next->before = visit->before;
	visit->pool->visit_count--;
	free(visit->key);
	free(visit->user);
	free(visit);
}
