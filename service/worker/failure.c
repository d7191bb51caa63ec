#include "service/worker/failure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/registry/snapshot_make.h"
#include "service/worker/runtime.h"

static void publish_state(struct events *events, const struct entry *entry, enum tunnel_state state, const char *reason)
{
	char *quoted = events_quote(reason, strlen(reason)), *members = NULL;
	if (asprintf(&members, "\"state\":\"%s\",\"reason\":%s", tunnel_state_name(state), quoted == NULL ? "\"\"" : quoted) < 0)
		members = NULL;
	events_publish(events, object_key_kind(entry->key) == SPEC_POOL ? EVENT_POOL_STATE : EVENT_TUNNEL_STATE, entry->id, members);
	free(quoted);
	free(members);
}

bool failure_set(struct registry *registry, struct events *events, struct entry *entry, const struct lock_claim *turn, const char *reason)
{
	registry_assert_turn(registry, entry, turn);
	if (entry->snapshot->failure != NULL && strcmp(entry->snapshot->failure, reason) == 0)
		return true;
	struct snapshot *failed = snapshot_copy(entry->snapshot);
	log_line(LOG_ERROR, entry->id, "the %s failed: %s", spec_kind_name(object_key_kind(entry->key)), reason);
	char *failure = failed == NULL ? NULL : strdup(reason);
	if (failure == NULL) {
		snapshot_release(failed);
		return false;
	}
	free(failed->failure);
	failed->failure = failure;
	if (entry->worker != NULL && worker_is_ready(entry->worker))
		runtime_send(entry->worker, MESSAGE_REMOVE, 0, slot_index(entry->slot), entry->snapshot->generation);
	/* The sockets would have nobody to answer on them. */
	socket_list_clear(&entry->sockets);
	snapshot_drop_sockets(failed);
	snapshot_release(registry_swap(registry, entry, turn, failed));
	publish_state(events, entry, TUNNEL_FAILED, reason);
	return true;
}
