/* Obfuscation on its way to a worker: it comes back as it was, and what is out of bounds is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/message.h"
#include "ipc/obfuscation.h"

static char signature[] = "<r 2><t>", unknown_tag[] = "<c>";

/* Each member is set to something. */
static struct obfuscation filled(void)
{
	struct obfuscation made;
	obfuscation_init(&made, OBFUSCATION_AMNEZIAWG);
	made.junk_count = 128;
	made.junk_least = made.junk_most = 1280;
	memcpy(made.padding, (const uint16_t[]){ 1132, 1188, 1216, 1248 }, sizeof(made.padding));
	made.message_types[0] = (struct obfuscation_range){ 0, 0 };
	made.message_types[3] = (struct obfuscation_range){ 4, UINT32_MAX };
	made.signatures[4] = signature;
	made.header_key.bytes[31] = 1;
	made.content_padding = (struct obfuscation_range){ 0, 64 };
	made.rekey_after = made.rekey_timeout = made.reject_after = made.keepalive_timeout = made.attempts = (struct obfuscation_range){ 1, 65535 };
	made.random_trailers = made.disable_cookies = true;
	return made;
}

static struct obfuscation *pass(const struct obfuscation *obfuscation, bool *failed)
{
	struct message_writer writer;
	message_writer_init(&writer);
	obfuscation_encode(&writer, obfuscation);
	assert_false(writer.failed);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	struct obfuscation *passed = obfuscation_decode(&reader);
	*failed = reader.failed;
	message_writer_clear(&writer);
	return passed;
}

static void it_comes_back(void **state)
{
	struct obfuscation made = filled();
	bool failed;
	(void)state;
	assert_null(pass(NULL, &failed));
	assert_false(failed);
	struct obfuscation *passed = pass(&made, &failed);
	assert_false(failed);
	assert_string_equal(passed->signatures[4], signature);
	for (size_t i = 0; i < obfuscation_field_count; i++) {
		const struct obfuscation_field *field = &obfuscation_fields[i];
		size_t size = field->value == OBFUSCATION_RANGE ? sizeof(struct obfuscation_range) : sizeof(bool);
		if (field->value != OBFUSCATION_TEXT)
			assert_memory_equal((char *)passed + field->offset, (char *)&made + field->offset, size);
	}
	obfuscation_free(passed);
}

static void is_refused(const struct obfuscation *obfuscation)
{
	bool failed;
	obfuscation_free(pass(obfuscation, &failed));
	assert_true(failed);
}

static void what_is_out_of_bounds_is_refused(void **state)
{
	struct obfuscation made;
	(void)state;
	for (size_t i = 0; i < obfuscation_field_count; i++) {
		const struct obfuscation_field *field = &obfuscation_fields[i];
		void *place = (char *)&made + field->offset;
		made = filled();
		if (field->value == OBFUSCATION_NUMBER)
			*(uint16_t *)place = (uint16_t)(field->most + 1);
		else if (field->value == OBFUSCATION_RANGE && field->most < UINT32_MAX)
			*(struct obfuscation_range *)place = (struct obfuscation_range){ 1, field->most + 1 };
		else if (field->value == OBFUSCATION_RANGE)
			*(struct obfuscation_range *)place = (struct obfuscation_range){ 9, 8 };
		else if (field->value == OBFUSCATION_TEXT)
			*(char **)place = unknown_tag;
		else
			continue;
		is_refused(&made);
	}
	made = filled();
	made.junk_most--;
	is_refused(&made);
	made = filled();
	made.padding[2] = OBFUSCATION_KEY_PADDING - 1;
	is_refused(&made);
}

/* Without a pause between initiations, each packet that waits would send one. */
static void no_time_is_zero(void **state)
{
	size_t seen = 0;
	(void)state;
	for (size_t i = 0; i < obfuscation_field_count; i++) {
		struct obfuscation made = filled();
		if (obfuscation_fields[i].least == 0)
			continue;
		*(struct obfuscation_range *)((char *)&made + obfuscation_fields[i].offset) = (struct obfuscation_range){ 0, 5 };
		is_refused(&made);
		seen++;
	}
	assert_int_equal(seen, 5);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_comes_back),
		cmocka_unit_test(what_is_out_of_bounds_is_refused),
		cmocka_unit_test(no_time_is_zero),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
