#include "tests/tunnel/pool_model.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const char *const model_keys[MODEL_KEYS] = { "geo", "geo-x", "a", "tier" };

/* User names. */

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* The place of the parameter in `markers`, or -1. */
static int parameter_at(const char *text)
{
	static const char *const markers[] = { "-session-", "-tunnel-", "-geo-x-", "-geo-", "-a-", "-tier-" };
	for (int i = 0; i < (int)(sizeof(markers) / sizeof(markers[0])); i++)
		if (begins(text, markers[i]))
			return i;
	return -1;
}

/* Copies the value that the text begins with; returns what follows it. */
static const char *read_value(struct model_name *read, const char *text, char value[256], bool *has_value)
{
	size_t length = 0;
	while (text[length] != '\0' && parameter_at(text + length) < 0)
		length++;
	read->is_faulty |= *has_value;
	*has_value = true;
	snprintf(value, 256, "%.*s", (int)length, text);
	return text + length;
}

void model_read_name(struct model_name *read, const char *name)
{
	bool has_name = false;
	memset(read, 0, sizeof(*read));
	name = read_value(read, name, read->name, &has_name);
	while (*name != '\0') {
		switch (parameter_at(name)) {
		case 0: name = read_value(read, name + strlen("-session-"), read->session, &read->has_session); break;
		case 1: name = read_value(read, name + strlen("-tunnel-"), read->tunnel, &read->has_tunnel); break;
		case 2: name = read_value(read, name + strlen("-geo-x-"), read->values[1], &read->has_value[1]); break;
		case 3: name = read_value(read, name + strlen("-geo-"), read->values[0], &read->has_value[0]); break;
		case 4: name = read_value(read, name + strlen("-a-"), read->values[2], &read->has_value[2]); break;
		case 5: name = read_value(read, name + strlen("-tier-"), read->values[3], &read->has_value[3]); break;
		default: return;
		}
	}
}

/* Rules. */

static bool is_below(const char *host, const char *domain)
{
	size_t length = strlen(host), end = strlen(domain);
	if (length > 0 && host[length - 1] == '.')
		length--;
	if (length < end || strncmp(host + length - end, domain, end) != 0)
		return false;
	return length == end || host[length - end - 1] == '.';
}

static bool rule_matches(const struct model_rule *rule, const char *host, uint32_t address, uint16_t port, const char *user)
{
	bool is_anywhere = rule->domain == NULL && rule->network == 0;
	bool has_domain = rule->domain != NULL && address == 0 && is_below(host, rule->domain);
	bool has_network = rule->network != 0 && address != 0 && (address ^ rule->network) >> (32 - rule->prefix) == 0;
	if (!is_anywhere && !has_domain && !has_network)
		return false;
	if (rule->first_port != 0 && (port < rule->first_port || port > rule->last_port))
		return false;
	return rule->user == NULL || strcmp(rule->user, user) == 0;
}

int model_match(const struct model *model, const char *host, uint32_t address, uint16_t port, const char *user)
{
	for (size_t i = 0; i < model->rule_count; i++)
		if (rule_matches(&model->rules[i], host, address, port, user))
			return (int)i;
	return -1;
}

/* Members. */

struct model_member *model_find(struct model *model, uint32_t number)
{
	for (size_t i = 0; i < model->member_count; i++)
		if (model->members[i].member.number == number)
			return &model->members[i];
	return NULL;
}

void model_remove(struct model *model, struct model_member *member)
{
	*member = model->members[--model->member_count];
}

void model_forget_turns(struct model *model)
{
	memset(model->scopes, 0, sizeof(model->scopes));
	model->choices = 0;
}

static bool has_labels(const struct model_member *member, const struct model_labels *wanted)
{
	for (size_t i = 0; i < MODEL_KEYS; i++) {
		const char *own = member->labels.values[i], *value = wanted->values[i];
		if (value != NULL && (own == NULL || strcmp(own, value) != 0))
			return false;
	}
	return true;
}

static bool is_selected(const struct model_selection *selection, const struct model_member *member)
{
	bool has_any = false;
	for (size_t i = 0; i < 2; i++)
		if (selection->ids[i] != NULL && strcmp(selection->ids[i], member->member.id) == 0)
			return true;
	for (size_t i = 0; i < MODEL_KEYS; i++)
		has_any |= selection->labels.values[i] != NULL;
	return has_any && has_labels(member, &selection->labels);
}

static struct model_labels labels_of(const struct model_name *name)
{
	struct model_labels labels = { { NULL } };
	for (size_t i = 0; i < MODEL_KEYS; i++)
		labels.values[i] = name->has_value[i] ? name->values[i] : NULL;
	return labels;
}

static bool is_wanted(const struct model *model, const struct model_member *member, size_t group, const struct model_name *name)
{
	struct model_labels labels = labels_of(name);
	for (size_t i = 0; i < model->tried_count; i++)
		if (model->tried[i] == member->member.number)
			return false;
	if (name->is_faulty)
		return false;
	if (name->has_tunnel && strcmp(name->tunnel, member->member.id) != 0)
		return false;
	return is_selected(group == 0 ? &model->selection : &model->rules[group - 1].members, member) && has_labels(member, &labels);
}

bool model_is_eligible(const struct model *model, const struct model_member *member, size_t group, const struct model_name *name)
{
	return member->member.up && member->member.health != POOL_UNHEALTHY && is_wanted(model, member, group, name);
}

bool model_is_starting(const struct model *model, const struct model_member *member, size_t group, const struct model_name *name)
{
	return member->member.is_starting && is_wanted(model, member, group, name);
}

/* Choices. */

static bool labels_equal(const struct model_labels *a, const struct model_labels *b)
{
	for (size_t i = 0; i < MODEL_KEYS; i++) {
		const char *x = a->values[i], *y = b->values[i];
		if ((x == NULL) != (y == NULL) || (x != NULL && strcmp(x, y) != 0))
			return false;
	}
	return true;
}

/* Values outlive the name that asked for them. */
static const char *keep_text(const char *text)
{
	static char texts[4096][256];
	static size_t count;
	if (text == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++)
		if (strcmp(texts[i], text) == 0)
			return texts[i];
	assert(count < sizeof(texts) / sizeof(texts[0]));
	snprintf(texts[count], sizeof(texts[count]), "%s", text);
	return texts[count++];
}

static struct model_scope *scope_of(struct model *model, size_t group, const struct model_labels *labels)
{
	struct model_scope *oldest = &model->scopes[0];
	for (size_t i = 0; i < MODEL_SCOPES; i++) {
		struct model_scope *scope = &model->scopes[i];
		if (scope->used > 0 && scope->group == group && labels_equal(&scope->labels, labels))
			return scope;
		if (scope->used < oldest->used)
			oldest = scope;
	}
	memset(oldest, 0, sizeof(*oldest));
	oldest->group = group;
	for (size_t i = 0; i < MODEL_KEYS; i++)
		oldest->labels.values[i] = keep_text(labels->values[i]);
	return oldest;
}

static int64_t *turn_of(const struct model *model, struct model_scope *scope, uint32_t number)
{
	size_t free_place = MODEL_MEMBERS;
	for (size_t i = 0; i < MODEL_MEMBERS; i++) {
		bool is_gone = true;
		if (scope->turns[i].number == number)
			return &scope->turns[i].turn;
		for (size_t j = 0; j < model->member_count; j++)
			is_gone &= model->members[j].member.number != scope->turns[i].number;
		if (is_gone)
			free_place = i;
	}
	scope->turns[free_place].number = number;
	scope->turns[free_place].turn = 0;
	return &scope->turns[free_place].turn;
}

/* Whether a is better than b, whatever their turns. */
static bool is_better(const struct model *model, const struct model_member *a, const struct model_member *b)
{
	if (model->strategy == SPEC_FAILOVER)
		return a->member.order < b->member.order;
	if (model->strategy == SPEC_LEAST_CONNECTIONS)
		return (uint64_t)a->open * b->member.weight < (uint64_t)b->open * a->member.weight;
	if (model->strategy == SPEC_LOWEST_LATENCY)
		return a->member.rtt_us != 0 && (b->member.rtt_us == 0 || a->member.rtt_us < b->member.rtt_us);
	return false;
}

static uint32_t take_turn(struct model *model, struct model_scope *scope, const struct model_member **candidates, size_t count)
{
	int64_t total = 0;
	const struct model_member *chosen = candidates[0];
	for (size_t i = 0; i < count; i++) {
		*turn_of(model, scope, candidates[i]->member.number) += candidates[i]->member.weight;
		total += candidates[i]->member.weight;
	}
	for (size_t i = 1; i < count; i++) {
		int64_t turn = *turn_of(model, scope, candidates[i]->member.number), best = *turn_of(model, scope, chosen->member.number);
		if (turn > best || (turn == best && candidates[i]->member.order < chosen->member.order))
			chosen = candidates[i];
	}
	*turn_of(model, scope, chosen->member.number) -= total;
	return chosen->member.number;
}

/* Stays with the last member unless the best one is more than 10 % faster. */
static bool stays(const struct model *model, const struct model_scope *scope, const struct model_member **candidates, size_t count)
{
	const struct model_member *last = NULL, *best = candidates[0];
	for (size_t i = 0; i < count; i++) {
		if (candidates[i]->member.number == scope->last)
			last = candidates[i];
		if (is_better(model, candidates[i], best))
			best = candidates[i];
	}
	if (model->strategy != SPEC_LOWEST_LATENCY || last == NULL)
		return false;
	if (last->member.rtt_us == 0 || best->member.rtt_us == 0)
		return last->member.rtt_us == best->member.rtt_us;
	return (uint64_t)best->member.rtt_us * 10 >= (uint64_t)last->member.rtt_us * 9;
}

uint32_t model_choose(struct model *model, size_t group, const struct model_name *name)
{
	const struct model_member *candidates[MODEL_MEMBERS], *best[MODEL_MEMBERS];
	struct model_labels labels = labels_of(name);
	size_t count = 0, best_count = 0;
	for (size_t i = 0; i < model->member_count; i++)
		if (model_is_eligible(model, &model->members[i], group, name))
			candidates[count++] = &model->members[i];
	if (name->is_faulty || name->has_tunnel)
		return count == 0 ? 0 : candidates[0]->member.number;
	struct model_scope *scope = scope_of(model, group, &labels);
	scope->used = ++model->choices;
	if (count == 0 || model->strategy == SPEC_RANDOM)
		return count == 0 ? 0 : candidates[0]->member.number;
	if (stays(model, scope, candidates, count))
		return scope->last;
	for (size_t i = 0; i < count; i++) {
		bool is_best = true;
		for (size_t j = 0; j < count; j++)
			is_best &= !is_better(model, candidates[j], candidates[i]);
		if (is_best)
			best[best_count++] = candidates[i];
	}
	uint32_t chosen = take_turn(model, scope, best, best_count);
	if (model->strategy == SPEC_LOWEST_LATENCY && model->tried_count == 0)
		scope->last = chosen;
	return chosen;
}

/* Sticky keys. */

void model_key_drop(struct model_sticky *sticky, struct model_key *key)
{
	*key = sticky->keys[--sticky->count];
}

struct model_key *model_key_find(struct model_sticky *sticky, const char *text, uint64_t now)
{
	for (size_t i = 0; i < sticky->count; i++) {
		struct model_key *key = &sticky->keys[i];
		if (strcmp(key->text, text) == 0)
			return key->open > 0 || now - key->since < sticky->ttl ? key : NULL;
	}
	return NULL;
}

static size_t keys_of(const struct model_sticky *sticky, unsigned place)
{
	size_t count = 0;
	for (size_t i = 0; i < sticky->count; i++)
		count += sticky->keys[i].place == place;
	return count;
}

static bool is_victim_before(const struct model_sticky *sticky, const struct model_key *a, const struct model_key *b)
{
	size_t a_keys = keys_of(sticky, a->place), b_keys = keys_of(sticky, b->place);
	if (a_keys != b_keys)
		return a_keys > b_keys;
	return a->place != b->place ? a->place < b->place : a->order < b->order;
}

static bool make_room(struct model_sticky *sticky, char gone[64])
{
	struct model_key *victim = NULL;
	if (sticky->count < sticky->capacity)
		return true;
	for (size_t i = 0; i < sticky->count; i++)
		if (sticky->keys[i].open == 0 && (victim == NULL || is_victim_before(sticky, &sticky->keys[i], victim)))
			victim = &sticky->keys[i];
	if (victim == NULL)
		return false;
	snprintf(gone, 64, "%s", victim->text);
	model_key_drop(sticky, victim);
	return true;
}

bool model_key_hold(struct model_sticky *sticky, const char *text, unsigned place, uint32_t member, uint64_t now, char gone[64])
{
	struct model_key *key = NULL;
	gone[0] = '\0';
	for (size_t i = 0; i < sticky->count; i++)
		if (strcmp(sticky->keys[i].text, text) == 0)
			key = &sticky->keys[i];
	if (key != NULL && model_key_find(sticky, text, now) == NULL) {
		model_key_drop(sticky, key);
		key = NULL;
	}
	if (key == NULL) {
		if (!make_room(sticky, gone))
			return false;
		key = &sticky->keys[sticky->count++];
		*key = (struct model_key){ .since = now };
		snprintf(key->text, sizeof(key->text), "%s", text);
	}
	key->place = place;
	key->member = member;
	key->open++;
	return true;
}

void model_key_release(struct model_sticky *sticky, struct model_key *key, uint64_t now)
{
	if (--key->open > 0)
		return;
	key->since = now;
	key->order = ++sticky->order;
}
