/* Inside netstack/: a TCP connection.
 *
 * lwIP does what happens once: the handshake with its options, resets, and the closing states with their waiting. What happens for
 * every segment it does not see: established data goes straight from the packet to the receiver and from the sender to a packet, with
 * no pbuf, no list of segments and no copy. So lwIP's O(n) walks, its 500 ms ticks and its Reno are never met. The pcb is brought up to
 * date just before lwIP is shown something; an end (FIN) or its acknowledgement is shown as a made-up empty segment once
 * the bytes before it are dealt with.
 *
 *   CONNECTING  lwIP has SYN_SENT. Only abort and release.
 *   OPEN        sender and receiver work; pcb in ESTABLISHED, CLOSE_WAIT, FIN_WAIT_2 or CLOSING.
 *   CLOSED      in the graveyard; nothing. */
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

/* What lwIP's callbacks saw; acted upon when lwIP has been left. */
struct stream_note {
	bool is_queued;
	bool is_connected;
	bool is_gone; /* the pcb is freed */
	enum netstack_error why;
};

struct netstack_stream {
	struct netstack *stack;
	struct tcp_pcb *pcb;          /* NULL once lwIP freed it, or keeps it for TIME_WAIT alone */
	struct netstack_stream *next; /* in all_streams, then in the graveyard */
	struct netstack_stream **back;
	struct netstack_stream *next_in_bucket;
	struct netstack_stream *next_in_queue; /* dirty or waiting */
	struct netstack_stream *next_noted;
	uint64_t hash;
	struct netstack_endpoint local;
	struct netstack_endpoint remote;
	const struct netstack_stream_events *events; /* NULL: nobody is interested */
	void *owner;
	struct netstack_listener *listener; /* it came in by this, until accept was called */
	struct timer timer;
	uint64_t born_at; /* of the SYN; when released, the time of that */
	enum stream_state state;
	struct stream_note note;
	bool is_queued;   /* in dirty or waiting */
	bool is_settling; /* out of the queue, and to be sent in any case */
	bool is_released;
	bool has_shown_end;   /* lwIP knows the far end's FIN */
	bool has_shut_down;   /* lwIP knows our FIN */
	bool has_shown_done;  /* and its acknowledgement */
	uint8_t window_shift; /* of the windows that the far end offers */
	uint8_t header_length;
	uint8_t header[PACKET_IPV6_HEADER + PACKET_TCP_HEADER];
	uint64_t header_sum; /* of the pseudo header and the ports */
	uint64_t heard_at;   /* the last segment that was taken */
	uint64_t told;       /* acknowledged bytes that the owner was told of */
	struct sender sender;
	struct receiver receiver;
};

/* NULL: none. */
struct netstack_stream *stream_find(struct netstack *stack, const struct netstack_endpoint *local, const struct netstack_endpoint *remote);
struct netstack_stream *stream_find_by_packet(struct netstack *stack, const struct packet *packet, const struct segment *segment);
/* A segment with ACK and without SYN and RST, for an open stream. */
void stream_input(struct netstack_stream *stream, const struct segment *segment, uint64_t now);
/* Acts on what lwIP told while it was inside. */
void stream_act_on_notes(struct netstack *stack, uint64_t now);
/* The end of a batch, for each stream that has something to do. */
void stream_settle_all(struct netstack *stack, uint64_t now);
void stream_resume_all(struct netstack *stack); /* those that waited for room */
void stream_kick_all(struct netstack *stack, uint64_t now);
void stream_abandon_all(struct netstack *stack); /* nothing is sent */
void stream_bury(struct netstack *stack);

/* For handshake.c, gate.c and icmp.c. */
struct netstack_stream *stream_create(struct netstack *stack, const struct netstack_endpoint *local, const struct netstack_endpoint *remote);
void stream_note(struct netstack_stream *stream);
/* Acknowledges, unless such answers are too many (RFC 5961, 7). */
void stream_challenge(struct netstack_stream *stream, uint64_t now);
void stream_touch(struct netstack_stream *stream); /* it has something to do at the end of the batch */
void stream_close(struct netstack_stream *stream, enum netstack_error why);
/* The path takes only packets of this size. */
void stream_shrink(struct netstack_stream *stream, size_t packet_size);

#endif
