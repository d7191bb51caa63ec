/* Posts to etcd's JSON gateway, at one of several members. It keeps to a member that works and goes on to the next when one does not. With a user it
 * logs in first, and again when its token is known no more. When to try again is its user's.
 *
 * All on the loop's thread. Nothing blocks. Everything told is from the loop, and never from within a function of this header. */
#ifndef WARREN_FLEET_ETCD_GATEWAY_H
#define WARREN_FLEET_ETCD_GATEWAY_H

#include "fleet/etcd/etcd_answer.h"
#include "fleet/etcd/transport.h"
#include "fleet/fleet_options.h"

struct etcd_client_config {
	const struct etcd_curl *curl;     /* borrowed; the rest is copied */
	const char *urls[FLEET_URLS_MAX]; /* "https://etcd-1:2379" */
	size_t url_count;                 /* at least 1 */
	const char *prefix;               /* "/warren/v1/", less than FLEET_PREFIX_MAX bytes */
	struct etcd_tls tls;
	const char *user, *password; /* NULL: none */
};

struct etcd_gateway;

struct etcd_call_listener {
	void *owner;
	void (*message)(void *owner, const struct etcd_answer *answer); /* of a stream, which goes on until it is cancelled or done */
	/* The call is over. `answer` is all zeros after an error, and otherwise has a header. */
	void (*done)(void *owner, enum etcd_error error, const struct etcd_answer *answer);
};

/* A call that is under way, or is not: embedded in what asks. All zeros before its first use; its members are private. */
struct etcd_call {
	struct etcd_gateway *gateway; /* NULL: it is not under way */
	struct etcd_call_listener listener;
	struct etcd_call *next, **before; /* of those under way */
	const char *path;
	char *body; /* owned */
	bool is_stream;
	bool has_logged_in;             /* for it: a second refusal is final */
	bool is_settled;                /* in this round of those that waited for a login */
	size_t member;                  /* that it was sent to */
	struct etcd_exchange *exchange; /* NULL: it waits for a login */
};

/* NULL when out of memory. */
struct etcd_gateway *etcd_gateway_create(uv_loop_t *loop, const struct etcd_client_config *config);
/* Ends all that is under way and tells nothing more. The loop must run once more. Not from within a listener. NULL is allowed. */
void etcd_gateway_free(struct etcd_gateway *gateway);
const char *etcd_gateway_prefix(const struct etcd_gateway *gateway);

/* `path` is static; the body is taken, and wiped in the end. False when out of memory, and then nothing comes back. At most ETCD_CALLS at once. */
#define ETCD_CALLS (ETCD_EXCHANGES - 1) /* one is for the login */
bool etcd_gateway_post(struct etcd_gateway *gateway, struct etcd_call *call, const char *path, char *body, bool is_stream,
                       const struct etcd_call_listener *listener);
/* Nothing more is told of it. Does nothing when it is not under way. From within a listener too. */
void etcd_gateway_cancel(struct etcd_call *call);
/* The member that the call was sent to last, as a URL. Valid when it is over, too. */
const char *etcd_gateway_member(const struct etcd_gateway *gateway, const struct etcd_call *call);
/* The next calls go to another member than that one. */
void etcd_gateway_leave(struct etcd_gateway *gateway, const struct etcd_call *call);
/* The token is known no more, although no answer says so. */
void etcd_gateway_forget_login(struct etcd_gateway *gateway);

#endif
