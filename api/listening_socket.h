/* The listening sockets of the API, bound before readiness is reported. */
#ifndef WARREN_API_LISTENING_SOCKET_H
#define WARREN_API_LISTENING_SOCKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct api_address {
	struct sockaddr_storage any;
	socklen_t length;
};

/* Parses "HOST:PORT" or "[v6]:PORT"; `host` gets the host as written. False if it is malformed or the name does not resolve. */
bool api_listening_socket_parse(const char *written, struct api_address *address, char host[256]);
bool api_listening_socket_is_loopback(const struct api_address *address);
/* Returns a listening socket, or -1 with errno; `address` gets the bound address. Retries for up to `patience_ms` while the port is in use, as it
 * can be for a moment after a daemon was killed. */
int api_listening_socket_open(struct api_address *address, unsigned patience_ms);
/* Returns a listening unix socket of mode 0600, or -1 with errno (EADDRINUSE: a process answers there, or the file is not a socket). */
int api_listening_socket_open_unix(const char *path);
/* "127.0.0.1:8470" or "[::1]:8470". */
void api_listening_socket_format(const struct api_address *address, char out[64]);

#endif
