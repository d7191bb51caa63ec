/* What a member's metrics say of its database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "fleet/etcd/etcd_fill.h"

static bool reads(const char *text, uint64_t bytes, uint64_t quota)
{
	struct etcd_fill_level level = { 1, 2 };
	bool is_read = etcd_fill_read(&level, text, strlen(text));
	return is_read ? level.bytes == bytes && level.quota == quota : level.bytes == 1 && level.quota == 2 && bytes == 0;
}

static void its_metrics_tell_size_and_quota(void **state)
{
	(void)state;
	assert_true(reads("# HELP etcd_mvcc_db_total_size_in_bytes Total size\n# TYPE etcd_mvcc_db_total_size_in_bytes gauge\n"
	                  "etcd_debugging_mvcc_db_total_size_in_bytes 7\netcd_mvcc_db_total_size_in_bytes 24576\n"
	                  "etcd_server_quota_backend_bytes 3.3554432e+07\n",
	                  24576, 33554432));
	assert_true(reads("etcd_server_quota_backend_bytes 2.147483648e+09\netcd_mvcc_db_total_size_in_bytes 1.7e+09", 1700000000, 2147483648));
}

static void what_does_not_tell_both_tells_nothing(void **state)
{
	static const char *const texts[] = { "",
		                             "{}",
		                             "etcd_mvcc_db_total_size_in_bytes 24576\n",
		                             "etcd_server_quota_backend_bytes 1\n",
		                             "etcd_mvcc_db_total_size_in_bytes x\netcd_server_quota_backend_bytes 1\n",
		                             "etcd_mvcc_db_total_size_in_bytes -5\netcd_server_quota_backend_bytes 1\n",
		                             "etcd_mvcc_db_total_size_in_bytes 1e300\netcd_server_quota_backend_bytes 1\n",
		                             "xetcd_mvcc_db_total_size_in_bytes 5\netcd_server_quota_backend_bytes 1\n" };
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_true(reads(texts[i], 0, 0));
	/* No byte is behind it. */
	struct etcd_fill_level level;
	assert_false(etcd_fill_read(&level, "etcd_mvcc_db_total_size_in_bytes 5\netcd_server_quota_backend_bytes 1\n", 40));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_metrics_tell_size_and_quota),
		cmocka_unit_test(what_does_not_tell_both_tells_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
