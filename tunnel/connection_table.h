/* All connections of a worker by number. It allocates nothing, and a walk in pieces meets every connection that is there from its beginning to its
 * end exactly once, because none changes its place. */
#ifndef WARREN_TUNNEL_CONNECTION_TABLE_H
#define WARREN_TUNNEL_CONNECTION_TABLE_H

#include <stdint.h>

#define CONNECTION_TABLE_CHAINS 4096u

struct connection;

/* Embedded by value; starts as all zeros. Numbers count from 1 and are not used twice. A chain has the highest number first. */
struct connection_table {
	struct connection *chains[CONNECTION_TABLE_CHAINS];
	uint64_t last_number;
};

/* Gives the connection its number. */
void connection_table_add(struct connection_table *table, struct connection *connection);
void connection_table_remove(struct connection *connection);
struct connection *connection_table_find(const struct connection_table *table, uint64_t number); /* or NULL */

#endif
