/* What a pool's client says and what a pool's owner has written: user names, keys of labels, rules. Each line of the input is one: «N» the offered
 * name, «T» the target, «U» a configured user, «K» a key of a label, «R» begins a rule, of which «d», «n», «p» and «u» are the domains, networks,
 * ports and users. Names must be read whole and in one way; a match must be the one that a walk over the rules finds. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/pool/rule_set.h"
#include "tunnel/pool/user_name.h"

#define LIST_MAX 16
#define TEXT_MAX 255

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

struct input {
	char name[TEXT_MAX], target[TEXT_MAX];
	size_t name_length, target_length;
	struct spec_user users[LIST_MAX];
	const char *keys[LIST_MAX];
	size_t user_count, key_count;
	struct spec_rule rules[LIST_MAX];
	size_t rule_count;
};

static void demand(bool holds)
{
	if (!holds)
		abort();
}

static void *need(void *memory)
{
	demand(memory != NULL);
	return memory;
}

/* Reading the input. */

static void add_text(char ***list, size_t *count, const char *text)
{
	if (*list == NULL)
		*list = need(calloc(LIST_MAX, sizeof(**list)));
	if (*count < LIST_MAX)
		(*list)[(*count)++] = need(strdup(text));
}

static void add_network(struct spec_rule *rule, const char *text)
{
	struct wireguard_network network;
	if (!network_parse(text, false, &network) || rule->network_count == LIST_MAX)
		return;
	if (rule->networks == NULL)
		rule->networks = need(calloc(LIST_MAX, sizeof(*rule->networks)));
	rule->networks[rule->network_count++] = network;
}

static void add_ports(struct spec_rule *rule, const char *text)
{
	unsigned long first = strtoul(text, NULL, 10) % 65536, last = first + (unsigned char)text[0] % 3;
	if (rule->port_count == LIST_MAX)
		return;
	if (rule->ports == NULL)
		rule->ports = need(calloc(LIST_MAX, sizeof(*rule->ports)));
	rule->ports[rule->port_count++] = (struct spec_ports){ (uint16_t)first, (uint16_t)(last < 65536 ? last : 65535) };
}

static void read_line(struct input *input, char kind, const char *text, size_t length)
{
	struct spec_rule *rule = input->rule_count == 0 ? NULL : &input->rules[input->rule_count - 1];
	if (kind == 'N') {
		memcpy(input->name, text, length);
		input->name_length = length;
	} else if (kind == 'T') {
		memcpy(input->target, text, length);
		input->target_length = length;
	} else if (kind == 'U' && input->user_count < LIST_MAX) {
		input->users[input->user_count++].username = need(strdup(text));
	} else if (kind == 'K' && input->key_count < LIST_MAX && text[0] != '\0') {
		input->keys[input->key_count++] = need(strdup(text));
	} else if (kind == 'R' && input->rule_count < LIST_MAX) {
		input->rule_count++;
	} else if (kind == 'd' && rule != NULL) {
		add_text(&rule->domains, &rule->domain_count, text);
	} else if (kind == 'u' && rule != NULL && text[0] != '\0') {
		add_text(&rule->users, &rule->user_count, text);
	} else if (kind == 'n' && rule != NULL) {
		add_network(rule, text);
	} else if (kind == 'p' && rule != NULL) {
		add_ports(rule, text);
	}
}

static void read_input(struct input *input, const uint8_t *bytes, size_t length)
{
	while (length > 0) {
		const uint8_t *end = memchr(bytes, '\n', length);
		size_t line = end == NULL ? length : (size_t)(end - bytes);
		if (line > 0 && line <= TEXT_MAX) {
			char text[TEXT_MAX + 1] = { 0 };
			memcpy(text, bytes + 1, line - 1);
			read_line(input, (char)bytes[0], text, line - 1);
		}
		bytes += end == NULL ? line : line + 1;
		length -= end == NULL ? line : line + 1;
	}
}

static void clear(struct input *input)
{
	for (size_t i = 0; i < input->user_count; i++)
		free(input->users[i].username);
	for (size_t i = 0; i < input->key_count; i++)
		free((char *)(uintptr_t)input->keys[i]);
	for (size_t i = 0; i < input->rule_count; i++)
		spec_rule_clear(&input->rules[i]);
}

/* Names. */

static bool is_within(struct user_name_text part, const char *bytes, size_t length)
{
	return part.bytes >= bytes && part.length <= length && (size_t)(part.bytes - bytes) <= length - part.length;
}

/* Without users a sound name is its parts, to the byte: the name, and of each parameter two dashes, its key and its value. */
static void check_parts(const struct user_name *user, const char *bytes, size_t length)
{
	size_t sum = user->name.length;
	demand(user->name.bytes == bytes && user->name.length <= length);
	if (user->session.bytes != NULL)
		sum += strlen("-session-") + user->session.length;
	if (user->tunnel.bytes != NULL)
		sum += strlen("-tunnel-") + user->tunnel.length;
	for (size_t i = 0; i < user->label_count; i++) {
		sum += 2 + user->labels[i].key.length + user->labels[i].value.length;
		demand(is_within(user->labels[i].key, bytes, length) && is_within(user->labels[i].value, bytes, length));
	}
	demand(sum == length);
}

static bool is_user(const struct spec *spec, struct user_name_text name)
{
	for (size_t i = 0; i < spec->user_count; i++)
		if (strlen(spec->users[i].username) == name.length && memcmp(spec->users[i].username, name.bytes, name.length) == 0)
			return true;
	return false;
}

static bool has_parameters(const struct user_name *user)
{
	return user->is_faulty || user->session.bytes != NULL || user->tunnel.bytes != NULL || user->label_count > 0;
}

static void try_name(const struct input *input)
{
	const struct spec none = { .user_count = 0 };
	const struct spec some = { .users = (struct spec_user *)(uintptr_t)input->users, .user_count = input->user_count };
	struct label_keys keys = { 0 };
	struct user_name user;
	char *name = need(malloc(input->name_length + 1)); /* a read beyond it is seen */
	for (size_t i = 0; i < input->key_count; i++)
		demand(label_keys_hold(&keys, input->keys[i]));
	memcpy(name, input->name, input->name_length);
	name = need(realloc(name, input->name_length > 0 ? input->name_length : 1));
	user_name_read(&user, name, input->name_length, &none, &keys);
	if (!user.is_faulty)
		check_parts(&user, name, input->name_length);
	user_name_read(&user, name, input->name_length, &some, &keys);
	bool is_whole = user.name.bytes == name && user.name.length == input->name_length && !has_parameters(&user);
	demand(some.user_count == 0 || is_user(&some, user.name) || is_whole);
	/* A configured name is itself. */
	if (is_user(&some, (struct user_name_text){ name, input->name_length }))
		demand(user.name.length == input->name_length && memcmp(user.name.bytes, name, user.name.length) == 0 && !has_parameters(&user));
	free(name);
	label_keys_clear(&keys);
}

/* Rules. */

static bool has_domain(const struct spec_rule *rule, const char *host)
{
	size_t length = strlen(host);
	if (host[length - 1] == '.')
		length--;
	for (size_t i = 0; i < rule->domain_count; i++) {
		size_t end = strlen(rule->domains[i]);
		bool ends_so = end > 0 && end <= length && memcmp(host + length - end, rule->domains[i], end) == 0;
		if (ends_so && (end == length || host[length - end - 1] == '.'))
			return true;
	}
	return false;
}

static bool has_network(const struct spec_rule *rule, const struct netstack_endpoint *address)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	for (size_t i = 0; i < rule->network_count; i++) {
		const struct wireguard_network *network = &rule->networks[i];
		const uint8_t *bytes = network->bytes;
		unsigned prefix = network->prefix, same = 0;
		uint8_t family = network->family;
		if (family == AF_INET6 && prefix >= 96 && memcmp(bytes, mapped, 12) == 0) {
			family = AF_INET;
			bytes += 12;
			prefix -= 96;
		}
		while (same < prefix && ((bytes[same / 8] ^ address->bytes[same / 8]) >> (7 - same % 8) & 1) == 0)
			same++;
		if (family == address->family && same == prefix)
			return true;
	}
	return false;
}

static bool matches(const struct spec_rule *rule, const struct target *target, const char *user, size_t user_length)
{
	bool is_anywhere = rule->domain_count == 0 && rule->network_count == 0;
	bool has_port = rule->port_count == 0, has_user = rule->user_count == 0;
	for (size_t i = 0; i < rule->port_count; i++)
		has_port |= rule->ports[i].first <= target->port && target->port <= rule->ports[i].last;
	for (size_t i = 0; i < rule->user_count; i++)
		has_user |= strlen(rule->users[i]) == user_length && memcmp(rule->users[i], user, user_length) == 0;
	if (!has_port || !has_user)
		return false;
	return is_anywhere || (target_is_name(target) ? has_domain(rule, target->host) : has_network(rule, &target->address));
}

static void try_rules(const struct input *input)
{
	struct target target;
	if (target_parse_authority(&target, input->target, input->target_length, 443) != 0)
		return;
	struct rule_set *set = need(rule_set_create(input->rules, input->rule_count));
	int expected = RULE_SET_NONE;
	for (size_t i = input->rule_count; i > 0; i--)
		if (matches(&input->rules[i - 1], &target, input->name, input->name_length))
			expected = (int)i - 1;
	demand(rule_set_match(set, &target, input->name, input->name_length) == expected);
	rule_set_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct input input = { .name_length = 0 };
	read_input(&input, bytes, length);
	try_name(&input);
	try_rules(&input);
	clear(&input);
	return 0;
}
