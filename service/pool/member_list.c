#include "service/pool/member_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/lower_bound.h"
#include "service/registry/slot.h"

static void clear_member(struct member *member)
{
	snapshot_release(member->snapshot);
}

void member_list_clear(struct member_list *members)
{
	for (size_t i = 0; i < members->count; i++)
		clear_member(&members->list[i]);
	free(members->list);
	free(members->names);
	*members = (struct member_list){ .count = 0 };
}

static int compare_names(const void *a, const void *b)
{
	const struct member_name *first = a, *second = b;
	int order = strcmp(first->id, second->id);
	return order != 0 ? order : (first->order > second->order) - (first->order < second->order);
}

static size_t count_names(const struct spec_pool *pool)
{
	size_t count = pool->members.tunnel_count;
	for (size_t i = 0; i < pool->rule_count; i++)
		count += pool->rules[i].members.tunnel_count;
	return count;
}

static size_t add_names(struct member_name *names, size_t count, const struct spec_selection *selection, bool is_own)
{
	for (size_t i = 0; i < selection->tunnel_count; i++, count++)
		names[count] = (struct member_name){ .id = selection->tunnels[i], .order = (uint32_t)count, .is_own = is_own };
	return count;
}

/* The first of each id, which has the least order; the pool's own come before those of rules. */
static size_t keep_first(struct member_name *names, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || strcmp(names[kept - 1].id, names[i].id) != 0)
			names[kept++] = names[i];
	return kept;
}

bool member_list_set_names(struct member_list *members, const struct spec_pool *pool)
{
	size_t count = count_names(pool);
	struct member_name *names = calloc(count + 1, sizeof(*names));
	/* Those that are there are of the spec before, which goes. */
	free(members->names);
	members->names = names;
	members->name_count = 0;
	if (names == NULL)
		return false;
	count = add_names(names, 0, &pool->members, true);
	for (size_t i = 0; i < pool->rule_count; i++)
		count = add_names(names, count, &pool->rules[i].members, false);
	qsort(names, count, sizeof(*names), compare_names);
	members->unnamed = (uint32_t)count;
	members->name_count = keep_first(names, count);
	return true;
}

static int compare_name(const void *id, const void *name)
{
	return strcmp(id, ((const struct member_name *)name)->id);
}

static bool has_labels(const struct spec_selection *selection, const struct snapshot *tunnel)
{
	return spec_selection_has_labels(selection, tunnel->labels, tunnel->label_count);
}

static bool is_of_a_rule(const struct spec_pool *pool, const struct snapshot *tunnel)
{
	for (size_t i = 0; i < pool->rule_count; i++)
		if (has_labels(&pool->rules[i].members, tunnel))
			return true;
	return false;
}

/* Whether the tunnel is a member; its place, and whose, go to `member`. */
static bool select_tunnel(const struct member_list *members, const struct spec_pool *pool, const struct snapshot *tunnel, struct member *member)
{
	const struct member_name *name =
	    members->name_count == 0 ? NULL : bsearch(tunnel->id, members->names, members->name_count, sizeof(*name), compare_name);
	member->order = name == NULL ? UINT32_MAX : name->order;
	member->is_own = (name != NULL && name->is_own) || has_labels(&pool->members, tunnel);
	return name != NULL || member->is_own || is_of_a_rule(pool, tunnel);
}

static int compare_id(const void *id, const void *element)
{
	const struct member *member = element;
	return strcmp(id, member->snapshot->id);
}

static size_t position(const struct member_list *members, const char *id)
{
	return lower_bound(id, members->list, members->count, sizeof(struct member), compare_id);
}

struct member *member_list_find(struct member_list *members, const char *id)
{
	size_t at = position(members, id);
	return at < members->count && strcmp(members->list[at].snapshot->id, id) == 0 ? &members->list[at] : NULL;
}

struct member *member_list_at(struct member_list *members, uint32_t number)
{
	for (size_t i = 0; i < members->count; i++)
		if (members->list[i].number == number)
			return &members->list[i];
	return NULL;
}

bool member_is_up(const struct member *member)
{
	return member->state == TUNNEL_UP && member->health != POOL_UNHEALTHY;
}

static enum pool_health health_of(const struct snapshot_health *health)
{
	switch (health->health) {
	case TUNNEL_HEALTHY: return POOL_HEALTHY;
	case TUNNEL_UNHEALTHY: return POOL_UNHEALTHY;
	case TUNNEL_HEALTH_UNKNOWN:
	case TUNNEL_HEALTH_COUNT: break;
	}
	return POOL_HEALTH_UNKNOWN;
}

/* A probe tells how far the target is, and that it fails; the handshake only how far the peer is. */
static uint32_t round_trip_of(const struct snapshot_health *health)
{
	if (!health->has_probe)
		return health->round_trip_us;
	double ms = health->probe.ok ? health->probe.rtt_ms : 0;
	return ms > 0 && ms < 1e6 ? (uint32_t)(ms * 1000) : 0;
}

/* Less than a sixteenth is noise that no strategy acts on, and each probe of each tunnel brings some. */
static bool is_another_round_trip(uint32_t before, uint32_t now)
{
	uint32_t difference = before > now ? before - now : now - before;
	return (before == 0) != (now == 0) || difference > before / 16;
}

enum member_change member_read(struct member *member)
{
	struct snapshot_status status;
	struct snapshot_health health;
	snapshot_status(member->snapshot, &status);
	snapshot_health(member->snapshot, &health);
	uint32_t round_trip = round_trip_of(&health);
	enum pool_health assessed = health_of(&health);
	bool is_other = member->state != status.state || member->health != assessed || is_another_round_trip(member->rtt_us, round_trip);
	if (!is_other)
		return MEMBER_UNCHANGED;
	member->state = status.state;
	member->health = assessed;
	member->rtt_us = round_trip;
	return MEMBER_CHANGED;
}

static enum member_change add(struct member_list *members, struct member *member)
{
	if (members->count == members->capacity) {
		size_t capacity = members->capacity == 0 ? 8 : members->capacity * 2;
		struct member *grown = realloc(members->list, capacity * sizeof(*grown));
		if (grown == NULL)
			return MEMBER_NO_MEMORY;
		members->list = grown;
		members->capacity = capacity;
	}
	size_t at = position(members, member->snapshot->id);
	member->number = ++members->next_number;
	snapshot_reference(member->snapshot);
	(void)member_read(member);
	memmove(&members->list[at + 1], &members->list[at], (members->count - at) * sizeof(*members->list));
	members->list[at] = *member;
	members->count++;
	return MEMBER_LIST_CHANGED;
}

static enum member_change replace(struct member *known, const struct member *member)
{
	bool is_moved = known->order != member->order || known->is_own != member->is_own;
	struct snapshot *old = known->snapshot;
	bool is_same_tunnel = old == member->snapshot;
	/* The workers that have members change with it. */
	is_moved |= old->worker != member->snapshot->worker;
	known->order = member->order;
	known->is_own = member->is_own;
	known->snapshot = snapshot_reference(member->snapshot);
	snapshot_release(old);
	enum member_change change = member_read(known);
	if (is_moved)
		return MEMBER_LIST_CHANGED;
	return is_same_tunnel ? change : MEMBER_CHANGED;
}

/* One that was deleted and made again is another member: what was known of the first does not hold for it. */
static bool is_another(const struct member *known, const struct snapshot *tunnel)
{
	return known->snapshot->status != tunnel->status;
}

enum member_change member_list_put(struct member_list *members, const struct spec_pool *pool, struct snapshot *tunnel)
{
	struct member member = { .snapshot = tunnel };
	bool is_member = select_tunnel(members, pool, tunnel, &member);
	struct member *known = member_list_find(members, tunnel->id);
	if (known != NULL && (!is_member || is_another(known, tunnel))) {
		(void)member_list_remove(members, tunnel->id);
		return is_member ? add(members, &member) : MEMBER_LIST_CHANGED;
	}
	if (!is_member)
		return MEMBER_UNCHANGED;
	return known == NULL ? add(members, &member) : replace(known, &member);
}

enum member_change member_list_remove(struct member_list *members, const char *id)
{
	struct member *known = member_list_find(members, id);
	if (known == NULL)
		return MEMBER_UNCHANGED;
	clear_member(known);
	size_t behind = (size_t)(&members->list[members->count] - known) - 1;
	memmove(known, known + 1, behind * sizeof(*known));
	members->count--;
	return MEMBER_LIST_CHANGED;
}

uint32_t member_weight(const struct snapshot *tunnel)
{
	unsigned weight;
	const char *text = spec_label_find(tunnel->labels, tunnel->label_count, POOL_SPEC_WEIGHT_LABEL);
	return text != NULL && pool_spec_weight(text, &weight) ? weight : 1;
}

void member_describe(const struct member_list *members, size_t index, struct pool_member *message)
{
	const struct member *member = &members->list[index];
	const struct snapshot *tunnel = member->snapshot;
	*message = (struct pool_member){
		.number = member->number,
		.worker = tunnel->worker < 0 ? 0 : (uint32_t)tunnel->worker,
		.slot = tunnel->slots == NULL ? 0 : slot_index(tunnel->slots[0]),
		.generation = tunnel->generation,
		.weight = member_weight(tunnel),
		/* Those without a name follow in the order of their ids. */
		.order = member->order != UINT32_MAX ? member->order : members->unnamed + (uint32_t)index,
		.up = member->state == TUNNEL_UP && tunnel->slots != NULL,
		.is_starting = member->state == TUNNEL_STARTING || member->state == TUNNEL_HANDSHAKING,
		.health = (uint8_t)member->health,
		.rtt_us = member->rtt_us,
		.labels = tunnel->labels,
		.label_count = tunnel->label_count,
	};
	snprintf(message->id, sizeof(message->id), "%s", tunnel->id);
}
