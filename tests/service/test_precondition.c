/* If-Match and If-None-Match (RFC 9110, 13.1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "service/change/precondition.h"

static const struct {
	enum operation_kind kind;
	const char *match, *none_match;
	bool exists; /* the tunnel, with the revision 7 */
	bool holds;
} cases[] = {
	{ OPERATION_PUT, NULL, NULL, true, true },
	{ OPERATION_PUT, NULL, NULL, false, true },
	{ OPERATION_PUT, "\"7\"", NULL, true, true },
	{ OPERATION_PUT, "\"7\"", NULL, false, false },
	{ OPERATION_PUT, "\"8\"", NULL, true, false },
	{ OPERATION_PUT, "\"77\"", NULL, true, false },
	{ OPERATION_PUT, "7", NULL, true, false },
	{ OPERATION_PUT, "", NULL, true, false },
	{ OPERATION_PUT, "*", NULL, true, true },
	{ OPERATION_PUT, "*", NULL, false, false },
	{ OPERATION_PUT, "W/*", NULL, true, false },
	{ OPERATION_PUT, "\"6\", \"7\"", NULL, true, true },
	{ OPERATION_PUT, " \"6\"\t,,\"7\" ", NULL, true, true },
	/* A weak tag is never equal in a strong comparison (8.8.3.2). */
	{ OPERATION_PUT, "W/\"7\"", NULL, true, false },
	{ OPERATION_PUT, NULL, "W/\"7\"", true, false },
	{ OPERATION_PUT, NULL, "\"7\"", true, false },
	{ OPERATION_PUT, NULL, "\"8\"", true, true },
	{ OPERATION_PUT, NULL, "*", true, false },
	{ OPERATION_PUT, NULL, "*", false, true },
	{ OPERATION_PUT, "\"7\"", "\"7\"", true, false },
	{ OPERATION_PUT, "\"7\"", "\"8\"", true, true },
	/* The star of a peer's address is about the peer, of which there is none. */
	{ OPERATION_PEER_PUT, NULL, "*", true, true },
	{ OPERATION_PEER_PUT, NULL, "\"7\"", true, false },
};

static void each_case(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct snapshot snapshot = { .revision = 7 };
		struct operation operation = { .kind = cases[i].kind };
		char match[32], none_match[32];
		if (cases[i].match != NULL)
			operation.if_match = strcpy(match, cases[i].match);
		if (cases[i].none_match != NULL)
			operation.if_none_match = strcpy(none_match, cases[i].none_match);
		if (precondition_holds(&operation, cases[i].exists ? &snapshot : NULL) != cases[i].holds)
			fail_msg("case %zu", i);
	}
}

static void a_peer_that_is_there_is_no_new_one(void **state)
{
	struct spec_peer peer = { .persistent_keepalive = 1 };
	struct snapshot snapshot = { .revision = 7, .spec = { .peers = &peer, .peer_count = 1 } };
	char star[] = "*";
	struct operation operation = { .kind = OPERATION_PEER_PUT, .if_none_match = star };
	(void)state;
	assert_false(precondition_holds(&operation, &snapshot));
	operation.peer.bytes[0] = 1;
	assert_true(precondition_holds(&operation, &snapshot));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_case), cmocka_unit_test(a_peer_that_is_there_is_no_new_one) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
