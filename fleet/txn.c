#include "fleet/txn.h"

#include <assert.h>
#include <string.h>

#include "fleet/record.h"

void fleet_txn_clear(struct fleet_txn *txn)
{
	txn->compare_count = txn->put_count = txn->used = 0;
	txn->read = NULL;
}

bool fleet_txn_has_room(const struct fleet_txn *txn, size_t compares, size_t puts, size_t value)
{
	return txn->compare_count + compares <= FLEET_TXN_ENTRIES && txn->put_count + puts <= FLEET_TXN_ENTRIES &&
	       txn->used + (compares + puts) * FLEET_KEY_TEXT + puts * value <= FLEET_TXN_TEXT;
}

static const char *copy(struct fleet_txn *txn, const char *text)
{
	size_t size = strlen(text) + 1;
	char *to = txn->text + txn->used;
	assert(txn->used + size <= FLEET_TXN_TEXT);
	memcpy(to, text, size);
	txn->used += size;
	return to;
}

void fleet_txn_compare(struct fleet_txn *txn, const char *key, enum fleet_target target, int64_t value)
{
	assert(txn->compare_count < FLEET_TXN_ENTRIES);
	txn->compares[txn->compare_count++] = (struct fleet_compare){ copy(txn, key), target, value };
}

void fleet_txn_put(struct fleet_txn *txn, const char *key, const char *value, int64_t lease)
{
	assert(txn->put_count < FLEET_TXN_ENTRIES);
	txn->puts[txn->put_count++] = (struct fleet_put){ copy(txn, key), copy(txn, value), lease };
}

void fleet_txn_put_borrowed(struct fleet_txn *txn, const char *key, const char *value)
{
	assert(txn->put_count < FLEET_TXN_ENTRIES);
	txn->puts[txn->put_count++] = (struct fleet_put){ copy(txn, key), value, 0 };
}

void fleet_txn_delete(struct fleet_txn *txn, const char *key)
{
	fleet_txn_put_borrowed(txn, key, NULL);
}
