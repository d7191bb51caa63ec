#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/log.h"
#include "service/store/store.h"
#include "tests/service/failing_vfs.h"
#include "tests/service/stored_document.h"

#define FOUND_MAX 2000

/* What the loader found, in the order of ids. */
struct found {
	char ids[FOUND_MAX][64];
	char first_document[256];
	size_t count, tokens;
};

static char directory[64];
static char failure[512];
static size_t done_count;

static bool take_tunnel(void *owner, struct database_tunnel *tunnel)
{
	struct found *found = owner;
	if (found->count == 0)
		snprintf(found->first_document, sizeof(found->first_document), "%s", tunnel->document);
	memcpy(found->ids[found->count++], tunnel->key, 64);
	database_tunnel_clear(tunnel);
	return true;
}

static bool take_token(void *owner, struct database_token *token)
{
	struct found *found = owner;
	found->tokens++;
	database_token_clear(token);
	return true;
}

static void no_wake(void *owner)
{
	(void)owner;
}

static struct store *open_store(struct found *found)
{
	struct store_loader loader = { .take_tunnel = take_tunnel, .tunnels = found, .take_token = take_token, .tokens = found };
	memset(found, 0, sizeof(*found));
	return store_open(directory, failing_vfs_register(), &loader, no_wake, NULL, failure);
}

static struct store_batch *make(enum store_write_kind kind, const char *id, const char *document)
{
	struct store_batch *batch = store_batch_create(1);
	batch->writes[0].kind = kind;
	snprintf(batch->writes[0].tunnel.key, 64, "%s", id);
	batch->writes[0].snapshot = document == NULL ? NULL : stored_document(document);
	batch->writes[0].tunnel.ports = strdup("{}");
	batch->writes[0].tunnel.revision = 7;
	batch->next_revision = 8;
	return batch;
}

static void keep_result(struct store_batch *batch, void *owner)
{
	int *result = owner;
	*result = batch->result;
	store_batch_free(batch);
}

static int write_one(struct store *store, enum store_write_kind kind, const char *id, const char *document)
{
	struct store_batch *batch = make(kind, id, document);
	int result = -1;
	batch->done = keep_result;
	batch->owner = &result;
	store_submit(store, batch);
	store_drain(store);
	return result;
}

static int set_up(void **state)
{
	(void)state;
	log_start(LOG_ERROR, false, "test");
	/* In memory where that is to be had: the flushes of a disk are not what is tested. */
	snprintf(directory, sizeof(directory), "%s/warren-store-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	return mkdtemp(directory) == NULL;
}

static int tear_down(void **state)
{
	char command[128];
	(void)state;
	for (int call = 0; call < FAILING_CALLS; call++)
		failing_vfs_fail((enum failing_call)call, 0, 0);
	failing_vfs_full(false);
	failing_vfs_short_writes(false);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static const char *path_of(const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static void keeps_what_was_written(void **state)
{
	struct found found;
	struct store *store = open_store(&found);
	(void)state;
	assert_non_null(store);
	assert_int_equal(store_next_revision(store), 1);
	assert_int_equal(write_one(store, STORE_PUT, "b", "{}"), 0);
	assert_int_equal(write_one(store, STORE_PUT, "a", "{\"x\":1}"), 0);
	assert_int_equal(write_one(store, STORE_PUT, "a", "{\"x\":2}"), 0);
	assert_int_equal(write_one(store, STORE_DELETE, "b", NULL), 0);
	store_close(store);
	store = open_store(&found);
	assert_int_equal(found.count, 1);
	assert_string_equal(found.ids[0], "a");
	assert_string_equal(found.first_document, "{\"x\":2}");
	assert_int_equal(store_next_revision(store), 8);
	store_close(store);
}

static void files_are_private(void **state)
{
	static const char *const names[] = { "state.db", "state.db-wal", "state.db-shm" };
	struct found found;
	struct stat info;
	struct store *store = open_store(&found);
	(void)state;
	assert_int_equal(write_one(store, STORE_PUT, "a", "{}"), 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(stat(path_of(names[i]), &info), 0);
		assert_int_equal(info.st_mode & 0777, 0600);
	}
	store_close(store);
}

static bool holds_text(const char *path, const char *text)
{
	static char bytes[1 << 20];
	int descriptor = open(path, O_RDONLY);
	if (descriptor < 0)
		return false;
	ssize_t length = read(descriptor, bytes, sizeof(bytes));
	close(descriptor);
	return length > 0 && memmem(bytes, (size_t)length, text, strlen(text)) != NULL;
}

/* P8: deleted data is on no page of the file and in no frame of the log. */
static void deleted_secrets_are_gone(void **state)
{
	struct found found;
	struct store *store = open_store(&found);
	(void)state;
	assert_int_equal(write_one(store, STORE_PUT, "a", "{\"key\":\"verysecret\"}"), 0);
	assert_true(holds_text(path_of("state.db"), "verysecret") || holds_text(path_of("state.db-wal"), "verysecret"));
	assert_int_equal(write_one(store, STORE_DELETE, "a", NULL), 0);
	assert_false(holds_text(path_of("state.db"), "verysecret"));
	assert_false(holds_text(path_of("state.db-wal"), "verysecret"));
	store_close(store);
}

static void on_done(struct store_batch *batch, void *owner)
{
	int *failures = owner;
	done_count++;
	*failures += batch->result != 0;
	store_batch_free(batch);
}

static void waiting_writes_share_a_transaction(void **state)
{
	struct found found;
	struct store *store = open_store(&found);
	int failures = 0;
	(void)state;
	done_count = 0;
	for (int i = 0; i < 1000; i++) {
		char id[64];
		snprintf(id, sizeof(id), "t%04d", i);
		struct store_batch *batch = make(STORE_PUT, id, "{}");
		batch->done = on_done;
		batch->owner = &failures;
		store_submit(store, batch);
	}
	store_drain(store);
	assert_int_equal(done_count, 1000);
	assert_int_equal(failures, 0);
	store_close(store);
	store = open_store(&found);
	assert_int_equal(found.count, 1000);
	store_close(store);
}

/* A batch that cannot be written (a row without a document) travels with good ones. */
static void one_that_fails_does_not_poison_others(void **state)
{
	struct found found;
	struct store *store = open_store(&found);
	int failures = 0;
	(void)state;
	done_count = 0;
	for (int i = 0; i < 20; i++) {
		char id[16];
		snprintf(id, sizeof(id), "t%04d", i);
		struct store_batch *batch = store_batch_create(2);
		batch->writes[0].kind = batch->writes[1].kind = STORE_TOKEN_PUT;
		snprintf(batch->writes[0].token.id, 32, "%s", id);
		snprintf(batch->writes[1].token.id, 32, "%s%s", id, i == 10 ? "" : "x");
		batch->writes[0].token.name = strdup("");
		batch->writes[0].token.labels = strdup("{}");
		batch->writes[1].token.name = strdup("");
		batch->writes[1].token.labels = strdup("{}");
		batch->done = on_done;
		batch->owner = &failures;
		store_submit(store, batch);
	}
	store_drain(store);
	assert_int_equal(done_count, 20);
	assert_int_equal(failures, 1);
	store_close(store);
	store = open_store(&found);
	assert_int_equal(found.tokens, 38);
	store_close(store);
}

/* D1, and D4 where it is the sync: whichever call fails, the state afterwards is the old one or the new one, and what was acknowledged is there. */
static void d1_fail_each_call(enum failing_call call, int code)
{
	for (int nth = 1; nth < 60; nth++) {
		struct found found;
		char command[128];
		snprintf(command, sizeof(command), "rm -f %s/*", directory);
		assert_int_equal(system(command), 0);
		struct store *store = open_store(&found);
		assert_non_null(store);
		assert_int_equal(write_one(store, STORE_PUT, "a", "{\"x\":1}"), 0);
		assert_int_equal(write_one(store, STORE_PUT, "b", "{\"x\":1}"), 0);
		failing_vfs_fail(call, nth, code);
		int changed = write_one(store, STORE_PUT, "a", "{\"x\":2}");
		int deleted = write_one(store, STORE_DELETE, "b", NULL);
		int added = write_one(store, STORE_PUT, "c", "{\"x\":1}");
		bool has_failed = failing_vfs_has_failed();
		failing_vfs_fail(call, 0, 0);
		store_close(store);
		store = open_store(&found);
		if (store == NULL)
			fail_msg("call %d, number %d: %s", (int)call, nth, failure);
		assert_string_equal(found.ids[0], "a");
		if (changed == 0)
			assert_string_equal(found.first_document, "{\"x\":2}");
		else
			assert_true(strcmp(found.first_document, "{\"x\":1}") == 0 || strcmp(found.first_document, "{\"x\":2}") == 0);
		if (deleted == 0)
			assert_string_not_equal(found.ids[1], "b");
		if (added == 0)
			assert_string_equal(found.ids[found.count - 1], "c");
		store_close(store);
		if (!has_failed)
			break;
	}
}

static void d1_every_call_fails_once(void **state)
{
	(void)state;
	d1_fail_each_call(FAILING_WRITE, SQLITE_IOERR_WRITE);
	d1_fail_each_call(FAILING_WRITE, SQLITE_FULL);
	failing_vfs_short_writes(true);
	d1_fail_each_call(FAILING_WRITE, SQLITE_IOERR_WRITE);
	failing_vfs_short_writes(false);
	d1_fail_each_call(FAILING_SYNC, SQLITE_IOERR_FSYNC);
	d1_fail_each_call(FAILING_TRUNCATE, SQLITE_IOERR_TRUNCATE);
	d1_fail_each_call(FAILING_READ, SQLITE_IOERR_READ);
}

static void d1_start_fails_cleanly(void **state)
{
	struct found found;
	(void)state;
	for (int call = 0; call < FAILING_CALLS; call++) {
		for (int nth = 1; nth < 40; nth++) {
			failing_vfs_fail((enum failing_call)call, nth, SQLITE_IOERR);
			struct store *store = open_store(&found);
			failing_vfs_fail((enum failing_call)call, 0, 0);
			if (store == NULL)
				assert_int_not_equal(strlen(failure), 0);
			store_close(store);
			store = open_store(&found);
			if (store == NULL)
				fail_msg("%s", failure);
			store_close(store);
		}
	}
}

static int truncate_file(const char *path, off_t size)
{
	return truncate(path, size);
}

static void refuse(const char *word)
{
	struct found found;
	struct store *store = open_store(&found);
	assert_null(store);
	if (strstr(failure, word) == NULL)
		fail_msg("«%s» is not in «%s»", word, failure);
}

static void make_state(void)
{
	struct found found;
	char command[128];
	snprintf(command, sizeof(command), "rm -f %s/*", directory);
	assert_int_equal(system(command), 0);
	struct store *store = open_store(&found);
	assert_int_equal(write_one(store, STORE_PUT, "a", "{\"x\":\"abcdefgh\"}"), 0);
	store_close(store);
}

static void execute(const char *sql)
{
	sqlite3 *handle = NULL;
	assert_int_equal(sqlite3_open(path_of("state.db"), &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(handle);
}

static void d3_what_is_damaged_is_refused(void **state)
{
	(void)state;
	make_state();
	assert_int_equal(truncate_file(path_of("state.db"), 0), 0);
	refuse("empty");
	make_state();
	assert_int_equal(truncate_file(path_of("state.db"), 5000), 0);
	refuse("refusing");
	make_state();
	assert_int_equal(chmod(path_of("state.db"), 0644), 0);
	refuse("other users can read");
	make_state();
	execute("PRAGMA user_version = 4");
	refuse("newer");
	make_state();
	execute("PRAGMA application_id = 5");
	refuse("another program");
	make_state();
	execute("UPDATE tunnels SET document = '{\"x\":\"abcdefgi\"}'");
	refuse("damaged");
	make_state();
	int descriptor = open(path_of("state.db-wal"), O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(descriptor, "x", 1), 1);
	close(descriptor);
	unlink(path_of("state.db"));
	refuse("missing");
}

/* Never silently empty: with any one byte of the file changed, it is refused or complete. */
static void d3_bit_flips(void **state)
{
	struct found found;
	struct stat info;
	(void)state;
	make_state();
	assert_int_equal(stat(path_of("state.db"), &info), 0);
	for (off_t at = 0; at < info.st_size; at += 37) {
		uint8_t byte;
		make_state();
		int descriptor = open(path_of("state.db"), O_RDWR);
		assert_int_equal(pread(descriptor, &byte, 1, at), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(descriptor, &byte, 1, at), 1);
		close(descriptor);
		struct store *store = open_store(&found);
		if (store == NULL)
			continue;
		assert_int_equal(found.count, 1);
		assert_string_equal(found.first_document, "{\"x\":\"abcdefgh\"}");
		store_close(store);
	}
}

static void d4_a_failed_flush_is_reported(void **state)
{
	struct found found;
	struct store *store = open_store(&found);
	(void)state;
	failing_vfs_fail(FAILING_SYNC, 1, SQLITE_IOERR_FSYNC);
	assert_int_not_equal(write_one(store, STORE_PUT, "a", "{}"), 0);
	assert_int_equal(write_one(store, STORE_PUT, "b", "{}"), 0);
	store_close(store);
	store = open_store(&found);
	assert_int_equal(found.count, 1);
	assert_string_equal(found.ids[0], "b");
	store_close(store);
}

static void d5_a_full_disk_is_survived(void **state)
{
	struct found found;
	struct store *store = open_store(&found);
	(void)state;
	assert_int_equal(write_one(store, STORE_PUT, "a", "{}"), 0);
	failing_vfs_full(true);
	for (int i = 0; i < 10; i++)
		assert_int_not_equal(write_one(store, STORE_PUT, "b", "{}"), 0);
	failing_vfs_full(false);
	assert_int_equal(write_one(store, STORE_PUT, "c", "{}"), 0);
	store_close(store);
	store = open_store(&found);
	assert_int_equal(found.count, 2);
	assert_string_equal(found.ids[1], "c");
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keeps_what_was_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(files_are_private, set_up, tear_down),
		cmocka_unit_test_setup_teardown(deleted_secrets_are_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(waiting_writes_share_a_transaction, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_fails_does_not_poison_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(d1_every_call_fails_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(d1_start_fails_cleanly, set_up, tear_down),
		cmocka_unit_test_setup_teardown(d3_what_is_damaged_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(d3_bit_flips, set_up, tear_down),
		cmocka_unit_test_setup_teardown(d4_a_failed_flush_is_reported, set_up, tear_down),
		cmocka_unit_test_setup_teardown(d5_a_full_disk_is_survived, set_up, tear_down),
	};
	umask(077);
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
