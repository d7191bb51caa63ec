#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "command/assignment.h"

static const char present_text[] =
    "{\"id\":\"a\",\"labels\":{\"pool\":\"eu\"},\"spec\":{\"enabled\":true,\"limits\":{\"connections\":1024},\"probe\":null,"
    "\"proxy\":{\"listen\":[\"127.0.0.1:1\"]},\"interface\":{\"dns\":[]},"
    "\"peers\":[{\"public_key\":\"k\",\"endpoint\":\"a:1\"},{\"public_key\":\"l\",\"endpoint\":null}]}}";
static json_t *present;
static char failure[ASSIGNMENT_FAILURE_MAX];

static int set_up(void **state)
{
	(void)state;
	present = json_loads(present_text, 0, NULL);
	return present != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	json_decref(present);
	return 0;
}

/* The patch of some assignments, as text. */
static void expect(const char *const words[], const char *patch_text)
{
	json_t *patch = json_object();
	for (size_t i = 0; words[i] != NULL; i++)
		if (!assignment_add(patch, present, words[i], failure))
			fail_msg("%s: %s", words[i], failure);
	char *text = json_dumps(patch, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, patch_text);
	free(text);
	json_decref(patch);
}

#define EXPECT(patch, ...) expect((const char *const[]){ __VA_ARGS__, NULL }, patch)

static void values_are_json_or_text(void **state)
{
	(void)state;
	EXPECT("{\"spec\":{\"enabled\":false}}", "enabled=false");
	EXPECT("{\"spec\":{\"limits\":{\"connections\":64,\"total_bytes\":0}}}", "limits.connections=64", "spec.limits.total_bytes=0");
	EXPECT("{\"spec\":{\"probe\":{\"target\":\"10.0.0.1\",\"type\":\"ping\"}}}", "probe.type=ping", "probe.target=10.0.0.1");
	EXPECT("{\"spec\":{\"probe\":null}}", "probe=null");
	EXPECT("{\"spec\":{\"proxy\":{\"users\":[{\"username\":\"u\"}]}}}", "proxy.users=[{\"username\":\"u\"}]");
}

static void the_type_of_obfuscation_stands_for_it(void **state)
{
	(void)state;
	static const char lwo[] = "{\"spec\":{\"interface\":{\"obfuscation\":{\"type\":\"lwo\"}}}}";
	json_t *interface = json_object_get(json_object_get(present, "spec"), "interface");
	EXPECT(lwo, "interface.obfuscation=lwo");
	EXPECT("{\"spec\":{\"interface\":{\"obfuscation\":null}}}", "interface.obfuscation=null");
	json_object_set_new(interface, "obfuscation", json_pack("{s:s, s:i}", "type", "amneziawg", "jc", 5));
	EXPECT("{\"spec\":{\"interface\":{\"obfuscation\":{\"jc\":null,\"type\":\"lwo\"}}}}", "spec.interface.obfuscation=lwo");
	EXPECT("{\"spec\":{\"interface\":{\"obfuscation\":{\"type\":\"amneziawg\"}}}}", "interface.obfuscation=amneziawg");
	json_object_set_new(interface, "obfuscation", json_null());
	EXPECT(lwo, "interface.obfuscation=lwo");
}

static void what_is_there_decides_about_plain_text(void **state)
{
	(void)state;
	EXPECT("{\"spec\":{\"interface\":{\"dns\":[\"10.0.0.1\",\"10.0.0.2\"]}}}", "interface.dns=10.0.0.1,10.0.0.2");
	EXPECT("{\"spec\":{\"proxy\":{\"listen\":[\"3128\"]}}}", "proxy.listen=3128");
	EXPECT("{\"spec\":{\"proxy\":{\"listen\":[]}}}", "proxy.listen=");
	EXPECT("{\"spec\":{\"proxy\":{\"listen\":[\"a:1\"]}}}", "proxy.listen=[\"a:1\"]");
	EXPECT("{\"spec\":{\"peers\":[{\"endpoint\":\"5\",\"public_key\":\"k\"},{\"endpoint\":null,\"public_key\":\"l\"}]}}", "peers.0.endpoint=5");
}

static void labels_are_texts_and_their_keys_may_have_dots(void **state)
{
	(void)state;
	EXPECT("{\"labels\":{\"pool\":null,\"warren.weight\":\"5\"}}", "labels.warren.weight=5", "labels.pool=null");
	EXPECT("{\"labels\":{\"a\":\"b=c\"}}", "labels.a=b=c");
}

static void elements_of_a_list_are_changed_in_a_copy_of_it(void **state)
{
	(void)state;
	EXPECT("{\"spec\":{\"peers\":[{\"endpoint\":\"b:2\",\"public_key\":\"k\"},{\"endpoint\":\"c:3\",\"public_key\":\"l\"}]}}",
	       "peers.0.endpoint=b:2", "peers.1.endpoint=c:3");
	char *text = json_dumps(json_object_get(json_object_get(present, "spec"), "peers"), JSON_COMPACT);
	assert_non_null(strstr(text, "a:1"));
	free(text);
}

static void what_is_wrong_is_told(void **state)
{
	(void)state;
	static const char *const words[] = { "enabled",       "=3",      "peers.7.endpoint=x", "peers.x=1", "proxy.listen.0.y=1", "enabled=\xff",
		                             "labels.a=\xff", "peers.=1" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		json_t *patch = json_object();
		*failure = '\0';
		if (assignment_add(patch, present, words[i], failure))
			fail_msg("%s was accepted", words[i]);
		assert_int_not_equal(strlen(failure), 0);
		json_decref(patch);
	}
}

static void a_missing_element_is_named_with_the_length_of_its_list(void **state)
{
	(void)state;
	static const char *const words[] = { "peers.7.endpoint=x", "peers.7=x" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		json_t *patch = json_object();
		assert_false(assignment_add(patch, present, words[i], failure));
		assert_string_equal(failure, "there is no element '7' in this list of 2");
		json_decref(patch);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(values_are_json_or_text, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_type_of_obfuscation_stands_for_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_there_decides_about_plain_text, set_up, tear_down),
		cmocka_unit_test_setup_teardown(labels_are_texts_and_their_keys_may_have_dots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(elements_of_a_list_are_changed_in_a_copy_of_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_wrong_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_missing_element_is_named_with_the_length_of_its_list, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("assignment", tests, NULL, NULL);
}
