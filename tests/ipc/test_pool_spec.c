/* What a pool has besides its proxy: copied, compared, bounded when it is decoded, and asked for a tunnel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/message.h"

static char **strings(size_t count, const char *const *texts)
{
	char **made = calloc(count, sizeof(char *));
	for (size_t i = 0; i < count; i++)
		made[i] = strdup(texts[i]);
	return made;
}

static struct spec_selection selection(const char *tunnel, const char *key, const char *value)
{
	struct spec_selection made = { .tunnel_count = tunnel != NULL, .label_count = key != NULL };
	if (tunnel != NULL)
		made.tunnels = strings(1, &tunnel);
	if (key != NULL) {
		made.labels = calloc(1, sizeof(*made.labels));
		made.labels[0] = (struct spec_label){ .key = strdup(key), .value = strdup(value) };
	}
	return made;
}

/* Each member is set to something. */
static void fill(struct spec *spec)
{
	static const char *const domains[] = { "example.com", "ads.example" }, *const users[] = { "u" };
	spec_init_pool(spec);
	spec->pool.members = selection("ams-1", "pool", "eu");
	spec->pool.strategy = SPEC_FAILOVER;
	spec->pool.sticky_by = SPEC_STICKY_TARGET;
	spec->pool.sticky_ttl = 60;
	spec->pool.retries = 3;
	spec->pool.rule_count = 2;
	spec->pool.rules = calloc(2, sizeof(*spec->pool.rules));
	struct spec_rule *rule = &spec->pool.rules[0];
	*rule = (struct spec_rule){ .domains = strings(2, domains), .domain_count = 2, .users = strings(1, users), .user_count = 1 };
	rule->networks = calloc(1, sizeof(*rule->networks));
	rule->network_count = 1;
	assert_true(network_parse("203.0.113.0/24", false, &rule->networks[0]));
	rule->ports = calloc(1, sizeof(*rule->ports));
	rule->port_count = 1;
	rule->ports[0] = (struct spec_ports){ .first = 8000, .last = 8100 };
	rule->members = selection(NULL, "country", "us");
	spec->pool.rules[1].action = SPEC_RULE_REJECT;
}

static void a_copy_is_equal(void **state)
{
	(void)state;
	struct spec spec, copy;
	fill(&spec);
	assert_true(spec_copy(&copy, &spec));
	assert_true(spec_equal(&spec, &copy));
	assert_int_equal(copy.kind, SPEC_POOL);
	assert_string_equal(copy.pool.rules[0].domains[1], "ads.example");
	assert_int_equal(copy.pool.rules[0].ports[0].last, 8100);
	assert_string_equal(copy.pool.members.labels[0].value, "eu");
	spec_clear(&spec);
	spec_clear(&copy);
}

static void change(struct spec *spec, unsigned member)
{
	struct spec_rule *rule = &spec->pool.rules[0];
	switch (member) {
	case 0: spec->pool.strategy = SPEC_RANDOM; break;
	case 1: spec->pool.sticky_by = SPEC_STICKY_USER; break;
	case 2: spec->pool.sticky_ttl++; break;
	case 3: spec->pool.retries++; break;
	case 4: spec->pool.members.tunnels[0][0] = 'b'; break;
	case 5: spec->pool.members.labels[0].value[0] = 'x'; break;
	case 6: rule->domains[0][0] = 'x'; break;
	case 7: rule->networks[0].prefix = 25; break;
	case 8: rule->ports[0].first++; break;
	case 9: rule->users[0][0] = 'x'; break;
	case 10: rule->action = SPEC_RULE_REJECT; break;
	case 11: rule->members.labels[0].key[0] = 'x'; break;
	}
}

static void any_member_makes_a_difference(void **state)
{
	(void)state;
	for (unsigned member = 0; member < 12; member++) {
		struct spec spec, other;
		fill(&spec);
		fill(&other);
		change(&other, member);
		assert_false(spec_equal(&spec, &other));
		spec_clear(&spec);
		spec_clear(&other);
	}
}

static void a_pool_differs_from_a_tunnel(void **state)
{
	(void)state;
	struct spec pool, tunnel;
	spec_init_pool(&pool);
	spec_init(&tunnel);
	tunnel.limits.connections = pool.limits.connections;
	assert_false(spec_equal(&pool, &tunnel));
	spec_clear(&pool);
	spec_clear(&tunnel);
}

/* Of every message that is cut off, and every one with a byte changed, nothing is left behind (AddressSanitizer). */
static void damaged_bytes_are_refused_or_bounded(void **state)
{
	(void)state;
	struct spec spec;
	fill(&spec);
	struct message_writer writer;
	message_writer_init(&writer);
	spec_encode(&writer, &spec);
	assert_false(writer.failed);
	for (size_t length = 0; length < writer.length; length++) {
		struct message_reader reader = { .bytes = writer.bytes, .left = length };
		struct spec decoded;
		assert_false(spec_decode(&reader, &decoded));
	}
	for (size_t at = 0; at < writer.length; at++) {
		struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
		struct spec decoded;
		writer.bytes[at] ^= 0xff;
		if (spec_decode(&reader, &decoded))
			spec_clear(&decoded);
		writer.bytes[at] ^= 0xff;
	}
	message_writer_clear(&writer);
	spec_clear(&spec);
}

static bool decodes(const struct spec *spec)
{
	struct spec copy;
	bool is_decoded = spec_copy(&copy, spec);
	if (is_decoded)
		spec_clear(&copy);
	return is_decoded;
}

static void what_is_out_of_range_is_refused(void **state)
{
	(void)state;
	struct spec spec;
	fill(&spec);
	assert_true(decodes(&spec));
	spec.pool.retries = POOL_SPEC_RETRIES_MAX + 1;
	assert_false(decodes(&spec));
	spec.pool.retries = 0;
	spec.pool.sticky_ttl = POOL_SPEC_TTL_MAX + 1;
	assert_false(decodes(&spec));
	spec.pool.sticky_ttl = 1;
	spec.pool.strategy = SPEC_STRATEGIES;
	assert_false(decodes(&spec));
	spec.pool.strategy = SPEC_RANDOM;
	spec.pool.sticky_by = SPEC_STICKIES;
	assert_false(decodes(&spec));
	spec.pool.sticky_by = SPEC_STICKY_NONE;
	spec.pool.rules[0].ports[0].last = 1;
	assert_false(decodes(&spec));
	spec_clear(&spec);
}

static void a_tunnel_is_selected_by_its_name_or_all_labels(void **state)
{
	(void)state;
	char pool[] = "pool", eu[] = "eu", us[] = "us", zone[] = "zone", one[] = "1";
	struct spec_label here[] = { { pool, eu }, { zone, one } }, there[] = { { pool, us }, { zone, one } };
	struct spec_selection by_name = selection("ams-1", NULL, NULL), by_label = selection(NULL, "pool", "eu"),
			      both = selection("ams-1", "pool", "eu");
	struct spec_selection none = { .tunnel_count = 0 };
	assert_true(spec_selection_has(&by_name, "ams-1", NULL, 0));
	assert_false(spec_selection_has(&by_name, "ams-2", here, 2));
	assert_true(spec_selection_has(&by_label, "ams-2", here, 2));
	assert_false(spec_selection_has(&by_label, "ams-2", there, 2));
	assert_false(spec_selection_has(&by_label, "ams-2", &here[1], 1));
	assert_true(spec_selection_has(&both, "ams-1", there, 2));
	assert_true(spec_selection_has(&both, "ams-2", here, 2));
	assert_false(spec_selection_has(&none, "ams-1", here, 2));
	assert_int_equal(spec_selection_place(&both, "ams-1"), 0);
	assert_int_equal(spec_selection_place(&both, "ams-2"), 1);
	spec_selection_clear(&by_name);
	spec_selection_clear(&by_label);
	spec_selection_clear(&both);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_is_equal),
		cmocka_unit_test(any_member_makes_a_difference),
		cmocka_unit_test(a_pool_differs_from_a_tunnel),
		cmocka_unit_test(damaged_bytes_are_refused_or_bounded),
		cmocka_unit_test(what_is_out_of_range_is_refused),
		cmocka_unit_test(a_tunnel_is_selected_by_its_name_or_all_labels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
