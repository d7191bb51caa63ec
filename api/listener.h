/* The listening sockets of the API, made here so that they are bound before anything is promised. */
#ifndef WARREN_API_LISTENER_H
#define WARREN_API_LISTENER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct api_address {
	struct sockaddr_storage any;
	socklen_t length;
};

/* "HOST:PORT", "[v6]:PORT"; `host` gets the host as written. False when it is malformed or the name is not known. */
bool api_listener_parse(const char *written, struct api_address *address, char host[256]);
bool api_listener_is_loopback(const struct api_address *address);
/* A listening socket, or -1 with errno; `address` becomes the bound one. Retries for up to `patience_ms` while the port is taken:
 * a daemon that was killed may leave it so for a moment. */
int api_listener_open(struct api_address *address, unsigned patience_ms);
/* A listening unix socket of mode 0600, or -1 with errno (EADDRINUSE: someone answers there, or the file is no socket). */
int api_listener_open_unix(const char *path);
/* "127.0.0.1:8470" or "[::1]:8470". */
void api_listener_format(const struct api_address *address, char out[64]);

#endif
