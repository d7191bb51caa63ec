/* Who may do what: bearer tokens (RFC 6750), the admin token in the state directory, and the operator on the unix socket. */
#ifndef WARREN_API_AUTH_H
#define WARREN_API_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "service/service.h"

#define AUTH_TOKEN_MIN 20
#define AUTH_TOKEN_MAX 256

struct api_auth;

/* Reads STATE_DIR/admin.token, or makes it with mode 0600 when there is none. NULL with one line for the user: a file that others can
 * read or that holds no token is refused, not replaced in silence. */
struct api_auth *api_auth_create(struct service *service, const char *state_dir, char failure[512]);
void api_auth_free(struct api_auth *auth);
/* The scope mask of an Authorization header's value; 0 for none, a malformed or an unknown one. All take the same time. */
unsigned api_auth_scope(const struct api_auth *auth, const char *header);

#endif
