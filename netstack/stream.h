/* Inside netstack/: a TCP connection.
 *
 * lwIP handles what happens once per connection: the handshake with its options, resets, and the closing states with their timers. It does not
 * see established data, which goes directly from the packet to the receiver and from the sender to a packet, with no pbuf, no list of
 * segments and no copy. So lwIP's O(n) walks, its 500 ms ticks and its Reno play no role. The pcb is brought up to date just before lwIP
 * is shown a segment. A FIN, or the acknowledgement of ours, is shown as a generated empty segment once the bytes before it are handled.
 *
 *   CONNECTING  lwIP is in SYN_SENT. Only abort and release are allowed.
 *   OPEN        Sender and receiver run; the pcb is in ESTABLISHED, CLOSE_WAIT, FIN_WAIT_2 or CLOSING.
 *   CLOSED      In the graveyard; nothing is allowed. */
#ifndef WARREN_NETSTACK_STREAM_H
#define WARREN_NETSTACK_STREAM_H

#include "netstack/receiver/receiver.h"
#include "netstack/sender/sender.h"
#include "netstack/stack.h"

struct tcp_pcb;

enum stream_state {
	STREAM_CONNECTING,
	STREAM_OPEN,
	STREAM_CLOSED,
};

/* Events from lwIP's callbacks, handled after lwIP has returned. */
struct stream_note {
	bool is_queued;
	bool is_connected;
	bool is_gone; /* the pcb is freed */
	enum netstack_error why;
};

struct netstack_stream {
	struct netstack *stack;
	struct tcp_pcb *pcb;          /* NULL once lwIP has freed it, or keeps it only for TIME_WAIT */
	struct netstack_stream *next; /* in all_streams, then in the graveyard */
	struct netstack_stream **back;
	struct netstack_stream *next_in_bucket;
	struct netstack_stream *next_in_queue; /* dirty or waiting */
	struct netstack_stream *next_noted;
	uint64_t hash;
	struct netstack_endpoint local;
	struct netstack_endpoint remote;
	const struct netstack_stream_events *events; /* NULL: no callbacks */
	void *owner;
	struct netstack_listener *listener; /* that accepted it; NULL after accept was called */
	struct timer timer;
	uint64_t born_at; /* time of the SYN, or of the release */
	enum stream_state state;
	struct stream_note note;
	bool is_queued;   /* in dirty or waiting */
	bool is_settling; /* out of the queue; will be settled in any case */
	bool is_released;
	bool has_shown_end;   /* lwIP has seen the far end's FIN */
	bool has_shut_down;   /* lwIP has seen our FIN */
	bool has_shown_done;  /* lwIP has seen the acknowledgement of our FIN */
	uint8_t window_shift; /* of the far end's windows */
	uint8_t header_length;
	uint8_t header[PACKET_IPV6_HEADER + PACKET_TCP_HEADER];
	uint64_t header_sum; /* of the pseudo header and the ports */
	uint64_t heard_at;   /* time of the last accepted segment */
	uint64_t told;       /* acknowledged bytes that were reported to the owner */
	struct sender sender;
	struct receiver receiver;
};

/* NULL: none. */
struct netstack_stream *stream_find(struct netstack *stack, const struct netstack_endpoint *local, const struct netstack_endpoint *remote);
struct netstack_stream *stream_find_by_packet(struct netstack *stack, const struct packet *packet, const struct segment *segment);
/* A segment with ACK and without SYN and RST, for an open stream. */
void stream_input(struct netstack_stream *stream, const struct segment *segment, uint64_t now);
/* Handles the events that lwIP reported. */
void stream_act_on_notes(struct netstack *stack, uint64_t now);
/* Ends a batch, for each stream that has work to do. */
void stream_settle_all(struct netstack *stack, uint64_t now);
void stream_resume_all(struct netstack *stack); /* streams that waited for room */
void stream_kick_all(struct netstack *stack, uint64_t now);
void stream_abandon_all(struct netstack *stack); /* nothing is sent */
void stream_bury(struct netstack *stack);

/* For tcp_handshake.c, gate.c and icmp.c. */
struct netstack_stream *stream_create(struct netstack *stack, const struct netstack_endpoint *local, const struct netstack_endpoint *remote);
void stream_note(struct netstack_stream *stream);
/* Sends a challenge ACK, within the rate limit (RFC 5961, 7). */
void stream_challenge(struct netstack_stream *stream, uint64_t now);
void stream_touch(struct netstack_stream *stream); /* it has work to do at the end of the batch */
void stream_close(struct netstack_stream *stream, enum netstack_error why);
/* The path takes only packets of this size. */
void stream_shrink(struct netstack_stream *stream, size_t packet_size);

#endif
