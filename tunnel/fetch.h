/* One HTTP request of a probe: a GET over a connection of its own through the tunnel, whose answer is read as far as it is needed. Redirects are
 * not followed. */
#ifndef WARREN_TUNNEL_FETCH_H
#define WARREN_TUNNEL_FETCH_H

#include <stdbool.h>
#include <stddef.h>

#define FETCH_BODY_MAX 1024 /* bytes; a longer body is a failure */

struct tunnel;
struct fetch;

struct fetch_answer {
	unsigned status;
	const char *body; /* valid during the call; empty unless it was wanted */
	size_t length;
};

/* Called once, never within fetch_start: the answer, or NULL with the reason, a literal. It must not free the fetch. */
typedef void fetch_done(void *owner, const struct fetch_answer *answer, const char *failure);

/* Whether the URL is one that url_split takes, and names a target. */
bool fetch_takes(const char *url);
/* NULL when it does not take `url`, or out of memory. Without `wants_body` the answer is known by its head. */
struct fetch *fetch_start(struct tunnel *tunnel, const char *url, bool wants_body, fetch_done *done, void *owner);
/* Whether or not it is done; `done` is not called any more. NULL is allowed. */
void fetch_free(struct fetch *fetch);

#endif
