/* Makes and revokes tokens of the fleet. One is answered when etcd has it and this node goes by it. Service's thread. */
#ifndef WARREN_SERVICE_FLEET_TOKEN_WRITER_H
#define WARREN_SERVICE_FLEET_TOKEN_WRITER_H

#include "fleet/etcd/etcd_store.h"
#include "fleet/seal.h"
#include "service/change/mutation.h"
#include "service/fleet/token_keeper.h"

struct token_writer;

/* Borrowed. */
struct token_writer_means {
	uv_loop_t *loop;
	struct etcd_store *store;
	const struct fleet_keyring *ring;
	struct token_table *tokens;
	struct token_keeper *keeper; /* whose `looked` is for token_writer_look */
};

struct token_writer *token_writer_create(const struct token_writer_means *means); /* NULL when out of memory */
/* Before its store and its keeper are freed. NULL is allowed. */
void token_writer_free(struct token_writer *writer);
/* Whether a mutation is about a token of the fleet: any that is made, and those whose id says so. Any thread. */
bool token_writer_takes(const struct mutation *mutation);
/* Takes the mutation until `done`, which is told from the loop or from within. */
void token_writer_begin(struct token_writer *writer, struct mutation *mutation);
/* The keeper has read the tokens again. */
void token_writer_look(struct token_writer *writer);
/* Answers what is under way: a write that etcd has not answered may have been done. */
void token_writer_end(struct token_writer *writer);

#endif
