#include "tests/fleet/etcd_model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void etcd_model_init(struct etcd_model *model, uint64_t cluster)
{
	*model = (struct etcd_model){ .cluster = cluster, .revision = 1, .next_lease = 100 };
}

void etcd_model_clear(struct etcd_model *model)
{
	for (size_t i = 0; i < model->key_count; i++)
		free(model->keys[i].value);
	for (uint64_t i = model->history_first; i < model->history_end; i++)
		free(model->history[i % MODEL_HISTORY].value);
}

static struct model_kv *find(struct etcd_model *model, const char *key)
{
	for (size_t i = 0; i < model->key_count; i++)
		if (strcmp(model->keys[i].key, key) == 0)
			return &model->keys[i];
	return NULL;
}

const struct model_kv *etcd_model_find(const struct etcd_model *model, const char *key)
{
	return find((struct etcd_model *)(uintptr_t)model, key);
}

static struct model_lease *find_lease(struct etcd_model *model, int64_t id)
{
	for (size_t i = 0; i < model->lease_count; i++)
		if (model->leases[i].id == id)
			return &model->leases[i];
	return NULL;
}

/* ---- History ---- */

static void forget_oldest(struct etcd_model *model)
{
	struct model_kv *event = &model->history[model->history_first++ % MODEL_HISTORY];
	model->compacted = event->revision;
	free(event->value);
}

static void record(struct etcd_model *model, const struct model_kv *kv, bool is_deleted)
{
	if (model->history_end - model->history_first == MODEL_HISTORY)
		forget_oldest(model);
	struct model_kv *event = &model->history[model->history_end++ % MODEL_HISTORY];
	*event = *kv;
	event->value = is_deleted ? NULL : strdup(kv->value);
	event->revision = model->revision;
}

void etcd_model_compact(struct etcd_model *model)
{
	while (model->history_first < model->history_end)
		forget_oldest(model);
	model->compacted = model->revision;
}

/* ---- Writes, at model->revision ---- */

static void put(struct etcd_model *model, const char *key, const char *value, int64_t lease)
{
	struct model_kv *kv = find(model, key);
	if (kv == NULL) {
		assert(model->key_count < MODEL_KEYS);
		kv = &model->keys[model->key_count++];
		*kv = (struct model_kv){ .lease = 0 };
		memcpy(kv->key, key, strlen(key) + 1);
	}
	free(kv->value);
	kv->value = strdup(value);
	kv->revision = model->revision;
	kv->lease = lease;
	record(model, kv, false);
	model->shard_writes += strncmp(key, "p/shard/", 8) == 0 || strcmp(key, "p/leader") == 0;
}

static void erase(struct etcd_model *model, struct model_kv *kv)
{
	record(model, kv, true);
	free(kv->value);
	*kv = model->keys[--model->key_count];
}

void etcd_model_put(struct etcd_model *model, const char *key, const char *value)
{
	model->revision++;
	put(model, key, value, 0);
}

static bool holds(struct etcd_model *model, const struct fleet_compare *compare)
{
	const struct model_kv *kv = find(model, compare->key);
	int64_t value = kv == NULL ? 0 : compare->target == FLEET_LEASE ? kv->lease : kv->revision;
	return value == compare->value;
}

static void refuse(struct etcd_model *model, const struct fleet_txn *txn, struct fleet_reply *reply)
{
	const struct model_kv *kv = txn->read == NULL ? NULL : find(model, txn->read);
	reply->result = FLEET_REFUSED;
	if (kv != NULL)
		reply->found = (struct fleet_kv){ kv->key, kv->value, strlen(kv->value), kv->revision, kv->lease, false, 0 };
}

void etcd_model_txn(struct etcd_model *model, const struct fleet_txn *txn, struct fleet_reply *reply)
{
	bool is_true = true;
	assert(txn->compare_count <= 128 && txn->put_count <= 128);
	reply->revision = model->revision;
	for (size_t i = 0; i < txn->compare_count; i++)
		is_true = is_true && holds(model, &txn->compares[i]);
	if (!is_true) {
		refuse(model, txn, reply);
		return;
	}
	/* etcd checks leases before it applies anything. */
	for (size_t i = 0; i < txn->put_count; i++)
		if (txn->puts[i].lease != 0 && find_lease(model, txn->puts[i].lease) == NULL) {
			reply->result = FLEET_NO_LEASE;
			return;
		}
	if (model->is_full) {
		reply->result = FLEET_UNKNOWN;
		return;
	}
	reply->revision = ++model->revision;
	reply->result = FLEET_DONE;
	for (size_t i = 0; i < txn->put_count; i++)
		put(model, txn->puts[i].key, txn->puts[i].value, txn->puts[i].lease);
}

/* ---- Leases ---- */

void etcd_model_grant(struct etcd_model *model, uint64_t ttl_s, uint64_t now, struct fleet_reply *reply)
{
	reply->result = model->is_full ? FLEET_UNKNOWN : FLEET_DONE;
	if (model->is_full)
		return;
	assert(model->lease_count < MODEL_LEASES);
	struct model_lease *lease = &model->leases[model->lease_count++];
	*lease = (struct model_lease){ model->next_lease++, ttl_s * 1000, now + ttl_s * 1000 };
	reply->lease = lease->id;
}

void etcd_model_keepalive(struct etcd_model *model, int64_t id, uint64_t now, struct fleet_reply *reply)
{
	struct model_lease *lease = find_lease(model, id);
	reply->lease = id;
	reply->result = lease == NULL ? FLEET_NO_LEASE : FLEET_DONE;
	if (lease != NULL)
		lease->ends_at = now + lease->ttl;
}

void etcd_model_revoke(struct etcd_model *model, int64_t id)
{
	struct model_lease *lease = find_lease(model, id);
	bool has_keys = false;
	if (lease == NULL)
		return;
	*lease = model->leases[--model->lease_count];
	for (size_t i = model->key_count; i-- > 0;)
		if (model->keys[i].lease == id) {
			model->revision += !has_keys;
			has_keys = true;
			erase(model, &model->keys[i]);
		}
}

void etcd_model_expire(struct etcd_model *model, uint64_t now)
{
	for (size_t i = model->lease_count; i-- > 0;)
		if (now >= model->leases[i].ends_at)
			etcd_model_revoke(model, model->leases[i].id);
}

void etcd_model_promote(struct etcd_model *model, uint64_t now)
{
	for (size_t i = 0; i < model->lease_count; i++)
		model->leases[i].ends_at = now + model->leases[i].ttl;
}
