/* A reply that is the last arrives, whatever the client still sends, and nobody is waited for longer than a second. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/tunnel/rig.h"
#include "tunnel/io/linger.h"

static const char reply[] = "HTTP/1.1 403 Forbidden\r\n\r\n";

/* A client that has sent what nobody read, and gets the reply. */
static int close_under(void)
{
	int client;
	struct poller *poller = rig_client(&client);
	assert_int_equal(send(client, "unread", 6, 0), 6);
	assert_int_equal(send(poller_descriptor(poller), reply, strlen(reply), 0), (ssize_t)strlen(reply));
	linger_close(rig.context.loop, poller);
	rig_turn();
	return client;
}

static void the_reply_arrives_and_then_the_end(void **state)
{
	(void)state;
	int client = close_under();
	assert_string_equal(rig_read(client), reply);
	assert_true(rig_is_at_end(client));
	/* What it sends on is taken. */
	rig_write(client, "more");
	rig_write(client, "and more");
	assert_false(rig_is_reset(client));
	rig_pass(999 * LOOP_MILLISECOND);
	assert_false(rig_is_reset(client));
	rig_pass(LOOP_MILLISECOND);
	assert_true(rig_is_reset(client));
	close(client);
}

/* Who closes is not waited for: rig_stop fails on a poller that is left, and here no time passes. */
static void who_is_done_is_let_go(void **state)
{
	(void)state;
	int client = close_under();
	shutdown(client, SHUT_WR);
	rig_turn();
	assert_true(rig_is_reset(client));
	close(client);
}

/* P6: a client that writes for ever is cut off at a megabyte. */
static void who_writes_for_ever_is_cut_off(void **state)
{
	char bytes[16384] = { 0 };
	size_t taken = 0;
	(void)state;
	int client = close_under();
	for (int i = 0; i < 1000 && !rig_is_reset(client); i++) {
		ssize_t got = send(client, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
		taken += got > 0 ? (size_t)got : 0;
		rig_turn();
	}
	assert_true(rig_is_reset(client));
	assert_in_range(taken, 1 << 20, (1 << 20) + 2 * sizeof(bytes) + 65536);
	close(client);
}

/* A socket that cannot be shut, because its peer has reset it, is closed at once. */
static void what_is_broken_is_closed(void **state)
{
	(void)state;
	int descriptor = socket(AF_INET, SOCK_STREAM, 0);
	linger_close(rig.context.loop, poller_create(rig.context.loop, descriptor, NULL, NULL));
	assert_int_equal(shutdown(descriptor, SHUT_WR), -1);
	rig_turn();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(the_reply_arrives_and_then_the_end),
		TEST(who_is_done_is_let_go),
		TEST(who_writes_for_ever_is_cut_off),
		TEST(what_is_broken_is_closed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
