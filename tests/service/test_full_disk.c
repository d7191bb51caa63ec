/* A full disk, with a small file system of the test's own: removals work, additions are refused (D5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/log.h"
#include "service/store/store.h"
#include "tests/service/stored_document.h"

#define LARGE (1200 * 1024)

static char directory[64];
static char failure[512];
static size_t found;

static bool take_tunnel(void *owner, struct database_tunnel *tunnel)
{
	(void)owner;
	found++;
	database_tunnel_clear(tunnel);
	return true;
}

static bool take_token(void *owner, struct database_token *token)
{
	(void)owner;
	database_token_clear(token);
	return true;
}

static void no_wake(void *owner)
{
	(void)owner;
}

static struct store *open_store(void)
{
	struct store_loader loader = { .take_tunnel = take_tunnel, .take_token = take_token };
	found = 0;
	struct store *store = store_open(directory, NULL, &loader, no_wake, NULL, failure);
	if (store == NULL)
		fail_msg("%s", failure);
	return store;
}

static void keep_result(struct store_batch *batch, void *owner)
{
	int *result = owner;
	*result = batch->result;
	store_batch_free(batch);
}

/* {"x":"xxx…"} */
static struct snapshot *of_length(size_t length)
{
	char *text = malloc(length + 9);
	memset(text, 'x', length + 8);
	memcpy(text, "{\"x\":\"", 6);
	length = length < 8 ? 8 : length;
	memcpy(text + length - 2, "\"}", 3);
	struct snapshot *snapshot = stored_document(text);
	free(text);
	return snapshot;
}

static void submit(struct store *store, enum store_write_kind kind, const char *id, size_t document, int *result)
{
	struct store_batch *batch = store_batch_create(1);
	struct store_write *write = &batch->writes[0];
	write->kind = kind;
	snprintf(write->tunnel.key, sizeof(write->tunnel.key), "%s", id);
	if (kind == STORE_PUT)
		write->snapshot = of_length(document);
	write->tunnel.ports = strdup("{}");
	snprintf(write->token.id, sizeof(write->token.id), "%s", id);
	write->token.name = strdup("");
	write->token.labels = strdup("{}");
	batch->next_revision = 8;
	batch->done = keep_result;
	batch->owner = result;
	store_submit(store, batch);
}

static int write_one(struct store *store, enum store_write_kind kind, const char *id, size_t document)
{
	int result = -1;
	submit(store, kind, id, document, &result);
	store_drain(store);
	return result;
}

static const char *path_of(const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static int set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/warren-full-XXXXXX");
	return mkdtemp(directory) == NULL || mount("tmpfs", directory, "tmpfs", 0, "size=16m,mode=700") != 0;
}

static int tear_down(void **state)
{
	(void)state;
	return umount2(directory, MNT_DETACH) != 0 || rmdir(directory) != 0;
}

/* Uses all space except `spare` bytes. */
static void fill(off_t spare)
{
	static const char zeros[4096];
	int descriptor = open(path_of("ballast"), O_CREAT | O_WRONLY | O_APPEND, 0600);
	while (write(descriptor, zeros, sizeof(zeros)) > 0)
		continue;
	off_t size = lseek(descriptor, 0, SEEK_END);
	assert_int_equal(ftruncate(descriptor, size > spare ? size - spare : 0), 0);
	close(descriptor);
}

static void fill_with_tunnels(struct store *store, size_t document, unsigned *count)
{
	char id[64];
	for (*count = 0; *count < 10000; ++*count) {
		snprintf(id, sizeof(id), "t%05u", *count);
		if (write_one(store, STORE_PUT, id, document) != 0)
			return;
	}
	fail_msg("the disk did not become full");
}

/* Whatever fills the disk, and however much is left. */
static void what_removes_works(void **state)
{
	(void)state;
	for (off_t spare = 0; spare < 4 << 20; spare += 300 * 1024) {
		struct store *store = open_store();
		unsigned count;
		char id[64];
		assert_int_equal(write_one(store, STORE_TOKEN_PUT, "token", 0), 0);
		assert_int_equal(write_one(store, STORE_PUT, "large", LARGE), 0);
		fill(spare);
		fill_with_tunnels(store, 3000, &count);
		fill(0);
		assert_int_not_equal(write_one(store, STORE_PUT, "other", LARGE), 0);
		assert_int_equal(write_one(store, STORE_TOKEN_DELETE, "token", 0), 0);
		assert_int_equal(write_one(store, STORE_DELETE, "large", 0), 0);
		for (unsigned i = 0; i < count; i++) {
			snprintf(id, sizeof(id), "t%05u", i);
			assert_int_equal(write_one(store, STORE_DELETE, id, 0), 0);
			fill(0);
		}
		store_close(store);
		assert_int_equal(unlink(path_of("ballast")), 0);
		store_close(open_store());
		assert_int_equal(found, 0);
		unlink(path_of("state.db"));
	}
}

/* Space freed by deletes is available: the file does not shrink, but its pages are reused. */
static void what_adds_works_after_deletes(void **state)
{
	struct store *store = open_store();
	unsigned count;
	char id[64];
	(void)state;
	fill_with_tunnels(store, 3000, &count);
	assert_true(count > 100);
	for (unsigned i = 0; i < count / 2; i++) {
		snprintf(id, sizeof(id), "t%05u", i);
		assert_int_equal(write_one(store, STORE_DELETE, id, 0), 0);
	}
	for (unsigned i = 0; i < count / 4; i++) {
		snprintf(id, sizeof(id), "n%05u", i);
		assert_int_equal(write_one(store, STORE_PUT, id, 3000), 0);
	}
	store_close(store);
}

/* Deletes that share a transaction with writes that fail, and with each other. */
static void many_at_once_are_removed(void **state)
{
	enum { MANY = 200 };
	int results[MANY], refused;
	struct store *store = open_store();
	char id[64];
	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "t%05u", i);
		assert_int_equal(write_one(store, STORE_PUT, id, 3000), 0);
	}
	fill(0);
	submit(store, STORE_PUT, "more", 100000, &refused);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "t%05u", i);
		submit(store, STORE_DELETE, id, 0, &results[i]);
	}
	store_drain(store);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(results[i], 0);
	store_close(store);
}

/* Deletes work even if the disk is full when the daemon starts. */
static void one_that_is_full_at_the_start_is_emptied(void **state)
{
	struct store *store = open_store();
	(void)state;
	assert_int_equal(write_one(store, STORE_PUT, "a", LARGE), 0);
	assert_int_equal(write_one(store, STORE_PUT, "b", 3000), 0);
	store_close(store);
	fill(0);
	store = open_store();
	assert_int_equal(found, 2);
	fill(0);
	assert_int_not_equal(write_one(store, STORE_PUT, "c", LARGE), 0);
	assert_int_equal(write_one(store, STORE_DELETE, "a", 0), 0);
	assert_int_equal(write_one(store, STORE_DELETE, "b", 0), 0);
	store_close(store);
}

static bool has_own_mounts(void)
{
	if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return false;
	void *none = NULL;
	return set_up(&none) == 0 && tear_down(&none) == 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_removes_works, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_adds_works_after_deletes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_at_once_are_removed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_is_full_at_the_start_is_emptied, set_up, tear_down),
	};
	umask(077);
	if (sodium_init() < 0)
		return 1;
	log_start(LOG_ERROR, false, "test");
	if (!has_own_mounts()) {
		puts("skipped: no file system can be mounted here");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
