/* The fleet's records as strangers write them into etcd: each line is a key, a space and a value; without a space the key is deleted. What is valid
 * must be written as it was read, and whatever comes, a view of it stays within its bounds. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void demand(bool holds)
{
	if (!holds)
		abort();
}

static void check_key(const struct fleet_kv *kv)
{
	struct fleet_key key;
	struct fleet_class class;
	char text[FLEET_KEY_TEXT], again[FLEET_CLASS_TEXT];
	fleet_key_read(&key, kv->key);
	if (key.kind == FLEET_KEY_OTHER)
		return;
	fleet_key_write(&key, text);
	demand(strcmp(text, kv->key) == 0);
	if (fleet_class_read(&class, key.class) == FLEET_CLASS_OK)
		demand(fleet_class_write(&class, again) && strcmp(again, key.class) == 0);
	fleet_class_clear(&class);
}

static void check_heartbeat(const struct fleet_kv *kv)
{
	struct fleet_heartbeat first, second;
	char text[FLEET_VALUE_TEXT];
	/* Escapes may make it longer than it was. */
	if (fleet_heartbeat_read(&first, kv->value, kv->length) == FLEET_RECORD_OK && fleet_heartbeat_write(&first, text) == FLEET_RECORD_OK) {
		demand(fleet_heartbeat_read(&second, text, strlen(text)) == FLEET_RECORD_OK);
		demand(first.t == second.t && first.applied == second.applied && first.wall == second.wall && first.capacity == second.capacity);
		demand(first.label_count == second.label_count && strcmp(first.address, second.address) == 0 && strcmp(first.boot, second.boot) == 0);
		fleet_heartbeat_clear(&second);
	}
	fleet_heartbeat_clear(&first);
}

static void check_owner(const struct fleet_kv *kv)
{
	struct fleet_owner first, second;
	char text[FLEET_VALUE_TEXT];
	if (fleet_owner_read(&first, kv->value, kv->length) != FLEET_RECORD_OK)
		return;
	demand(fleet_owner_write(&first, text) == FLEET_RECORD_OK);
	demand(fleet_owner_read(&second, text, strlen(text)) == FLEET_RECORD_OK);
	demand(strcmp(first.node, second.node) == 0 && strcmp(first.from, second.from) == 0 && first.ts_floor == second.ts_floor);
}

static void check_view(const struct fleet_view *view)
{
	demand(view->node_count <= FLEET_NODES_MAX && view->leader < (int)view->node_count);
	for (size_t i = 0; i < view->shard_count; i++)
		demand(view->shards[i].owner < (int)view->node_count && view->shards[i].from < (int)view->node_count &&
		       view->shards[i].class < view->class_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct fleet_view view;
	char *text = malloc(length + 1), *next = text;
	demand(text != NULL && fleet_view_init(&view, "me", 1));
	memcpy(text, bytes, length);
	text[length] = '\0';
	for (int64_t revision = 1; next != NULL; revision++) {
		char *key = strsep(&next, "\n"), *value = strchr(key, ' ');
		if (value != NULL)
			*value++ = '\0';
		struct fleet_kv kv = { key, value, value == NULL ? 0 : strlen(value), revision, 0, value == NULL, 0 };
		check_key(&kv);
		if (value != NULL) {
			check_heartbeat(&kv);
			check_owner(&kv);
		}
		demand(fleet_view_apply(&view, &kv, (uint64_t)revision) == FLEET_VIEW_OK);
	}
	check_view(&view);
	fleet_view_clear(&view);
	free(text);
	return 0;
}
