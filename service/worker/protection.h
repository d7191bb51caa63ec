/* The daemon's own addresses and paths. A tunnel with one as its target would give access to the control API, or form a loop (P1). Main thread only.
 */
#ifndef WARREN_SERVICE_WORKER_PROTECTION_H
#define WARREN_SERVICE_WORKER_PROTECTION_H

#include <sys/socket.h>

#include "service/registry/registry.h"

struct protection;

/* Borrows the registry, whose tunnels' listeners are protected too. NULL when out of memory. */
struct protection *protection_create(struct registry *registry);
void protection_free(struct protection *protection);
/* The API's own. False when out of memory: then it is not protected. */
bool protection_add_address(struct protection *protection, const struct sockaddr *address);
bool protection_add_path(struct protection *protection, const char *path);

bool protection_has_address(const struct protection *protection, const union wireguard_endpoint *address);
bool protection_has_path(const struct protection *protection, const char *path);          /* the API's */
bool protection_has_listener_path(const struct protection *protection, const char *path); /* a tunnel's */
bool protection_has_file(const struct protection *protection, int file);                  /* either, by the descriptor from socket_path_open */

#endif
