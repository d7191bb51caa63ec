/* Questions to a worker about what it holds, answered in pieces: each piece is a message of its own and a bounded part of one turn of the worker's
 * loop. The next piece is asked for with the cursor of the last. */
#ifndef WARREN_IPC_QUERY_H
#define WARREN_IPC_QUERY_H

#include "ipc/counters.h"
#include "ipc/message.h"

enum query_kind { QUERY_CONNECTIONS, QUERY_KINDS };

/* Where a piece ended; only the worker knows what the numbers mean. All zeros: the beginning. */
struct query_cursor {
	uint64_t place, within;
};

#define QUERY_USER_SIZE 256
#define QUERY_TARGET_SIZE 272 /* a name of 254 bytes, brackets and a port */
#define QUERY_SESSION_SIZE 48 /* the beginning of a longer one: with it a record stays a line that a pipe takes in one piece */
#define QUERY_ANY_SLOT UINT32_MAX

/* What a connection speaks: enum counters_protocol, and one more. */
#define QUERY_PROTOCOL_UDP COUNTERS_PROTOCOLS /* SOCKS5 UDP ASSOCIATE */
#define QUERY_PROTOCOLS (COUNTERS_PROTOCOLS + 1)
#define QUERY_ANY_PROTOCOL QUERY_PROTOCOLS
const char *query_protocol_name(unsigned protocol); /* below QUERY_PROTOCOLS */

/* What a connection has; a connection is meant when all that is given holds. */
struct query_filter {
	uint64_t number;                 /* 0: any */
	uint32_t slot;                   /* or QUERY_ANY_SLOT */
	uint64_t pool;                   /* number of the one that it came to; 0: any, or none */
	uint8_t protocol;                /* or QUERY_ANY_PROTOCOL */
	union wireguard_endpoint client; /* AF_UNSPEC: any; port 0: any port */
	char user[QUERY_USER_SIZE];      /* empty: any */
	char target[QUERY_TARGET_SIZE];  /* "host" or "host:port"; empty: any */
};

struct query {
	uint64_t request;
	uint8_t kind; /* enum query_kind */
	bool ends;    /* the connections are ended, too */
	bool counts;  /* the answer has their number alone */
	uint32_t limit;
	struct query_cursor cursor;
	struct query_filter filter;
};

/* How a connection came to its end. */
enum query_result {
	QUERY_RESULT_FAILED, /* it was refused, or never reached its target: `failure` says why */
	QUERY_RESULT_OK,
	QUERY_RESULT_CUT,    /* by a request to the API */
	QUERY_RESULT_CLOSED, /* its tunnel, listener or forward ended or changed */
	QUERY_RESULT_MOVED,  /* its tunnel was handed over to another worker */
	QUERY_RESULTS
};

struct query_connection {
	uint64_t number; /* unique in its worker */
	uint32_t slot;
	uint8_t protocol;
	uint8_t result;                           /* enum query_result; of one that is open: as far as it has come */
	uint8_t failure;                          /* enum counters_failure */
	union wireguard_endpoint client, address; /* AF_UNSPEC: none */
	uint64_t opened_at, closed_at;            /* UNIX time in ms; closed_at 0: it is open */
	uint64_t bytes_sent, bytes_received;
	char user[QUERY_USER_SIZE]; /* empty: none; any bytes */
	char target[QUERY_TARGET_SIZE];
	uint64_t pool;                    /* number of the one that it came to; 0: none */
	char session[QUERY_SESSION_SIZE]; /* as the user; any bytes */
};

/* The answer. `items` are `count` connections, borrowed from the message; none if they are only counted. */
struct queried {
	uint64_t request;
	bool is_over; /* nothing is behind this piece */
	struct query_cursor cursor;
	uint16_t count;
	struct message_reader items;
};

/* No answer and no report is longer: it ends before the item that would not fit. */
#define QUERY_ITEM_MAX 768u
#define QUERY_PIECE_MAX 4096u

/* Encoders append the body. Decoders return false unless the body is exactly one such message within its bounds. */
void query_encode(struct message_writer *writer, const struct query *query);
bool query_decode(struct message_reader *reader, struct query *query);
void query_encode_connection(struct message_writer *writer, const struct query_connection *connection);
bool query_decode_connection(struct message_reader *reader, struct query_connection *connection); /* the next of several */
/* `items` has `count` encoded connections, or none. */
void query_encode_answer(struct message_writer *writer, const struct queried *answer, const struct message_writer *items);
bool query_decode_answer(struct message_reader *reader, struct queried *answer);
/* ENDED: such connections and nothing else. False unless there is at least one and all are sound. */
bool query_are_connections(struct message_reader items);

#endif
