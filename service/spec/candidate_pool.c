/* What a pool has besides its proxy: members, strategy, keys, rules. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/network.h"
#include "ipc/object_id.h"
#include "ipc/place.h"
#include "service/spec/candidate.h"

/* A list of texts, and what each of them must be. */
struct text_list {
	const char *member;
	size_t most;
	bool (*is_valid)(const char *text);
	const char *code, *detail; /* of one that is not valid */
};

static int compare_texts(const void *a, const void *b)
{
	const char *const *const *first = a, *const *const *second = b;
	int order = strcmp(**first, **second);
	return order != 0 ? order : (*first > *second) - (*first < *second);
}

/* Sorted, because comparing thousands of texts pairwise would block an API thread. */
static void find_duplicates(struct json_reader *reader, char *const *texts, size_t count)
{
	char *const **sorted = calloc(count + 1, sizeof(*sorted));
	if (sorted == NULL) {
		problem_out_of_memory(reader->problem);
		return;
	}
	for (size_t i = 0; i < count; i++)
		sorted[i] = &texts[i];
	qsort((void *)sorted, count, sizeof(*sorted), compare_texts);
	for (size_t i = 1; i < count; i++) {
		if (strcmp(*sorted[i], *sorted[i - 1]) != 0)
			continue;
		size_t mark = json_reader_enter_index(reader, (size_t)(sorted[i] - texts));
		json_reader_fault(reader, "duplicate", "This is listed twice.");
		json_reader_leave(reader, mark);
	}
	free((void *)sorted);
}

static const json_t *read_list(struct json_reader *reader, const json_t *object, const char *member, size_t most)
{
	const json_t *list = json_reader_array(reader, object, member);
	if (json_array_size(list) <= most)
		return json_array_size(list) == 0 ? NULL : list;
	char detail[64];
	snprintf(detail, sizeof(detail), "There can be at most %zu of these.", most);
	json_reader_fault_at(reader, member, "too_many", detail);
	return NULL;
}

/* The texts that are valid; places of faults are those of the list. */
static char **read_texts(struct json_reader *reader, const json_t *object, const struct text_list *wanted, size_t *count)
{
	const json_t *list = read_list(reader, object, wanted->member, wanted->most);
	char **texts = list == NULL ? NULL : calloc(json_array_size(list), sizeof(char *));
	*count = 0;
	if (list == NULL)
		return NULL;
	if (texts == NULL) {
		problem_out_of_memory(reader->problem);
		return NULL;
	}
	size_t mark = json_reader_enter(reader, wanted->member);
	for (size_t i = 0; i < json_array_size(list); i++) {
		size_t inner = json_reader_enter_index(reader, i);
		const char *text = json_reader_text(reader, json_array_get(list, i));
		if (text != NULL && !wanted->is_valid(text))
			json_reader_fault(reader, wanted->code, wanted->detail);
		else if (text != NULL && (texts[*count] = json_reader_copy(reader, text)) != NULL)
			++*count;
		json_reader_leave(reader, inner);
	}
	/* One that was left out would move the places of those after it. */
	if (*count == json_array_size(list))
		find_duplicates(reader, texts, *count);
	json_reader_leave(reader, mark);
	return texts;
}

/* The reader is where the selection is. */
static void read_selection(struct json_reader *reader, const json_t *object, struct spec_selection *selection)
{
	static const char *const known[] = { "tunnels", "labels", NULL };
	static const struct text_list tunnels = { .member = "tunnels",
		                                  .most = POOL_SPEC_TUNNELS_MAX,
		                                  .is_valid = object_id_is_valid,
		                                  .code = "invalid_id",
		                                  .detail = "This must be the id of a tunnel." };
	json_reader_known(reader, object, known, NULL);
	selection->tunnels = read_texts(reader, object, &tunnels, &selection->tunnel_count);
	selection->label_count = labels_read(reader, object, &selection->labels);
}

/* Names are compared without regard to case, and a dot at the end changes nothing (RFC 4343; RFC 1034, 3.1). */
static void make_plain(char *domain)
{
	size_t length = strlen(domain);
	if (length > 1 && domain[length - 1] == '.')
		domain[length - 1] = '\0';
	for (; *domain != '\0'; domain++)
		*domain = (char)tolower((unsigned char)*domain);
}

static void read_domains(struct json_reader *reader, const json_t *object, struct spec_rule *rule)
{
	static const struct text_list domains = {
		.member = "domains",
		.most = POOL_SPEC_TERMS_MAX,
		.is_valid = name_is_valid,
		.code = "invalid_value",
		.detail = "This must be a domain such as example.com, which stands for the names below it, too. Addresses go into networks.",
	};
	rule->domains = read_texts(reader, object, &domains, &rule->domain_count);
	for (size_t i = 0; i < rule->domain_count; i++)
		make_plain(rule->domains[i]);
}

static void read_networks(struct json_reader *reader, const json_t *object, struct spec_rule *rule)
{
	const json_t *list = read_list(reader, object, "networks", POOL_SPEC_TERMS_MAX);
	if (list == NULL)
		return;
	rule->networks = calloc(json_array_size(list), sizeof(*rule->networks));
	if (rule->networks == NULL) {
		problem_out_of_memory(reader->problem);
		return;
	}
	size_t mark = json_reader_enter(reader, "networks");
	for (size_t i = 0; i < json_array_size(list); i++) {
		size_t inner = json_reader_enter_index(reader, i);
		const char *text = json_reader_text(reader, json_array_get(list, i));
		if (text != NULL && network_parse(text, false, &rule->networks[rule->network_count]))
			rule->network_count++;
		else if (text != NULL)
			json_reader_fault(reader, "invalid_network", network_fault(text));
		json_reader_leave(reader, inner);
	}
	json_reader_leave(reader, mark);
}

static bool read_port(const char *text, size_t length, uint16_t *port)
{
	char digits[8];
	unsigned long number;
	if (length == 0 || length >= sizeof(digits))
		return false;
	memcpy(digits, text, length);
	digits[length] = '\0';
	if (!decimal_parse(digits, 65535, &number) || number == 0)
		return false;
	*port = (uint16_t)number;
	return true;
}

/* "443", or "8000-8100". */
static bool ports_parse(const char *text, struct spec_ports *ports)
{
	size_t length = strcspn(text, "-");
	if (!read_port(text, length, &ports->first))
		return false;
	ports->last = ports->first;
	if (text[length] == '\0')
		return true;
	return read_port(text + length + 1, strlen(text + length + 1), &ports->last) && ports->first <= ports->last;
}

static void read_ports(struct json_reader *reader, const json_t *object, struct spec_rule *rule)
{
	const json_t *list = read_list(reader, object, "ports", POOL_SPEC_TERMS_MAX);
	if (list == NULL)
		return;
	rule->ports = calloc(json_array_size(list), sizeof(*rule->ports));
	if (rule->ports == NULL) {
		problem_out_of_memory(reader->problem);
		return;
	}
	size_t mark = json_reader_enter(reader, "ports");
	for (size_t i = 0; i < json_array_size(list); i++) {
		size_t inner = json_reader_enter_index(reader, i);
		const char *text = json_reader_text(reader, json_array_get(list, i));
		if (text != NULL && ports_parse(text, &rule->ports[rule->port_count]))
			rule->port_count++;
		else if (text != NULL)
			json_reader_fault(reader, "invalid_value", "This must be a port such as \"443\", or a range such as \"8000-8100\".");
		json_reader_leave(reader, inner);
	}
	json_reader_leave(reader, mark);
}

static bool user_is_valid(const char *name)
{
	return name[0] != '\0' && strlen(name) <= 255;
}

static void read_action(struct json_reader *reader, const json_t *object, struct spec_rule *rule)
{
	const char *action = json_reader_string(reader, object, "action");
	const json_t *members = json_reader_object(reader, object, "members");
	bool is_absent = json_object_get(object, "members") == NULL || json_reader_is_null(object, "members");
	bool is_reject = action != NULL && strcmp(action, "reject") == 0;
	if (json_object_get(object, "action") == NULL || json_reader_is_null(object, "action"))
		json_reader_fault_at(reader, "action", "required", "A rule needs its action: members or reject.");
	else if (action != NULL && !is_reject && strcmp(action, "members") != 0)
		json_reader_fault_at(reader, "action", "invalid_value", "This must be members or reject.");
	else if (is_reject && !is_absent)
		json_reader_fault_at(reader, "members", "not_allowed", "A rule that rejects has no members.");
	else if (action != NULL && !is_reject && is_absent)
		json_reader_fault_at(reader, "members", "required", "A rule with the action members needs members.");
	rule->action = is_reject ? SPEC_RULE_REJECT : SPEC_RULE_MEMBERS;
	if (members == NULL)
		return;
	size_t mark = json_reader_enter(reader, "members");
	read_selection(reader, members, &rule->members);
	json_reader_leave(reader, mark);
}

static void read_rule(struct json_reader *reader, const json_t *value, struct spec_rule *rule)
{
	static const char *const known[] = { "domains", "networks", "ports", "users", "action", "members", NULL };
	static const struct text_list users = { .member = "users",
		                                .most = POOL_SPEC_TERMS_MAX,
		                                .is_valid = user_is_valid,
		                                .code = "invalid_value",
		                                .detail = "A username must have 1 to 255 bytes." };
	if (!json_is_object(value)) {
		json_reader_fault(reader, "wrong_type", "A rule must be an object.");
		return;
	}
	json_reader_known(reader, value, known, NULL);
	read_domains(reader, value, rule);
	read_networks(reader, value, rule);
	read_ports(reader, value, rule);
	rule->users = read_texts(reader, value, &users, &rule->user_count);
	read_action(reader, value, rule);
}

static void read_rules(struct json_reader *reader, const json_t *object, struct spec_pool *pool)
{
	const json_t *list = read_list(reader, object, "rules", POOL_SPEC_RULES_MAX);
	if (list == NULL)
		return;
	pool->rules = calloc(json_array_size(list), sizeof(*pool->rules));
	if (pool->rules == NULL) {
		problem_out_of_memory(reader->problem);
		return;
	}
	pool->rule_count = json_array_size(list);
	size_t mark = json_reader_enter(reader, "rules");
	for (size_t i = 0; i < pool->rule_count; i++) {
		size_t inner = json_reader_enter_index(reader, i);
		read_rule(reader, json_array_get(list, i), &pool->rules[i]);
		json_reader_leave(reader, inner);
	}
	json_reader_leave(reader, mark);
}

static void read_strategy(struct json_reader *reader, const json_t *object, struct spec_pool *pool)
{
	const char *text = json_reader_string(reader, object, "strategy");
	if (text == NULL)
		return;
	for (unsigned i = 0; i < SPEC_STRATEGIES; i++)
		if (strcmp(text, spec_strategy_name((enum spec_strategy)i)) == 0) {
			pool->strategy = (enum spec_strategy)i;
			return;
		}
	json_reader_fault_at(reader, "strategy", "invalid_value", "This must be round_robin, random, least_connections, lowest_latency or failover.");
}

static void read_sticky_by(struct json_reader *reader, const json_t *sticky, struct spec_pool *pool)
{
	const char *text = json_reader_string(reader, sticky, "by");
	if (text == NULL)
		return;
	for (unsigned i = 0; i < SPEC_STICKIES; i++)
		if (strcmp(text, spec_sticky_name((enum spec_sticky)i)) == 0) {
			pool->sticky_by = (enum spec_sticky)i;
			return;
		}
	json_reader_fault_at(reader, "by", "invalid_value", "This must be none, client, user, session or target.");
}

static void read_sticky(struct json_reader *reader, const json_t *object, struct spec_pool *pool)
{
	static const char *const known[] = { "by", "ttl", NULL };
	const json_t *sticky = json_reader_object(reader, object, "sticky");
	uint64_t ttl = pool->sticky_ttl;
	size_t mark = json_reader_enter(reader, "sticky");
	json_reader_known(reader, sticky, known, NULL);
	read_sticky_by(reader, sticky, pool);
	json_reader_integer(reader, sticky, "ttl", 1, POOL_SPEC_TTL_MAX, &ttl);
	pool->sticky_ttl = (uint32_t)ttl;
	json_reader_leave(reader, mark);
}

void candidate_read_pool(struct candidate *candidate, struct json_reader *reader, const json_t *spec_json)
{
	struct spec_pool *pool = &candidate->spec.pool;
	const json_t *members = json_reader_object(reader, spec_json, "members");
	if (members != NULL) {
		size_t mark = json_reader_enter(reader, "members");
		read_selection(reader, members, &pool->members);
		json_reader_leave(reader, mark);
	}
	uint64_t retries = pool->retries;
	read_strategy(reader, spec_json, pool);
	read_sticky(reader, spec_json, pool);
	json_reader_integer(reader, spec_json, "retries", 0, POOL_SPEC_RETRIES_MAX, &retries);
	pool->retries = (uint32_t)retries;
	read_rules(reader, spec_json, pool);
}
