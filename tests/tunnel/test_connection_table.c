/* Numbers are not used twice, and each is found. */
#include "tests/tunnel/rig.h"

static void a_number_is_given_once_and_found_while_it_is_there(void **state)
{
	enum { COUNT = 3 * CONNECTION_TABLE_CHAINS };
	static struct connection all[COUNT], again;
	static struct connection_table table;
	(void)state;
	for (uint64_t i = 0; i < COUNT; i++) {
		connection_table_add(&table, &all[i]);
		assert_int_equal(all[i].number, i + 1);
	}
	for (uint64_t i = 0; i < COUNT; i++)
		assert_ptr_equal(connection_table_find(&table, i + 1), &all[i]);
	assert_null(connection_table_find(&table, 0));
	assert_null(connection_table_find(&table, COUNT + 1));
	/* The first, the middle and the last of a chain. */
	for (uint64_t i = 0; i < 3; i++) {
		uint64_t number = 7 + i * CONNECTION_TABLE_CHAINS;
		connection_table_remove(&all[number - 1]);
		assert_null(connection_table_find(&table, number));
	}
	assert_null(table.chains[7]);
	connection_table_add(&table, &again);
	assert_int_equal(again.number, COUNT + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_is_given_once_and_found_while_it_is_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
