/* Why a call of etcd failed. */
#ifndef WARREN_FLEET_ETCD_ERROR_H
#define WARREN_FLEET_ETCD_ERROR_H

#include <stdbool.h>

enum etcd_error {
	ETCD_OK = 0,
	ETCD_NO_MEMORY = -1,
	ETCD_UNREACHABLE = -2, /* no connection, or it broke */
	ETCD_TIMED_OUT = -3,
	ETCD_UNTRUSTED = -4,   /* TLS failed: its certificate, or ours */
	ETCD_TOO_LARGE = -5,   /* an answer over ETCD_ANSWER_MAX */
	ETCD_MALFORMED = -6,   /* not an answer of etcd's gateway */
	ETCD_UNAVAILABLE = -7, /* the member has no leader, or gave up itself */
	ETCD_NO_SPACE = -8,    /* the quota is used up: puts and grants fail, the rest goes on */
	ETCD_COMPACTED = -9,   /* the revision is gone, or has not been yet */
	ETCD_NOT_FOUND = -10,  /* a lease */
	ETCD_NO_LOGIN = -11,   /* there is no token, or etcd knows it no more */
	ETCD_DENIED = -12,     /* wrong password, or the user may not */
	ETCD_REFUSED = -13,    /* any other answer that is an error */
};

/* "no_space" */
const char *etcd_error_name(enum etcd_error error);
/* Whether another member may do better. */
bool etcd_error_is_of_member(enum etcd_error error);
/* Whether nothing was done, and will not be: etcd has said so, or was not asked. */
bool etcd_error_is_refusal(enum etcd_error error);

#endif
