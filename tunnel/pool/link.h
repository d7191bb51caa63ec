/* A link to another worker (SOCK_SEQPACKET), over which clients of pools travel, each with its socket and the bytes that it has sent since its first,
 * or since the beginning of its request: from the pool's home to the worker that has the member, and back. Nothing that arrives is trusted.
 *
 *     HANDOVER  a client for a member. `place` and `serial` name it at its home
 *     RETURN    the client comes back: the member failed it, or its next request wants a choice
 *     ENDED     clients that have ended
 *
 * Bounded: clients at the other worker, clients from there, messages that wait to be sent, messages read in a turn, and the time that a message
 * waits. */
#ifndef WARREN_TUNNEL_POOL_LINK_H
#define WARREN_TUNNEL_POOL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "tunnel/http/http_error.h"
#include "tunnel/io/block_pool.h"
#include "tunnel/io/loop.h"

#define LINK_PLACES 16384 /* clients of one side at the other */

struct context;
struct link;
struct pools;
struct pool_visit;

/* A client that has arrived. The receiver takes the poller, the bytes and the visit. */
struct link_arrival {
	struct pool_visit *visit;
	struct poller *client; /* a connected stream socket, watched for nothing */
	struct block *bytes;   /* NULL: none */
	uint16_t listen_index; /* of the pool's listener */
	enum http_error error; /* RETURN: why the member failed; NONE: the client's next request is here */
	bool is_bounced;       /* RETURN: the other worker could not take it */
};
typedef void link_arrived(struct context *context, struct link_arrival *arrival);

/* Takes the descriptor. NULL when out of memory. */
struct link *link_create(struct pools *pools, uint32_t worker, uint32_t incarnation, int descriptor);
/* Clients at the other worker are given up; those from there go on without a home. */
void link_free(struct link *link);
uint32_t link_worker(const struct link *link);
uint32_t link_incarnation(const struct link *link); /* of that worker */

/* Hands a client over for the visit's member. Takes poller and bytes on success; false when too much waits or is there already. */
bool link_hand_over(struct link *link, struct pool_visit *visit, struct poller *client, struct block *bytes, uint16_t listen_index);
/* Gives a client back to its home. Takes poller, bytes and the visit on success. `error` is why the member failed, NONE: the next request. */
bool link_give_back(struct pool_visit *visit, struct poller *client, struct block *bytes, enum http_error error);
/* A client from there has ended, with these results. */
void link_tell_ended(struct pool_visit *visit);
/* The visit is no longer of the link. */
void link_forget(struct pool_visit *visit);

#endif
