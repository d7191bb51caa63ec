#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ipc/handover.h"

static bool is_kept(int descriptor)
{
	return (fcntl(descriptor, F_GETFD) & FD_CLOEXEC) == 0;
}

static int open_any(void)
{
	int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(descriptor > 2);
	return descriptor;
}

static void what_is_written_is_read(void **state)
{
	(void)state;
	struct handover out, in;
	char failure[512] = "", text[8];
	int given = open_any();
	handover_begin(&out);
	message_put_text(&out.writer, "abc", sizeof(text));
	handover_put_descriptor(&out, given);
	message_put_u64(&out.writer, 7);
	int memory = handover_seal(&out);
	assert_true(memory >= 0 && is_kept(memory) && is_kept(given));
	assert_int_equal(write(memory, "x", 1), -1);
	assert_true(handover_open(&in, memory, failure));
	message_get_text(&in.reader, text, sizeof(text));
	assert_string_equal(text, "abc");
	assert_int_equal(handover_get_descriptor(&in), given);
	assert_false(is_kept(given) || is_kept(memory));
	assert_int_equal(message_get_u64(&in.reader), 7);
	assert_true(!in.reader.failed && in.reader.left == 0);
	handover_keep(&in, true);
	assert_true(is_kept(memory) && is_kept(given));
	out.memory = -1;
	handover_end(&out);
	handover_end(&in);
	assert_int_equal(fcntl(memory, F_GETFD), -1);
	close(given);
}

static void what_is_not_open_is_no_descriptor(void **state)
{
	(void)state;
	struct handover out, in;
	char failure[512] = "";
	handover_begin(&out);
	message_put_u32(&out.writer, 1000000);
	int memory = handover_seal(&out);
	assert_true(handover_open(&in, memory, failure));
	assert_int_equal(handover_get_descriptor(&in), -1);
	assert_true(in.reader.failed);
	out.memory = -1;
	handover_end(&out);
	handover_end(&in);
}

static void check_refused(const uint32_t *words, size_t count, const char *expected)
{
	struct handover in;
	char failure[512] = "";
	int memory = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(write(memory, words, count * sizeof(*words)), (ssize_t)(count * sizeof(*words)));
	assert_false(handover_open(&in, memory, failure));
	assert_non_null(strstr(failure, expected));
	handover_end(&in);
}

static void another_version_is_refused(void **state)
{
	(void)state;
	check_refused((const uint32_t[]){ 0x4f525257u, HANDOVER_VERSION + 1, 0 }, 3, "restart the daemon");
	check_refused((const uint32_t[]){ 0x4f525257u, HANDOVER_OLDEST - 1, 0 }, 3, "restart the daemon");
	check_refused((const uint32_t[]){ 0x4f525257u }, 1, "version");
	check_refused((const uint32_t[]){ 1, HANDOVER_VERSION }, 2, "cannot be read");
	check_refused(NULL, 0, "cannot be read");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(what_is_not_open_is_no_descriptor),
		cmocka_unit_test(another_version_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
