#include "service/worker/gatherer.h"

#include <stdlib.h>

#include "ipc/log.h"

#define AGAIN_TICKS 50 /* 5 s */

struct gatherer {
	struct registry *registry;
	struct mover *mover;
	uint64_t seen;    /* registry_chain_version */
	size_t under_way; /* moves */
	bool has_failed;  /* one of them */
	unsigned ticks;
};

struct gatherer *gatherer_create(struct registry *registry, struct mover *mover)
{
	struct gatherer *gatherer = calloc(1, sizeof(*gatherer));
	if (gatherer != NULL)
		*gatherer = (struct gatherer){ .registry = registry, .mover = mover };
	return gatherer;
}

void gatherer_free(struct gatherer *gatherer)
{
	free(gatherer);
}

/* Where it belongs, if it is elsewhere; else NULL. */
static struct worker *wanted_worker(const struct gatherer *gatherer, const struct entry *entry)
{
	if (entry->snapshot->failure != NULL || entry->worker == NULL)
		return NULL;
	const struct entry *outer = registry_outer(gatherer->registry, &entry->snapshot->spec);
	return outer == NULL || outer->worker == entry->worker ? NULL : outer->worker;
}

static void on_moved(void *owner, enum mover_result result, const char *failure)
{
	struct gatherer *gatherer = owner;
	gatherer->under_way--;
	gatherer->has_failed |= result != MOVER_DONE;
	if (result != MOVER_DONE)
		log_line(LOG_WARN, NULL, "a tunnel is not on the worker of its outer tunnel yet: %s", failure);
}

static bool is_due(struct gatherer *gatherer)
{
	bool is_again = gatherer->has_failed && ++gatherer->ticks % AGAIN_TICKS == 0;
	return gatherer->under_way == 0 && (is_again || registry_chain_version(gatherer->registry) != gatherer->seen);
}

void gatherer_tick(struct gatherer *gatherer)
{
	if (!is_due(gatherer))
		return;
	gatherer->seen = registry_chain_version(gatherer->registry);
	gatherer->has_failed = false;
	for (size_t i = 0; i < registry_count(gatherer->registry); i++) {
		struct entry *entry = registry_at(gatherer->registry, i);
		struct worker *to = wanted_worker(gatherer, entry);
		if (to == NULL)
			continue;
		gatherer->under_way++;
		if (!mover_start(gatherer->mover, entry, to, false, on_moved, gatherer))
			on_moved(gatherer, MOVER_FAILED, "out of memory");
	}
}
