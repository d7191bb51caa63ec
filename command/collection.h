/* The kinds of things that the API keeps by id, and how commands name them. */
#ifndef WARREN_COMMAND_COLLECTION_H
#define WARREN_COMMAND_COLLECTION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct arguments;
struct invocation;

struct collection {
	const char *path;   /* "/v1/tunnels" */
	const char *member; /* "tunnels": the list in an answer */
	const char *noun;   /* "tunnel" */
};
extern const struct collection collection_tunnels, collection_pools, collection_connections;

/* All of them, page by page: the document of one page whose list has everybody (new reference). `query` is what follows `page_size=`: empty, or
 * "&label=…". NULL after a failure was told. Prints the document with --json if `is_result`. */
json_t *collection_list(struct invocation *invocation, const struct collection *collection, const char *query, bool is_result);

/* The ids that words name: an id as it is, a pattern as those that match now. NULL after a failure was told, which a pattern that matches nothing
 * is. Free it with collection_ids_free. */
char **collection_ids(struct invocation *invocation, const struct collection *collection, const char **words, size_t count);
void collection_ids_free(char **ids);

/* "/v1/tunnels/ID" with `rest` after it. Free it. */
char *collection_path(const struct collection *collection, const char *id, const char *rest);
/* Deletes one, and prints its id with what was `done`. */
void collection_delete(struct invocation *invocation, const struct collection *collection, const char *id, const char *done);
/* "&NAME=VALUE" for each value of the option. Free it. */
char *collection_query(const struct arguments *arguments, const char *name);

#endif
