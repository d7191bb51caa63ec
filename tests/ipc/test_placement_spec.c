/* A placement travels with its spec, and one that is cut short, or too large, is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/message.h"
#include "ipc/spec.h"

static struct placement_spec *placement_of(const char *node, size_t labels)
{
	struct placement_spec *placement = calloc(1, sizeof(*placement));
	strcpy(placement->node, node);
	placement->labels = calloc(labels + 1, sizeof(*placement->labels));
	placement->label_count = labels;
	placement->stops = true;
	for (size_t i = 0; i < labels; i++)
		placement->labels[i] = (struct spec_label){ strdup("region"), strdup("eu") };
	return placement;
}

static void a_copy_of_a_spec_has_its_placement_and_no_part_of_it(void **state)
{
	struct spec spec, copy, plain;
	(void)state;
	spec_init(&spec);
	spec_init(&plain);
	spec.placement = placement_of("ams-1", 1);
	assert_true(spec_copy(&copy, &spec));
	assert_string_equal(copy.placement->node, "ams-1");
	assert_int_equal(copy.placement->label_count, 1);
	assert_string_equal(copy.placement->labels[0].value, "eu");
	assert_true(copy.placement->stops);
	assert_true(spec_equal(&spec, &copy));
	assert_false(spec_equal(&spec, &plain));
	copy.placement->stops = false;
	assert_false(spec_equal(&spec, &copy));
	spec_clear(&spec);
	assert_string_equal(copy.placement->labels[0].key, "region");
	spec_clear(&copy);
	assert_true(spec_copy(&copy, &plain));
	assert_null(copy.placement);
	spec_clear(&copy);
}

static struct placement_spec *decoded(const struct placement_spec *placement, size_t cut)
{
	struct message_writer writer;
	message_writer_init(&writer);
	placement_spec_encode(&writer, placement);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length - cut };
	struct placement_spec *made = placement_spec_decode(&reader);
	assert_int_equal(made == NULL, reader.failed);
	message_writer_clear(&writer);
	return made;
}

static void what_is_cut_short_or_has_too_much_is_refused(void **state)
{
	struct placement_spec *most = placement_of("a", PLACEMENT_SPEC_LABELS_MAX), *more = placement_of("a", PLACEMENT_SPEC_LABELS_MAX + 1);
	(void)state;
	struct placement_spec *made = decoded(most, 0);
	assert_int_equal(made->label_count, PLACEMENT_SPEC_LABELS_MAX);
	placement_spec_free(made);
	assert_null(decoded(most, 1));
	assert_null(decoded(most, 20));
	assert_null(decoded(more, 0));
	placement_spec_free(most);
	placement_spec_free(more);
	placement_spec_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_of_a_spec_has_its_placement_and_no_part_of_it),
		cmocka_unit_test(what_is_cut_short_or_has_too_much_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
