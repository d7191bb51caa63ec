/* Sticky sessions on the disk: what was told is found again, by the pool that it was of, and what was deleted is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ipc/wall_clock.h"
#include "service/store/session_store.h"

static char directory[64], failure[512];
static struct store *store;
static struct session_store *sessions;
static int64_t known_birth;

static bool take_tunnel(void *owner, struct database_tunnel *tunnel)
{
	(void)owner;
	database_tunnel_clear(tunnel);
	return true;
}

static bool take_token(void *owner, struct database_token *token)
{
	(void)owner;
	free(token->name);
	return true;
}

static void take_session(void *owner, const struct database_session *session)
{
	(void)owner;
	session_store_load(sessions, session, session->born == known_birth);
}

static void no_wake(void *owner)
{
	(void)owner;
}

static void open_all(void)
{
	const struct store_loader loader = { .take_tunnel = take_tunnel, .take_token = take_token, .take_session = take_session };
	sessions = session_store_create();
	store = store_open(directory, NULL, &loader, no_wake, NULL, failure);
	if (store == NULL)
		fail_msg("%s", failure);
}

static void close_all(void)
{
	store_close(store);
	session_store_free(sessions);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/warren-test-XXXXXX");
	assert_non_null(mkdtemp(directory));
	known_birth = 7;
	open_all();
	return 0;
}

static int tear_down(void **state)
{
	char command[128];
	(void)state;
	close_all();
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static void write_all(void)
{
	for (int i = 0; i < 200; i++) {
		session_store_write(sessions, store);
		store_drain(store);
	}
}

static uint64_t in(int64_t seconds)
{
	return (uint64_t)(wall_clock_ms() / 1000 + seconds);
}

static void put(const char *pool, const char *key, const char *tunnel, uint64_t expires_at)
{
	struct pool_session session = { .expires_at = expires_at };
	snprintf(session.key, sizeof(session.key), "%s", key);
	snprintf(session.tunnel, sizeof(session.tunnel), "%s", tunnel);
	session_store_put(sessions, pool, 7, &session);
}

static unsigned rows(void)
{
	char path[128];
	sqlite3 *handle;
	sqlite3_stmt *statement;
	snprintf(path, sizeof(path), "%s/state.db", directory);
	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, "SELECT count(*) FROM sessions", -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	unsigned count = (unsigned)sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(handle);
	return count;
}

static void what_was_told_is_found_again(void **state)
{
	(void)state;
	struct pool_session list[8];
	put("p", "b\xff", "t2", in(100));
	put("p", "a", "t1", in(100));
	put("q", "a", "t3", in(100));
	put("p", "a", "t4", in(200));
	write_all();
	close_all();
	open_all();
	assert_int_equal(session_store_count(sessions, "p"), 2);
	assert_int_equal(session_store_read(sessions, "p", "", list, 8), 2);
	assert_string_equal(list[0].key, "a");
	assert_string_equal(list[0].tunnel, "t4");
	assert_string_equal(list[1].key, "b\xff");
	assert_int_equal(session_store_read(sessions, "p", "a", list, 8), 1);
	assert_string_equal(list[0].tunnel, "t2");
	assert_int_equal(session_store_read(sessions, "q", "", list, 8), 1);
	assert_int_equal(session_store_read(sessions, "r", "", list, 8), 0);
}

static void what_is_deleted_leaves_the_disk(void **state)
{
	(void)state;
	put("p", "a", "t", in(100));
	put("p", "b", "t", in(100));
	put("p", "c", "t", in(100));
	write_all();
	assert_int_equal(rows(), 3);
	put("p", "a", "", 0);
	assert_int_equal(session_store_forget(sessions, "p", "b"), 1);
	assert_int_equal(session_store_forget(sessions, "p", "b"), 0);
	assert_int_equal(session_store_count(sessions, "p"), 1);
	write_all();
	assert_int_equal(rows(), 1);
	assert_int_equal(session_store_forget(sessions, "p", NULL), 1);
	/* One that comes again is another. */
	put("p", "c", "u", in(100));
	write_all();
	assert_int_equal(rows(), 1);
	assert_int_equal(session_store_count(sessions, "p"), 1);
}

static void what_has_expired_goes(void **state)
{
	(void)state;
	struct pool_session list[2];
	put("p", "a", "t", in(-100));
	put("p", "b", "t", in(100));
	assert_int_equal(session_store_read(sessions, "p", "", list, 2), 1);
	write_all();
	assert_int_equal(session_store_count(sessions, "p"), 1);
	assert_int_equal(rows(), 1);
}

static void a_pool_that_is_deleted_takes_its_own(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		char key[16];
		snprintf(key, sizeof(key), "k%u", i);
		put("p", key, "t", in(100));
	}
	put("q", "a", "t", in(100));
	write_all();
	assert_int_equal(rows(), 3001);
	session_store_drop(sessions, "p");
	assert_int_equal(session_store_count(sessions, "p"), 0);
	write_all();
	assert_int_equal(rows(), 1);
}

/* A pool of the same id that was made later has none of them. */
static void those_of_an_earlier_pool_are_purged(void **state)
{
	(void)state;
	put("p", "a", "t", in(100));
	write_all();
	close_all();
	known_birth = 8;
	open_all();
	assert_int_equal(session_store_count(sessions, "p"), 0);
	write_all();
	assert_int_equal(rows(), 0);
}

/* More than a part is waiting when the daemon stops. */
static void a_flush_writes_all(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		char key[16];
		snprintf(key, sizeof(key), "%u", i);
		put("eu", key, "ams-1", in(600));
	}
	session_store_flush(sessions, store);
	assert_int_equal(rows(), 5000);
	session_store_flush(sessions, store);
}

static void count_told(int file, unsigned count)
{
	char text[4096];
	ssize_t length = pread(file, text, sizeof(text) - 1, 0);
	assert_true(length >= 0);
	text[length] = '\0';
	for (const char *at = text; (at = strstr(at, "sticky sessions are stored, and no more")) != NULL; at++)
		count--;
	assert_int_equal(count, 0);
}

/* P6. It is told once. */
static void there_is_a_limit(void **state)
{
	(void)state;
	char key[16];
	int before = dup(STDERR_FILENO), file = memfd_create("log", MFD_CLOEXEC);
	dup2(file, STDERR_FILENO);
	for (unsigned i = 0; i < SESSION_STORE_MOST + 10; i++) {
		/* In order, so that each is put at the end. */
		snprintf(key, sizeof(key), "%08u", i);
		put("p", key, "t", in(100));
	}
	dup2(before, STDERR_FILENO);
	close(before);
	count_told(file, 1);
	close(file);
	assert_int_equal(session_store_count(sessions, "p"), SESSION_STORE_MOST);
	session_store_drop(sessions, "p");
	put("q", "a", "t", in(100));
	assert_int_equal(session_store_count(sessions, "q"), 1);
}

static void a_file_of_version_1_gains_the_table(void **state)
{
	char path[128];
	sqlite3 *handle;
	(void)state;
	close_all();
	snprintf(path, sizeof(path), "%s/state.db", directory);
	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle,
	                              "ALTER TABLE tokens DROP COLUMN labels; ALTER TABLE tokens DROP COLUMN expires_at; ALTER TABLE tokens DROP "
	                              "COLUMN last_used_at; DROP TABLE sessions; PRAGMA user_version = 1",
	                              NULL, NULL, NULL),
	                 SQLITE_OK);
	sqlite3_close(handle);
	open_all();
	put("p", "a", "t", in(100));
	write_all();
	assert_int_equal(rows(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_told_is_found_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_deleted_leaves_the_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_has_expired_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_pool_that_is_deleted_takes_its_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(those_of_an_earlier_pool_are_purged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flush_writes_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(there_is_a_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_of_version_1_gains_the_table, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
