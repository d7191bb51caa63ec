/* Reads datagrams of local clients and programs from host sockets, for SOCKS associations and forwards. */
#ifndef WARREN_TUNNEL_PROXY_HOST_DATAGRAM_H
#define WARREN_TUNNEL_PROXY_HOST_DATAGRAM_H

#include <sys/types.h>

#include "tunnel/tunnel.h"

#define HOST_DATAGRAM_MAX 65535

/* Reads one without waiting. Returns its length, or -1 and errno. `from` may be NULL. Datagrams that the kernel dropped before it for lack of room
 * are counted as overflow; `*lost` is the number counted so far, 0 for a new socket (SO_RXQ_OVFL, set in service/socket/host_socket.c). */
ssize_t host_datagram_receive(struct tunnel *tunnel, int descriptor, uint8_t bytes[HOST_DATAGRAM_MAX], union wireguard_endpoint *from,
                              uint32_t *lost);

#endif
