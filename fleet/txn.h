/* A transaction of etcd: if all comparisons hold, all puts and deletes are made, at one revision. Bounded by etcd's 128 entries of each kind. */
#ifndef WARREN_FLEET_TXN_H
#define WARREN_FLEET_TXN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_TXN_ENTRIES 128
#define FLEET_TXN_TEXT 65536 /* bytes of all keys and values; etcd takes 1.5 MiB */

enum fleet_target { FLEET_MOD_REVISION, FLEET_LEASE }; /* of a key that does not exist both are 0 */

struct fleet_compare {
	const char *key;
	enum fleet_target target;
	int64_t value; /* equal to it */
};

struct fleet_put {
	const char *key, *value; /* value NULL: the key is deleted */
	int64_t lease;           /* 0: none */
};

struct fleet_txn {
	struct fleet_compare compares[FLEET_TXN_ENTRIES];
	size_t compare_count;
	struct fleet_put puts[FLEET_TXN_ENTRIES];
	size_t put_count;
	const char *read; /* the key to read when a comparison fails; NULL: none */
	size_t used;
	char text[FLEET_TXN_TEXT];
};

void fleet_txn_clear(struct fleet_txn *txn);
/* Whether that many more entries fit, with keys of up to FLEET_KEY_TEXT and values of up to `value` bytes. */
bool fleet_txn_has_room(const struct fleet_txn *txn, size_t compares, size_t puts, size_t value);
/* Texts are copied. They must fit. */
void fleet_txn_compare(struct fleet_txn *txn, const char *key, enum fleet_target target, int64_t value);
void fleet_txn_put(struct fleet_txn *txn, const char *key, const char *value, int64_t lease);
/* The value is borrowed as long as the transaction is used, and may have any length. */
void fleet_txn_put_borrowed(struct fleet_txn *txn, const char *key, const char *value);
void fleet_txn_delete(struct fleet_txn *txn, const char *key);

#endif
