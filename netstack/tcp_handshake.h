/* lwIP's side of a connection: its start, the segments that lwIP is shown, and its end. lwIP's callbacks only record events. */
#ifndef WARREN_NETSTACK_TCP_HANDSHAKE_H
#define WARREN_NETSTACK_TCP_HANDSHAKE_H

#include "netstack/stream.h"

/* Sends the SYN. 0, or NETSTACK_OUT_OF_MEMORY. */
int tcp_handshake_connect(struct netstack_stream *stream);
/* Creates sender and receiver from the negotiated options. */
void tcp_handshake_complete(struct netstack_stream *stream, uint64_t now);
/* A valid reset from the far end. */
void tcp_handshake_show_reset(struct netstack_stream *stream);
/* The far end's FIN, after all its bytes. */
void tcp_handshake_show_end(struct netstack_stream *stream);
/* The acknowledgement of our FIN. */
void tcp_handshake_show_done(struct netstack_stream *stream);
/* Sends RST; lwIP forgets the connection. */
void tcp_handshake_abort(struct netstack_stream *stream);
/* For a connecting stream: whether this is its SYN's sequence number. */
bool tcp_handshake_is_its_syn(const struct netstack_stream *stream, uint32_t sequence);
/* lwIP forgets the connection; nothing is sent. */
void tcp_handshake_abandon(struct netstack_stream *stream);
/* lwIP may keep the connection for TIME_WAIT; no callback follows. */
void tcp_handshake_detach(struct netstack_stream *stream);
/* lwIP keeps the connection only for TIME_WAIT. */
bool tcp_handshake_is_over(const struct netstack_stream *stream);

/* For tcp_listener.c and stack.c. */
struct tcp_pcb;
int tcp_handshake_listen(struct netstack_listener *listener, struct tcp_pcb **pcb, const struct netstack_endpoint *at);
void tcp_handshake_listen_end(struct netstack *stack, struct tcp_pcb *pcb);
/* lwIP's timer: 250 ms have passed. Returns whether to call it again. The stack is entered. */
bool tcp_handshake_tick(void);
/* Retransmits SYNs at once. The stack is entered. */
void tcp_handshake_kick(void);
/* Frees everything that lwIP holds. The stack is entered and muted. */
void tcp_handshake_forget_all(void);

#endif
