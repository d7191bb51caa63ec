/* Closing so that the last reply arrives: the sending side is shut, and what the client still sends is read away for a moment, because
 * closing a socket with unread bytes would reset the connection under the reply. */
#ifndef WARREN_TUNNEL_IO_LINGER_H
#define WARREN_TUNNEL_IO_LINGER_H

#include "tunnel/io/loop.h"

/* Takes the poller. */
void linger_close(struct loop *loop, struct poller *poller);

#endif
