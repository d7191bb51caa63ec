/* What a pool's decisions cost: nanoseconds of CPU a choice among 1,000 members by each strategy, also with 100,000 sticky keys, a match with 10,000
 * domains, also for a datagram, a user name, and the bytes of a key. Prints one JSON object. Usage: bench_pool [SECONDS], of each measurement */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tunnel/pool/chooser.h"
#include "tunnel/pool/rule_set.h"
#include "tunnel/pool/sticky.h"

#define MEMBERS 1000u
#define KEYS 100000u
#define DOMAINS 10000u
#define KEY_LENGTH 24
#define TURN 1000u /* calls between two looks at the clock */

static const uint8_t hash_key[16] = { 1 };
static double seconds = 0.5;
static struct chooser *chooser;
static struct sticky *sticky;
static struct rule_set *rules;
static uint32_t dice = 1;

static void must(bool is_fine)
{
	if (!is_fine)
		abort();
}

static double read_clock(void)
{
	struct timespec time;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint32_t next_dice(uint32_t below)
{
	dice = dice * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)dice * below >> 32);
}

static void measure(const char *name, void (*call)(void))
{
	double start = read_clock(), took;
	unsigned long calls = 0;
	do {
		for (unsigned i = 0; i < TURN; i++)
			call();
		calls += TURN;
		took = read_clock() - start;
	} while (took < seconds);
	printf("\"%s\": %.1f, ", name, took * 1e9 / (double)calls);
}

static struct spec_label label(const char *key, const char *value)
{
	return (struct spec_label){ .key = strdup(key), .value = strdup(value) };
}

static void put_members(void)
{
	for (uint32_t i = 1; i <= MEMBERS; i++) {
		struct pool_member member = { .number = i, .order = i, .weight = 1 + i % 10, .up = true, .rtt_us = 1000 + i % 97, .label_count = 3 };
		snprintf(member.id, sizeof(member.id), "tunnel-%u", i);
		member.labels = calloc(3, sizeof(*member.labels));
		must(member.labels != NULL);
		member.labels[0] = label("country", i % 2 == 0 ? "us" : "de");
		member.labels[1] = label("pool", "eu");
		member.labels[2] = label("site", member.id);
		must(chooser_put(chooser, &member));
	}
}

static void configure(enum spec_strategy strategy)
{
	struct spec_label all = { .key = (char *)(uintptr_t) "pool", .value = (char *)(uintptr_t) "eu" };
	struct spec_pool pool = { .members = { .labels = &all, .label_count = 1 }, .strategy = strategy };
	must(chooser_configure(chooser, &pool));
}

static void choose(void)
{
	const struct pool_member *member = chooser_choose(chooser, &(struct chooser_query){ .group = CHOOSER_POOL });
	must(member != NULL);
	chooser_opened(chooser, member->number);
	if (next_dice(8) > 0)
		chooser_closed(chooser, member->number);
}

static void read_name_and_choose(void)
{
	static const char name[] = "somebody-country-us-session-some-key";
	struct user_name user;
	user_name_read(&user, name, strlen(name), &(struct spec){ .user_count = 0 }, chooser_label_keys(chooser));
	must(chooser_choose(chooser, &(struct chooser_query){ .user = &user }) != NULL);
}

static size_t write_key(char key[64])
{
	return (size_t)snprintf(key, 64, "%0*u", KEY_LENGTH, next_dice(KEYS));
}

/* The key's member, if it still serves, else another; the connection comes and goes. */
static void keep_or_choose(void)
{
	static uint64_t now = 1;
	char key[64];
	size_t length = write_key(key);
	const struct chooser_query query = { .group = CHOOSER_POOL };
	uint32_t number = sticky_find(sticky, key, length, ++now);
	if (number == 0 || !chooser_is_eligible(chooser, number, &query))
		number = chooser_choose(chooser, &query)->number;
	struct sticky_entry *entry = sticky_hold(sticky, key, length, next_dice(100), number, now);
	sticky_release(sticky, entry, now);
}

static void fill_sticky(void)
{
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	sticky = sticky_create(KEYS, 600000000000u, hash_key);
	must(sticky != NULL);
	for (uint32_t i = 0; i < KEYS; i++) {
		char key[64];
		snprintf(key, sizeof(key), "%0*u", KEY_LENGTH, i);
		struct sticky_entry *entry = sticky_hold(sticky, key, KEY_LENGTH, i % 100, 1 + i % MEMBERS, 1);
		must(entry != NULL);
		sticky_release(sticky, entry, 1);
	}
	must(sticky_count(sticky) == KEYS);
	size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
	printf("\"pool_key_bytes\": %.1f, ", (double)(after - before) / KEYS);
}

static void make_rules(void)
{
	static char names[DOMAINS][32], *domains[DOMAINS];
	for (uint32_t i = 0; i < DOMAINS; i++) {
		snprintf(names[i], sizeof(names[i]), "d%u.example%u.net", i, i % 7);
		domains[i] = names[i];
	}
	rules = rule_set_create(&(struct spec_rule){ .domains = domains, .domain_count = DOMAINS }, 1);
	must(rules != NULL);
}

static void match(void)
{
	struct target target = { .port = 443 };
	uint32_t number = next_dice(DOMAINS);
	snprintf(target.host, sizeof(target.host), "www.d%u.example%u.net", number, number % 7);
	must(rule_set_match(rules, &target, "bob", 3) == 0);
}

/* As visit_lets_pass judges a datagram of an association. */
static void judge(void)
{
	static const struct chooser_query query = { .group = CHOOSER_POOL };
	match();
	must(chooser_allows(chooser, 1 + next_dice(MEMBERS), &query));
}

int main(int argc, char **argv)
{
	static const char *const names[SPEC_STRATEGIES] = { "pool_round_robin_ns", "pool_random_ns", "pool_least_connections_ns",
		                                            "pool_lowest_latency_ns", "pool_failover_ns" };
	if (argc > 1)
		seconds = strtod(argv[1], NULL);
	chooser = chooser_create(hash_key, 1);
	must(chooser != NULL);
	printf("{");
	put_members();
	for (unsigned strategy = 0; strategy < SPEC_STRATEGIES; strategy++) {
		configure((enum spec_strategy)strategy);
		measure(names[strategy], choose);
	}
	configure(SPEC_ROUND_ROBIN);
	measure("pool_name_ns", read_name_and_choose);
	fill_sticky();
	measure("pool_sticky_ns", keep_or_choose);
	make_rules();
	measure("pool_rule_ns", match);
	measure("pool_datagram_ns", judge);
	printf("\"pool_members\": %u}\n", MEMBERS);
	chooser_free(chooser);
	sticky_free(sticky);
	rule_set_free(rules);
	return 0;
}
