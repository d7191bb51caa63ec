/* A tunnel without a network: the event loop has a fake clock, the test controls the stack's streams and flows, and a client is one end of a
 * socketpair. Bytes lent by the stack are poisoned once it is settled, and borrowed bytes are read only when they are acknowledged, so that a
 * violation of the borrowing rules is seen by AddressSanitizer, or in the bytes. */
#ifndef WARREN_TESTS_TUNNEL_RIG_H
#define WARREN_TESTS_TUNNEL_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/connection.h"
#include "tunnel/tunnel.h"

#define RIG_SENT_MAX 64

struct rig_message {
	enum message_type type;
	uint8_t bytes[4096];
	size_t length;
};

struct netstack_stream {
	struct netstack_stream *next;
	const struct netstack_stream_events *events;
	void *owner;
	struct netstack_endpoint remote;
	size_t room; /* bytes it takes in addition to unacknowledged ones */
	struct iovec borrowed[256];
	size_t borrowed_count;
	char *log; /* bytes that the far end received */
	size_t logged;
	uint64_t shown, consumed;
	uint64_t heard_at;
	unsigned probes;
	bool connected, finished, aborted, released, gone;
};

struct netstack_flow {
	struct netstack_flow *next;
	struct netstack_endpoint at, last_to;
	void (*received)(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length);
	void *owner;
	char last[2048];
	size_t last_length, sent;
	bool closed;
};

struct netstack_listener {
	struct netstack_listener *next;
	struct netstack_endpoint at;
	void (*accept)(void *owner, struct netstack_stream *stream);
	void *owner;
	bool closed;
};

struct netstack_query {
	bool used;
	char name[256];
	void (*answered)(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count, bool more);
	void *owner;
};

struct rig {
	struct context context;
	struct tunnel tunnel;
	struct rig_message sent[RIG_SENT_MAX];
	size_t sent_count;
	struct netstack_stream *streams; /* the latest first */
	struct netstack_flow *flows;
	struct netstack_listener *listeners;
	struct netstack_query queries[16];
	uint8_t preferred_family;
	size_t stream_room;
	bool settles_late; /* bytes of streams are lent while the stack is settled */
	bool down;
	bool has_little_memory;              /* messages may be lost for want of it */
	struct netstack_endpoint unroutable; /* no packet can be sent there */
	uint64_t now;
	unsigned wanted, pings, asked_anew;
	struct netstack_endpoint pinged;
	void (*pong)(void *owner, uint64_t round_trip);
	void *pong_owner;
	uint64_t ping_sent_at;
	int connect_error, flow_error;
	/* The addresses that sockets report (rig_socket.c); with family 0 the real ones. */
	union wireguard_endpoint local, peer, from;
	union wireguard_endpoint sent_to;
};

extern struct rig rig;

/* Zeroed memory of the test's own, which a failing heap (tests/failing_heap.h) gives all the same. To be freed with free. */
void *rig_alloc(size_t size);
int rig_start(void **state);
/* Fails if blocks of the pool, connections or dials are left. */
int rig_stop(void **state);

/* The context alone, for tests whose tunnels are real (rig_context.c). The caller sets its callbacks. */
void rig_context_start(bool gso);
/* The tunnels and other devices are gone. Fails if blocks of the pool or keys are left. */
void rig_context_stop(void);

/* The loop. */
void rig_turn(void); /* runs turns until nothing is left to do at this time */
void rig_pass(uint64_t nanoseconds);

/* The `end` of a connection that the test itself removes. */
void rig_never_end(struct connection *connection);
/* A client: `*client` is the test's end, the poller the tunnel's. */
struct poller *rig_client(int *client);
void rig_write(int descriptor, const char *text); /* and a turn */
void rig_write_bytes(int descriptor, const void *bytes, size_t length);
/* The bytes received at the test's end, up to the end of file; a string, valid until the next call. */
const char *rig_read(int descriptor);
size_t rig_read_length(void);       /* of the last rig_read */
bool rig_is_at_end(int descriptor); /* end of file or reset */
bool rig_is_reset(int descriptor);

/* For a stream whose owner ignores events. */
extern const struct netstack_stream_events rig_deaf;

/* Streams, each followed by a turn. */
struct netstack_stream *rig_stream(void); /* the latest */
size_t rig_stream_count(void);
void rig_connected(struct netstack_stream *stream);
void rig_refuse(struct netstack_stream *stream, enum netstack_error why);
/* Acknowledges everything, and returns the bytes that the far end received since the last call. */
const char *rig_stream_read(struct netstack_stream *stream);
void rig_stream_write(struct netstack_stream *stream, const char *text);
void rig_stream_write_bytes(struct netstack_stream *stream, const char *bytes, size_t length);
void rig_stream_finish(struct netstack_stream *stream);
void rig_stream_close(struct netstack_stream *stream, enum netstack_error why);
struct netstack_stream *rig_accept(struct netstack_listener *listener, const char *address, uint16_t port);

union wireguard_endpoint rig_host(const char *address, uint16_t port);
struct netstack_endpoint rig_endpoint(const char *address, uint16_t port);
void rig_name(const char *name, const char *address);       /* answers a query; NULL: not found */
void rig_name_first(const char *name, const char *address); /* one of its answers, after which another comes */
bool rig_is_asked(const char *name);
/* The latest message of a type, or NULL. */
const struct rig_message *rig_sent(enum message_type type);
/* Answers the latest request. */
void rig_grant(enum message_status status, int descriptor);

#endif
