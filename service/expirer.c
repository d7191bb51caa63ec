#include "service/expirer.h"

#include <stdio.h>
#include <stdlib.h>

#include "ipc/log.h"
#include "service/registry/registry.h"
#include "service/store/scope.h"

#define UNDER_WAY_MOST 64

struct expirer {
	struct registry *registry;
	struct mutations *mutations;
	struct events *events;
	unsigned under_way;
};

struct expirer *expirer_create(struct registry *registry, struct mutations *mutations, struct events *events)
{
	struct expirer *expirer = calloc(1, sizeof(*expirer));
	if (expirer != NULL)
		*expirer = (struct expirer){ .registry = registry, .mutations = mutations, .events = events };
	return expirer;
}

void expirer_free(struct expirer *expirer)
{
	free(expirer);
}

/* What failed, on a full disk for example, is tried again with the next tick. */
static void on_disabled(struct mutation *mutation, void *owner)
{
	struct expirer *expirer = owner;
	const struct operation *operation = &mutation->operations[0];
	expirer->under_way--;
	bool is_done = operation->problem.code == PROBLEM_NONE && mutation->problem.code == PROBLEM_NONE;
	if (is_done && operation->applied != APPLIED_UNCHANGED) {
		log_line(LOG_INFO, operation->id, "the tunnel has expired and is disabled");
		events_publish(expirer->events, EVENT_TUNNEL_EXPIRED, operation->id, "\"reason\":\"expired\"");
	}
	mutation_free(mutation);
}

/* A document that is read after the time is over is one that is disabled. */
static void disable(struct expirer *expirer, const struct entry *entry)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	json_t *patch = mutation == NULL ? NULL : json_object();
	if (patch == NULL) {
		mutation_free(mutation);
		return;
	}
	struct operation *operation = &mutation->operations[0];
	operation->kind = OPERATION_PATCH;
	operation->document = patch;
	operation->origin = entry->snapshot->origin;
	snprintf(operation->id, sizeof(operation->id), "%s", entry->id);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->done = on_disabled;
	mutation->owner = expirer;
	expirer->under_way++;
	mutations_submit(expirer->mutations, mutation);
}

void expirer_tick(struct expirer *expirer, int64_t now_ms)
{
	/* Those of the last tick first, so that none is asked for twice. */
	if (expirer->under_way > 0)
		return;
	for (size_t i = 0; i < registry_count(expirer->registry) && expirer->under_way < UNDER_WAY_MOST; i++) {
		const struct entry *entry = registry_at(expirer->registry, i);
		if (entry->snapshot->spec.enabled && spec_is_expired(&entry->snapshot->spec, now_ms))
			disable(expirer, entry);
	}
	if (expirer->under_way > 0)
		mutations_run(expirer->mutations);
}
