/* The common part of all connections of a tunnel: they are counted, and end with the tunnel. Embedded as the first member.
 *
 * A proxy client waits before it counts in limits.connections: until it has given a correct password or, without users, a complete request
 * head. At most 1,024 clients of a tunnel may wait, and 512 of a source. When a source is at its limit, one of its own clients is dropped; when
 * the tunnel is, a client of the source with the most. The one that has waited longest goes first; one whose complete request is only held
 * back goes last. So silent clients lock nobody out (P7). */
#ifndef WARREN_TUNNEL_CONNECTION_H
#define WARREN_TUNNEL_CONNECTION_H

#include "ipc/query.h"
#include "tunnel/tunnel.h"

/* A client that has half-closed may still want its answer, or may be gone. It is closed after this time without data. */
#define CONNECTION_LEFT_TIME (10 * LOOP_SECOND)

struct target;

struct connection {
	struct tunnel *tunnel;
	const struct spec *proxy; /* what its client uses: the tunnel's, or a pool's */
	struct connection *next, **before;
	enum counters_protocol protocol;
	void (*end)(struct connection *connection);  /* frees it, because the tunnel or its listener ends */
	void (*down)(struct connection *connection); /* NULL, or: its tunnel is known to be down; nothing is freed from within */
	bool waits;
	bool is_held;                        /* set by its owner: it waits only for the login back-off */
	struct connection *longer, *shorter; /* neighbours in order of waiting */
	uint64_t source;                     /* of a client, from address_source */
	/* What can be asked about it. `add` sets the first three, the rest as it becomes known. */
	uint64_t number;                          /* unique in the worker */
	struct connection *below, **above;        /* connection_table.h */
	uint64_t opened_at;                       /* UNIX time in ms */
	struct netstack_endpoint client, address; /* family 0: none, or not known yet. `address` is the far end behind the tunnel */
	char *user, *target;                      /* owned; NULL: none, or no memory */
	bool is_association;                      /* SOCKS5 UDP ASSOCIATE */
	uint64_t bytes_sent, bytes_received;      /* payload into and out of the tunnel */
	enum query_result result;                 /* as far as it has come */
	enum counters_failure failure;
	/* Through a pool. */
	uint64_t pool;                 /* its number; 0: none */
	struct counters_tunnel *front; /* of the pool, which counts the results, too; NULL: its home is another worker */
	const char *session;           /* borrowed; NULL: none */
	uint32_t succeeded, failed;    /* results counted so far */
	bool travels;                  /* to another worker: it has not ended */
};

void connection_add(struct connection *connection, struct tunnel *tunnel, enum counters_protocol protocol,
                    void (*end)(struct connection *connection));
/* The same for one that waits; may end another that waits. */
void connection_add_waiting(struct connection *connection, struct tunnel *tunnel, uint64_t source, void (*end)(struct connection *connection));
/* Counts it from now on; does nothing if it is already counted. */
void connection_admit(struct connection *connection);
void connection_remove(struct connection *connection);
/* A counted one belongs to another tunnel from now on. */
void connection_move(struct connection *connection, struct tunnel *to);
/* The protocol is known only after the first byte. */
void connection_set_protocol(struct connection *connection, enum counters_protocol protocol);
/* What it speaks, for query.h. */
unsigned connection_spoken(const struct connection *connection);
/* Facts for those who ask; copied. Out of memory they stay unknown. */
void connection_set_user(struct connection *connection, const char *user, size_t length);
void connection_set_target(struct connection *connection, const struct target *target);
void connection_set_place(struct connection *connection, const struct spec_place *place); /* the same, of a forward */
/* Ends it: calls `end` after noting why. */
void connection_end(struct connection *connection, enum query_result why);
/* Called by the tunnel's health: the tunnel is known to be down. */
void connection_tell_down(struct tunnel *tunnel);
void connection_count_ok(struct connection *connection);
void connection_count_failed(struct connection *connection, enum counters_failure failure);
/* Payload through it, which is counted for its tunnel, too. */
void connection_count_sent(struct connection *connection, size_t bytes);
void connection_count_received(struct connection *connection, size_t bytes);
/* The client took bytes of a stream: counts them, and lets the far end send as many again. The stream may be NULL. */
void connection_count_taken(struct connection *connection, struct netstack_stream *stream, size_t bytes);
/* Whether the counted connections, this one included, have reached limits.connections. */
bool connection_is_over_limit(const struct connection *connection);

#endif
