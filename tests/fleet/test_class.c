/* Classes: their texts, the nodes that they admit, their shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "fleet/class.h"

static char region[] = "region", eu[] = "eu", tier[] = "tier", two[] = "2", note[] = "note", odd[] = "a=b, c%\xc3\xa9";
static struct spec_label node_labels[] = { { note, odd }, { region, eu }, { tier, two } };

static void a_text_is_read_and_written_as_it_was(void **state)
{
	static const char *const texts[] = {
		"any", "@ams-1", "region=eu", "region=eu,tier=2", "@ams-1,region=eu", "note=a%3Db%2C%20c%25%C3%A9", "k="
	};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct fleet_class class;
		char again[FLEET_CLASS_TEXT];
		assert_int_equal(fleet_class_read(&class, texts[i]), FLEET_CLASS_OK);
		assert_true(fleet_class_write(&class, again));
		assert_string_equal(again, texts[i]);
		fleet_class_clear(&class);
	}
}

/* Two texts of one class would be two classes, whose tunnels are placed apart. */
static void another_text_of_the_same_class_is_refused(void **state)
{
	static const char *const texts[] = { "",        ",",     "any,",  "@",   "@A",   "@a,@b", "x",     "=v",    "tier=2,region=eu", "k=1,k=1",
		                             "k=1,k=2", "k=%61", "k=%3d", "k=%", "k=%2", "k=%00", "k=a b", "k=a/b", "any=,any" };
	char long_text[FLEET_CLASS_TEXT + 8] = "k=";
	struct fleet_class class;
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(fleet_class_read(&class, texts[i]), FLEET_CLASS_INVALID);
	memset(long_text + 2, 'x', FLEET_CLASS_TEXT - 2);
	assert_int_equal(fleet_class_read(&class, long_text), FLEET_CLASS_INVALID);
	long_text[FLEET_CLASS_TEXT - 1] = '\0';
	assert_int_equal(fleet_class_read(&class, long_text), FLEET_CLASS_OK);
	fleet_class_clear(&class);
}

static void there_are_at_most_16_labels(void **state)
{
	struct spec_label labels[FLEET_CLASS_LABELS + 1];
	char keys[FLEET_CLASS_LABELS + 1][4], text[FLEET_CLASS_TEXT];
	struct fleet_class class, read;
	(void)state;
	for (size_t i = 0; i <= FLEET_CLASS_LABELS; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%02zu", i);
		labels[i] = (struct spec_label){ keys[i], two };
	}
	class = (struct fleet_class){ .labels = labels, .label_count = FLEET_CLASS_LABELS };
	assert_true(fleet_class_write(&class, text));
	assert_int_equal(fleet_class_read(&read, text), FLEET_CLASS_OK);
	fleet_class_clear(&read);
	class.label_count++;
	assert_true(fleet_class_write(&class, text));
	assert_int_equal(fleet_class_read(&read, text), FLEET_CLASS_INVALID);
}

static bool admits(const char *text, const char *node)
{
	struct fleet_class class;
	assert_int_equal(fleet_class_read(&class, text), FLEET_CLASS_OK);
	bool is_admitted = fleet_class_admits(&class, node, node_labels, 3);
	fleet_class_clear(&class);
	return is_admitted;
}

static void a_node_is_admitted_by_its_name_and_its_labels(void **state)
{
	(void)state;
	assert_true(admits("any", "ams-1"));
	assert_true(admits("@ams-1", "ams-1"));
	assert_false(admits("@ams-1", "ams-2"));
	assert_true(admits("region=eu,tier=2", "ams-1"));
	assert_false(admits("region=us", "ams-1"));
	assert_false(admits("zone=a", "ams-1"));
	assert_true(admits("@ams-1,region=eu", "ams-1"));
	assert_false(admits("@ams-1,region=us", "ams-1"));
	assert_true(admits("note=a%3Db%2C%20c%25%C3%A9", "ams-1"));
}

/* Nodes of two versions that disagreed about a tunnel's shard would both serve it, or neither. */
static void the_shard_of_an_id_never_changes(void **state)
{
	struct fleet_class any = { .label_count = 0 }, pinned = { .node = "ams-1" };
	(void)state;
	assert_int_equal(fleet_class_shard_of(&any, "ams-1"), 1800);
	assert_int_equal(fleet_class_shard_of(&any, "t-000042"), 713);
	assert_int_equal(fleet_class_shard_of(&pinned, "t-000042"), 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_is_read_and_written_as_it_was), cmocka_unit_test(another_text_of_the_same_class_is_refused),
		cmocka_unit_test(there_are_at_most_16_labels),          cmocka_unit_test(a_node_is_admitted_by_its_name_and_its_labels),
		cmocka_unit_test(the_shard_of_an_id_never_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
