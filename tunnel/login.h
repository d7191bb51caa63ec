/* A client's login, with its back-off (X8). Wrong passwords are counted per source (address_source). A refusal is delayed, longer each time, up to
 * 1.6 s. After eight in a row the source's next passwords wait in a queue, right or wrong. One from each end is checked every 3.2 s, when the
 * previous refusals are sent. A newcomer goes to the front, but the first one after an answer, most likely the guesser again, to the back. So an
 * honest client soon reaches an end, whether the guesses keep waiting or give up and return, and is admitted within seconds. A correct password
 * resets the count, and so does a minute without a wrong one. 1,024 sources are remembered; the one refused longest ago is replaced. */
#ifndef WARREN_TUNNEL_LOGIN_H
#define WARREN_TUNNEL_LOGIN_H

#include "tunnel/connection.h"
#include "tunnel/http/credentials.h"
#include "tunnel/http/http_error.h"

struct login_source;
struct logins; /* of a tunnel, by source */

/* Embedded in its owner, which asks for a password; allocates nothing. */
struct login {
	struct connection *connection;
	void (*look)(void *owner); /* called in its turn: login_has_turn is now true */
	void (*tell)(void *owner); /* the refusal may be sent */
	void *owner;
	bool has_turn;
	struct login_source *waits_at; /* or NULL */
	struct login *before, *after;  /* neighbours in the queue */
	struct deadline deadline;      /* of `tell` */
};

/* The HTTP answers to a missing and to a wrong password. */
extern const struct http_fault login_is_missing, login_is_wrong;

void login_init(struct login *login, struct connection *connection, void (*look)(void *owner), void (*tell)(void *owner), void *owner);
/* Gives up its place, when its owner ends. */
void login_cancel(struct login *login);
/* Whether a password may be checked now. If not, `look` is called in its turn, and connection.is_held is set until then. */
bool login_has_turn(struct login *login);
/* Checks a password, NULL for one that cannot be right; without users all are right. If it is wrong, `tell` is called when it may be refused. */
bool login_is_right(struct login *login, const struct credentials *offered);
/* When all logins are gone. NULL is allowed. */
void logins_free(struct logins *logins);

#endif
