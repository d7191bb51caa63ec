/* A TCP/IP stack per tunnel, built on lwIP: streams, datagram flows, ping and names.
 * Nobody outside netstack/ includes an lwIP header. A stack does no I/O and reads no clock: packets come in by netstack_input,
 * leave through the env's output, and the caller asks for the next deadline. `now` is in nanoseconds of a monotonic clock.
 * All stacks of a process belong to one thread.
 *
 * The order of a batch: netstack_input for each packet (its bytes are borrowed), then netstack_settle once. Bytes passed to `received`
 * stay valid until netstack_settle returns, so that they can be written out before it without a copy. netstack_tick, netstack_writable and
 * netstack_kick settle the stack, too. */
#ifndef WARREN_NETSTACK_NETSTACK_H
#define WARREN_NETSTACK_NETSTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "netstack/packet/netstack_types.h"

#define NETSTACK_ADDRESS_MAX 4 /* one IPv4 and three IPv6 addresses */

struct netstack;
struct netstack_stream;
struct netstack_listener;
struct netstack_flow;

enum netstack_error {
	NETSTACK_OK = 0,
	NETSTACK_OUT_OF_MEMORY = -1,
	NETSTACK_IN_USE = -2,     /* the local address and port are taken */
	NETSTACK_NO_ADDRESS = -3, /* no inner address of the target's family */
	NETSTACK_REFUSED = -4,    /* RST in reply to a SYN */
	NETSTACK_RESET = -5,      /* RST on an open connection */
	NETSTACK_TIMED_OUT = -6,
	NETSTACK_UNREACHABLE = -7, /* an ICMP error said so */
	NETSTACK_TOO_BIG = -8,     /* a datagram over the limit */
	NETSTACK_BUSY = -9,        /* no room now */
	NETSTACK_ABORTED = -10,    /* by us: the stack is freed */
};

struct netstack_config {
	struct netstack_endpoint addresses[NETSTACK_ADDRESS_MAX]; /* ports unused */
	size_t address_count;
	uint16_t mtu; /* 576 to 9000; IPv6 needs 1280 */
};

struct netstack_env {
	void *owner;
	/* One IP packet for the tunnel, gathered from `parts`; consumed before it returns. false: no room, the packet was not taken, and
	 * netstack_writable will be called. Never calls back into the stack. */
	bool (*output)(void *owner, const struct iovec *parts, size_t count, size_t length);
	/* Whether a packet can be sent there at all; a name server is not asked otherwise. NULL: to every address. */
	bool (*reaches)(void *owner, const struct netstack_endpoint *address);
};

/* Settings of the process: the seed for sequence numbers, ports and ids; the budget in bytes for all receive and send buffers; the callback that
 * gets the text of a failed lwIP assertion before the process ends (may be NULL; it may neither allocate nor take a lock). */
struct netstack_limits {
	uint8_t seed[32];
	size_t memory_budget;
	void (*failed)(const char *text);
};
/* Before the first stack. NETSTACK_OK or NETSTACK_OUT_OF_MEMORY. */
int netstack_start(const struct netstack_limits *limits);
void netstack_stop(void);
size_t netstack_memory_used(void);
size_t netstack_state_size(void); /* bytes of lwIP state that a stack copies: a build check and a figure */

int netstack_create(struct netstack **stack, const struct netstack_config *config, const struct netstack_env *env, uint64_t now)
    __attribute__((warn_unused_result));
/* Closes every stream (its `closed` gets NETSTACK_ABORTED, nothing is sent), then frees the stack. NULL is allowed. */
void netstack_free(struct netstack *stack);
void netstack_input(struct netstack *stack, uint8_t *bytes, size_t length, uint64_t now);
void netstack_settle(struct netstack *stack, uint64_t now);
void netstack_writable(struct netstack *stack, uint64_t now);
/* The peer is heard again after silence: connections that wait for a timer retransmit at once. */
void netstack_kick(struct netstack *stack, uint64_t now);
uint64_t netstack_deadline(const struct netstack *stack);
void netstack_tick(struct netstack *stack, uint64_t now);
size_t netstack_stream_count(const struct netstack *stack);
/* The largest packet size that the outer path was seen to carry in the last ten minutes, while it silently drops those of
 * netstack_path_refused. 0: no such limit is known. */
uint16_t netstack_path_limit(const struct netstack *stack, uint64_t now);
/* While there is a limit: the smallest packet size that did not pass. */
uint16_t netstack_path_refused(const struct netstack *stack);
uint16_t netstack_mtu(const struct netstack *stack);
/* For what is sent from now on. Open connections send smaller segments if they must, but not larger ones. */
void netstack_set_mtu(struct netstack *stack, uint16_t mtu);
bool netstack_has_family(const struct netstack *stack, uint8_t family);

/* TCP. Callbacks may call any function of their own stream, and netstack_stream_connect; after `closed` the handle is invalid.
 * All members are required; only a stream that is already connected needs no `connected`. */
struct netstack_stream_events {
	void (*connected)(void *owner);
	/* In-order bytes, valid until netstack_settle returns; the owner copies what it needs longer. They count against the receive window
	 * until netstack_stream_consumed. Parts are never empty. */
	void (*received)(void *owner, const struct iovec *parts, size_t count, size_t length);
	void (*finished)(void *owner);                        /* the far end has sent its FIN */
	void (*acknowledged)(void *owner, size_t bytes);      /* the oldest `bytes` written bytes are no longer needed */
	void (*closed)(void *owner, enum netstack_error why); /* NETSTACK_OK: both directions finished */
};
/* netstack_stream_connect and netstack_stream_set_owner assert this, so that an incomplete table fails at its first use. */
static inline bool netstack_stream_events_are_whole(const struct netstack_stream_events *events, bool is_connected)
{
	return (is_connected || events->connected != NULL) && events->received != NULL && events->finished != NULL && events->acknowledged != NULL &&
	       events->closed != NULL;
}
int netstack_stream_connect(struct netstack *stack, const struct netstack_endpoint *to, const struct netstack_stream_events *events, void *owner,
                            uint64_t now, struct netstack_stream **stream) __attribute__((warn_unused_result));
/* Borrows as much of `bytes` as there is room for: they must stay unchanged until `acknowledged` has counted them, or `closed`.
 * Returns the number of bytes taken, 0 when there is no room (`acknowledged` makes room). They are sent by the next netstack_settle. */
size_t netstack_stream_write(struct netstack_stream *stream, const void *bytes, size_t length, uint64_t now);
size_t netstack_stream_room(const struct netstack_stream *stream);
void netstack_stream_finish(struct netstack_stream *stream, uint64_t now);                 /* FIN after the written bytes */
void netstack_stream_consumed(struct netstack_stream *stream, size_t bytes, uint64_t now); /* opens the receive window */
/* Sends RST and frees the stream. `closed` is not called; borrowed bytes are released before this returns. */
void netstack_stream_abort(struct netstack_stream *stream, uint64_t now);
/* The owner gives the stream up: written bytes are still delivered, then the connection closes by itself. Bytes that are not yet acknowledged
 * are copied, so that nothing stays borrowed. No callback follows. */
void netstack_stream_release(struct netstack_stream *stream, uint64_t now);
/* When the far end last sent a segment, acknowledgements included; 0: not since the connection was established. */
uint64_t netstack_stream_heard_at(const struct netstack_stream *stream);
/* Sends a keepalive: an empty segment that the far end must answer (RFC 9293, 3.8.4). The answer only updates heard_at. */
void netstack_stream_probe(struct netstack_stream *stream);
void netstack_stream_local(const struct netstack_stream *stream, struct netstack_endpoint *local);
void netstack_stream_remote(const struct netstack_stream *stream, struct netstack_endpoint *remote);
/* For a connected stream. NULL as `events`: no callbacks. */
void netstack_stream_set_owner(struct netstack_stream *stream, const struct netstack_stream_events *events, void *owner);

/* Listens on a port of an inner address. `accept` gets a connected stream and either takes it with netstack_stream_set_owner or aborts it. */
int netstack_listen(struct netstack *stack, const struct netstack_endpoint *at, void (*accept)(void *owner, struct netstack_stream *stream),
                    void *owner, struct netstack_listener **listener) __attribute__((warn_unused_result));
void netstack_listener_set_owner(struct netstack_listener *listener, void *owner);
void netstack_listener_free(struct netstack_listener *listener);

/* UDP. `bytes` are the callee's to change, and valid as those of a stream's `received`. `at` with port 0 takes a random port; `at` NULL any address
 * of the stack. */
int netstack_flow_open(struct netstack *stack, const struct netstack_endpoint *at,
                       void (*received)(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length), void *owner,
                       struct netstack_flow **flow) __attribute__((warn_unused_result));
/* `unreachable`, if set, is called for an ICMP error about a datagram that the flow sent. */
void netstack_flow_on_unreachable(struct netstack_flow *flow, void (*unreachable)(void *owner, const struct netstack_endpoint *to));
int netstack_flow_send(struct netstack_flow *flow, const struct netstack_endpoint *to, const void *bytes, size_t length, uint64_t now)
    __attribute__((warn_unused_result));
void netstack_flow_close(struct netstack_flow *flow);

/* ICMP echo. One request per call; `answered` gets the round trip in ns, or NETSTACK_NEVER if no reply arrived within `timeout` ns. */
int netstack_ping(struct netstack *stack, const struct netstack_endpoint *to, uint64_t timeout, void (*answered)(void *owner, uint64_t round_trip),
                  void *owner, uint64_t now) __attribute__((warn_unused_result));

/* Names. Only `servers` are asked, and only through the stack. Answers, negative ones too, are cached for their TTL. */
struct netstack_resolver;
struct netstack_query;

enum netstack_name_error {
	NETSTACK_NAME_OK = 0,
	NETSTACK_NAME_NOT_FOUND = -1, /* NXDOMAIN, or no address of a family that the stack supports */
	NETSTACK_NAME_FAILED = -2,    /* SERVFAIL, REFUSED, a malformed answer */
	NETSTACK_NAME_TIMED_OUT = -3,
	NETSTACK_NAME_NO_SERVER = -4, /* that a packet can be sent to */
	NETSTACK_NAME_BAD = -5,       /* not a name */
	NETSTACK_NAME_CUT_SHORT = -6, /* the answer does not fit a datagram, and the server gave none over TCP */
};

int netstack_resolver_create(struct netstack_resolver **resolver, struct netstack *stack, const struct netstack_endpoint *servers, size_t count)
    __attribute__((warn_unused_result));
void netstack_resolver_free(struct netstack_resolver *resolver); /* pending queries end without a call */
/* Servers are replaced in two steps: a copy, which can fail, and a swap, which cannot. After the swap `servers` holds the old ones, for free().
 * Port 0 means 53. */
struct netstack_servers {
	struct netstack_endpoint *list; /* malloc'ed; NULL when there is none */
	size_t count;
};
int netstack_servers_copy(struct netstack_servers *copy, const struct netstack_endpoint *servers, size_t count) __attribute__((warn_unused_result));
void netstack_resolver_swap_servers(struct netstack_resolver *resolver, struct netstack_servers *servers);
/* A connection succeeded with this family after the other had been tried: for ten minutes its addresses come first (the history of RFC 8305,
 * 2). By default IPv6 comes first. */
void netstack_resolver_prefer(struct netstack_resolver *resolver, uint8_t family, uint64_t now);
/* `answered` is called once, possibly before this returns (*query is then NULL), with the addresses in the order in which to try them (a
 * simplified RFC 6724: families alternate, the preferred one first). If `more` is true, it is called again with the other family. */
void netstack_resolve(struct netstack_resolver *resolver, const char *name,
                      void (*answered)(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count,
                                       bool more),
                      void *owner, uint64_t now, struct netstack_query **query);
/* The same, but the servers are asked whatever the cache knows. */
void netstack_resolve_anew(struct netstack_resolver *resolver, const char *name,
                           void (*answered)(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count,
                                            bool more),
                           void *owner, uint64_t now, struct netstack_query **query);
void netstack_query_cancel(struct netstack_query *query);

#endif
