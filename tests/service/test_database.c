/* The file itself: how it is made, what is refused with which words, and what is never half read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/store/database.h"
#include "tests/failing_heap.h"

static char directory[64], failure[512];
enum { NO_CALL, CHMOD, RENAME, FSYNC };
static int failing_call;
static unsigned calls_before; /* that succeed */

static bool fails(int call)
{
	return failing_call == call && calls_before-- == 0;
}

int __real_chmod(const char *path, mode_t mode);
int __wrap_chmod(const char *path, mode_t mode);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_fsync(int descriptor);
int __wrap_fsync(int descriptor);

int __wrap_chmod(const char *path, mode_t mode)
{
	return fails(CHMOD) ? -1 : __real_chmod(path, mode);
}

int __wrap_rename(const char *from, const char *to)
{
	return fails(RENAME) ? -1 : __real_rename(from, to);
}

int __wrap_fsync(int descriptor)
{
	return fails(FSYNC) ? -1 : __real_fsync(descriptor);
}

static int set_up(void **state)
{
	(void)state;
	failing_call = NO_CALL;
	snprintf(directory, sizeof(directory), "%s/warren-database-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	return mkdtemp(directory) == NULL;
}

static int tear_down(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static const char *path_of(const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static bool is_there(const char *name)
{
	return access(path_of(name), F_OK) == 0;
}

static struct database *open_one(void)
{
	failure[0] = '\0';
	struct database *database = database_open(directory, NULL, failure);
	assert_true((database == NULL) == (failure[0] != '\0'));
	return database;
}

static void assert_refused(const char *word)
{
	assert_null(open_one());
	if (strstr(failure, word) == NULL)
		fail_msg("«%s» is not in «%s»", word, failure);
}

/* One tunnel and one token. */
static void fill(void)
{
	char document[] = "{\"x\":1}", ports[] = "{}", name[] = "reader", labels[] = "{}";
	const struct database_tunnel tunnel = { .key = "a", .document = document, .ports = ports, .revision = 7, .generation = 2, .total_bytes = 9 };
	const struct database_token token = { .id = "t1", .name = name, .labels = labels, .scopes = 2, .hash = { 1, 2, 3 } };
	struct database *database = open_one();
	assert_non_null(database);
	assert_true(database_take_reserve(database));
	assert_int_equal(database_begin(database), SQLITE_OK);
	assert_int_equal(database_put_tunnel(database, &tunnel), SQLITE_OK);
	assert_int_equal(database_put_token(database, &token), SQLITE_OK);
	assert_int_equal(database_put_next_revision(database, 8), SQLITE_OK);
	assert_int_equal(database_commit(database), SQLITE_OK);
	database_close(database);
}

static void execute(const char *sql)
{
	sqlite3 *handle = NULL;
	assert_int_equal(sqlite3_open(path_of("state.db"), &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(handle);
}

struct found {
	unsigned tunnels, tokens;
	unsigned most; /* that are taken */
	char labels[64];
	int64_t expires_at;
	struct database_tunnel last;
};

static bool take_tunnel(void *owner, struct database_tunnel *tunnel)
{
	struct found *found = owner;
	found->last = *tunnel;
	found->last.document = found->last.ports = NULL;
	database_tunnel_clear(tunnel);
	return found->tunnels++ < found->most;
}

static bool take_token(void *owner, struct database_token *token)
{
	struct found *found = owner;
	snprintf(found->labels, sizeof(found->labels), "%s", token->labels);
	found->expires_at = token->expires_at;
	database_token_clear(token);
	return found->tokens++ < found->most;
}

static bool load(struct database *database, struct found *found)
{
	return database_load_tunnels(database, take_tunnel, found, failure) && database_load_tokens(database, take_token, found, failure);
}

static void what_was_written_is_read(void **state)
{
	struct found found = { .most = 9 };
	(void)state;
	fill();
	struct database *database = open_one();
	assert_true(load(database, &found));
	assert_int_equal(found.tunnels, 1);
	assert_int_equal(found.tokens, 1);
	assert_string_equal(found.last.key, "a");
	assert_int_equal(found.last.revision, 7);
	assert_int_equal(found.last.generation, 2);
	assert_int_equal(found.last.total_bytes, 9);
	assert_int_equal(database_next_revision(database), 8);
	/* A revision is never used twice. */
	assert_int_equal(database_put_next_revision(database, 3), SQLITE_OK);
	assert_int_equal(database_next_revision(database), 8);
	database_close(database);
}

/* L4: a crash or a failure leaves no file that could pass for an empty state. */
static void a_file_that_cannot_be_made_is_not_there(void **state)
{
	(void)state;
	for (int call = CHMOD; call <= FSYNC; call++) {
		failing_call = call;
		calls_before = 0;
		assert_refused("cannot create");
		failing_call = NO_CALL;
		assert_false(is_there("state.db"));
		assert_false(is_there("state.db.new"));
	}
	fill();
}

static void what_is_no_file_of_ours_is_refused(void **state)
{
	(void)state;
	fill();
	assert_int_equal(unlink(path_of("state.db")), 0);
	assert_int_equal(mkdir(path_of("state.db"), 0700), 0);
	assert_refused("not a regular file");
	assert_int_equal(rmdir(path_of("state.db")), 0);
	unlink(path_of("state.db-wal"));
	fill();
	if (geteuid() == 0) {
		assert_int_equal(chown(path_of("state.db"), 12345, 12345), 0);
		assert_refused("belongs to another user");
		assert_int_equal(chown(path_of("state.db"), 0, 0), 0);
	}
	assert_int_equal(unlink(path_of("state.reserve")), 0);
	assert_int_equal(mkdir(path_of("state.reserve"), 0700), 0);
	assert_refused("state.reserve");
	assert_int_equal(rmdir(path_of("state.reserve")), 0);
	struct database *database = open_one();
	assert_non_null(database);
	database_close(database);
}

/* D3 */
static void a_row_that_is_damaged_is_refused(void **state)
{
	static const char *const damages[] = {
		"UPDATE tunnels SET document = '{}'",         "UPDATE tunnels SET revision = 8", "UPDATE tunnels SET checksum = x'00'",
		"UPDATE tunnels SET timestamp_floor = x'00'", "UPDATE tokens SET hash = x'00'",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct found found = { .most = 9 };
		fill();
		execute(damages[i]);
		struct database *database = open_one();
		assert_false(load(database, &found));
		assert_non_null(strstr(failure, "damaged"));
		assert_non_null(strstr(failure, i < 4 ? "tunnels" : "tokens"));
		database_close(database);
		execute("DELETE FROM tunnels; DELETE FROM tokens");
	}
}

static void a_file_without_our_tables_is_refused(void **state)
{
	static const char *const tables[] = { "DROP TABLE tunnels", "DROP TABLE tokens", "DROP TABLE meta" };
	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		fill();
		execute(tables[i]);
		assert_refused("no such table");
		assert_int_equal(unlink(path_of("state.db")), 0);
		unlink(path_of("state.db-wal"));
		unlink(path_of("state.db-shm"));
	}
}

/* Version 1 had no sessions, and neither 1 nor 2 labels or expiry of a token. */
static void a_file_of_an_older_version_is_upgraded(void **state)
{
	struct found found = { .most = 9 };
	static const char *const older[] = { "DROP TABLE sessions; PRAGMA user_version = 1", "PRAGMA user_version = 2" };
	(void)state;
	fill();
	for (unsigned i = 0; i < 4; i++) {
		if (i % 2 == 0) {
			execute("ALTER TABLE tokens DROP COLUMN labels; ALTER TABLE tokens DROP COLUMN expires_at;"
			        "ALTER TABLE tokens DROP COLUMN last_used_at");
			execute(older[i / 2]);
		}
		struct database *database = open_one();
		found.tokens = 0;
		assert_non_null(database);
		assert_true(load(database, &found));
		assert_int_equal(found.tokens, 1);
		assert_string_equal(found.labels, "{}");
		assert_int_equal(found.expires_at, 0);
		database_close(database);
	}
}

static void a_revision_begins_at_one(void **state)
{
	(void)state;
	fill();
	execute("UPDATE meta SET next_revision = -5");
	struct database *database = open_one();
	assert_int_equal(database_next_revision(database), 1);
	database_close(database);
}

/* Part of the tunnels must not pass for all of them. */
static void what_cannot_be_taken_ends_the_reading(void **state)
{
	struct found none = { .most = 0 };
	(void)state;
	fill();
	struct database *database = open_one();
	assert_false(database_load_tunnels(database, take_tunnel, &none, failure));
	assert_non_null(strstr(failure, "cannot read the tunnels"));
	assert_false(database_load_tokens(database, take_token, &none, failure));
	assert_non_null(strstr(failure, "cannot read the tokens"));
	database_close(database);
}

/* F1 */
static void memory_that_is_missing_is_told(void **state)
{
	(void)state;
	fill();
	bool is_over = false;
	for (unsigned number = 0; !is_over; number++) {
		struct found found = { .most = 9 };
		heap_fails_once_after(number);
		struct database *database = open_one();
		bool is_loaded = database != NULL && load(database, &found);
		is_over = heap_refused() == 0;
		heap_works();
		assert_true(is_loaded == is_over);
		database_close(database);
	}
}

static void a_check_reads_beside_who_writes(void **state)
{
	(void)state;
	assert_true(database_check(directory, failure));
	struct database *database = database_open(directory, NULL, failure);
	assert_non_null(database);
	assert_true(database_check(directory, failure));
	database_close(database);
	assert_true(database_check(directory, failure));
	char path[128];
	snprintf(path, sizeof(path), "%s/state.db", directory);
	assert_int_equal(chmod(path, 0640), 0);
	assert_false(database_check(directory, failure));
	assert_non_null(strstr(failure, "chmod 600"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_was_written_is_read),         TEST(a_file_that_cannot_be_made_is_not_there), TEST(what_is_no_file_of_ours_is_refused),
		TEST(a_row_that_is_damaged_is_refused), TEST(a_file_without_our_tables_is_refused),    TEST(a_file_of_an_older_version_is_upgraded),
		TEST(a_revision_begins_at_one),         TEST(what_cannot_be_taken_ends_the_reading),   TEST(memory_that_is_missing_is_told),
		TEST(a_check_reads_beside_who_writes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
