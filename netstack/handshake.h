/* lwIP's side of a connection: how it begins, what lwIP is shown, how it ends. lwIP's callbacks only note what they see. */
#ifndef WARREN_NETSTACK_HANDSHAKE_H
#define WARREN_NETSTACK_HANDSHAKE_H

#include "netstack/stream.h"

/* Sends the SYN. 0, or NETSTACK_OUT_OF_MEMORY. */
int handshake_connect(struct netstack_stream *stream);
/* Makes sender and receiver out of what was agreed. */
void handshake_complete(struct netstack_stream *stream, uint64_t now);
/* A reset by the far end, at the right place. */
void handshake_show_reset(struct netstack_stream *stream);
/* The far end's FIN, after all its bytes. */
void handshake_show_end(struct netstack_stream *stream);
/* The acknowledgement of our FIN. */
void handshake_show_done(struct netstack_stream *stream);
/* RST, and lwIP forgets the connection. */
void handshake_abort(struct netstack_stream *stream);
/* For a stream that connects: is this the SYN's sequence number? */
bool handshake_is_its_syn(const struct netstack_stream *stream, uint32_t sequence);
/* lwIP forgets it without a word to the far end. */
void handshake_abandon(struct netstack_stream *stream);
/* lwIP may keep it for TIME_WAIT; nobody is told any more. */
void handshake_detach(struct netstack_stream *stream);
/* lwIP only waits out the old segments. */
bool handshake_is_over(const struct netstack_stream *stream);

/* For listener.c and stack.c. */
struct tcp_pcb;
int handshake_listen(struct netstack_listener *listener, struct tcp_pcb **pcb, const struct netstack_endpoint *at);
void handshake_listen_end(struct netstack *stack, struct tcp_pcb *pcb);
/* lwIP's timer: 250 ms have passed. Returns whether it wants to run again. The stack is entered. */
bool handshake_tick(void);
/* SYNs leave again at once. The stack is entered. */
void handshake_kick(void);
/* Everything that lwIP has goes. The stack is entered and muted. */
void handshake_forget_all(void);

#endif
