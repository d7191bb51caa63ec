/* The URL that a probe requests, split into what a request needs. */
#ifndef WARREN_IPC_URL_H
#define WARREN_IPC_URL_H

#include <stddef.h>

#define URL_MAX 255 /* bytes */

struct url {
	char authority[URL_MAX + 1]; /* HOST or HOST:PORT, not checked further */
	char path[URL_MAX + 2];      /* with the query, from its slash on */
};

enum url_error {
	URL_MALFORMED = -1, /* no host, userinfo, a fragment, a byte that is not visible ASCII, or too long */
	URL_NOT_HTTP = -2,  /* another scheme, https too */
};

/* 0 or a url_error. */
int url_split(const char *text, struct url *url) __attribute__((warn_unused_result));

#endif
