#include "service/worker/want.h"

#include <stdlib.h>

struct want *want_create(struct worker *worker, const struct entry *entry, enum message_type type, const struct message_want *message)
{
	struct want *want = calloc(1, sizeof(*want));
	if (want == NULL)
		return NULL;
	*want = (struct want){ .worker = worker, .incarnation = worker_incarnation(worker), .type = type, .message = *message };
	tunnel_identity_take(&want->tunnel, entry->snapshot);
	return want;
}

void want_free(struct want *want)
{
	tunnel_identity_release(&want->tunnel);
	free(want);
}

struct entry *want_entry(const struct want *want, struct registry *registry)
{
	struct entry *entry = tunnel_identity_find(&want->tunnel, registry);
	bool is_same = entry != NULL && entry->worker == want->worker && slot_index(entry->slot) == want->message.slot &&
	               entry->snapshot->generation == want->message.generation;
	return is_same ? entry : NULL;
}
