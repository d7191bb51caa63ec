/* Room on the disk that is kept, as the file's blocks tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/store/reserve.h"

#define MANY (1 << 20)

static char directory[] = "/tmp/test_reserve.XXXXXX", path[64];

static int start(void **state)
{
	(void)state;
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	strcpy(path, directory);
	strcat(path, "/reserve");
	return 0;
}

static int stop(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

/* Bytes that the disk has given, not only the file's length. */
static int64_t held(void)
{
	struct stat info;
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	int64_t blocks = (int64_t)info.st_blocks * 512;
	return blocks < info.st_size ? blocks : info.st_size;
}

static void it_is_lent_until_it_is_taken_back(void **state)
{
	struct reserve reserve;
	(void)state;
	assert_true(reserve_open(&reserve, path));
	assert_true(reserve.is_lent);
	assert_int_equal(held(), 0);
	/* While it is lent nothing is taken. */
	assert_false(reserve_hold(&reserve, MANY));
	assert_int_equal(held(), 0);
	assert_true(reserve_take_back(&reserve, MANY));
	assert_true(held() >= MANY);
	reserve_lend(&reserve);
	assert_int_equal(held(), 0);
	assert_true(reserve_hold(&reserve, MANY));
	assert_false(reserve_hold(&reserve, 2 * MANY));
	assert_int_equal(held(), 0);
	assert_true(reserve_take_back(&reserve, MANY));
	reserve_close(&reserve);
	assert_true(held() >= MANY);
	reserve_close(&reserve);
	/* The next start has its room. */
	assert_true(reserve_open(&reserve, path));
	assert_int_equal(held(), 0);
	reserve_close(&reserve);
}

/* It grows when more is needed, shrinks when far less is, and is left alone in between. */
static void it_follows_what_is_needed(void **state)
{
	struct reserve reserve;
	(void)state;
	assert_true(reserve_open(&reserve, path));
	assert_true(reserve_take_back(&reserve, MANY));
	int64_t before = held();
	assert_true(reserve_hold(&reserve, MANY + 1000) && reserve_hold(&reserve, MANY - 1000));
	assert_int_equal(held(), before);
	assert_true(reserve_hold(&reserve, 3 * MANY));
	assert_true(held() >= 3 * MANY);
	assert_true(reserve_hold(&reserve, MANY));
	assert_in_range(held(), MANY, 2 * MANY);
	reserve_close(&reserve);
}

static void no_link_is_followed(void **state)
{
	struct reserve reserve;
	(void)state;
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_false(reserve_open(&reserve, path));
	reserve_close(&reserve);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(it_is_lent_until_it_is_taken_back),
		TEST(it_follows_what_is_needed),
		TEST(no_link_is_followed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
