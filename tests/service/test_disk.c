/* What a user is told of a full disk: which directory lacks room, and where its file system is mounted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "service/store/disk.h"

static struct disk disk;

static void the_mount_is_the_uppermost_directory_of_the_device(void **state)
{
	char text[256];
	(void)state;
	disk_init(&disk, "/proc/sys/kernel");
	disk_explain(&disk, text, sizeof(text));
	assert_non_null(strstr(text, "mounted at /proc has no room for /proc/sys/kernel"));
	disk_init(&disk, "/");
	assert_string_equal(disk.mount, "/");
}

static void a_directory_that_is_gone_is_named(void **state)
{
	(void)state;
	disk_init(&disk, "/does/not/exist");
	assert_string_equal(disk.mount, "/does/not/exist");
}

static void it_is_full_until_room_is_noted(void **state)
{
	(void)state;
	disk_init(&disk, "/");
	assert_false(disk.is_full);
	disk_note(&disk, true);
	assert_true(disk.is_full);
	disk_note(&disk, false);
	assert_false(disk.is_full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_mount_is_the_uppermost_directory_of_the_device),
		cmocka_unit_test(a_directory_that_is_gone_is_named),
		cmocka_unit_test(it_is_full_until_room_is_noted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
