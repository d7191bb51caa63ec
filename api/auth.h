/* Authorization: bearer tokens (RFC 6750), the admin token in the state directory, and callers on the unix socket. */
#ifndef WARREN_API_AUTH_H
#define WARREN_API_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "service/service.h"

#define AUTH_TOKEN_MIN 20
#define AUTH_TOKEN_MAX 256

struct api_auth;

/* Reads STATE_DIR/admin.token, or creates it with mode 0600. NULL with one line for the user: a file that others can read or that contains no
 * token is refused, not silently replaced. */
struct api_auth *api_auth_create(struct service *service, const char *state_dir, char failure[512]);
void api_auth_free(struct api_auth *auth);
/* The scope mask for an Authorization header's value; 0 if it is missing, malformed or unknown. All cases take the same time. */
unsigned api_auth_scope(const struct api_auth *auth, const char *header);

#endif
