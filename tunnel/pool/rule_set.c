#include "tunnel/pool/rule_set.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Theory of operation: each domain, network and user of a rule is a term. The terms are sorted by kind, bytes and rule, so that equal ones are
 * neighbours, and a hash table finds them. Domains are hashed from their end: one walk over a name, from its end, hashes every domain that the name
 * is below. Networks are looked up once for each prefix length that one of them has. A rule with neither domains nor networks has the term
 * `anywhere`. Of all rules that the terms of the target name, the first wins whose port and user match. */

enum term_kind { TERM_ANYWHERE, TERM_DOMAIN, TERM_NETWORK, TERM_USER };

struct term {
	const char *bytes; /* in the set's text */
	uint32_t length;
	enum term_kind kind;
	uint32_t rule;
};

/* Equal terms: those of all rules that have it, ascending. */
struct run {
	const struct term *terms; /* NULL: the place is free */
	uint32_t count;
	uint32_t hash;
};

struct rule {
	const struct spec_ports *ports; /* in the set's ports */
	size_t port_count;
	bool has_users;
};

struct rule_set {
	struct rule *rules;
	size_t rule_count;
	struct spec_ports *ports;
	char *text;
	struct term *terms;
	size_t term_count;
	struct run *table;
	size_t mask;
	bool has_prefix[2][129]; /* IPv4, IPv6 */
};

/* A network as the bytes of a term. */
#define NETWORK_BYTES (2 + sizeof(((struct wireguard_network *)NULL)->bytes))

static uint32_t hash_start(enum term_kind kind)
{
	return 2166136261u + (uint32_t)kind;
}

/* FNV-1a. The keys are the operator's, so nobody else can make them collide. */
static uint32_t hash_step(uint32_t hash, char byte)
{
	return (hash ^ (unsigned char)byte) * 16777619u;
}

static uint32_t hash_of(enum term_kind kind, const char *bytes, size_t length)
{
	uint32_t hash = hash_start(kind);
	for (size_t i = length; i > 0; i--)
		hash = hash_step(hash, bytes[i - 1]);
	return hash;
}

/* The place of the terms in the table, or the free one where they would be. */
static struct run *find(const struct rule_set *set, enum term_kind kind, const char *bytes, size_t length, uint32_t hash)
{
	for (size_t at = hash ^ hash >> 16;; at++) {
		struct run *run = &set->table[at & set->mask];
		if (run->terms == NULL)
			return run;
		if (run->hash == hash && run->terms->kind == kind && run->terms->length == length && memcmp(run->terms->bytes, bytes, length) == 0)
			return run;
	}
}

/* Making a set. */

/* An IPv4-mapped network is the IPv4 network; host bits are cleared. */
static struct wireguard_network plain_network(const struct wireguard_network *network)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct wireguard_network plain = { .family = network->family, .prefix = network->prefix };
	bool is_mapped = network->family == AF_INET6 && network->prefix >= 96 && memcmp(network->bytes, mapped, sizeof(mapped)) == 0;
	if (is_mapped)
		plain = (struct wireguard_network){ .family = AF_INET, .prefix = (uint8_t)(network->prefix - 96) };
	size_t length = plain.family == AF_INET ? 4 : 16;
	assert(plain.prefix <= 8 * length);
	memcpy(plain.bytes, network->bytes + (is_mapped ? sizeof(mapped) : 0), length);
	for (size_t bit = plain.prefix; bit < 8 * length; bit++)
		plain.bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	return plain;
}

static void network_bytes(const struct wireguard_network *network, char bytes[NETWORK_BYTES])
{
	bytes[0] = (char)network->family;
	bytes[1] = (char)network->prefix;
	memcpy(bytes + 2, network->bytes, sizeof(network->bytes));
}

/* The text is written behind that of the terms so far. */
static void add_term(struct rule_set *set, enum term_kind kind, const char *bytes, size_t length, size_t rule)
{
	const struct term *last = set->term_count > 0 ? &set->terms[set->term_count - 1] : NULL;
	size_t used = last != NULL ? (size_t)(last->bytes - set->text) + last->length : 0;
	memcpy(set->text + used, bytes, length);
	set->terms[set->term_count++] = (struct term){ .bytes = set->text + used, .length = (uint32_t)length, .kind = kind, .rule = (uint32_t)rule };
}

static void add_rule(struct rule_set *set, const struct spec_rule *rule, struct spec_ports *ports)
{
	size_t place = set->rule_count++;
	set->rules[place] = (struct rule){ .ports = ports, .port_count = rule->port_count, .has_users = rule->user_count > 0 };
	if (rule->port_count > 0)
		memcpy(ports, rule->ports, rule->port_count * sizeof(*ports));
	for (size_t i = 0; i < rule->domain_count; i++)
		add_term(set, TERM_DOMAIN, rule->domains[i], strlen(rule->domains[i]), place);
	for (size_t i = 0; i < rule->network_count; i++) {
		struct wireguard_network network = plain_network(&rule->networks[i]);
		char bytes[NETWORK_BYTES];
		network_bytes(&network, bytes);
		add_term(set, TERM_NETWORK, bytes, sizeof(bytes), place);
		set->has_prefix[network.family == AF_INET6][network.prefix] = true;
	}
	for (size_t i = 0; i < rule->user_count; i++)
		add_term(set, TERM_USER, rule->users[i], strlen(rule->users[i]), place);
	if (rule->domain_count == 0 && rule->network_count == 0)
		add_term(set, TERM_ANYWHERE, "", 0, place);
}

static int compare_text(const struct term *a, const struct term *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->length != b->length)
		return a->length < b->length ? -1 : 1;
	return memcmp(a->bytes, b->bytes, a->length);
}

static int compare(const void *a, const void *b)
{
	const struct term *first = a, *second = b;
	int text = compare_text(first, second);
	return text != 0 ? text : (first->rule > second->rule) - (first->rule < second->rule);
}

static void fill_table(struct rule_set *set)
{
	qsort(set->terms, set->term_count, sizeof(*set->terms), compare);
	for (size_t i = 0; i < set->term_count; i++) {
		const struct term *term = &set->terms[i];
		uint32_t hash = hash_of(term->kind, term->bytes, term->length);
		struct run *run = find(set, term->kind, term->bytes, term->length, hash);
		if (run->terms == NULL)
			*run = (struct run){ .terms = term, .hash = hash };
		run->count++;
	}
}

/* What the rules take. */
struct extent {
	size_t terms, text, ports;
};

static struct extent measure(const struct spec_rule *rules, size_t count)
{
	struct extent extent = { 0 };
	for (size_t place = 0; place < count; place++) {
		const struct spec_rule *rule = &rules[place];
		extent.terms += rule->domain_count + rule->network_count + rule->user_count + 1;
		extent.ports += rule->port_count;
		extent.text += rule->network_count * NETWORK_BYTES;
		for (size_t i = 0; i < rule->domain_count; i++)
			extent.text += strlen(rule->domains[i]);
		for (size_t i = 0; i < rule->user_count; i++)
			extent.text += strlen(rule->users[i]);
	}
	return extent;
}

struct rule_set *rule_set_create(const struct spec_rule *rules, size_t count)
{
	struct rule_set *set = calloc(1, sizeof(*set));
	if (set == NULL)
		return NULL;
	struct extent extent = measure(rules, count);
	size_t places = 2;
	while (places < 2 * extent.terms)
		places *= 2;
	set->mask = places - 1;
	set->rules = calloc(count + 1, sizeof(*set->rules));
	set->ports = calloc(extent.ports + 1, sizeof(*set->ports));
	set->text = malloc(extent.text + 1);
	set->terms = calloc(extent.terms + 1, sizeof(*set->terms));
	set->table = calloc(places, sizeof(*set->table));
	if (set->rules == NULL || set->ports == NULL || set->text == NULL || set->terms == NULL || set->table == NULL) {
		rule_set_free(set);
		return NULL;
	}
	struct spec_ports *ports = set->ports;
	for (size_t i = 0; i < count; i++) {
		add_rule(set, &rules[i], ports);
		ports += rules[i].port_count;
	}
	fill_table(set);
	return set;
}

void rule_set_free(struct rule_set *set)
{
	if (set == NULL)
		return;
	free(set->rules);
	free(set->ports);
	free(set->text);
	free(set->terms);
	free(set->table);
	free(set);
}

/* Matching. */

struct match {
	const struct rule_set *set;
	uint16_t port;
	const struct run *user; /* rules that name the user */
	uint32_t best;
};

static bool names_rule(const struct run *run, uint32_t rule)
{
	size_t from = 0, to = run->terms == NULL ? 0 : run->count;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (run->terms[middle].rule == rule)
			return true;
		if (run->terms[middle].rule < rule)
			from = middle + 1;
		else
			to = middle;
	}
	return false;
}

static bool admits(const struct match *match, uint32_t place)
{
	const struct rule *rule = &match->set->rules[place];
	bool has_port = rule->port_count == 0;
	for (size_t i = 0; i < rule->port_count && !has_port; i++)
		has_port = rule->ports[i].first <= match->port && match->port <= rule->ports[i].last;
	return has_port && (!rule->has_users || names_rule(match->user, place));
}

static void consider(struct match *match, enum term_kind kind, const char *bytes, size_t length, uint32_t hash)
{
	const struct run *run = find(match->set, kind, bytes, length, hash);
	for (size_t i = 0; run->terms != NULL && i < run->count && run->terms[i].rule < match->best; i++)
		if (admits(match, run->terms[i].rule))
			match->best = run->terms[i].rule;
}

static void consider_domains(struct match *match, const char *host)
{
	size_t length = strlen(host);
	if (length > 0 && host[length - 1] == '.')
		length--;
	uint32_t hash = hash_start(TERM_DOMAIN);
	for (size_t at = length; at > 0; at--) {
		hash = hash_step(hash, host[at - 1]);
		if (at == 1 || host[at - 2] == '.')
			consider(match, TERM_DOMAIN, host + at - 1, length - at + 1, hash);
	}
}

static void consider_networks(struct match *match, const struct netstack_endpoint *address)
{
	struct wireguard_network network = { .family = address->family, .prefix = address->family == AF_INET ? 32 : 128 };
	memcpy(network.bytes, address->bytes, sizeof(network.bytes));
	network = plain_network(&network);
	const bool *has_prefix = match->set->has_prefix[network.family == AF_INET6];
	for (int prefix = network.prefix; prefix >= 0; prefix--) {
		if (!has_prefix[prefix])
			continue;
		char bytes[NETWORK_BYTES];
		network.prefix = (uint8_t)prefix;
		network = plain_network(&network);
		network_bytes(&network, bytes);
		consider(match, TERM_NETWORK, bytes, sizeof(bytes), hash_of(TERM_NETWORK, bytes, sizeof(bytes)));
	}
}

int rule_set_match(const struct rule_set *set, const struct target *target, const char *user, size_t user_length)
{
	uint32_t none = (uint32_t)set->rule_count;
	struct match match = {
		.set = set, .port = target->port, .user = find(set, TERM_USER, user, user_length, hash_of(TERM_USER, user, user_length)), .best = none
	};
	consider(&match, TERM_ANYWHERE, "", 0, hash_of(TERM_ANYWHERE, "", 0));
	if (target_is_name(target))
		consider_domains(&match, target->host);
	else
		consider_networks(&match, &target->address);
	return match.best == none ? RULE_SET_NONE : (int)match.best;
}
