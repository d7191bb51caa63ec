/* What `warren apply` is going to do, known before anything is done. Pure: compares documents and prints. */
#ifndef WARREN_COMMAND_PLAN_H
#define WARREN_COMMAND_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum plan_kind { PLAN_DELETE, PLAN_CHANGE, PLAN_CREATE, PLAN_UNCHANGED, PLAN_KINDS };

struct plan_item {
	enum plan_kind kind;
	char *id;
	const char *noun;    /* "tunnel" */
	char *etag;          /* of what is there; empty for PLAN_CREATE */
	bool restarts;       /* the change cuts connections */
	json_t *differences; /* as plan_differences gives them; NULL if nothing differs */
	size_t source;       /* which document it comes from; of no meaning for PLAN_DELETE */
};

struct plan {
	struct plan_item *items;
	size_t count;
};

/* Takes `before` (NULL: the object is new) and what a dry run says it would become; copies what it needs. `restarts` is of its `applied`. */
void plan_add(struct plan *plan, const char *noun, size_t source, const json_t *before, const json_t *after);
/* For each object of `present` that no item has, an item that deletes it. What comes from a file of the daemon's own is left alone. */
void plan_prune(struct plan *plan, const char *noun, const json_t *present);
size_t plan_count(const struct plan *plan, enum plan_kind kind);
void plan_clear(struct plan *plan);

/* The members of labels and spec that differ: a list of [path, before, after], where null stands for an absent one. */
json_t *plan_differences(const json_t *before, const json_t *after);

void plan_write(const struct plan *plan, FILE *to, bool has_colour);
/* {"created": […ids], "changed": [{"id", "members"}], "unchanged": […], "deleted": […]} */
json_t *plan_json(const struct plan *plan);

#endif
