/* What still has bytes that the stack lent is written before the stack takes them back. */
#include "tests/tunnel/rig.h"
#include "tunnel/flush.h"

static struct deferred flushes[3];
static unsigned written[3], again;

static void write_it(void *owner)
{
	size_t i = (size_t)((struct deferred *)owner - flushes);
	written[i]++;
	if (again > 0 && again-- > 0)
		flush_queue(&rig.tunnel, &flushes[(i + 1) % 3]);
}

static int start(void **state)
{
	rig_start(state);
	for (size_t i = 0; i < 3; i++) {
		deferred_init(&flushes[i], write_it, &flushes[i]);
		written[i] = 0;
	}
	again = 0;
	return 0;
}

static void each_is_written_once_in_its_turn(void **state)
{
	(void)state;
	flush_queue(&rig.tunnel, &flushes[0]);
	flush_queue(&rig.tunnel, &flushes[1]);
	flush_queue(&rig.tunnel, &flushes[0]);
	assert_int_equal(written[0], 0);
	rig_turn(); /* the tunnel was woken */
	assert_int_equal(written[0], 1);
	assert_int_equal(written[1], 1);
	assert_int_equal(written[2], 0);
	rig_turn();
	assert_int_equal(written[0], 1);
}

/* Wherever it stands in the list. */
static void what_is_cancelled_is_not_written(void **state)
{
	(void)state;
	for (size_t gone = 0; gone < 3; gone++) {
		for (size_t i = 0; i < 3; i++) {
			written[i] = 0;
			flush_queue(&rig.tunnel, &flushes[i]);
		}
		flush_cancel(&rig.tunnel, &flushes[gone]);
		flush_cancel(&rig.tunnel, &flushes[gone]);
		rig_turn();
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(written[i], i != gone);
	}
}

/* Before the stack settles there is nothing left that was queued meanwhile. */
static void what_is_queued_while_it_is_written_is_written_too(void **state)
{
	(void)state;
	again = 5;
	flush_queue(&rig.tunnel, &flushes[0]);
	flush_all(&rig.tunnel);
	assert_int_equal(written[0] + written[1] + written[2], 6);
	assert_null(rig.tunnel.flushing.first);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(each_is_written_once_in_its_turn),
		TEST(what_is_cancelled_is_not_written),
		TEST(what_is_queued_while_it_is_written_is_written_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
