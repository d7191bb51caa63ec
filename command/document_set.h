/* All documents of files and folders that are applied together. */
#ifndef WARREN_COMMAND_DOCUMENT_SET_H
#define WARREN_COMMAND_DOCUMENT_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "command/document.h"

struct document_set {
	struct document *list;
	char **paths; /* of each, for messages */
	bool *is_pool;
	size_t count;
};

/* Adds a file, or every NAME.conf, NAME.json and NAME.pool.json of a folder in the order of their names. A saved state adds each of its tunnels and
 * pools. False with the failure: a file that cannot be read, has no id, or has the id of another. */
bool document_set_add(struct document_set *set, const char *path, char failure[DOCUMENT_FAILURE_MAX]);
void document_set_clear(struct document_set *set);

#endif
