/* Random members, states, spec changes, names, targets, keys and clocks: all of a pool's decisions against the naive reference, with restarts from
 * what was stored. Usage: test_pool_model [STEPS [SEED]] */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "tests/netstack/dice.h"
#include "tests/tunnel/pool_model.h"
#include "tunnel/pool/chooser.h"
#include "tunnel/pool/rule_set.h"
#include "tunnel/pool/sticky.h"

#define CONNECTIONS 200
#define STORED 1024
#define CAPACITY 20u
#define NOBODY 0xffffffffu

struct connection {
	uint32_t member;
	struct sticky_entry *entry;
	char key[64]; /* empty: none, or forgotten */
};

struct stored {
	char key[64];
	uint32_t member;
	uint64_t expires_at;
};

struct world {
	struct model model;
	struct model_sticky keys;
	struct chooser *chooser;
	struct rule_set *rules;
	struct sticky *sticky;
	struct connection connections[CONNECTIONS];
	size_t connection_count;
	struct stored store[STORED];
	size_t stored_count;
	uint64_t now;
	uint32_t next_number;
	size_t slots; /* of the chooser, which forgets all turns when it needs more */
};

static const uint8_t hash_key[16] = { 7 };
static unsigned long steps = 20000;

static const char *one_of(const char *const *texts, size_t count)
{
	return texts[dice((uint32_t)count)];
}
#define ONE_OF(texts) one_of(texts, sizeof(texts) / sizeof((texts)[0]))

static uint64_t keyed_hash(const void *bytes, size_t length)
{
	uint64_t hash;
	crypto_shorthash((unsigned char *)&hash, bytes, length, hash_key);
	return hash;
}

static const char *random_value(void)
{
	static const char *const values[] = { "1", "2", "", "x-1", "us" };
	return ONE_OF(values);
}

static struct model_labels random_labels(uint32_t rarity)
{
	struct model_labels labels = { { NULL } };
	for (size_t i = 0; i < MODEL_KEYS; i++)
		labels.values[i] = dice(rarity) == 0 ? random_value() : NULL;
	return labels;
}

/* Mostly those that a random selection asks for. */
static struct model_labels member_labels(void)
{
	struct model_labels labels = random_labels(2);
	if (dice(4) > 0)
		labels.values[0] = "1";
	return labels;
}

static const char *random_id(void)
{
	static const char *const ids[] = { "t1", "t2", "t3", "t-4", "t5", "t6", "t-session-7", "t8" };
	return ONE_OF(ids);
}

/* Specs. */

static struct spec_label *spec_labels(const struct model_labels *labels, size_t *count)
{
	struct spec_label *list = calloc(MODEL_KEYS, sizeof(*list));
	assert_non_null(list);
	*count = 0;
	for (size_t i = 0; i < MODEL_KEYS; i++)
		if (labels->values[i] != NULL)
			list[(*count)++] = (struct spec_label){ .key = strdup(model_keys[i]), .value = strdup(labels->values[i]) };
	return list;
}

static struct spec_selection spec_selection(const struct model_selection *from)
{
	struct spec_selection selection = { .tunnels = calloc(2, sizeof(char *)) };
	assert_non_null(selection.tunnels);
	for (size_t i = 0; i < 2; i++)
		if (from->ids[i] != NULL)
			selection.tunnels[selection.tunnel_count++] = strdup(from->ids[i]);
	selection.labels = spec_labels(&from->labels, &selection.label_count);
	return selection;
}

static char **one_text(const char *text)
{
	char **list = calloc(1, sizeof(*list));
	assert_non_null(list);
	list[0] = strdup(text);
	return list;
}

static struct spec_rule spec_rule(const struct model_rule *from)
{
	struct spec_rule rule = { .action = from->rejects ? SPEC_RULE_REJECT : SPEC_RULE_MEMBERS, .members = spec_selection(&from->members) };
	if (from->domain != NULL) {
		rule.domains = one_text(from->domain);
		rule.domain_count = 1;
	}
	if (from->user != NULL) {
		rule.users = one_text(from->user);
		rule.user_count = 1;
	}
	if (from->network != 0) {
		uint32_t address = htonl(from->network);
		rule.networks = calloc(1, sizeof(*rule.networks));
		assert_non_null(rule.networks);
		rule.networks[0] = (struct wireguard_network){ .family = AF_INET, .prefix = (uint8_t)from->prefix };
		memcpy(rule.networks[0].bytes, &address, sizeof(address));
		rule.network_count = 1;
	}
	if (from->first_port != 0) {
		rule.ports = calloc(1, sizeof(*rule.ports));
		assert_non_null(rule.ports);
		rule.ports[0] = (struct spec_ports){ from->first_port, from->last_port };
		rule.port_count = 1;
	}
	return rule;
}

static struct model_selection random_selection(void)
{
	struct model_selection selection = { .labels = random_labels(8) };
	if (dice(2) == 0)
		selection.labels = (struct model_labels){ { "1" } };
	for (size_t i = 0; i < 2; i++)
		selection.ids[i] = dice(2) == 0 ? random_id() : NULL;
	return selection;
}

static struct model_rule random_rule(void)
{
	static const char *const domains[] = { "com", "example.com", "b.example.com", "org", "example.org" };
	static const char *const users[] = { "u", "v", "w-x" };
	static const uint32_t networks[] = { 0x0a000000, 0xc0000200, 0xc0000280 };
	struct model_rule rule = { .rejects = dice(6) == 0, .members = random_selection() };
	if (dice(2) == 0)
		rule.domain = ONE_OF(domains);
	if (dice(3) == 0) {
		rule.network = networks[dice(3)];
		rule.prefix = rule.network == 0x0a000000 ? 8 : 24 + dice(2);
		rule.network &= 0xffffffffu << (32 - rule.prefix);
	}
	if (dice(3) == 0) {
		rule.first_port = (uint16_t)(80 + dice(3));
		rule.last_port = (uint16_t)(rule.first_port + dice(3));
	}
	if (dice(3) == 0)
		rule.user = ONE_OF(users);
	return rule;
}

static void configure(struct world *world)
{
	struct model *model = &world->model;
	struct spec_pool pool;
	pool_spec_init(&pool);
	model->strategy = (enum spec_strategy)dice(SPEC_STRATEGIES);
	model->selection = random_selection();
	model->rule_count = dice(MODEL_RULES + 1);
	pool.strategy = model->strategy;
	pool.members = spec_selection(&model->selection);
	pool.rules = calloc(MODEL_RULES, sizeof(*pool.rules));
	assert_non_null(pool.rules);
	for (size_t i = 0; i < model->rule_count; i++) {
		model->rules[i] = random_rule();
		pool.rules[pool.rule_count++] = spec_rule(&model->rules[i]);
	}
	assert_true(chooser_configure(world->chooser, &pool));
	model_forget_turns(model);
	rule_set_free(world->rules);
	world->rules = rule_set_create(pool.rules, pool.rule_count);
	assert_non_null(world->rules);
	pool_spec_clear(&pool);
}

/* Members. */

static void put(struct world *world, const struct model_member *from)
{
	struct pool_member member = from->member;
	member.labels = spec_labels(&from->labels, &member.label_count);
	assert_true(chooser_put(world->chooser, &member));
}

static void change_state(struct model_member *member)
{
	member->member.up = dice(8) > 0;
	member->member.is_starting = !member->member.up && dice(2) == 0;
	member->member.health = dice(6) == 0 ? POOL_UNHEALTHY : (uint8_t)dice(2);
	member->member.rtt_us = dice(4) == 0 ? 0 : 1000 + dice(300);
	member->member.weight = 1 + dice(dice(2) == 0 ? 3 : 100);
}

static void add_member(struct world *world)
{
	struct model *model = &world->model;
	if (model->member_count == MODEL_MEMBERS)
		return;
	if (model->member_count == world->slots) {
		world->slots = world->slots == 0 ? 64 : 2 * world->slots;
		model_forget_turns(model);
	}
	struct model_member *member = &model->members[model->member_count++];
	*member = (struct model_member){ .labels = member_labels() };
	member->member.number = world->next_number++;
	member->member.order = dice(1000) * 100000 + member->member.number % 100000;
	/* No two have the same id. */
	snprintf(member->member.id, sizeof(member->member.id), "%s", random_id());
	for (size_t i = 0; i + 1 < model->member_count; i++)
		if (strcmp(model->members[i].member.id, member->member.id) == 0)
			snprintf(member->member.id, sizeof(member->member.id), "n%u", member->member.number);
	change_state(member);
	put(world, member);
}

static void change_member(struct world *world)
{
	struct model *model = &world->model;
	if (model->member_count == 0)
		return;
	struct model_member *member = &model->members[dice((uint32_t)model->member_count)];
	if (dice(5) == 0)
		member->labels = member_labels();
	else
		change_state(member);
	put(world, member);
}

/* A whole list, without some, with new ones. Mostly it is short. */
static void replace_list(struct world *world)
{
	struct model *model = &world->model;
	uint32_t most = dice(10) == 0 ? MODEL_MEMBERS : 12;
	chooser_list_begin(world->chooser);
	for (size_t i = 0; i < model->member_count; i++) {
		bool is_kept = dice(4) > 0 && i < most;
		if (is_kept)
			put(world, &model->members[i]);
		else
			model->members[i].member.weight = 0; /* to be removed */
	}
	chooser_list_end(world->chooser);
	for (size_t i = model->member_count; i > 0; i--)
		if (model->members[i - 1].member.weight == 0)
			model_remove(model, &model->members[i - 1]);
	while (model->member_count < most && dice(most) > 1)
		add_member(world);
}

/* Names and targets. */

static void random_name(char *name, size_t size)
{
	static const char *const names[] = { "u", "v", "w-x", "", "geo-1" };
	static const char *const odd[] = { "-", "-session", "-foo-1", "--", "-geo", "x" };
	snprintf(name, size, "%s", ONE_OF(names));
	for (uint32_t i = dice(5); i > 0; i--) {
		char part[64];
		switch (dice(8)) {
		case 0: snprintf(part, sizeof(part), "%s", ONE_OF(odd)); break;
		case 1: snprintf(part, sizeof(part), "-tunnel-%s", random_id()); break;
		case 2:
		case 3:
		case 4: snprintf(part, sizeof(part), "-%s-%s", model_keys[dice(MODEL_KEYS)], random_value()); break;
		default: snprintf(part, sizeof(part), "-session-%u", dice(3) == 0 ? 1000 + dice(5) : dice(100)); break;
		}
		if (dice(2) == 0)
			snprintf(name + strlen(name), size - strlen(name), "%s", part);
	}
}

static void check_text(bool is_given, const char *expected, struct user_name_text text)
{
	assert_int_equal(text.bytes != NULL, is_given);
	if (is_given) {
		assert_int_equal(text.length, strlen(expected));
		assert_memory_equal(text.bytes, expected, text.length);
	}
}

/* Keys that no member has are no parameters; the model knows them all, so such names are left out. */
static bool read_name(struct world *world, const char *name, struct model_name *expected, struct user_name *user)
{
	const struct spec spec = { .user_count = 0 };
	const struct label_keys *keys = chooser_label_keys(world->chooser);
	if (keys->count < MODEL_KEYS)
		return false;
	model_read_name(expected, name);
	user_name_read(user, name, strlen(name), &spec, keys);
	assert_int_equal(user->is_faulty, expected->is_faulty);
	check_text(true, expected->name, user->name);
	if (user->is_faulty)
		return true;
	check_text(expected->has_session, expected->session, user->session);
	check_text(expected->has_tunnel, expected->tunnel, user->tunnel);
	size_t labels = 0;
	for (size_t i = 0; i < MODEL_KEYS; i++) {
		labels += expected->has_value[i];
		for (size_t j = 0; j < user->label_count; j++)
			if (user->labels[j].key.length == strlen(model_keys[i]) &&
			    memcmp(user->labels[j].key.bytes, model_keys[i], strlen(model_keys[i])) == 0)
				check_text(expected->has_value[i], expected->values[i], user->labels[j].value);
	}
	assert_int_equal(user->label_count, labels);
	return true;
}

/* The group of the members that serve the target; NOBODY: it is rejected. */
static size_t match(struct world *world, const struct user_name *user, const struct model_name *name)
{
	static const char *const hosts[] = { "com",       "example.com", "a.b.example.com.", "xexample.com", "example.org", "net",
		                             "192.0.2.1", "192.0.2.200", "10.9.8.7",         "::1",          "203.0.113.1" };
	struct target target;
	const char *host = ONE_OF(hosts);
	uint16_t port = (uint16_t)(78 + dice(8));
	uint32_t address = 0;
	assert_int_equal(target_parse(&target, host, strlen(host), port), 0);
	if (!target_is_name(&target))
		address = target.address.family == AF_INET6 ? 1
		                                            : (uint32_t)target.address.bytes[0] << 24 | (uint32_t)target.address.bytes[1] << 16 |
		                                                  (uint32_t)target.address.bytes[2] << 8 | target.address.bytes[3];
	int rule = model_match(&world->model, host, address, port, name->name);
	assert_int_equal(rule_set_match(world->rules, &target, user->name.bytes, user->name.length), rule);
	if (rule < 0)
		return CHOOSER_POOL;
	return world->model.rules[rule].rejects ? NOBODY : 1 + (size_t)rule;
}

/* Connections. */

static uint32_t choose(struct world *world, const struct chooser_query *query, const struct model_name *name)
{
	struct model *model = &world->model;
	const struct pool_member *member = chooser_choose(world->chooser, query);
	uint32_t expected = model_choose(model, query->group, name), chosen = member == NULL ? 0 : member->number;
	if (model->strategy == SPEC_RANDOM && chosen != 0 && expected != 0)
		assert_true(model_is_eligible(model, model_find(model, chosen), query->group, name));
	else
		assert_int_equal(chosen, expected);
	return chosen;
}

static void store_delete(struct world *world, const char *key)
{
	for (size_t i = 0; i < world->stored_count; i++)
		if (strcmp(world->store[i].key, key) == 0)
			world->store[i--] = world->store[--world->stored_count];
}

static void hold(struct world *world, struct connection *connection, const char *owner)
{
	char gone[64];
	uint64_t number = keyed_hash(owner, strlen(owner));
	unsigned place = (uint32_t)keyed_hash(&number, sizeof(number)) % 64;
	bool has_room = model_key_hold(&world->keys, connection->key, place, connection->member, world->now, gone);
	connection->entry = sticky_hold(world->sticky, connection->key, strlen(connection->key), number, connection->member, world->now);
	assert_int_equal(connection->entry != NULL, has_room);
	if (gone[0] != '\0')
		assert_int_equal(sticky_find(world->sticky, gone, strlen(gone), world->now), 0);
	if (!has_room)
		connection->key[0] = '\0';
}

/* The key's member if it can serve, else another. */
static uint32_t find_or_choose(struct world *world, const struct chooser_query *query, const struct model_name *name, const char *key)
{
	const struct model_key *known = model_key_find(&world->keys, key, world->now);
	uint32_t number = sticky_find(world->sticky, key, strlen(key), world->now);
	assert_int_equal(number, known == NULL ? 0 : known->member);
	const struct model_member *member = number == 0 ? NULL : model_find(&world->model, number);
	bool is_eligible = member != NULL && model_is_eligible(&world->model, member, query->group, name);
	assert_int_equal(chooser_is_eligible(world->chooser, number, query), is_eligible);
	bool is_starting = member != NULL && model_is_starting(&world->model, member, query->group, name);
	assert_int_equal(chooser_is_starting(world->chooser, number, query), is_starting);
	return is_eligible ? number : choose(world, query, name);
}

static void open_connection(struct world *world)
{
	struct model *model = &world->model;
	char name[256];
	struct model_name read;
	struct user_name user;
	struct connection connection = { .member = 0 };
	random_name(name, sizeof(name));
	if (world->connection_count == CONNECTIONS || !read_name(world, name, &read, &user))
		return;
	struct chooser_query query = { .group = match(world, &user, &read), .user = &user, .tried = model->tried };
	if (query.group == NOBODY)
		return;
	model->tried_count = 0;
	snprintf(connection.key, sizeof(connection.key), "%.60s", read.is_faulty ? "" : read.session);
	connection.member = find_or_choose(world, &query, &read, connection.key);
	while (connection.member != 0 && model->tried_count < MODEL_TRIED && dice(5) == 0) {
		model->tried[model->tried_count++] = connection.member;
		query.tried_count = model->tried_count;
		connection.member = choose(world, &query, &read);
	}
	model->tried_count = 0;
	if (connection.member == 0)
		return;
	if (connection.key[0] != '\0')
		hold(world, &connection, read.name);
	chooser_opened(world->chooser, connection.member);
	model_find(model, connection.member)->open++;
	world->connections[world->connection_count++] = connection;
}

static void close_connection(struct world *world, size_t place)
{
	struct connection *connection = &world->connections[place];
	struct model_member *member = model_find(&world->model, connection->member);
	chooser_closed(world->chooser, connection->member);
	if (member != NULL)
		member->open--;
	for (size_t i = 0; connection->key[0] != '\0' && i < world->keys.count; i++)
		if (strcmp(world->keys.keys[i].text, connection->key) == 0)
			model_key_release(&world->keys, &world->keys.keys[i], world->now);
	sticky_release(world->sticky, connection->entry, world->now);
	*connection = world->connections[--world->connection_count];
}

/* Time and the store. */

static void tick(struct world *world)
{
	sticky_tick(world->sticky, world->now);
	for (size_t i = world->keys.count; i > 0; i--)
		if (model_key_find(&world->keys, world->keys.keys[i - 1].text, world->now) == NULL)
			model_key_drop(&world->keys, &world->keys.keys[i - 1]);
	assert_int_equal(sticky_count(world->sticky), world->keys.count);
}

static size_t take_notes(struct world *world)
{
	struct sticky_note notes[16];
	size_t count = sticky_take_notes(world->sticky, notes, 1 + dice(16), world->now);
	for (size_t i = 0; i < count; i++) {
		char key[64];
		snprintf(key, sizeof(key), "%.*s", (int)notes[i].key_length, notes[i].key);
		store_delete(world, key);
		if (notes[i].member == 0)
			continue;
		assert_true(world->stored_count < STORED);
		struct stored *stored = &world->store[world->stored_count++];
		*stored = (struct stored){ .member = notes[i].member, .expires_at = notes[i].expires_at };
		snprintf(stored->key, sizeof(stored->key), "%s", key);
	}
	/* Who stores them forgets what has expired. */
	for (size_t i = world->stored_count; i > 0; i--)
		if (world->store[i - 1].expires_at <= world->now)
			world->store[i - 1] = world->store[--world->stored_count];
	return count;
}

static uint64_t expiry_of(const struct world *world, const struct model_key *key)
{
	return (key->open > 0 ? world->now : key->since) + world->keys.ttl;
}

/* The store is at most half of the ttl behind, and has nothing else. */
static void check_store(const struct world *world)
{
	size_t found = 0;
	for (size_t i = 0; i < world->keys.count; i++) {
		const struct model_key *key = &world->keys.keys[i];
		uint64_t behind = world->keys.ttl;
		for (size_t j = 0; j < world->stored_count; j++) {
			const struct stored *stored = &world->store[j];
			if (strcmp(stored->key, key->text) != 0)
				continue;
			found++;
			assert_int_equal(stored->member, key->member);
			assert_true(stored->expires_at <= expiry_of(world, key));
			behind = expiry_of(world, key) - stored->expires_at;
		}
		assert_true(behind <= world->keys.ttl / 2 || expiry_of(world, key) - behind <= world->now);
	}
	assert_int_equal(found, world->stored_count);
}

static int compare_stored(const void *a, const void *b)
{
	const struct stored *first = a, *second = b;
	return (first->expires_at > second->expires_at) - (first->expires_at < second->expires_at);
}

static struct sticky *make_sticky(const struct world *world)
{
	struct sticky *sticky = sticky_create(CAPACITY, world->keys.ttl, hash_key);
	assert_non_null(sticky);
	return sticky;
}

/* All connections end without a word, and the keys are those that were stored. */
static void restart(struct world *world)
{
	tick(world);
	while (take_notes(world) > 0)
		continue;
	check_store(world);
	while (world->connection_count > 0)
		close_connection(world, 0);
	sticky_free(world->sticky);
	world->sticky = make_sticky(world);
	world->keys.count = 0;
	qsort(world->store, world->stored_count, sizeof(*world->store), compare_stored);
	for (size_t i = 0; i < world->stored_count; i++) {
		const struct stored *stored = &world->store[i];
		size_t length = strlen(stored->key);
		sticky_load(world->sticky, stored->key, length, stored->member, stored->expires_at, world->now);
		struct model_key *key = &world->keys.keys[world->keys.count++];
		*key = (struct model_key){ .member = stored->member,
			                   .place = (uint32_t)keyed_hash(stored->key, length) >> 24 & 63,
			                   .since = stored->expires_at - world->keys.ttl,
			                   .order = ++world->keys.order };
		snprintf(key->text, sizeof(key->text), "%s", stored->key);
	}
	assert_int_equal(sticky_count(world->sticky), world->keys.count);
}

static void forget_connections_key(struct world *world, const char *key)
{
	for (size_t i = 0; i < world->connection_count; i++)
		if (key == NULL || strcmp(world->connections[i].key, key) == 0)
			world->connections[i].key[0] = '\0';
}

static void forget(struct world *world)
{
	if (world->keys.count == 0)
		return;
	struct model_key *key = &world->keys.keys[dice((uint32_t)world->keys.count)];
	char text[64];
	snprintf(text, sizeof(text), "%s", key->text);
	bool is_known = model_key_find(&world->keys, text, world->now) != NULL;
	assert_int_equal(sticky_forget(world->sticky, text, strlen(text), world->now), is_known);
	model_key_drop(&world->keys, key);
	forget_connections_key(world, text);
	store_delete(world, text);
}

static void forget_all(struct world *world)
{
	size_t known = 0;
	for (size_t i = 0; i < world->keys.count; i++)
		known += model_key_find(&world->keys, world->keys.keys[i].text, world->now) != NULL;
	assert_int_equal(sticky_forget_all(world->sticky, world->now), known);
	world->keys.count = 0;
	forget_connections_key(world, NULL);
	/* Deletions that were noted before are of no use now. */
	while (take_notes(world) > 0)
		continue;
	world->stored_count = 0;
}

static void check_keys(const struct world *world)
{
	struct model_sticky keys = world->keys;
	for (size_t i = 0; i < keys.count; i++) {
		const char *text = keys.keys[i].text;
		const struct model_key *key = model_key_find(&keys, text, world->now);
		assert_int_equal(sticky_find(world->sticky, text, strlen(text), world->now), key == NULL ? 0 : key->member);
		assert_int_equal(sticky_open(world->sticky, text, strlen(text)), key == NULL ? 0 : key->open);
	}
}

static void change_ttl(struct world *world)
{
	world->keys.ttl = 500 + dice(1000);
	sticky_set_ttl(world->sticky, world->keys.ttl);
}

static void check_opens(struct world *world)
{
	for (size_t i = 0; i < world->model.member_count; i++)
		assert_int_equal(chooser_open(world->chooser, world->model.members[i].member.number), world->model.members[i].open);
}

static void step(struct world *world)
{
	uint32_t number = dice(1000);
	world->now += dice(4);
	if (number < 550)
		open_connection(world);
	else if (number < 750 && world->connection_count > 0)
		close_connection(world, dice((uint32_t)world->connection_count));
	else if (number < 850)
		change_member(world);
	else if (number < 870)
		add_member(world);
	else if (number < 880)
		replace_list(world);
	else if (number < 885)
		configure(world);
	else if (number < 940)
		take_notes(world);
	else if (number < 970)
		tick(world);
	else if (number < 980)
		forget(world);
	else if (number < 982)
		change_ttl(world);
	else if (number < 983)
		forget_all(world);
	else if (number < 985)
		restart(world);
	else if (number < 995)
		check_keys(world);
	else if (number < 999)
		check_opens(world);
	else
		world->now += dice(1500);
}

static void test_decisions_are_those_of_the_reference(void **state)
{
	(void)state;
	struct world *world = calloc(1, sizeof(*world));
	assert_non_null(world);
	world->next_number = 1;
	world->now = 100000;
	world->keys.ttl = 1000;
	world->keys.capacity = CAPACITY;
	world->chooser = chooser_create(hash_key, 1);
	assert_non_null(world->chooser);
	world->sticky = make_sticky(world);
	configure(world);
	for (unsigned long i = 0; i < steps; i++)
		step(world);
	restart(world);
	chooser_free(world->chooser);
	rule_set_free(world->rules);
	sticky_free(world->sticky);
	free(world);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_decisions_are_those_of_the_reference) };
	if (argc > 1)
		steps = strtoul(argv[1], NULL, 10);
	for (unsigned long seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 0; seed > 0; seed--)
		dice(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
