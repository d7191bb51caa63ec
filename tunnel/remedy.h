/* What is tried when a peer does not answer: a new handshake, the endpoint's name again, another address of it, a new UDP socket. Each is counted
 * and told (news.h). */
#ifndef WARREN_TUNNEL_REMEDY_H
#define WARREN_TUNNEL_REMEDY_H

struct tunnel;
struct tunnel_peer;

/* The remedy of this turn; `sent` initiations before the last one were not answered, at least one. */
void remedy_try(struct tunnel_peer *peer, unsigned sent);
/* Asks for the addresses of its endpoint's name, if it has one. */
void remedy_resolve(struct tunnel_peer *peer);
/* Moves to the next of its name's addresses, if there is another. */
void remedy_next_address(struct tunnel_peer *peer);
/* The new UDP socket that was asked for is not wanted any more. */
void remedy_stop(struct tunnel *tunnel);

#endif
