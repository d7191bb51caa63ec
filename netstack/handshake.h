/* lwIP's side of a connection: its start, the segments that lwIP is shown, and its end. lwIP's callbacks only record events. */
#ifndef WARREN_NETSTACK_HANDSHAKE_H
#define WARREN_NETSTACK_HANDSHAKE_H

#include "netstack/stream.h"

/* Sends the SYN. 0, or NETSTACK_OUT_OF_MEMORY. */
int handshake_connect(struct netstack_stream *stream);
/* Creates sender and receiver from the negotiated options. */
void handshake_complete(struct netstack_stream *stream, uint64_t now);
/* A valid reset from the far end. */
void handshake_show_reset(struct netstack_stream *stream);
/* The far end's FIN, after all its bytes. */
void handshake_show_end(struct netstack_stream *stream);
/* The acknowledgement of our FIN. */
void handshake_show_done(struct netstack_stream *stream);
/* Sends RST; lwIP forgets the connection. */
void handshake_abort(struct netstack_stream *stream);
/* For a connecting stream: whether this is its SYN's sequence number. */
bool handshake_is_its_syn(const struct netstack_stream *stream, uint32_t sequence);
/* lwIP forgets the connection; nothing is sent. */
void handshake_abandon(struct netstack_stream *stream);
/* lwIP may keep the connection for TIME_WAIT; no callback follows. */
void handshake_detach(struct netstack_stream *stream);
/* lwIP keeps the connection only for TIME_WAIT. */
bool handshake_is_over(const struct netstack_stream *stream);

/* For listener.c and stack.c. */
struct tcp_pcb;
int handshake_listen(struct netstack_listener *listener, struct tcp_pcb **pcb, const struct netstack_endpoint *at);
void handshake_listen_end(struct netstack *stack, struct tcp_pcb *pcb);
/* lwIP's timer: 250 ms have passed. Returns whether to call it again. The stack is entered. */
bool handshake_tick(void);
/* Retransmits SYNs at once. The stack is entered. */
void handshake_kick(void);
/* Frees everything that lwIP holds. The stack is entered and muted. */
void handshake_forget_all(void);

#endif
