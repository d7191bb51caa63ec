/* Decides which TCP segments of the tunnel lwIP sees. lwIP 2.1.3 trusts sequence numbers that it should check, and asserts conditions that a far
 * end can violate. So for a connection that it holds, it sees only segments with valid numbers (RFC 9293, 3.10.7.3 and 3.10.7.4; RFC 5961, 3 to
 * 5), without payload and FIN. lwIP answers segments that belong to no connection, with a SYN-ACK or a reset. */
#ifndef WARREN_NETSTACK_GATE_H
#define WARREN_NETSTACK_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct netstack;
struct netstack_stream;
struct packet;
struct segment;
struct tcp_pcb;

/* A segment for anything but an open stream: a listener, a handshake, a connection in TIME-WAIT, or nothing. Changes the packet. true: it may
 * have completed a handshake, and is then the new stream's first segment. */
bool gate_input(struct netstack *stack, const struct packet *packet, const struct segment *segment, uint64_t now);
/* A segment with SYN or RST for an open stream. */
void gate_input_open(struct netstack_stream *stream, const struct segment *segment, uint64_t now);
/* Whether this connection may send one more challenge ACK now (RFC 5961, 7). */
bool gate_may_challenge(struct tcp_pcb *pcb, uint64_t now);

#endif
