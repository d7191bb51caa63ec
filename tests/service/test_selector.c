#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/spec/selector.h"

static char key_a[] = "a", key_b[] = "team/b", one[] = "1", empty[] = "";
static const struct spec_label labels[] = { { key_a, one }, { key_b, empty } };

static bool accepts(const char *text)
{
	struct selector *selector = malloc(sizeof(*selector));
	assert_int_equal(selector_parse(text, selector), 0);
	bool is_accepted = selectors_accept(selector, 1, labels, 2);
	selectors_free(selector, 1);
	return is_accepted;
}

static void each_form_selects(void **state)
{
	(void)state;
	assert_true(accepts("a=1") && accepts("team/b=") && accepts("a") && accepts("team/b"));
	assert_true(accepts("a!=2") && accepts("a!=") && accepts("none!=1") && accepts("team/b!=x"));
	assert_false(accepts("a=2") || accepts("a=") || accepts("none=1") || accepts("none") || accepts("none="));
	assert_false(accepts("a!=1") || accepts("team/b!="));
	assert_false(accepts("a=1!=2") || accepts("a=1=1"));
}

static void all_must_hold(void **state)
{
	(void)state;
	struct selector *both = malloc(2 * sizeof(*both));
	assert_int_equal(selector_parse("a=1", &both[0]), 0);
	assert_int_equal(selector_parse("team/b!=", &both[1]), 0);
	assert_false(selectors_accept(both, 2, labels, 2));
	assert_true(selectors_accept(both, 1, labels, 2));
	assert_true(selectors_accept(NULL, 0, labels, 2));
	assert_true(selectors_accept(NULL, 0, NULL, 0));
	selectors_free(both, 2);
}

static void all_else_is_malformed(void **state)
{
	(void)state;
	static const char *const texts[] = { "",     "!k",   "k!v",   "k>v",   "=v",    "!=v",  "k!",    " ",          "a b=c", " a=b", "a =b",
		                             "k==v", "k!==", "k!==v", "k!!=v", "k,l=v", "k~=v", "k\n=v", "\xc3\xa4=v", "k v",   "k " };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct selector selector;
		assert_int_equal(selector_parse(texts[i], &selector), SELECTOR_MALFORMED);
	}
	char longest[66] = { 0 };
	for (size_t i = 0; i < 64; i++)
		longest[i] = 'k';
	struct selector selector;
	assert_int_equal(selector_parse(longest, &selector), SELECTOR_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_form_selects),
		cmocka_unit_test(all_must_hold),
		cmocka_unit_test(all_else_is_malformed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
