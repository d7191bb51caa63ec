#include "netstack/resolver.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>

#include "netstack/lookup.h"
#include "netstack/name_cache.h"

#define FAMILIES 2
#define DELAY (50 * 1000000ull) /* head start of the preferred family (RFC 8305, 3) */
#define PREFERENCE_TIME (600 * 1000000000ull)
#define DNS_PORT 53

static const uint8_t families[FAMILIES] = { AF_INET6, AF_INET };

struct part {
	bool is_wanted;
	bool is_done;
	bool is_told;
	struct lookup *lookup; /* it waits for this */
	enum netstack_name_error error;
	struct dns_answer answer;
};

struct netstack_query {
	struct netstack_resolver *resolver;
	struct netstack_query *next;
	struct timer timer;
	struct part parts[FAMILIES];
	bool is_told;
	void (*answered)(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count, bool more);
	void *owner;
};

struct pending {
	struct pending *next;
	struct lookup *lookup;
	bool is_stale; /* its servers were replaced: only for queries that already wait, and not cached */
};

struct netstack_resolver {
	struct netstack *stack; /* NULL: freed */
	struct netstack_resolver *next;
	struct netstack_servers servers;
	uint64_t four_first_until;
	struct lookup_memory *memory; /* of the servers; NULL while there is nothing to remember */
	struct name_cache cache;
	struct netstack_query *queries;
	struct pending *pending; /* lookups that run */
};

/* --- queries --- */

static void unlink_query(struct netstack_query *query)
{
	struct netstack_query **at = &query->resolver->queries;

	while (*at != query)
		at = &(*at)->next;
	*at = query->next;
	if (query->resolver->stack != NULL)
		timer_heap_remove(&query->resolver->stack->timers, &query->timer);
}

static bool is_all_done(const struct netstack_query *query)
{
	for (size_t i = 0; i < FAMILIES; i++) {
		if (query->parts[i].is_wanted && !query->parts[i].is_done)
			return false;
	}
	return true;
}

/* Which part goes first. */
static size_t preferred(const struct netstack_resolver *resolver)
{
	return resolver->stack->now < resolver->four_first_until;
}

/* The families alternate, so that one that does not work costs one attempt. */
static size_t gather(struct netstack_query *query, struct netstack_endpoint *addresses)
{
	size_t count = 0, first = preferred(query->resolver);

	for (size_t i = 0; i < DNS_ADDRESS_MAX; i++) {
		for (size_t f = 0; f < FAMILIES; f++) {
			const struct part *part = &query->parts[(f + first) % FAMILIES];
			if (part->is_done && !part->is_told && i < part->answer.count)
				addresses[count++] = part->answer.addresses[i];
		}
	}
	for (size_t f = 0; f < FAMILIES; f++)
		query->parts[f].is_told = query->parts[f].is_done;
	return count;
}

/* When nothing was found: the most informative error. */
static enum netstack_name_error worst(const struct netstack_query *query)
{
	static const enum netstack_name_error order[] = { NETSTACK_NAME_NOT_FOUND, NETSTACK_NAME_CUT_SHORT, NETSTACK_NAME_FAILED,
		                                          NETSTACK_NAME_TIMED_OUT, NETSTACK_NAME_NO_SERVER };

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		for (size_t f = 0; f < FAMILIES; f++) {
			if (query->parts[f].is_wanted && query->parts[f].error == order[i])
				return order[i];
		}
	}
	return query->parts[0].is_wanted ? query->parts[0].error : query->parts[1].error;
}

static void tell(struct netstack_query *query)
{
	struct netstack_endpoint addresses[FAMILIES * DNS_ADDRESS_MAX];
	size_t count = gather(query, addresses);
	bool more = !is_all_done(query);
	enum netstack_name_error error = count > 0 ? NETSTACK_NAME_OK : worst(query);
	void (*answered)(void *, enum netstack_name_error, const struct netstack_endpoint *, size_t, bool) = query->answered;
	void *owner = query->owner;

	query->is_told = true;
	if (!more) {
		unlink_query(query);
		free(query);
	}
	answered(owner, error, addresses, count, more);
}

static void proceed(struct netstack_query *query, uint64_t now)
{
	struct netstack *stack = query->resolver->stack;
	size_t place = preferred(query->resolver);
	const struct part *first = &query->parts[place], *second = &query->parts[1 - place];

	if (is_all_done(query)) {
		tell(query);
	} else if (!query->is_told && first->is_done && first->answer.count > 0) {
		tell(query);
	} else if (!query->is_told && second->is_done && second->answer.count > 0) {
		timer_heap_set(&stack->timers, &query->timer, now + DELAY);
	}
}

static void run_delay(struct timer *timer, uint64_t now)
{
	(void)now;
	tell((struct netstack_query *)((char *)timer - offsetof(struct netstack_query, timer)));
}

/* --- lookups --- */

static void on_ended(void *owner, struct lookup *lookup, enum netstack_name_error error, const struct dns_answer *answer, uint64_t now)
{
	struct netstack_resolver *resolver = owner;
	struct pending **at = &resolver->pending;

	while ((*at)->lookup != lookup)
		at = &(*at)->next;
	struct pending *gone = *at;
	bool is_stale = gone->is_stale;
	*at = gone->next;
	free(gone);
	if (answer != NULL && !is_stale)
		name_cache_put(&resolver->cache, lookup_name(lookup), lookup_family(lookup), answer, now);
	/* A callback may end other queries, so the search restarts after each. */
	for (struct netstack_query *query = resolver->queries; query != NULL;) {
		struct part *part = NULL;
		for (size_t f = 0; f < FAMILIES; f++) {
			/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a query that ends has left the list. */
			if (query->parts[f].lookup == lookup)
				part = &query->parts[f];
		}
		if (part == NULL) {
			query = query->next;
			continue;
		}
		part->lookup = NULL;
		part->is_done = true;
		part->error = error;
		if (answer != NULL)
			part->answer = *answer;
		proceed(query, now);
		query = resolver->queries;
	}
}

/* The running lookup, or a new one; NULL: out of memory. */
static struct lookup *find_lookup(struct netstack_resolver *resolver, const char *name, uint8_t family, bool *is_new)
{
	for (struct pending *pending = resolver->pending; pending != NULL; pending = pending->next) {
		if (!pending->is_stale && lookup_is_for(pending->lookup, name, family))
			return pending->lookup;
	}
	struct lookup_env env = { resolver, resolver->stack, &resolver->memory, on_ended };
	struct pending *pending = calloc(1, sizeof(*pending));
	struct lookup *lookup = pending != NULL ? lookup_create(&env, &resolver->servers, name, family) : NULL;
	if (lookup == NULL) {
		free(pending);
		return NULL;
	}
	pending->lookup = lookup;
	pending->next = resolver->pending;
	resolver->pending = pending;
	*is_new = true;
	return lookup;
}

/* --- for the owner --- */

typedef void answered_function(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count, bool more);

static bool answer_literal(const char *name, answered_function *answered, void *owner)
{
	struct netstack_endpoint address = { 0 };

	for (size_t f = 0; f < FAMILIES; f++) {
		if (inet_pton(families[f], name, address.bytes) == 1) {
			address.family = families[f];
			answered(owner, NETSTACK_NAME_OK, &address, 1, false);
			return true;
		}
	}
	return false;
}

static void begin_parts(struct netstack_query *query, const char *name, bool is_cached, uint64_t now)
{
	for (size_t f = 0; f < FAMILIES; f++) {
		struct part *part = &query->parts[f];
		const struct dns_answer *known = is_cached ? name_cache_get(&query->resolver->cache, name, families[f], now) : NULL;
		part->is_wanted = netstack_has_family(query->resolver->stack, families[f]);
		if (known == NULL || !part->is_wanted)
			continue;
		part->is_done = true;
		part->answer = *known;
		part->error = known->count > 0 ? NETSTACK_NAME_OK : NETSTACK_NAME_NOT_FOUND;
	}
}

/* All lookups are recorded before the first starts, because one may end at once. */
static bool start_lookups(struct netstack_query *query, const char *name, uint64_t now)
{
	struct lookup *fresh[FAMILIES];
	size_t count = 0;

	for (size_t f = 0; f < FAMILIES; f++) {
		struct part *part = &query->parts[f];
		bool is_new = false;
		if (!part->is_wanted || part->is_done)
			continue;
		part->lookup = find_lookup(query->resolver, name, families[f], &is_new);
		if (part->lookup == NULL) {
			part->is_done = true;
			part->error = NETSTACK_NAME_FAILED;
		} else if (is_new) {
			fresh[count++] = part->lookup;
		}
	}
	bool waits = !is_all_done(query);
	for (size_t i = 0; i < count; i++)
		lookup_start(fresh[i], now);
	return waits;
}

static bool is_listed(const struct netstack_resolver *resolver, const struct netstack_query *query)
{
	for (const struct netstack_query *at = resolver->queries; at != NULL; at = at->next) {
		if (at == query)
			return true;
	}
	return false;
}

static void begin_query(struct netstack_resolver *resolver, const char *name, bool is_cached, answered_function *answered, void *owner, uint64_t now,
                        struct netstack_query **out)
{
	struct netstack_query *query = calloc(1, sizeof(*query));

	if (query == NULL || timer_heap_add(&resolver->stack->timers, &query->timer, run_delay) != 0) {
		free(query);
		answered(owner, NETSTACK_NAME_FAILED, NULL, 0, false);
		return;
	}
	query->resolver = resolver;
	query->answered = answered;
	query->owner = owner;
	query->next = resolver->queries;
	resolver->queries = query;
	begin_parts(query, name, is_cached, now);
	if (!start_lookups(query, name, now)) {
		tell(query);
		return;
	}
	if (!is_listed(resolver, query)) /* answered by now */
		return;
	*out = query;
	if (!query->is_told && query->timer.at == NETSTACK_NEVER)
		proceed(query, now);
}

static void resolve(struct netstack_resolver *resolver, const char *name, bool is_cached, answered_function *answered, void *owner, uint64_t now,
                    struct netstack_query **query)
{
	char canonical[DNS_NAME_SIZE];
	struct netstack *stack = resolver->stack;

	assert(answered != NULL);
	*query = NULL;
	if (answer_literal(name, answered, owner))
		return;
	if (!dns_read_name(canonical, name)) {
		answered(owner, NETSTACK_NAME_BAD, NULL, 0, false);
		return;
	}
	if (stack == NULL || resolver->servers.count == 0) {
		answered(owner, NETSTACK_NAME_NO_SERVER, NULL, 0, false);
		return;
	}
	stack_begin(stack, now);
	begin_query(resolver, canonical, is_cached, answered, owner, now, query);
	stack_end(stack);
}

void netstack_resolve(struct netstack_resolver *resolver, const char *name, answered_function *answered, void *owner, uint64_t now,
                      struct netstack_query **query)
{
	resolve(resolver, name, true, answered, owner, now, query);
}

void netstack_resolve_anew(struct netstack_resolver *resolver, const char *name, answered_function *answered, void *owner, uint64_t now,
                           struct netstack_query **query)
{
	resolve(resolver, name, false, answered, owner, now, query);
}

/* A lookup that no query waits for continues: its answer is likely to be needed again. */
void netstack_query_cancel(struct netstack_query *query)
{
	if (query == NULL)
		return;
	unlink_query(query);
	free(query);
}

void netstack_resolver_prefer(struct netstack_resolver *resolver, uint8_t family, uint64_t now)
{
	resolver->four_first_until = family == AF_INET ? now + PREFERENCE_TIME : 0;
}

int netstack_servers_copy(struct netstack_servers *copy, const struct netstack_endpoint *servers, size_t count)
{
	*copy = (struct netstack_servers){ .count = count > LOOKUP_SERVERS_MAX ? LOOKUP_SERVERS_MAX : count };
	if (copy->count > 0 && (copy->list = malloc(copy->count * sizeof(*copy->list))) == NULL)
		return NETSTACK_OUT_OF_MEMORY;
	for (size_t i = 0; i < copy->count; i++) {
		copy->list[i] = servers[i];
		if (copy->list[i].port == 0)
			copy->list[i].port = DNS_PORT;
	}
	return 0;
}

void netstack_resolver_swap_servers(struct netstack_resolver *resolver, struct netstack_servers *servers)
{
	struct netstack_servers before = resolver->servers;

	resolver->servers = *servers;
	*servers = before;
	name_cache_clear(&resolver->cache); /* another server may give other answers */
	free(resolver->memory);
	resolver->memory = NULL;
	for (struct pending *pending = resolver->pending; pending != NULL; pending = pending->next) {
		pending->is_stale = true;
		lookup_forget(pending->lookup);
	}
}

int netstack_resolver_create(struct netstack_resolver **resolver, struct netstack *stack, const struct netstack_endpoint *servers, size_t count)
{
	struct netstack_resolver *fresh = calloc(1, sizeof(*fresh));

	if (fresh == NULL || netstack_servers_copy(&fresh->servers, servers, count) != 0) {
		free(fresh);
		return NETSTACK_OUT_OF_MEMORY;
	}
	fresh->stack = stack;
	fresh->next = stack->resolvers;
	stack->resolvers = fresh;
	*resolver = fresh;
	return 0;
}

static void detach(struct netstack_resolver *resolver)
{
	if (resolver->stack == NULL)
		return;
	struct netstack_resolver **at = &resolver->stack->resolvers;
	while (*at != resolver)
		at = &(*at)->next;
	*at = resolver->next;
	while (resolver->pending != NULL) {
		struct pending *pending = resolver->pending;
		resolver->pending = pending->next;
		lookup_free(pending->lookup);
		free(pending);
	}
	for (struct netstack_query *query = resolver->queries; query != NULL; query = query->next)
		timer_heap_remove(&resolver->stack->timers, &query->timer);
	resolver->stack = NULL;
}

void resolver_detach_all(struct netstack *stack)
{
	while (stack->resolvers != NULL)
		detach(stack->resolvers);
}

void netstack_resolver_free(struct netstack_resolver *resolver)
{
	if (resolver == NULL)
		return;
	detach(resolver);
	while (resolver->queries != NULL)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the call takes the first from the list. */
		netstack_query_cancel(resolver->queries);
	name_cache_clear(&resolver->cache);
	free(resolver->servers.list);
	free(resolver->memory);
	free(resolver);
}
