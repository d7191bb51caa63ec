#include "ipc/pool_spec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/message.h"

#define ID_MAX 63
#define TEXT_MAX 255 /* of a domain, a user's name, a label */

static const char *const strategies[] = {
	[SPEC_ROUND_ROBIN] = "round_robin",       [SPEC_RANDOM] = "random",     [SPEC_LEAST_CONNECTIONS] = "least_connections",
	[SPEC_LOWEST_LATENCY] = "lowest_latency", [SPEC_FAILOVER] = "failover",
};
_Static_assert(sizeof(strategies) / sizeof(strategies[0]) == SPEC_STRATEGIES, "a name for each strategy");

static const char *const stickies[] = {
	[SPEC_STICKY_NONE] = "none",       [SPEC_STICKY_CLIENT] = "client", [SPEC_STICKY_USER] = "user",
	[SPEC_STICKY_SESSION] = "session", [SPEC_STICKY_TARGET] = "target",
};
_Static_assert(sizeof(stickies) / sizeof(stickies[0]) == SPEC_STICKIES, "a name for each kind of key");

const char *spec_strategy_name(enum spec_strategy strategy)
{
	assert(strategy < SPEC_STRATEGIES);
	return strategies[strategy];
}

const char *spec_sticky_name(enum spec_sticky sticky)
{
	assert(sticky < SPEC_STICKIES);
	return stickies[sticky];
}

void pool_spec_init(struct spec_pool *pool)
{
	*pool = (struct spec_pool){ .strategy = SPEC_ROUND_ROBIN, .sticky_by = SPEC_STICKY_NONE, .sticky_ttl = 600, .retries = 1 };
}

static void free_strings(char **strings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(strings[i]);
	free(strings);
}

void spec_labels_free(struct spec_label *labels, size_t count)
{
	for (size_t i = 0; labels != NULL && i < count; i++) {
		free(labels[i].key);
		free(labels[i].value);
	}
	free(labels);
}

void spec_selection_clear(struct spec_selection *selection)
{
	free_strings(selection->tunnels, selection->tunnel_count);
	spec_labels_free(selection->labels, selection->label_count);
	*selection = (struct spec_selection){ .tunnel_count = 0 };
}

void spec_rule_clear(struct spec_rule *rule)
{
	free_strings(rule->domains, rule->domain_count);
	free(rule->networks);
	free(rule->ports);
	free_strings(rule->users, rule->user_count);
	spec_selection_clear(&rule->members);
	*rule = (struct spec_rule){ .domain_count = 0 };
}

void pool_spec_clear(struct spec_pool *pool)
{
	spec_selection_clear(&pool->members);
	for (size_t i = 0; i < pool->rule_count; i++)
		spec_rule_clear(&pool->rules[i]);
	free(pool->rules);
	*pool = (struct spec_pool){ .rule_count = 0 };
}

const char *spec_label_find(const struct spec_label *labels, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(labels[i].key, key) == 0)
			return labels[i].value;
	return NULL;
}

bool pool_spec_weight(const char *value, unsigned *weight)
{
	unsigned long number;
	if (!decimal_parse(value, POOL_SPEC_WEIGHT_MAX, &number) || number == 0)
		return false;
	*weight = (unsigned)number;
	return true;
}

size_t spec_selection_place(const struct spec_selection *selection, const char *id)
{
	size_t place = 0;
	while (place < selection->tunnel_count && strcmp(selection->tunnels[place], id) != 0)
		place++;
	return place;
}

bool spec_selection_has_labels(const struct spec_selection *selection, const struct spec_label *labels, size_t label_count)
{
	for (size_t i = 0; i < selection->label_count; i++) {
		const char *value = spec_label_find(labels, label_count, selection->labels[i].key);
		if (value == NULL || strcmp(value, selection->labels[i].value) != 0)
			return false;
	}
	return selection->label_count > 0;
}

bool spec_selection_has(const struct spec_selection *selection, const char *id, const struct spec_label *labels, size_t label_count)
{
	return spec_selection_place(selection, id) < selection->tunnel_count || spec_selection_has_labels(selection, labels, label_count);
}

static void encode_strings(struct message_writer *writer, char *const *strings, size_t count)
{
	message_put_u32(writer, (uint32_t)count);
	for (size_t i = 0; i < count; i++)
		message_put_string(writer, strings[i]);
}

void spec_labels_encode(struct message_writer *writer, const struct spec_label *labels, size_t count)
{
	message_put_u32(writer, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		message_put_string(writer, labels[i].key);
		message_put_string(writer, labels[i].value);
	}
}

static void encode_selection(struct message_writer *writer, const struct spec_selection *selection)
{
	encode_strings(writer, selection->tunnels, selection->tunnel_count);
	spec_labels_encode(writer, selection->labels, selection->label_count);
}

static void encode_rule(struct message_writer *writer, const struct spec_rule *rule)
{
	encode_strings(writer, rule->domains, rule->domain_count);
	message_put_u32(writer, (uint32_t)rule->network_count);
	for (size_t i = 0; i < rule->network_count; i++)
		message_put_network(writer, &rule->networks[i]);
	message_put_u32(writer, (uint32_t)rule->port_count);
	for (size_t i = 0; i < rule->port_count; i++) {
		message_put_u16(writer, rule->ports[i].first);
		message_put_u16(writer, rule->ports[i].last);
	}
	encode_strings(writer, rule->users, rule->user_count);
	message_put_u8(writer, (uint8_t)rule->action);
	encode_selection(writer, &rule->members);
}

void pool_spec_encode(struct message_writer *writer, const struct spec_pool *pool)
{
	encode_selection(writer, &pool->members);
	message_put_u8(writer, (uint8_t)pool->strategy);
	message_put_u8(writer, (uint8_t)pool->sticky_by);
	message_put_u32(writer, pool->sticky_ttl);
	message_put_u32(writer, pool->retries);
	message_put_u32(writer, (uint32_t)pool->rule_count);
	for (size_t i = 0; i < pool->rule_count; i++)
		encode_rule(writer, &pool->rules[i]);
}

static char **decode_strings(struct message_reader *reader, size_t most, size_t longest, size_t *count)
{
	char **strings = message_get_array(reader, most, sizeof(char *), count);
	for (size_t i = 0; i < *count && !reader->failed; i++) {
		strings[i] = message_get_string(reader, longest);
		reader->failed |= strings[i] == NULL;
	}
	return strings;
}

struct spec_label *spec_labels_decode(struct message_reader *reader, size_t *count)
{
	struct spec_label *labels = message_get_array(reader, POOL_SPEC_LABELS_MAX, sizeof(*labels), count);
	for (size_t i = 0; i < *count && !reader->failed; i++) {
		labels[i].key = message_get_string(reader, TEXT_MAX);
		labels[i].value = message_get_string(reader, TEXT_MAX);
		reader->failed |= labels[i].key == NULL || labels[i].value == NULL;
	}
	return labels;
}

static void decode_selection(struct message_reader *reader, struct spec_selection *selection)
{
	selection->tunnels = decode_strings(reader, POOL_SPEC_TUNNELS_MAX, ID_MAX, &selection->tunnel_count);
	selection->labels = spec_labels_decode(reader, &selection->label_count);
}

static void decode_ports(struct message_reader *reader, struct spec_rule *rule)
{
	rule->ports = message_get_array(reader, POOL_SPEC_TERMS_MAX, sizeof(*rule->ports), &rule->port_count);
	for (size_t i = 0; i < rule->port_count && !reader->failed; i++) {
		rule->ports[i].first = message_get_u16(reader);
		rule->ports[i].last = message_get_u16(reader);
		reader->failed |= rule->ports[i].first > rule->ports[i].last;
	}
}

static void decode_rule(struct message_reader *reader, struct spec_rule *rule)
{
	rule->domains = decode_strings(reader, POOL_SPEC_TERMS_MAX, TEXT_MAX, &rule->domain_count);
	rule->networks = message_get_array(reader, POOL_SPEC_TERMS_MAX, sizeof(*rule->networks), &rule->network_count);
	for (size_t i = 0; i < rule->network_count && !reader->failed; i++)
		message_get_network(reader, &rule->networks[i]);
	decode_ports(reader, rule);
	rule->users = decode_strings(reader, POOL_SPEC_TERMS_MAX, TEXT_MAX, &rule->user_count);
	uint8_t action = message_get_u8(reader);
	rule->action = (enum spec_rule_action)action;
	reader->failed |= action > SPEC_RULE_REJECT;
	decode_selection(reader, &rule->members);
}

void pool_spec_decode(struct message_reader *reader, struct spec_pool *pool)
{
	decode_selection(reader, &pool->members);
	uint8_t strategy = message_get_u8(reader), sticky_by = message_get_u8(reader);
	pool->strategy = (enum spec_strategy)strategy;
	pool->sticky_by = (enum spec_sticky)sticky_by;
	pool->sticky_ttl = message_get_u32(reader);
	pool->retries = message_get_u32(reader);
	if (strategy >= SPEC_STRATEGIES || sticky_by >= SPEC_STICKIES || pool->sticky_ttl > POOL_SPEC_TTL_MAX ||
	    pool->retries > POOL_SPEC_RETRIES_MAX)
		reader->failed = true;
	pool->rules = message_get_array(reader, POOL_SPEC_RULES_MAX, sizeof(*pool->rules), &pool->rule_count);
	for (size_t i = 0; i < pool->rule_count && !reader->failed; i++)
		decode_rule(reader, &pool->rules[i]);
}
