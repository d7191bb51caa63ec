/* etcd in the test's memory, in place of fleet/etcd/etcd_store.c: the linker wraps etcd_store_read, _write and _cancel. Jobs wait until the test
 * answers them, and are done then. */
#ifndef WARREN_TESTS_SERVICE_FLEET_FAKE_STORE_H
#define WARREN_TESTS_SERVICE_FLEET_FAKE_STORE_H

#include "fleet/etcd/etcd_store.h"

struct fake_record {
	char key[FLEET_KEY_TEXT];
	char *value; /* NULL: it was deleted */
	int64_t revision, created;
};

struct fake_store {
	int64_t revision; /* of the last write */
	unsigned asked;   /* jobs so far */
	bool is_away;     /* answers nothing */
};

extern struct fake_store fake_store;

void fake_store_reset(void);
/* A write of somebody else's. */
void fake_store_put(const char *key, const char *value);
void fake_store_delete(const char *key);
const struct fake_record *fake_store_find(const char *key); /* NULL: there is none */
/* Answers those that wait, unless it is away. Returns how many. */
size_t fake_store_answer(void);
/* Those that wait fail; `is_done`: their writes are done all the same. */
void fake_store_fail(enum etcd_error error, bool is_done);
size_t fake_store_waiting(void);

#endif
