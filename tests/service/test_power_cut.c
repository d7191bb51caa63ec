/* P5, D2: what is on the disk after the power went, at any instant. A store works on a disk that keeps a diary of what it was told. From
 * the diary a disk is made as it may be after a cut: all that was flushed is there, and of the rest any sectors, in any order. The store
 * opened on it must hold exactly what was acknowledged, and of the batch under way all or nothing. */
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

enum { TUNNELS = 8, BATCHES = 60, ENTRIES = 20000, IMAGE = 1 << 22, SECTOR = 512, CUTS_A_RUN = 50 };
enum file { FILE_DATABASE, FILE_LOG, FILES };
static const char *const names[FILES] = { "state.db", "state.db-wal" };

/* A line of the diary; the acknowledgement of a batch is one too. */
struct entry {
	bool is_acknowledgement;
	enum file file;
	enum failing_call call;
	int64_t offset;
	int length;
	uint8_t *bytes;
};

struct image {
	uint8_t bytes[IMAGE];
	int64_t length;
};

static char directory[64], cut_directory[80];
static struct entry diary[ENTRIES];
static size_t diary_length;
/* The mark of each tunnel after so many batches; 0: there is none. */
static unsigned states[BATCHES + 1][TUNNELS];
static struct image images[FILES], start_images[FILES];
static uint64_t seed;

static unsigned roll(unsigned below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % below;
}

static void write_diary(const char *name, enum failing_call call, int64_t offset, const void *bytes, int length)
{
	for (int file = 0; file < FILES; file++) {
		if (strcmp(name, names[file]) != 0)
			continue;
		assert_true(diary_length < ENTRIES);
		struct entry *entry = &diary[diary_length++];
		*entry = (struct entry){ .file = (enum file)file, .call = call, .offset = offset, .length = length };
		if (length > 0) {
			entry->bytes = malloc((size_t)length);
			memcpy(entry->bytes, bytes, (size_t)length);
		}
	}
}

static void tear_up_diary(void)
{
	for (size_t i = 0; i < diary_length; i++)
		free(diary[i].bytes);
	diary_length = 0;
}

static void load_image(struct image *image, const char *name)
{
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	*image = (struct image){ .length = 0 };
	if (descriptor < 0)
		return;
	image->length = read(descriptor, image->bytes, IMAGE);
	close(descriptor);
}

static void save_image(const struct image *image, const char *name)
{
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", cut_directory, name);
	int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(descriptor >= 0);
	assert_int_equal(write(descriptor, image->bytes, (size_t)image->length), image->length);
	close(descriptor);
}

static void apply_part(struct image *image, const struct entry *entry, int from, int length)
{
	int64_t offset = entry->offset + from, end = offset + length;
	assert_true(end <= IMAGE);
	if (offset > image->length)
		memset(image->bytes + image->length, 0, (size_t)(offset - image->length));
	memcpy(image->bytes + offset, entry->bytes + from, (size_t)length);
	image->length = end > image->length ? end : image->length;
}

static void apply(struct image *image, const struct entry *entry)
{
	if (entry->call == FAILING_WRITE)
		apply_part(image, entry, 0, entry->length);
	else if (entry->call == FAILING_TRUNCATE && entry->offset < image->length)
		image->length = entry->offset;
}

/* Of what was not flushed, any of its sectors, each with the same luck. */
static void apply_torn(struct image *image, const struct entry *entry, unsigned luck)
{
	if (entry->call == FAILING_TRUNCATE && roll(100) < luck)
		apply(image, entry);
	for (int at = 0; entry->call == FAILING_WRITE && at < entry->length; at += SECTOR)
		if (roll(100) < luck)
			apply_part(image, entry, at, entry->length - at < SECTOR ? entry->length - at : SECTOR);
}

static void apply_unflushed(const struct entry **open, size_t count)
{
	static const unsigned lucks[] = { 0, 20, 50, 90, 100 };
	unsigned luck = lucks[roll(5)];
	for (size_t i = count; i > 1; i--) {
		size_t other = roll((unsigned)i);
		const struct entry *swapped = open[i - 1];
		open[i - 1] = open[other];
		open[other] = swapped;
	}
	for (size_t i = 0; i < count; i++)
		apply_torn(&images[open[i]->file], open[i], luck);
}

/* The disk as it may be after the first `length` lines. Gives the number of batches that were acknowledged by then. */
static size_t cut(size_t length, bool has_flushes)
{
	static const struct entry *open[ENTRIES];
	size_t open_count = 0, acknowledged = 0;
	memcpy(images, start_images, sizeof(images));
	for (size_t i = 0; i < length; i++) {
		const struct entry *entry = &diary[i];
		acknowledged += entry->is_acknowledgement;
		if (!entry->is_acknowledgement && entry->call != FAILING_SYNC)
			open[open_count++] = entry;
		if (entry->is_acknowledgement || entry->call != FAILING_SYNC || !has_flushes)
			continue;
		size_t kept = 0;
		for (size_t k = 0; k < open_count; k++) {
			if (open[k]->file == entry->file)
				apply(&images[entry->file], open[k]);
			else
				open[kept++] = open[k];
		}
		open_count = kept;
	}
	apply_unflushed(open, open_count);
	for (int file = 0; file < FILES; file++)
		save_image(&images[file], names[file]);
	return acknowledged;
}

static bool take_tunnel(void *owner, struct database_tunnel *tunnel)
{
	unsigned *found = owner;
	unsigned number = 0, mark = 0;
	assert_int_equal(sscanf(tunnel->key, "t%u", &number), 1);
	assert_int_equal(sscanf(tunnel->document, "{\"mark\":%u", &mark), 1);
	found[number] = mark;
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

static struct store *open_store(const char *where, const char *vfs, unsigned found[TUNNELS], char failure[512])
{
	struct store_loader loader = { .take_tunnel = take_tunnel, .tunnels = found, .take_token = take_token, .tokens = found };
	memset(found, 0, TUNNELS * sizeof(*found));
	return store_open(where, vfs, &loader, no_wake, NULL, failure);
}

static void remove_files(const char *where)
{
	static const char *const all[] = { "state.db", "state.db-wal", "state.db-shm", "state.reserve" };
	char path[160];
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", where, all[i]);
		unlink(path);
	}
}

/* Documents from a few bytes to several pages. */
static void put(struct store_write *write, unsigned number, unsigned mark)
{
	static const size_t sizes[] = { 40, 700, 3000, 9000 };
	size_t size = sizes[roll(4)];
	write->kind = mark == 0 ? STORE_DELETE : STORE_PUT;
	snprintf(write->tunnel.key, sizeof(write->tunnel.key), "t%u", number);
	if (mark == 0)
		return;
	write->tunnel.ports = strdup("{}");
	char text[9001];
	memset(text, 'x', size);
	int head = snprintf(text, size, "{\"mark\":%u,\"x\":\"", mark);
	text[head] = 'x';
	memcpy(text + size - 2, "\"}", 3);
	write->snapshot = stored_document(text);
}

static void acknowledge(struct store_batch *batch, void *owner)
{
	(void)owner;
	assert_int_equal(batch->result, 0);
	store_batch_free(batch);
	diary[diary_length++] = (struct entry){ .is_acknowledgement = true };
}

static void write_batch(struct store *store, size_t number)
{
	size_t count = 1 + roll(3);
	struct store_batch *batch = store_batch_create(count);
	memcpy(states[number], states[number - 1], sizeof(states[0]));
	for (size_t i = 0; i < count; i++) {
		unsigned tunnel = roll(TUNNELS), mark = roll(4) == 0 ? 0 : (unsigned)number * 10 + (unsigned)i + 1;
		put(&batch->writes[i], tunnel, mark);
		states[number][tunnel] = mark;
	}
	batch->done = acknowledge;
	store_submit(store, batch);
	store_drain(store);
}

static void live(void)
{
	char failure[512] = "";
	unsigned found[TUNNELS];
	const char *vfs = failing_vfs_register();
	/* Made and closed once, so that both files are there in a known form. */
	struct store *store = open_store(directory, vfs, found, failure);
	assert_non_null(store);
	store_close(store);
	for (int file = 0; file < FILES; file++)
		load_image(&start_images[file], names[file]);
	memset(states, 0, sizeof(states));
	failing_vfs_watch(write_diary);
	store = open_store(directory, vfs, found, failure);
	assert_non_null(store);
	for (size_t number = 1; number <= BATCHES; number++)
		write_batch(store, number);
	failing_vfs_watch(NULL);
	store_close(store);
}

/* Whether the disk after a cut holds what it must. */
static bool survives(size_t length, bool has_flushes)
{
	char failure[512] = "";
	unsigned found[TUNNELS];
	size_t acknowledged = cut(length, has_flushes);
	struct store *store = open_store(cut_directory, NULL, found, failure);
	bool is_old = store != NULL && memcmp(found, states[acknowledged], sizeof(found)) == 0;
	bool is_new = store != NULL && acknowledged < BATCHES && memcmp(found, states[acknowledged + 1], sizeof(found)) == 0;
	store_close(store);
	remove_files(cut_directory);
	return is_old || is_new;
}

static size_t cuts_wanted(void)
{
	const char *text = getenv("WARREN_POWER_CUTS");
	return text == NULL ? 400 : strtoul(text, NULL, 10);
}

static void d2_nothing_acknowledged_is_lost(void **state)
{
	(void)state;
	size_t cuts = 0;
	for (uint64_t run = 1; cuts < cuts_wanted(); run++) {
		seed = run;
		live();
		for (unsigned i = 0; i < CUTS_A_RUN; i++, cuts++) {
			size_t length = roll((unsigned)diary_length + 1);
			if (!survives(length, true))
				fail_msg("run %llu: a cut after line %zu of %zu loses or mixes", (unsigned long long)run, length, diary_length);
		}
		tear_up_diary();
		remove_files(directory);
	}
	print_message("%zu power cuts\n", cuts);
}

/* The test itself: on a disk whose flushes do nothing, the same cuts are seen to lose. */
static void d2_a_disk_that_lies_is_caught(void **state)
{
	(void)state;
	size_t lost = 0;
	seed = 1;
	live();
	for (unsigned i = 0; i < CUTS_A_RUN; i++)
		lost += !survives(roll((unsigned)diary_length + 1), false);
	tear_up_diary();
	assert_true(lost > CUTS_A_RUN / 4);
}

static int set_up(void **state)
{
	(void)state;
	/* Refusals are what some cuts on a lying disk end in. */
	log_start(LOG_ERROR, false, "test");
	snprintf(directory, sizeof(directory), "%s/warren-cut-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(cut_directory, sizeof(cut_directory), "%s/cut", directory);
	return mkdir(cut_directory, 0700);
}

static int tear_down(void **state)
{
	(void)state;
	remove_files(directory);
	remove_files(cut_directory);
	return rmdir(cut_directory) != 0 || rmdir(directory) != 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(d2_nothing_acknowledged_is_lost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(d2_a_disk_that_lies_is_caught, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
