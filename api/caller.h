/* Who makes a request, how that is known, and what the caller may do. */
#ifndef WARREN_API_CALLER_H
#define WARREN_API_CALLER_H

#include "service/service.h"

enum api_via {
	API_VIA_NOTHING, /* no credentials, or wrong ones */
	API_VIA_TOKEN,
	API_VIA_ADMIN_TOKEN, /* of the file admin.token */
	API_VIA_SOCKET,      /* the unix socket tells the peer's user */
	API_VIA_NO_AUTH,     /* --no-auth: everybody is an admin */
	API_VIAS
};

struct api_caller {
	enum api_via via;
	unsigned scopes;               /* enum scope, with those that they include */
	char name[TOKEN_NAME_MAX + 1]; /* of the token, "admin", or "uid 1000" */
	char token_id[32];             /* API_VIA_TOKEN */
	uint64_t generation;           /* API_VIA_ADMIN_TOKEN: of that token */
	int64_t expires_at;            /* milliseconds since 1970, 0: never */
	bool has_expired;              /* API_VIA_NOTHING: the token was good before */
	struct access *access;         /* what it may see and touch; a reference, or NULL before the caller is known */
};

const char *api_via_name(enum api_via via); /* "token" */

#endif
