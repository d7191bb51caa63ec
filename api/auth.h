/* Authorization: bearer tokens (RFC 6750), the admin token in the state directory, and callers on the unix socket. */
#ifndef WARREN_API_AUTH_H
#define WARREN_API_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "api/caller.h"

#define AUTH_TOKEN_MIN 20
#define AUTH_TOKEN_MAX 256

struct api_auth;

/* Reads STATE_DIR/admin.token, or creates it with mode 0600. NULL with one line for the user: a file that others can read or that contains no
 * token is refused, not silently replaced. */
struct api_auth *api_auth_create(struct service *service, const char *state_dir, char failure[512]);
void api_auth_free(struct api_auth *auth);
/* Who sends this value of an Authorization header: scopes and access are the caller's. API_VIA_NOTHING, without scopes, if it is missing, malformed,
 * unknown or expired (which is told apart: its sender has the token). All cases take the same time. */
void api_auth_identify(struct api_auth *auth, const char *header, struct api_caller *caller);
/* Whether the caller's credentials are still good: they expire, and are revoked. */
bool api_auth_holds(struct api_auth *auth, const struct api_caller *caller);
/* Rises with each token that is revoked or replaced. */
uint64_t api_auth_revocations(struct api_auth *auth);
/* Replaces the admin token, also in its file; the old one is then invalid. False, with errno, if the file cannot be written: the old one stays. */
bool api_auth_rotate(struct api_auth *auth, char token[AUTH_TOKEN_MAX + 1]);

#endif
