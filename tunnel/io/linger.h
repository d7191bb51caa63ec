/* Closes a socket so that the last reply arrives: shuts down the sending side, then reads and discards for a moment, because closing a socket
 * with unread bytes would reset the connection and lose the reply. */
#ifndef WARREN_TUNNEL_IO_LINGER_H
#define WARREN_TUNNEL_IO_LINGER_H

#include "tunnel/io/loop.h"

/* Takes the poller. */
void linger_close(struct loop *loop, struct poller *poller);
/* The opposite: closing the socket will reset its connection and discard what was not sent yet. */
void linger_reset(int descriptor);

#endif
