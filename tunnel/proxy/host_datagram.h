/* Datagrams of local clients and programs, as SOCKS associations and forwards read them from the host's sockets. */
#ifndef WARREN_TUNNEL_PROXY_HOST_DATAGRAM_H
#define WARREN_TUNNEL_PROXY_HOST_DATAGRAM_H

#include <sys/types.h>

#include "tunnel/tunnel.h"

#define HOST_DATAGRAM_MAX 65535

/* Reads one without waiting: its length, or -1 and errno. `from` may be NULL. What the kernel had no room for before it is counted as
 * overflow: `*lost` is how much of that is counted already, 0 for a new socket (SO_RXQ_OVFL, set in service/socket/host_socket.c). */
ssize_t host_datagram_receive(struct tunnel *tunnel, int descriptor, uint8_t bytes[HOST_DATAGRAM_MAX], union wireguard_endpoint *from,
                              uint32_t *lost);

#endif
