/* Chooses the member of a pool for a connection. Pure: no clock, no I/O, and chooser_choose allocates nothing.
 *
 * A member is eligible when it is up and not unhealthy, belongs to the group (the pool's own members, or those of a rule), satisfies what the user
 * name asks for, and was not tried yet. Among the eligible ones the strategy decides:
 *
 * - round_robin: smooth weighted round robin. It is exact: in as many choices as the weights add up to, each member is chosen as often as it weighs.
 * - random: with the probability of its weight.
 * - least_connections: the fewest connections for its weight; equal ones in turn.
 * - lowest_latency: the lowest round trip, unknown ones last. The last choice stays until another is more than 10 % faster. Weights do not count.
 * - failover: the first in order. Weights do not count.
 *
 * Each combination of a group and labels has turns of its own; the 32 used last are remembered. */
#ifndef WARREN_TUNNEL_POOL_CHOOSER_H
#define WARREN_TUNNEL_POOL_CHOOSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/pool_message.h"
#include "tunnel/pool/user_name.h"

#define CHOOSER_POOL 0 /* the group of the pool's own members; the group of rules[i] is 1 + i */
#define CHOOSER_HASH_KEY 16

struct chooser;

struct chooser_query {
	size_t group;
	const struct user_name *user; /* NULL: asks for nothing */
	const uint32_t *tried;        /* numbers of members */
	size_t tried_count;
};

/* The hash key and the seed are random. NULL when out of memory. It has no members and no groups at first. */
struct chooser *chooser_create(const uint8_t hash_key[CHOOSER_HASH_KEY], uint64_t seed);
void chooser_free(struct chooser *chooser); /* NULL is allowed */
/* Takes over the strategy, members and rules of the spec, at first and when it has changed. False when out of memory: then nothing has changed. */
bool chooser_configure(struct chooser *chooser, const struct spec_pool *pool) __attribute__((warn_unused_result));

/* A whole list: begin, put each, end; then those that were not put are gone. Between, the members are those of before and those put. */
void chooser_list_begin(struct chooser *chooser);
void chooser_list_end(struct chooser *chooser);
/* Adds a member, or changes the one with its number. Takes the labels (member->labels becomes NULL). False when out of memory: then nothing has
 * changed. A number is never 0. */
bool chooser_put(struct chooser *chooser, struct pool_member *member) __attribute__((warn_unused_result));

/* The member for a new connection; NULL: none is eligible. Borrowed until the next put or list_end. */
const struct pool_member *chooser_choose(struct chooser *chooser, const struct chooser_query *query);
/* Whether chooser_choose could return the member with this number. */
bool chooser_is_eligible(const struct chooser *chooser, uint32_t number, const struct chooser_query *query);
/* Whether it is not, only because the member is starting and not known to be down. */
bool chooser_is_starting(const struct chooser *chooser, uint32_t number, const struct chooser_query *query);
/* The same whatever its state is, and whether or not it was tried. */
bool chooser_allows(const struct chooser *chooser, uint32_t number, const struct chooser_query *query);
/* Whether the member with this number is up and not unhealthy, whatever else. */
bool chooser_is_ready(const struct chooser *chooser, uint32_t number);

/* Connections of a member, which the caller counts; numbers of members that are gone are ignored. */
void chooser_opened(struct chooser *chooser, uint32_t number);
void chooser_closed(struct chooser *chooser, uint32_t number);
uint32_t chooser_open(const struct chooser *chooser, uint32_t number);

/* NULL: no such member. Borrowed as above. */
const struct pool_member *chooser_find(const struct chooser *chooser, uint32_t number);
const struct pool_member *chooser_find_id(const struct chooser *chooser, const char *id);
/* The members, in no order: pass NULL at first, then the last one. NULL: no more. */
const struct pool_member *chooser_next(const struct chooser *chooser, const struct pool_member *last);
/* The keys of all members' labels, for user_name_read. Valid until the next put or list_end. */
const struct label_keys *chooser_label_keys(const struct chooser *chooser);

#endif
