#include "service/fleet/resealer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/fleet/object_plan.h"
#include "service/fleet/token_record.h"

#define LOOK_MS 10000
#define REST_LOOKS 60 /* after a pass that found nothing: others may seal with the old key until they have the new one first */

/* A pass: all of t/ and k/ are read, for the keys of old records. Then each is read again with the count of its shard, and written if both are still
 * so. What fails is found by the next pass. */
struct resealer {
	struct resealer_means means;
	uv_timer_t timer;
	struct etcd_job *asked;
	bool is_reading_tokens; /* the second half of the reading */
	bool lacks_memory;
	char (*keys)[FLEET_KEY_TEXT]; /* of old records */
	size_t count, room, cursor;
	char *value;                    /* of the record at the cursor, sealed anew; NULL: it needs not */
	int64_t revision;               /* of that record */
	char changed[FLEET_KEY_TEXT];   /* of its shard's count; "": it is a token */
	char counted[FLEET_VALUE_TEXT]; /* that count */
	int64_t counted_at;
	size_t sealed; /* in this pass */
	unsigned rest; /* looks until the next pass */
	bool was_told; /* that nothing is left */
};

static void go_on(struct resealer *resealer);

static void end(struct resealer *resealer)
{
	bool is_clean = resealer->count == 0 && !resealer->lacks_memory;
	if (resealer->sealed > 0)
		log_line(LOG_INFO, NULL,
		         "fleet: %zu of %zu records that an older key had sealed are sealed with the first one of --fleet-key-file now",
		         resealer->sealed, resealer->count);
	if (is_clean && !resealer->was_told)
		log_line(LOG_INFO, NULL,
		         "fleet: every record in etcd is sealed with the first key of --fleet-key-file: older ones are not needed any more");
	resealer->was_told = is_clean;
	resealer->rest = is_clean ? REST_LOOKS : 0;
	free(resealer->keys);
	resealer->keys = NULL;
	resealer->count = resealer->room = resealer->cursor = resealer->sealed = 0;
}

/* ---- Sealing one ---- */

static char *seal_object(const struct resealer *resealer, const struct fleet_kv *kv)
{
	int error;
	char *text = NULL;
	struct snapshot *snapshot = object_plan_read(resealer->means.ring, kv, &error);
	if (snapshot == NULL)
		return NULL;
	if (object_record_write(&text, resealer->means.ring, snapshot) != OBJECT_RECORD_OK)
		text = NULL;
	snapshot_release(snapshot);
	return text;
}

static char *seal_token(const struct resealer *resealer, const struct fleet_kv *kv)
{
	struct database_token token;
	char text[FLEET_SEALED_TEXT];
	if (token_record_read(&token, resealer->means.ring, kv) != TOKEN_RECORD_OK)
		return NULL;
	int error = token_record_write(text, resealer->means.ring, &token, kv->created);
	database_token_clear(&token);
	return error == TOKEN_RECORD_OK ? strdup(text) : NULL;
}

static void on_one(void *owner, const struct fleet_kv *kv)
{
	struct resealer *resealer = owner;
	resealer->revision = kv->revision;
	free(resealer->value);
	resealer->value = resealer->changed[0] == '\0' ? seal_token(resealer, kv) : seal_object(resealer, kv);
}

static void next(struct resealer *resealer)
{
	free(resealer->value);
	resealer->value = NULL;
	resealer->cursor++;
	go_on(resealer);
}

static void on_written(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct resealer *resealer = owner;
	(void)revision;
	resealer->asked = NULL;
	resealer->sealed += error == ETCD_OK && has_succeeded;
	next(resealer);
}

/* The shard's owner is told, because the revision of the record is its ETag. */
static bool write_one(struct resealer *resealer)
{
	const struct etcd_store_listener listener = { resealer, NULL, on_written };
	struct fleet_txn *txn = malloc(sizeof(*txn));
	if (txn == NULL)
		return false;
	fleet_txn_clear(txn);
	fleet_txn_compare(txn, resealer->keys[resealer->cursor], FLEET_MOD_REVISION, resealer->revision);
	fleet_txn_put_borrowed(txn, resealer->keys[resealer->cursor], resealer->value);
	if (resealer->changed[0] != '\0') {
		fleet_txn_compare(txn, resealer->changed, FLEET_MOD_REVISION, resealer->counted_at);
		fleet_txn_put(txn, resealer->changed, resealer->counted, 0);
	}
	resealer->asked = etcd_store_write(resealer->means.store, txn, &listener);
	free(txn);
	return resealer->asked != NULL;
}

static void on_one_read(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct resealer *resealer = owner;
	(void)has_succeeded;
	(void)revision;
	resealer->asked = NULL;
	bool has_count = resealer->changed[0] == '\0' || resealer->counted_at != 0;
	if (error != ETCD_OK || resealer->value == NULL || !has_count || !write_one(resealer))
		next(resealer);
}

static bool read_one(struct resealer *resealer)
{
	const struct etcd_store_listener listener = { resealer, on_one, on_one_read };
	resealer->asked = etcd_store_read(resealer->means.store, resealer->keys[resealer->cursor], &listener);
	return resealer->asked != NULL;
}

static void on_count(void *owner, const struct fleet_kv *kv)
{
	struct resealer *resealer = owner;
	if (kv->length >= sizeof(resealer->counted))
		return;
	memcpy(resealer->counted, kv->value, kv->length);
	resealer->counted[kv->length] = '\0';
	resealer->counted_at = kv->revision;
}

static void on_counted(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct resealer *resealer = owner;
	(void)has_succeeded;
	(void)revision;
	resealer->asked = NULL;
	if (error != ETCD_OK || !read_one(resealer))
		next(resealer);
}

static bool read_count(struct resealer *resealer, struct fleet_key *key)
{
	const struct etcd_store_listener listener = { resealer, on_count, on_counted };
	key->kind = FLEET_KEY_CHANGED;
	fleet_key_write(key, resealer->changed);
	resealer->counted_at = 0;
	resealer->asked = etcd_store_read(resealer->means.store, resealer->changed, &listener);
	return resealer->asked != NULL;
}

/* The record at the cursor; the pass is over when there is none, and when memory is out. */
static void go_on(struct resealer *resealer)
{
	struct fleet_key key;
	if (resealer->cursor == resealer->count) {
		end(resealer);
		return;
	}
	fleet_key_read(&key, resealer->keys[resealer->cursor]);
	resealer->changed[0] = '\0';
	if (!(key.kind == FLEET_KEY_TOKEN ? read_one(resealer) : read_count(resealer, &key)))
		end(resealer);
}

/* ---- Reading all ---- */

static bool is_old(const struct resealer *resealer, const struct fleet_kv *kv)
{
	struct fleet_key key;
	const struct fleet_keyring *ring = resealer->means.ring;
	fleet_key_read(&key, kv->key);
	if (key.kind == FLEET_KEY_OBJECT)
		return !fleet_seal_record_is_current(ring, kv->value, kv->length);
	bool is_token = key.kind == FLEET_KEY_TOKEN && strcmp(kv->value, TOKEN_RECORD_RESERVED) != 0;
	return is_token && !fleet_seal_is_current(ring, kv->value);
}

static void on_record(void *owner, const struct fleet_kv *kv)
{
	struct resealer *resealer = owner;
	if (!is_old(resealer, kv))
		return;
	if (resealer->count == resealer->room) {
		size_t room = resealer->room == 0 ? 64 : 2 * resealer->room;
		void *more = reallocarray(resealer->keys, room, sizeof(*resealer->keys));
		resealer->lacks_memory |= more == NULL;
		if (more == NULL)
			return;
		resealer->keys = more;
		resealer->room = room;
	}
	snprintf(resealer->keys[resealer->count++], sizeof(*resealer->keys), "%s", kv->key);
}

static bool read_all(struct resealer *resealer);

static void on_read(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct resealer *resealer = owner;
	(void)has_succeeded;
	(void)revision;
	resealer->asked = NULL;
	resealer->lacks_memory |= error != ETCD_OK;
	if (resealer->is_reading_tokens) {
		go_on(resealer);
		return;
	}
	resealer->is_reading_tokens = true;
	if (!read_all(resealer))
		end(resealer);
}

static bool read_all(struct resealer *resealer)
{
	const struct etcd_store_listener listener = { resealer, on_record, on_read };
	resealer->asked = etcd_store_read(resealer->means.store, resealer->is_reading_tokens ? "k/" : "t/", &listener);
	resealer->lacks_memory |= resealer->asked == NULL;
	return resealer->asked != NULL;
}

/* ---- Passes ---- */

void resealer_look(struct resealer *resealer)
{
	bool places = fleet_node_view(resealer->means.node)->leader == FLEET_ME;
	if (resealer->means.ring->count < 2 || !places || resealer->asked != NULL)
		return;
	if (resealer->rest > 0) {
		resealer->rest--;
		return;
	}
	resealer->is_reading_tokens = resealer->lacks_memory = false;
	read_all(resealer);
}

static void on_timer(uv_timer_t *timer)
{
	resealer_look(timer->data);
}

struct resealer *resealer_create(const struct resealer_means *means)
{
	struct resealer *resealer = calloc(1, sizeof(*resealer));
	if (resealer == NULL)
		return NULL;
	resealer->means = *means;
	uv_timer_init(means->loop, &resealer->timer);
	resealer->timer.data = resealer;
	uv_timer_start(&resealer->timer, on_timer, LOOK_MS, LOOK_MS);
	return resealer;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void resealer_free(struct resealer *resealer)
{
	if (resealer == NULL)
		return;
	if (resealer->asked != NULL)
		etcd_store_cancel(resealer->asked);
	free(resealer->keys);
	free(resealer->value);
	uv_close((uv_handle_t *)&resealer->timer, on_closed);
}
