/* The rules of a pool. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tunnel/pool/rule_set.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int match_at(const struct rule_set *set, const char *host, uint16_t port, const char *user)
{
	struct target target;
	assert_int_equal(target_parse(&target, host, strlen(host), port), 0);
	return rule_set_match(set, &target, user, strlen(user));
}

static int match(const struct rule_set *set, const char *host)
{
	return match_at(set, host, 443, "bob");
}

static struct wireguard_network network(const char *text)
{
	struct wireguard_network network;
	assert_true(network_parse(text, true, &network));
	return network;
}

static char *text(const char *constant)
{
	return (char *)(uintptr_t)constant;
}

static void test_a_domain_is_the_name_and_those_below_it(void **state)
{
	(void)state;
	char *first[] = { text("example.com"), text("x.example.org") }, *second[] = { text("com"), text("sub.example.com") };
	struct spec_rule rules[] = { { .domains = first, .domain_count = 2 }, { .domains = second, .domain_count = 2 } };
	struct rule_set *set = rule_set_create(rules, 2);
	assert_non_null(set);
	assert_int_equal(match(set, "example.com"), 0);
	assert_int_equal(match(set, "EXAMPLE.com."), 0);
	assert_int_equal(match(set, "www.example.com"), 0);
	assert_int_equal(match(set, "a.b.sub.example.com"), 0); /* the first rule, not the longest domain */
	assert_int_equal(match(set, "badexample.com"), 1);
	assert_int_equal(match(set, "com"), 1);
	assert_int_equal(match(set, "x.example.org"), 0);
	assert_int_equal(match(set, "example.org"), RULE_SET_NONE);
	assert_int_equal(match(set, "com.example"), RULE_SET_NONE);
	assert_int_equal(match(set, "192.0.2.1"), RULE_SET_NONE);
	rule_set_free(set);
}

static void test_networks_match_addresses_alone(void **state)
{
	(void)state;
	struct wireguard_network first[] = { network("203.0.113.0/24"), network("::ffff:198.51.100.0/120"), network("2001:db8::/32") };
	struct wireguard_network second[] = { network("0.0.0.0/0"), network("2001:db8:1::1") };
	struct wireguard_network third[] = { network("::/0") };
	struct spec_rule rules[] = { { .networks = first, .network_count = 3 },
		                     { .networks = second, .network_count = 2 },
		                     { .networks = third, .network_count = 1 } };
	struct rule_set *set = rule_set_create(rules, 3);
	assert_non_null(set);
	assert_int_equal(match(set, "203.0.113.255"), 0);
	assert_int_equal(match(set, "203.0.114.0"), 1);
	assert_int_equal(match(set, "198.51.100.7"), 0);
	assert_int_equal(match(set, "[::ffff:203.0.113.1]"), 0);
	assert_int_equal(match(set, "2001:db8:1::1"), 0);
	assert_int_equal(match(set, "2001:db9::1"), 2);
	/* It is resolved in the tunnel that the rules choose, so nothing is known of its address. */
	assert_int_equal(match(set, "example.com"), RULE_SET_NONE);
	rule_set_free(set);
}

static void test_all_conditions_must_hold(void **state)
{
	(void)state;
	char *domains[] = { text("example.com") }, *users[] = { text("bob"), text("eve") };
	struct wireguard_network networks[] = { network("203.0.113.0/24") };
	struct spec_ports ports[] = { { 443, 443 }, { 8000, 8100 } };
	struct spec_rule rules[] = { { .domains = domains,
		                       .domain_count = 1,
		                       .networks = networks,
		                       .network_count = 1,
		                       .ports = ports,
		                       .port_count = 2,
		                       .users = users,
		                       .user_count = 2 },
		                     { .users = users + 1, .user_count = 1 },
		                     { .ports = ports, .port_count = 1 } };
	struct rule_set *set = rule_set_create(rules, 3);
	assert_non_null(set);
	assert_int_equal(match_at(set, "a.example.com", 443, "bob"), 0);
	assert_int_equal(match_at(set, "203.0.113.9", 8000, "eve"), 0);
	assert_int_equal(match_at(set, "203.0.113.9", 8100, "bob"), 0);
	assert_int_equal(match_at(set, "203.0.113.9", 8101, "bob"), RULE_SET_NONE);
	assert_int_equal(match_at(set, "203.0.113.9", 7999, "eve"), 1);
	assert_int_equal(match_at(set, "a.example.com", 443, "carol"), 2);
	assert_int_equal(match_at(set, "example.net", 443, "bob"), 2);
	assert_int_equal(match_at(set, "example.net", 443, ""), 2);
	assert_int_equal(match_at(set, "example.net", 444, ""), RULE_SET_NONE);
	rule_set_free(set);
}

static void test_a_rule_without_conditions_matches_all(void **state)
{
	(void)state;
	struct rule_set *none = rule_set_create(NULL, 0), *all = rule_set_create(&(struct spec_rule){ .domain_count = 0 }, 1);
	assert_non_null(none);
	assert_non_null(all);
	static const char *const hosts[] = { "example.com", "192.0.2.1", "2001:db8::1" };
	for (size_t i = 0; i < COUNT(hosts); i++) {
		assert_int_equal(match(none, hosts[i]), RULE_SET_NONE);
		assert_int_equal(match(all, hosts[i]), 0);
	}
	rule_set_free(none);
	rule_set_free(all);
}

/* Each in a rule of its own, or all in one. */
static void test_ten_thousand_domains_are_told_apart(void **state)
{
	(void)state;
	enum { MANY = 10000 };
	static char names[MANY][32], *domains[MANY];
	static struct spec_rule rules[MANY];
	for (int i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "d%d.example%d.net", i, i % 7);
		domains[i] = names[i];
		rules[i] = (struct spec_rule){ .domains = &domains[i], .domain_count = 1 };
	}
	struct spec_rule one = { .domains = domains, .domain_count = MANY };
	struct rule_set *many = rule_set_create(rules, MANY), *single = rule_set_create(&one, 1);
	assert_non_null(many);
	assert_non_null(single);
	for (int i = 0; i < MANY; i++) {
		char host[64];
		snprintf(host, sizeof(host), "www.%.31s", names[i]);
		assert_int_equal(match(many, host), i);
		assert_int_equal(match(single, host), 0);
		snprintf(host, sizeof(host), "d%d.example%d.net", i, (i + 1) % 7);
		assert_int_equal(match(many, host), RULE_SET_NONE);
	}
	rule_set_free(many);
	rule_set_free(single);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_domain_is_the_name_and_those_below_it),
		cmocka_unit_test(test_networks_match_addresses_alone),
		cmocka_unit_test(test_all_conditions_must_hold),
		cmocka_unit_test(test_a_rule_without_conditions_matches_all),
		cmocka_unit_test(test_ten_thousand_domains_are_told_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
