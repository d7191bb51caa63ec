#include "tests/service/fleet/fake_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_MOST 256
#define JOBS_MOST 512

struct job {
	bool is_open, is_write;
	char key[FLEET_KEY_TEXT];
	struct fleet_txn *txn; /* a copy with values of its own */
	struct etcd_store_listener listener;
};

struct fake_store fake_store;
static struct fake_record records[RECORDS_MOST];
static size_t record_count;
static struct job jobs[JOBS_MOST];
static size_t job_count;

static void close_job(struct job *job)
{
	for (size_t i = 0; job->txn != NULL && i < job->txn->put_count; i++)
		free((char *)(uintptr_t)job->txn->puts[i].value);
	free(job->txn);
	job->txn = NULL;
	job->is_open = false;
}

void fake_store_reset(void)
{
	for (size_t i = 0; i < record_count; i++)
		free(records[i].value);
	for (size_t i = 0; i < job_count; i++)
		close_job(&jobs[i]);
	record_count = job_count = 0;
	fake_store = (struct fake_store){ .revision = 0 };
}

static struct fake_record *record_of(const char *key)
{
	for (size_t i = 0; i < record_count; i++)
		if (strcmp(records[i].key, key) == 0)
			return &records[i];
	assert_true(record_count < RECORDS_MOST);
	struct fake_record *record = &records[record_count++];
	*record = (struct fake_record){ .value = NULL };
	snprintf(record->key, sizeof(record->key), "%s", key);
	return record;
}

/* The test's own memory is not what fails. */
static char *copy(const char *text)
{
	char *made = NULL;
	while (text != NULL && made == NULL)
		made = strdup(text);
	return made;
}

static void write_record(const char *key, const char *value)
{
	struct fake_record *record = record_of(key);
	if (record->value == NULL)
		record->created = fake_store.revision;
	free(record->value);
	record->value = copy(value);
	record->revision = fake_store.revision;
}

void fake_store_put(const char *key, const char *value)
{
	fake_store.revision++;
	write_record(key, value);
}

void fake_store_delete(const char *key)
{
	fake_store_put(key, NULL);
}

const struct fake_record *fake_store_find(const char *key)
{
	const struct fake_record *record = record_of(key);
	return record->value == NULL ? NULL : record;
}

static struct job *open_job(const struct etcd_store_listener *listener)
{
	if (fake_store_waiting() == 0)
		job_count = 0;
	assert_true(job_count < JOBS_MOST);
	struct job *job = &jobs[job_count++];
	*job = (struct job){ .is_open = true, .listener = *listener };
	fake_store.asked++;
	return job;
}

struct etcd_job *__wrap_etcd_store_read(struct etcd_store *store, const char *key, const struct etcd_store_listener *listener);
struct etcd_job *__wrap_etcd_store_read(struct etcd_store *store, const char *key, const struct etcd_store_listener *listener)
{
	struct job *job = open_job(listener);
	(void)store;
	snprintf(job->key, sizeof(job->key), "%s", key);
	return (struct etcd_job *)job;
}

/* Its texts point into it. */
static const char *moved(const struct fleet_txn *from, struct fleet_txn *to, const char *text)
{
	return to->text + (text - from->text);
}

struct etcd_job *__wrap_etcd_store_write(struct etcd_store *store, const struct fleet_txn *txn, const struct etcd_store_listener *listener);
struct etcd_job *__wrap_etcd_store_write(struct etcd_store *store, const struct fleet_txn *txn, const struct etcd_store_listener *listener)
{
	struct job *job = open_job(listener);
	(void)store;
	job->is_write = true;
	job->txn = malloc(sizeof(*txn));
	if (job->txn == NULL) {
		close_job(job);
		return NULL;
	}
	memcpy(job->txn, txn, sizeof(*txn));
	for (size_t i = 0; i < txn->compare_count; i++)
		job->txn->compares[i].key = moved(txn, job->txn, txn->compares[i].key);
	for (size_t i = 0; i < txn->put_count; i++) {
		job->txn->puts[i].key = moved(txn, job->txn, txn->puts[i].key);
		job->txn->puts[i].value = copy(txn->puts[i].value);
	}
	return (struct etcd_job *)job;
}

void __wrap_etcd_store_cancel(struct etcd_job *cancelled);
void __wrap_etcd_store_cancel(struct etcd_job *cancelled)
{
	struct job *job = (struct job *)cancelled;
	assert_true(job->is_open);
	close_job(job);
}

static bool do_write(const struct fleet_txn *txn)
{
	for (size_t i = 0; i < txn->compare_count; i++) {
		const struct fake_record *record = record_of(txn->compares[i].key);
		if ((record->value == NULL ? 0 : record->revision) != txn->compares[i].value)
			return false;
	}
	fake_store.revision++;
	for (size_t i = 0; i < txn->put_count; i++)
		write_record(txn->puts[i].key, txn->puts[i].value);
	return true;
}

static void do_read(const struct job *job)
{
	size_t length = strlen(job->key);
	for (size_t i = 0; i < record_count && job->is_open; i++) {
		const struct fake_record *record = &records[i];
		bool is_meant = job->key[length - 1] == '/' ? strncmp(record->key, job->key, length) == 0 : strcmp(record->key, job->key) == 0;
		if (record->value == NULL || !is_meant)
			continue;
		const struct fleet_kv kv = { .key = record->key,
			                     .value = record->value,
			                     .length = strlen(record->value),
			                     .revision = record->revision,
			                     .created = record->created };
		job->listener.record(job->listener.owner, &kv);
	}
}

static void answer(struct job *job, enum etcd_error error, bool is_done)
{
	bool has_succeeded = true;
	if (job->is_write && is_done)
		has_succeeded = do_write(job->txn);
	else if (!job->is_write && error == ETCD_OK)
		do_read(job);
	const struct etcd_store_listener listener = job->listener;
	close_job(job);
	listener.done(listener.owner, error, has_succeeded, error == ETCD_OK ? fake_store.revision : 0);
}

static size_t answer_all(enum etcd_error error, bool is_done)
{
	size_t count = 0, last = job_count; /* listeners ask again */
	for (size_t i = 0; i < last; i++) {
		if (!jobs[i].is_open)
			continue;
		answer(&jobs[i], error, is_done);
		count++;
	}
	return count;
}

size_t fake_store_answer(void)
{
	return fake_store.is_away ? 0 : answer_all(ETCD_OK, true);
}

void fake_store_fail(enum etcd_error error, bool is_done)
{
	answer_all(error, is_done);
}

size_t fake_store_waiting(void)
{
	size_t count = 0;
	for (size_t i = 0; i < job_count; i++)
		count += jobs[i].is_open;
	return count;
}
