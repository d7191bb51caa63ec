/* Proxy users: the forms of credentials, and a check in constant time (X8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tunnel/http/credentials.h"

static int from_basic(struct credentials *credentials, const char *value)
{
	return credentials_from_basic(credentials, value, strlen(value));
}

static void X8_reads_basic(void **state)
{
	(void)state;
	struct credentials credentials;
	assert_int_equal(from_basic(&credentials, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), 0);
	assert_int_equal(credentials.username_length, 7);
	assert_memory_equal(credentials.username, "Aladdin", 8);
	assert_int_equal(credentials.password_length, 11);
	assert_memory_equal(credentials.password, "open sesame", 12);
	assert_int_equal(from_basic(&credentials, "bAsIc   dTo="), 0);
	assert_int_equal(credentials.password_length, 0);
	assert_int_equal(from_basic(&credentials, "Basic OmE6Yg=="), 0);
	assert_int_equal(credentials.username_length, 0);
	assert_memory_equal(credentials.password, "a:b", 4);
}

static void X8_refuses_other_forms(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",           "Basic",          "Basic ",      "Basic  ",     "Basicdjpw",      "Bearer dTpw", "Digest dTpw",
		"dTpw",       "Basic dTp",      "Basic dTpw=", "Basic dTpwA", "Basic dTpw====", "Basic dTo",   "Basic dTp=", /* padding */
		"Basic dTp/", "Basic dT-_",     "Basic dT!w",  "Basic dT pw", "Basic dTpw ",    "Basic dTpw,", "Basic =",
		"Basic dToK", "Basic dTp/AA==", "Basic dToA", /* control bytes */
		"Basic dXA=", "Basic dXB4",                   /* no colon */
		"Basic dTq=", "Basic dTp=",                   /* bits that do not count */
	};
	struct credentials credentials, none = { 0 };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&credentials, 0xee, sizeof(credentials));
		if (from_basic(&credentials, bad[i]) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_memory_equal(&credentials, &none, sizeof(none));
	}
}

static int basic_of(struct credentials *credentials, size_t username, size_t password)
{
	char plain[600], value[1200] = "Basic ";
	memset(plain, 'u', username);
	plain[username] = ':';
	memset(plain + username + 1, 'p', password);
	sodium_bin2base64(value + 6, sizeof(value) - 6, (unsigned char *)plain, username + 1 + password, sodium_base64_VARIANT_ORIGINAL);
	return from_basic(credentials, value);
}

static void X8_bounds(void **state)
{
	(void)state;
	struct credentials credentials;
	assert_int_equal(basic_of(&credentials, 255, 255), 0);
	assert_int_equal(credentials.username_length, 255);
	assert_int_equal(credentials.password_length, 255);
	assert_int_equal(basic_of(&credentials, 256, 1), -1);
	assert_int_equal(basic_of(&credentials, 1, 256), -1);
	assert_int_equal(basic_of(&credentials, 256, 255), -1);
	assert_int_equal(basic_of(&credentials, 300, 280), -1);
}

static bool admits(const struct spec *spec, const char *username, const char *password)
{
	struct credentials credentials;
	assert_int_equal(credentials_set(&credentials, username, strlen(username), password, strlen(password)), 0);
	return credentials_admitted(&credentials, spec);
}

static void X8_admits_users_only(void **state)
{
	(void)state;
	static char a[] = "alice", b[] = "bob", c[] = "carol", p[] = "correct horse", q[] = "", r[] = "alice";
	struct spec_user users[] = { { a, p }, { b, q }, { c, r } };
	struct spec spec = { .users = users, .user_count = 3 };
	assert_true(admits(&spec, "alice", "correct horse"));
	assert_true(admits(&spec, "bob", ""));
	assert_true(admits(&spec, "carol", "alice"));
	assert_false(admits(&spec, "alice", "correct hors"));
	assert_false(admits(&spec, "alice", "correct horse "));
	assert_false(admits(&spec, "alice", "Correct horse"));
	assert_false(admits(&spec, "alice", ""));
	assert_false(admits(&spec, "bob", "correct horse"));
	assert_false(admits(&spec, "", ""));
	assert_false(admits(&spec, "alic", "ecorrect horse"));
	assert_false(admits(&spec, "Alice", "correct horse"));
	/* As a client writes it that knows Latin-1 alone; what that lacks has one form (RFC 7617, 2.1). */
	static char joerg[] = "j\xc3\xb6rg", pound[] = "na\xc3\xafve\xc2\xa3", euro[] = "\xe2\x82\xac", cut[] = "a\xc3";
	struct spec_user spoken[] = { { joerg, pound }, { a, euro }, { b, cut } };
	struct spec spec8 = { .users = spoken, .user_count = 3 };
	assert_true(admits(&spec8, joerg, pound));
	assert_true(admits(&spec8, "j\xf6rg", "na\xefve\xa3"));
	assert_false(admits(&spec8, "j\xf6rg", "na\xefve"));
	assert_false(admits(&spec8, "jrg", "nave"));
	assert_true(admits(&spec8, a, euro));
	assert_false(admits(&spec8, a, "\x80"));
	assert_true(admits(&spec8, b, cut));
	spec.user_count = 0;
	assert_false(admits(&spec, "", ""));
	assert_false(admits(&spec, "alice", "correct horse"));
}

/* From the same memory each time: caches know addresses, too. */
static double elapsed(const struct credentials *guess, const struct spec *spec)
{
	static struct credentials offered;
	struct timespec from, to;
	offered = *guess;
	clock_gettime(CLOCK_MONOTONIC, &from);
	bool admitted = credentials_admitted(&offered, spec);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_false(admitted);
	return (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
}

#define SAMPLES 2000
#define SERIES 10

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Student's t of the sorted differences of pairs, without the tenth at each end, which are interrupts. */
static double student(double differences[SAMPLES])
{
	const size_t n = SAMPLES * 8 / 10;
	const double *middle = differences + SAMPLES / 10;
	double sum = 0, squares = 0;
	qsort(differences, SAMPLES, sizeof(differences[0]), ascending);
	for (size_t i = 0; i < n; i++)
		sum += middle[i];
	for (size_t i = 0; i < n; i++)
		squares += (middle[i] - sum / (double)n) * (middle[i] - sum / (double)n);
	return sum / (double)n / sqrt(squares / (double)(n - 1) / (double)n + 1e-9);
}

/* A guess that fails at its first byte against one that fails at its last. The clock of a shared machine drifts, so single
 * series stray to both sides; a leak pulls all to one (memcmp instead: a mean of 20 and more). */
static double mean_of_series(const struct credentials guesses[2], const struct spec *spec)
{
	static double differences[SAMPLES];
	struct credentials places[2];
	double sum = 0;
	for (size_t k = 0; k < SERIES; k++) {
		/* By turns, so that what an address costs cancels out. */
		size_t swap = k & 1;
		places[swap] = guesses[0];
		places[!swap] = guesses[1];
		for (size_t i = 0; i < SAMPLES; i++) {
			size_t first = randombytes_random() & 1;
			double a = elapsed(&places[first], spec), b = elapsed(&places[!first], spec);
			differences[i] = first == swap ? a - b : b - a;
		}
		sum += student(differences);
	}
	return fabs(sum / SERIES);
}

static void X8_takes_the_same_time(void **state)
{
	(void)state;
	static char username[] = "operator", password[] = "0123456789abcdef0123456789abcdef";
	struct spec_user users[] = { { username, password }, { username, password } };
	struct spec spec = { .users = users, .user_count = 2 };
	struct credentials guesses[2];
	double t = INFINITY;
	assert_int_equal(credentials_set(&guesses[0], "X", 1, "", 0), 0);
	assert_int_equal(credentials_set(&guesses[1], "operator", 8, "0123456789abcdef0123456789abcdeX", 32), 0);
	for (int attempt = 0; attempt < 8 && t >= 4.5; attempt++)
		t = mean_of_series(guesses, &spec);
	if (t >= 4.5)
		fail_msg("t is %.1f", t);
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(X8_reads_basic),       cmocka_unit_test(X8_refuses_other_forms), cmocka_unit_test(X8_bounds),
		cmocka_unit_test(X8_admits_users_only), cmocka_unit_test(X8_takes_the_same_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
