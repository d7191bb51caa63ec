#include "service/fleet/object_fetch.h"

#include <stdio.h>
#include <string.h>

static void on_object(void *owner, const struct fleet_kv *kv)
{
	struct object_fetch *fetch = owner;
	fetch->found = object_plan_read(fetch->ring, kv, &fetch->error);
}

static bool read_id_again(struct object_fetch *fetch);

static void on_object_read(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct object_fetch *fetch = owner;
	(void)has_succeeded;
	(void)revision;
	fetch->asked = NULL;
	/* It has moved, or was deleted, between the two reads. */
	bool is_gone = error == ETCD_OK && fetch->found == NULL && fetch->error == OBJECT_RECORD_OK;
	if (!is_gone || fetch->is_second)
		fetch->done(fetch->owner, error);
	else if (!read_id_again(fetch))
		fetch->done(fetch->owner, ETCD_NO_MEMORY);
}

static void on_id(void *owner, const struct fleet_kv *kv)
{
	struct object_fetch *fetch = owner;
	struct fleet_class class = { .node = "" };
	int read = fleet_id_read(fetch->key.class, kv->value, kv->length);
	int known = read == FLEET_RECORD_OK ? fleet_class_read(&class, fetch->key.class) : FLEET_CLASS_INVALID;
	bool lacks_memory = read == FLEET_RECORD_NO_MEMORY || known == FLEET_CLASS_NO_MEMORY;
	if (known != FLEET_CLASS_OK) {
		fetch->error = lacks_memory ? OBJECT_RECORD_NO_MEMORY : OBJECT_RECORD_INVALID;
		return;
	}
	fetch->key.shard = fleet_class_shard_of(&class, fetch->key.name);
	fetch->is_known = true;
	fleet_class_clear(&class);
}

static bool read_object(struct object_fetch *fetch)
{
	const struct etcd_store_listener listener = { fetch, on_object, on_object_read };
	char text[FLEET_KEY_TEXT];
	fetch->key.kind = FLEET_KEY_OBJECT;
	fleet_key_write(&fetch->key, text);
	fetch->asked = etcd_store_read(fetch->store, text, &listener);
	return fetch->asked != NULL;
}

static void on_id_read(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct object_fetch *fetch = owner;
	(void)has_succeeded;
	(void)revision;
	fetch->asked = NULL;
	if (error != ETCD_OK || !fetch->is_known)
		fetch->done(fetch->owner, error);
	else if (!read_object(fetch))
		fetch->done(fetch->owner, ETCD_NO_MEMORY);
}

static bool read_id(struct object_fetch *fetch)
{
	const struct etcd_store_listener listener = { fetch, on_id, on_id_read };
	char text[FLEET_KEY_TEXT];
	fetch->key.kind = FLEET_KEY_ID;
	fetch->is_known = false;
	fleet_key_write(&fetch->key, text);
	fetch->asked = etcd_store_read(fetch->store, text, &listener);
	return fetch->asked != NULL;
}

static bool read_id_again(struct object_fetch *fetch)
{
	fetch->is_second = true;
	return read_id(fetch);
}

bool object_fetch_begin(struct object_fetch *fetch, enum spec_kind kind, const char *id)
{
	fetch->key = (struct fleet_key){ .kind = FLEET_KEY_ID, .is_pool = kind == SPEC_POOL };
	fetch->is_second = false;
	fetch->found = NULL;
	fetch->error = OBJECT_RECORD_OK;
	snprintf(fetch->key.name, sizeof(fetch->key.name), "%s", id);
	return read_id(fetch);
}

void object_fetch_cancel(struct object_fetch *fetch)
{
	if (fetch->asked != NULL)
		etcd_store_cancel(fetch->asked);
	fetch->asked = NULL;
	snapshot_release(fetch->found);
	fetch->found = NULL;
}
