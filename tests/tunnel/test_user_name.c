/* The parameters in the user names of a pool's clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tunnel/pool/user_name.h"

struct row {
	const char *offered;
	const char *read; /* as describe() writes it */
};

static struct label_keys keys;

static int make_keys(void **state)
{
	(void)state;
	static const char *const given[] = { "country", "geo", "geo-city", "x", "session-type", "sessions", "tunnel" };
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		if (!label_keys_hold(&keys, given[i]))
			return -1;
	return 0;
}

static int clear_keys(void **state)
{
	(void)state;
	label_keys_clear(&keys);
	return 0;
}

static void append(char *to, size_t size, const char *title, struct user_name_text text)
{
	size_t used = strlen(to);
	if (text.bytes != NULL)
		snprintf(to + used, size - used, "%s%.*s", title, (int)text.length, text.bytes);
}

/* «NAME|s:KEY|t:ID|K=V», or «NAME|faulty». */
static void describe(const struct user_name *user, char *to, size_t size)
{
	to[0] = '\0';
	append(to, size, "", user->name);
	if (user->is_faulty) {
		size_t used = strlen(to);
		snprintf(to + used, size - used, "|faulty");
		return;
	}
	append(to, size, "|s:", user->session);
	append(to, size, "|t:", user->tunnel);
	for (size_t i = 0; i < user->label_count; i++) {
		append(to, size, "|", user->labels[i].key);
		append(to, size, "=", user->labels[i].value);
	}
}

static void check(const struct spec *spec, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char read[1024];
		struct user_name user;
		user_name_read(&user, rows[i].offered, strlen(rows[i].offered), spec, &keys);
		describe(&user, read, sizeof(read));
		if (strcmp(read, rows[i].read) != 0)
			fail_msg("«%s» is read as «%s» instead of «%s»", rows[i].offered, read, rows[i].read);
	}
}

#define CHECK(spec, rows) check(spec, rows, sizeof(rows) / sizeof((rows)[0]))

static void test_without_users_any_name_has_parameters(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "", "" },
		{ "bob", "bob" },
		{ "bob-session-1", "bob|s:1" },
		{ "bob-tunnel-ams-1", "bob|t:ams-1" },
		{ "bob-country-us", "bob|country=us" },
		{ "bob-country-us-session-a-b-c-x-y", "bob|s:a-b-c|country=us|x=y" },
		{ "a-b-c-session-1", "a-b-c|s:1" },
		/* A parameter before the name has no dash before it, so it is the name. */
		{ "session-1", "session-1" },
		{ "session-1-bob", "session-1-bob" },
		{ "session-1-session-2", "session-1|s:2" },
		{ "-session-1", "|s:1" },
		{ "-session-1-tunnel-t", "|s:1|t:t" },
	};
	CHECK(&(struct spec){ .user_count = 0 }, rows);
}

static void test_markers_share_no_dash_and_the_longest_key_counts(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "b-geo-city-rome", "b|geo-city=rome" },
		{ "b-geo-cit-rome", "b|geo=cit-rome" },
		{ "b-geo-geo-city-rome", "b|geo=geo-city-rome" },
		{ "b-geo--geo-city-rome", "b|geo=|geo-city=rome" },
		{ "b-session-tunnel-t", "b|s:tunnel-t" },
		{ "b-session--tunnel-t", "b|s:|t:t" },
		{ "b-session-session-1", "b|s:session-1" },
		/* The two words are never keys of labels, and a longer key does not begin with them. */
		{ "b-tunnel-session-type-1", "b|t:session-type-1" },
		{ "b-session-type-1", "b|s:type-1" },
		{ "b-sessions-1", "b|sessions=1" },
	};
	CHECK(&(struct spec){ .user_count = 0 }, rows);
}

static void test_odd_forms_have_one_meaning(void **state)
{
	(void)state;
	static const struct row rows[] = {
		/* Empty values. */
		{ "b-session-", "b|s:" },
		{ "b-tunnel-", "b|t:" },
		{ "b-country-", "b|country=" },
		{ "b-country--x-", "b|country=|x=" },
		{ "b-session", "b-session" },
		{ "b-country", "b-country" },
		{ "-", "-" },
		{ "--session--", "-|s:-" },
		/* Given twice. */
		{ "b-session-1-session-2", "b|faulty" },
		{ "b-session-1-session-1", "b|faulty" },
		{ "b-session--session-1", "b|faulty" },
		{ "b-tunnel-a-x-1-tunnel-b", "b|faulty" },
		{ "b-country-us-country-de", "b|faulty" },
		/* Unknown ones are part of what is before them. */
		{ "b-city-rome", "b-city-rome" },
		{ "b-country-us-city-rome", "b|country=us-city-rome" },
		/* Case, percent forms, control characters, other scripts. */
		{ "b-Session-1", "b-Session-1" },
		{ "b-session-%2Dtunnel-t", "b|s:%2Dtunnel-t" },
		{ "b%2Dsession%2D1", "b%2Dsession%2D1" },
		{ "b-session-\xc3\xbc", "b|s:\xc3\xbc" },
		{ "b-session-\xfc", "b|faulty" },
		{ "b-session-\xc3", "b|faulty" },
		{ "b-session-\xed\xa0\x80", "b|faulty" },
		{ "b-x-\xff-session-1", "b|faulty" },
		{ "\xfc-session-1", "\xfc|s:1" },
		{ "b-session-\xe2\x80\x93tunnel\xe2\x80\x93t", "b|s:\xe2\x80\x93tunnel\xe2\x80\x93t" },
	};
	CHECK(&(struct spec){ .user_count = 0 }, rows);
}

static void test_configured_names_win(void **state)
{
	(void)state;
	struct spec_user users[] = { { .username = (char *)(uintptr_t) "bob" },           { .username = (char *)(uintptr_t) "bob-session-1" },
		                     { .username = (char *)(uintptr_t) "eve-country" },   { .username = (char *)(uintptr_t) "eve" },
		                     { .username = (char *)(uintptr_t) "j\xc3\xbcrgen" }, { .username = (char *)(uintptr_t) "-" } };
	struct spec spec = { .users = users, .user_count = sizeof(users) / sizeof(users[0]) };
	static const struct row rows[] = {
		{ "bob", "bob" },
		{ "bob-session-1", "bob-session-1" },
		{ "bob-session-2", "bob|s:2" },
		{ "bob-session-1-tunnel-t", "bob-session-1|t:t" },
		{ "bob-session-1x", "bob|s:1x" },
		/* The longest name wins if parameters follow it. */
		{ "eve-country", "eve-country" },
		{ "eve-country-x-1", "eve-country|x=1" },
		{ "eve-country-us", "eve|country=us" },
		{ "eve-country-us-x-1", "eve|country=us|x=1" },
		/* What is no parameter is a fault of the user's, and no reason for another name. */
		{ "bob-city-rome", "bob|faulty" },
		{ "bob-session", "bob|faulty" },
		{ "bob-", "bob|faulty" },
		{ "bob-session-1-", "bob|s:1-" },
		/* Names of none are left whole. */
		{ "", "" },
		{ "bobby-session-1", "bobby-session-1" },
		{ "Bob-session-1", "Bob-session-1" },
		{ "carol-session-1", "carol-session-1" },
		{ "-session-1", "-session-1" },
		{ "--session-1", "-|s:1" },
		/* Both spellings of a name that some clients have (RFC 7617, 2.1). */
		{ "j\xc3\xbcrgen-session-1", "j\xc3\xbcrgen|s:1" },
		{ "j\xfcrgen-session-1", "j\xc3\xbcrgen|s:1" },
		{ "j\xfcrgen-x-\xfc", "j\xc3\xbcrgen|faulty" },
	};
	CHECK(&spec, rows);
}

/* «ü» is also the Latin-1 spelling of «Ã¼». */
static void test_a_literal_name_wins_over_another_spelling(void **state)
{
	(void)state;
	struct spec_user users[] = { { .username = (char *)(uintptr_t) "\xc3\x83\xc2\xbc" }, { .username = (char *)(uintptr_t) "\xc3\xbc" } };
	static const struct row rows[] = {
		{ "\xc3\xbc", "\xc3\xbc" }, { "\xc3\xbc-x-1", "\xc3\xbc|x=1" },         { "\xc3\xbc-y", "\xc3\xbc|faulty" },
		{ "\xfc", "\xc3\xbc" },     { "\xc3\x83\xc2\xbc", "\xc3\x83\xc2\xbc" },
	};
	CHECK(&((struct spec){ .users = users, .user_count = 2 }), rows);
}

static void test_255_bytes_of_anything_are_read(void **state)
{
	(void)state;
	static const char *const parts[] = { "-", "-x-", "-session-", "-tunnel-a", "-geo-city-", "a", "\xff", "%", "-sessions-", "-geo" };
	struct spec spec = { .user_count = 0 };
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct user_name user;
		char *name = malloc(255); /* of its exact size, so that a sanitizer sees a read beyond it */
		assert_non_null(name);
		for (size_t at = 0; at < 255; at++)
			name[at] = parts[i][at % strlen(parts[i])];
		user_name_read(&user, name, 255, &spec, &keys);
		assert_true(user.name.length <= 255 && user.label_count <= USER_NAME_LABELS_MAX);
		free(name);
	}
}

static void test_more_labels_than_fit_are_faulty(void **state)
{
	(void)state;
	static const char *const letters[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q" };
	struct label_keys many = { 0 };
	struct spec spec = { .user_count = 0 };
	struct user_name user;
	char name[256] = "bob";
	for (size_t i = 0; i < 17; i++)
		assert_true(label_keys_hold(&many, letters[i]));
	for (size_t i = 0; i < 17; i++) {
		snprintf(name + strlen(name), sizeof(name) - strlen(name), "-%s-1", letters[i]);
		user_name_read(&user, name, strlen(name), &spec, &many);
		assert_int_equal(user.is_faulty, i == USER_NAME_LABELS_MAX);
		assert_true(user.is_faulty || user.label_count > 0);
	}
	label_keys_clear(&many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_users_any_name_has_parameters),
		cmocka_unit_test(test_markers_share_no_dash_and_the_longest_key_counts),
		cmocka_unit_test(test_odd_forms_have_one_meaning),
		cmocka_unit_test(test_configured_names_win),
		cmocka_unit_test(test_a_literal_name_wins_over_another_spelling),
		cmocka_unit_test(test_255_bytes_of_anything_are_read),
		cmocka_unit_test(test_more_labels_than_fit_are_faulty),
	};
	return cmocka_run_group_tests(tests, make_keys, clear_keys);
}
