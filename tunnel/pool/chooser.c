#include "tunnel/pool/chooser.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/pool/member_table.h"

/* Theory of operation: each member has a slot, which is a bit in every set of members. The candidates of a choice are the bits of its scope (the
 * members of a group that have some labels) and of those that are ready (up and not unhealthy), without those tried. A scope is made when it is first
 * asked for, and again when members or labels have changed; a change of state only flips a bit of `ready`. Ids and labels are compared by keyed
 * hashes of 64 bits.
 *
 * Each scope has its turns, a number for each slot. Smooth weighted round robin: every candidate gains its weight; the one with the most is chosen
 * and loses what all gained. The sum of all turns stays 0, and a member that is no candidate keeps its own. */

#define SCOPES 32
#define WORD MEMBER_TABLE_STEP
#define SCORE_UNKNOWN (UINT32_MAX + 1ull) /* of a round trip */

/* A selection: the pool's, or a rule's. */
struct group {
	uint64_t *tunnels; /* hashes, ascending */
	size_t tunnel_count;
	uint64_t *labels; /* hashes */
	size_t label_count;
};

/* For each slot of the table. */
struct columns {
	uint64_t *scores; /* the least is chosen first */
	int32_t *weights;
	uint32_t *orders;
	int32_t *turns; /* of one scope after the other */
	uint64_t *bits; /* sets: ready, candidates, the scopes', the groups' */
};

struct scope {
	uint64_t name;    /* from the group and the labels */
	uint64_t version; /* of its members; 0: never made */
	uint64_t used;    /* the number of the choice that used it last */
	uint32_t last;    /* lowest_latency: the member chosen last */
};

struct chooser {
	struct member_table table;
	uint64_t random;
	enum spec_strategy strategy;
	struct group *groups;
	size_t group_count;
	struct columns columns;
	struct scope scopes[SCOPES];
	uint64_t version; /* of members and labels, from 1 */
	uint64_t choices;
};

/* What a query asks for. */
struct wish {
	size_t group;
	uint64_t labels[USER_NAME_LABELS_MAX]; /* hashes */
	size_t label_count;
};

/* Sets of slots. */

enum { SET_READY, SET_CANDIDATES, SET_SCOPES, SET_GROUPS = SET_SCOPES + SCOPES };

static size_t words_of(const struct chooser *chooser)
{
	return chooser->table.capacity / WORD;
}

static uint64_t *set_at(const struct chooser *chooser, size_t set)
{
	return chooser->columns.bits + set * words_of(chooser);
}

static bool set_has(const uint64_t *set, size_t slot)
{
	return (set[slot / WORD] >> slot % WORD & 1) != 0;
}

static void set_put(uint64_t *set, size_t slot, bool is_in)
{
	uint64_t bit = 1ull << slot % WORD;
	set[slot / WORD] = is_in ? set[slot / WORD] | bit : set[slot / WORD] & ~bit;
}

/* Members as columns. */

static int compare_hashes(const void *a, const void *b)
{
	uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
	return (first > second) - (first < second);
}

static bool group_has(const struct group *group, const struct member_slot *slot)
{
	if (bsearch(&slot->id, group->tunnels, group->tunnel_count, sizeof(slot->id), compare_hashes) != NULL)
		return true;
	return group->label_count > 0 && member_slot_has(slot, group->labels, group->label_count);
}

static uint64_t score_of(const struct chooser *chooser, size_t slot)
{
	const struct member_slot *at = &chooser->table.slots[slot];
	switch (chooser->strategy) {
	case SPEC_ROUND_ROBIN:
	case SPEC_RANDOM: return 0;
	/* Weights are at most 100, so 2^20 tells any two quotients apart, and equal ones stay equal. */
	case SPEC_LEAST_CONNECTIONS: return ((uint64_t)at->open << 20) / (uint64_t)chooser->columns.weights[slot];
	case SPEC_LOWEST_LATENCY: return at->member.rtt_us > 0 ? at->member.rtt_us : SCORE_UNKNOWN;
	case SPEC_FAILOVER: return at->member.order;
	case SPEC_STRATEGIES: break;
	}
	assert(false);
	return 0;
}

/* To be called when the member in the slot has changed. */
static void enter(struct chooser *chooser, size_t slot)
{
	const struct pool_member *member = &chooser->table.slots[slot].member;
	chooser->columns.orders[slot] = member->order;
	chooser->columns.weights[slot] = member->weight == 0 ? 1 : (int32_t)member->weight;
	chooser->columns.scores[slot] = score_of(chooser, slot);
	set_put(set_at(chooser, SET_READY), slot, member->up && member->health != POOL_UNHEALTHY);
}

/* To be called when its id or labels have changed. */
static void enter_groups(struct chooser *chooser, size_t slot)
{
	for (size_t i = 0; i < chooser->group_count; i++)
		set_put(set_at(chooser, SET_GROUPS + i), slot, group_has(&chooser->groups[i], &chooser->table.slots[slot]));
}

static void vacate(struct chooser *chooser, size_t slot)
{
	for (size_t i = 0; i < SET_GROUPS + chooser->group_count; i++)
		set_put(set_at(chooser, i), slot, false);
	for (size_t i = 0; i < SCOPES; i++)
		chooser->columns.turns[i * chooser->table.capacity + slot] = 0;
}

static void columns_free(struct columns *columns)
{
	free(columns->scores);
	free(columns->weights);
	free(columns->orders);
	free(columns->turns);
	free(columns->bits);
}

static bool columns_make(struct columns *columns, size_t capacity, size_t group_count)
{
	*columns = (struct columns){ .scores = calloc(capacity + 1, sizeof(*columns->scores)),
		                     .weights = calloc(capacity + 1, sizeof(*columns->weights)),
		                     .orders = calloc(capacity + 1, sizeof(*columns->orders)),
		                     .turns = calloc(SCOPES * capacity + 1, sizeof(*columns->turns)),
		                     .bits = calloc((SET_GROUPS + group_count) * (capacity / WORD) + 1, sizeof(*columns->bits)) };
	return columns->scores != NULL && columns->weights != NULL && columns->orders != NULL && columns->turns != NULL && columns->bits != NULL;
}

/* Takes over the columns and enters all members; turns begin anew. */
static void lay_out(struct chooser *chooser, struct columns *columns)
{
	columns_free(&chooser->columns);
	chooser->columns = *columns;
	memset(chooser->scopes, 0, sizeof(chooser->scopes));
	chooser->version++;
	for (size_t i = 0; i < chooser->table.capacity; i++) {
		if (chooser->table.slots[i].member.number == 0)
			continue;
		enter(chooser, i);
		enter_groups(chooser, i);
	}
}

static bool grow(struct chooser *chooser)
{
	size_t capacity = chooser->table.capacity;
	struct columns columns;
	if (!columns_make(&columns, capacity == 0 ? MEMBER_TABLE_STEP : 2 * capacity, chooser->group_count) || !member_table_grow(&chooser->table)) {
		columns_free(&columns);
		return false;
	}
	lay_out(chooser, &columns);
	return true;
}

/* Groups. */

static void groups_free(struct group *groups, size_t count)
{
	for (size_t i = 0; groups != NULL && i < count; i++) {
		free(groups[i].tunnels);
		free(groups[i].labels);
	}
	free(groups);
}

static bool group_make(const struct member_table *table, struct group *group, const struct spec_selection *selection)
{
	group->tunnels = calloc(selection->tunnel_count + 1, sizeof(*group->tunnels));
	group->labels = member_table_hash_labels(table, selection->labels, selection->label_count);
	if (group->tunnels == NULL || group->labels == NULL)
		return false;
	for (size_t i = 0; i < selection->tunnel_count; i++)
		group->tunnels[i] = member_table_hash(table, selection->tunnels[i], strlen(selection->tunnels[i]));
	qsort(group->tunnels, selection->tunnel_count, sizeof(*group->tunnels), compare_hashes);
	group->tunnel_count = selection->tunnel_count;
	group->label_count = selection->label_count;
	return true;
}

/* The pool's own, then those of the rules. NULL when out of memory. */
static struct group *groups_make(const struct member_table *table, const struct spec_pool *pool)
{
	size_t count = 1 + pool->rule_count;
	struct group *groups = calloc(count, sizeof(*groups));
	bool is_made = groups != NULL && group_make(table, &groups[CHOOSER_POOL], &pool->members);
	for (size_t i = 0; is_made && i < pool->rule_count; i++)
		is_made = group_make(table, &groups[1 + i], &pool->rules[i].members);
	if (is_made)
		return groups;
	groups_free(groups, count);
	return NULL;
}

bool chooser_configure(struct chooser *chooser, const struct spec_pool *pool)
{
	struct columns columns;
	struct group *groups = groups_make(&chooser->table, pool);
	if (!columns_make(&columns, chooser->table.capacity, 1 + pool->rule_count) || groups == NULL) {
		columns_free(&columns);
		groups_free(groups, 1 + pool->rule_count);
		return false;
	}
	groups_free(chooser->groups, chooser->group_count);
	chooser->groups = groups;
	chooser->group_count = 1 + pool->rule_count;
	chooser->strategy = pool->strategy;
	lay_out(chooser, &columns);
	return true;
}

/* Members. */

struct chooser *chooser_create(const uint8_t hash_key[CHOOSER_HASH_KEY], uint64_t seed)
{
	struct chooser *chooser = calloc(1, sizeof(*chooser));
	if (chooser == NULL)
		return NULL;
	static_assert(CHOOSER_HASH_KEY == MEMBER_TABLE_HASH_KEY, "the same key");
	memcpy(chooser->table.hash_key, hash_key, CHOOSER_HASH_KEY);
	chooser->random = seed;
	chooser->version = 1;
	return chooser;
}

void chooser_free(struct chooser *chooser)
{
	if (chooser == NULL)
		return;
	groups_free(chooser->groups, chooser->group_count);
	columns_free(&chooser->columns);
	member_table_clear(&chooser->table);
	free(chooser);
}

void chooser_list_begin(struct chooser *chooser)
{
	for (size_t i = 0; i < chooser->table.capacity; i++)
		chooser->table.slots[i].is_listed = false;
}

void chooser_list_end(struct chooser *chooser)
{
	for (size_t i = 0; i < chooser->table.capacity; i++)
		if (!chooser->table.slots[i].is_listed)
			vacate(chooser, i);
	member_table_remove_unlisted(&chooser->table);
	chooser->version++;
}

bool chooser_put(struct chooser *chooser, struct pool_member *member)
{
	struct member_table *table = &chooser->table;
	size_t slot = member_table_find(table, member->number);
	if (slot == MEMBER_TABLE_NONE)
		slot = member_table_find_free(table);
	if (slot == MEMBER_TABLE_NONE && grow(chooser))
		slot = member_table_find_free(table);
	int change = slot == MEMBER_TABLE_NONE ? -1 : member_table_put(table, slot, member);
	if (change < 0)
		return false;
	table->slots[slot].is_listed = true;
	enter(chooser, slot);
	if (change > 0) {
		enter_groups(chooser, slot);
		chooser->version++;
	}
	return true;
}

static const struct pool_member *member_at(const struct chooser *chooser, size_t slot)
{
	return slot == MEMBER_TABLE_NONE ? NULL : &chooser->table.slots[slot].member;
}

const struct pool_member *chooser_find(const struct chooser *chooser, uint32_t number)
{
	return member_at(chooser, member_table_find(&chooser->table, number));
}

const struct pool_member *chooser_find_id(const struct chooser *chooser, const char *id)
{
	return member_at(chooser, member_table_find_id(&chooser->table, id, strlen(id)));
}

const struct pool_member *chooser_next(const struct chooser *chooser, const struct pool_member *last)
{
	size_t slot = last == NULL ? 0 : member_table_find(&chooser->table, last->number) + 1;
	while (slot < chooser->table.capacity && chooser->table.slots[slot].member.number == 0)
		slot++;
	return slot < chooser->table.capacity ? &chooser->table.slots[slot].member : NULL;
}

const struct label_keys *chooser_label_keys(const struct chooser *chooser)
{
	return &chooser->table.keys;
}

/* Connections. */

static void count_open(struct chooser *chooser, uint32_t number, bool is_more)
{
	size_t slot = member_table_find(&chooser->table, number);
	if (slot == MEMBER_TABLE_NONE)
		return;
	uint32_t *open = &chooser->table.slots[slot].open;
	assert(is_more || *open > 0);
	*open = is_more ? *open + 1 : *open - 1;
	chooser->columns.scores[slot] = score_of(chooser, slot);
}

void chooser_opened(struct chooser *chooser, uint32_t number)
{
	count_open(chooser, number, true);
}

void chooser_closed(struct chooser *chooser, uint32_t number)
{
	count_open(chooser, number, false);
}

uint32_t chooser_open(const struct chooser *chooser, uint32_t number)
{
	size_t slot = member_table_find(&chooser->table, number);
	return slot == MEMBER_TABLE_NONE ? 0 : chooser->table.slots[slot].open;
}

/* Scopes. */

static struct wish wish_of(const struct chooser *chooser, const struct chooser_query *query)
{
	assert(query->group < chooser->group_count);
	struct wish wish = { .group = query->group, .label_count = query->user == NULL ? 0 : query->user->label_count };
	for (size_t i = 0; i < wish.label_count; i++) {
		const struct user_name_label *label = &query->user->labels[i];
		wish.labels[i] =
		    member_table_hash_label(&chooser->table, label->key.bytes, label->key.length, label->value.bytes, label->value.length);
	}
	return wish;
}

static uint64_t *scope_members(const struct chooser *chooser, const struct scope *scope)
{
	return set_at(chooser, SET_SCOPES + (size_t)(scope - chooser->scopes));
}

static int32_t *scope_turns(const struct chooser *chooser, const struct scope *scope)
{
	return chooser->columns.turns + (size_t)(scope - chooser->scopes) * chooser->table.capacity;
}

static void scope_fill(struct chooser *chooser, struct scope *scope, const struct wish *wish)
{
	const uint64_t *group = set_at(chooser, SET_GROUPS + wish->group);
	uint64_t *members = scope_members(chooser, scope);
	memcpy(members, group, words_of(chooser) * sizeof(*members));
	for (size_t i = 0; wish->label_count > 0 && i < chooser->table.capacity; i++)
		if (set_has(group, i) && !member_slot_has(&chooser->table.slots[i], wish->labels, wish->label_count))
			set_put(members, i, false);
	scope->version = chooser->version;
}

/* The labels' order does not count. */
static uint64_t scope_name(const struct wish *wish)
{
	uint64_t name = (wish->group + 1) * 0xd1342543de82ef95u;
	for (size_t i = 0; i < wish->label_count; i++)
		name += wish->labels[i];
	return name;
}

static struct scope *scope_of(struct chooser *chooser, const struct wish *wish)
{
	uint64_t name = scope_name(wish);
	struct scope *scope = &chooser->scopes[0];
	for (size_t i = 0; i < SCOPES && scope->name != name; i++)
		if (chooser->scopes[i].name == name || chooser->scopes[i].used < scope->used)
			scope = &chooser->scopes[i];
	if (scope->name != name) {
		*scope = (struct scope){ .name = name };
		memset(scope_turns(chooser, scope), 0, chooser->table.capacity * sizeof(*chooser->columns.turns));
	}
	if (scope->version != chooser->version)
		scope_fill(chooser, scope, wish);
	scope->used = ++chooser->choices;
	return scope;
}

/* Choosing. Each function below looks at the candidates, of which there is at least one. */

/* False if there are none. */
static bool gather(struct chooser *chooser, const struct scope *scope, const struct chooser_query *query)
{
	const uint64_t *ready = set_at(chooser, SET_READY), *members = scope_members(chooser, scope);
	uint64_t *candidates = set_at(chooser, SET_CANDIDATES), any = 0;
	for (size_t i = 0; i < words_of(chooser); i++)
		candidates[i] = ready[i] & members[i];
	for (size_t i = 0; i < query->tried_count; i++) {
		size_t slot = member_table_find(&chooser->table, query->tried[i]);
		if (slot != MEMBER_TABLE_NONE)
			set_put(candidates, slot, false);
	}
	for (size_t i = 0; i < words_of(chooser); i++)
		any |= candidates[i];
	return any != 0;
}

static size_t slot_in(size_t word, uint64_t bits)
{
	return word * WORD + (size_t)__builtin_ctzll(bits);
}

/* Keeps those with the lowest score, which it returns. */
static uint64_t keep_lowest(struct chooser *chooser)
{
	const uint64_t *scores = chooser->columns.scores;
	uint64_t *candidates = set_at(chooser, SET_CANDIDATES), lowest = UINT64_MAX;
	size_t first = 0; /* word that has one */
	for (size_t i = 0; i < words_of(chooser); i++) {
		uint64_t kept = 0;
		for (uint64_t bits = candidates[i]; bits != 0; bits &= bits - 1) {
			uint64_t score = scores[slot_in(i, bits)];
			if (score > lowest)
				continue;
			if (score < lowest) {
				lowest = score;
				first = i;
				kept = 0;
			}
			kept |= bits & -bits;
		}
		candidates[i] = kept;
	}
	memset(candidates, 0, first * sizeof(*candidates));
	return lowest;
}

static size_t take_turn(struct chooser *chooser, const struct scope *scope)
{
	const uint64_t *candidates = set_at(chooser, SET_CANDIDATES);
	const int32_t *weights = chooser->columns.weights;
	const uint32_t *orders = chooser->columns.orders;
	int32_t *turns = scope_turns(chooser, scope), total = 0, best = INT32_MIN;
	size_t chosen = 0;
	for (size_t i = 0; i < words_of(chooser); i++)
		for (uint64_t bits = candidates[i]; bits != 0; bits &= bits - 1) {
			size_t slot = slot_in(i, bits);
			int32_t turn = turns[slot] += weights[slot];
			total += weights[slot];
			if (turn > best || (turn == best && orders[slot] < orders[chosen])) {
				best = turn;
				chosen = slot;
			}
		}
	turns[chosen] -= total;
	return chosen;
}

/* SplitMix64. tunnel/wireguard/timers.c has it, too: neither folder may use the other, and a file for five lines would have to be in ipc/. */
static uint64_t next_random(struct chooser *chooser)
{
	uint64_t mixed = chooser->random += 0x9e3779b97f4a7c15u;
	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
	return mixed ^ mixed >> 31;
}

static size_t draw(struct chooser *chooser)
{
	const uint64_t *candidates = set_at(chooser, SET_CANDIDATES);
	uint64_t total = 0;
	size_t slot = MEMBER_TABLE_NONE;
	for (size_t i = 0; i < words_of(chooser); i++)
		for (uint64_t bits = candidates[i]; bits != 0; bits &= bits - 1)
			total += (uint64_t)chooser->columns.weights[slot_in(i, bits)];
	assert(total > 0);
	int64_t left = (int64_t)(next_random(chooser) % total);
	for (size_t i = 0; i < words_of(chooser) && left >= 0; i++)
		for (uint64_t bits = candidates[i]; bits != 0 && left >= 0; bits &= bits - 1) {
			slot = slot_in(i, bits);
			left -= chooser->columns.weights[slot];
		}
	return slot;
}

static size_t pick_fastest(struct chooser *chooser, struct scope *scope, bool is_first_try)
{
	size_t last = member_table_find(&chooser->table, scope->last);
	bool is_candidate = last != MEMBER_TABLE_NONE && set_has(set_at(chooser, SET_CANDIDATES), last);
	uint64_t lowest = keep_lowest(chooser);
	if (is_candidate && lowest * 10 >= chooser->columns.scores[last] * 9)
		return last;
	size_t slot = take_turn(chooser, scope);
	/* A detour around a member that failed once does not count. */
	if (is_first_try)
		scope->last = chooser->table.slots[slot].member.number;
	return slot;
}

static size_t pick(struct chooser *chooser, struct scope *scope, bool is_first_try)
{
	switch (chooser->strategy) {
	case SPEC_ROUND_ROBIN: return take_turn(chooser, scope);
	case SPEC_RANDOM: return draw(chooser);
	case SPEC_LEAST_CONNECTIONS:
	case SPEC_FAILOVER: keep_lowest(chooser); return take_turn(chooser, scope);
	case SPEC_LOWEST_LATENCY: return pick_fastest(chooser, scope, is_first_try);
	case SPEC_STRATEGIES: break;
	}
	assert(false);
	return MEMBER_TABLE_NONE;
}

static bool is_tried(const struct chooser_query *query, uint32_t number)
{
	for (size_t i = 0; i < query->tried_count; i++)
		if (query->tried[i] == number)
			return true;
	return false;
}

static bool is_eligible(const struct chooser *chooser, size_t slot, const struct chooser_query *query)
{
	uint32_t number = chooser->table.slots[slot].member.number;
	return set_has(set_at(chooser, SET_READY), slot) && !is_tried(query, number) && chooser_allows(chooser, number, query);
}

const struct pool_member *chooser_choose(struct chooser *chooser, const struct chooser_query *query)
{
	const struct user_name *user = query->user;
	size_t slot = MEMBER_TABLE_NONE;
	if (user != NULL && user->is_faulty)
		return NULL;
	if (user != NULL && user->tunnel.bytes != NULL) {
		slot = member_table_find_id(&chooser->table, user->tunnel.bytes, user->tunnel.length);
		return slot != MEMBER_TABLE_NONE && is_eligible(chooser, slot, query) ? &chooser->table.slots[slot].member : NULL;
	}
	struct wish wish = wish_of(chooser, query);
	struct scope *scope = scope_of(chooser, &wish);
	if (!gather(chooser, scope, query))
		return NULL;
	slot = pick(chooser, scope, query->tried_count == 0);
	return &chooser->table.slots[slot].member;
}

bool chooser_allows(const struct chooser *chooser, uint32_t number, const struct chooser_query *query)
{
	const struct user_name *user = query->user;
	size_t slot = member_table_find(&chooser->table, number);
	if (slot == MEMBER_TABLE_NONE || (user != NULL && user->is_faulty))
		return false;
	if (user != NULL && user->tunnel.bytes != NULL && member_table_find_id(&chooser->table, user->tunnel.bytes, user->tunnel.length) != slot)
		return false;
	struct wish wish = wish_of(chooser, query);
	return set_has(set_at(chooser, SET_GROUPS + wish.group), slot) && member_slot_has(&chooser->table.slots[slot], wish.labels, wish.label_count);
}

bool chooser_is_eligible(const struct chooser *chooser, uint32_t number, const struct chooser_query *query)
{
	size_t slot = member_table_find(&chooser->table, number);
	return slot != MEMBER_TABLE_NONE && is_eligible(chooser, slot, query);
}

bool chooser_is_ready(const struct chooser *chooser, uint32_t number)
{
	size_t slot = member_table_find(&chooser->table, number);
	return slot != MEMBER_TABLE_NONE && set_has(set_at(chooser, SET_READY), slot);
}

bool chooser_is_starting(const struct chooser *chooser, uint32_t number, const struct chooser_query *query)
{
	const struct pool_member *member = chooser_find(chooser, number);
	return member != NULL && member->is_starting && !is_tried(query, number) && chooser_allows(chooser, number, query);
}
