/* A login of a client, and the back-off that it meets (X8). Wrong passwords are counted by the source they come from (address_source). A
 * refusal is told late, and later each time, up to 1.6 s. After eight in a row the source's next passwords wait in a queue, right or wrong.
 * One from each end is looked at every 3.2 s, when the refusals before are told. Who comes goes to the front, but the first to come after
 * an answer, most likely the guesser who goes on, to the back. So an honest client is soon at an end, both beside guesses that wait and
 * beside those that give up and come again, and gets in within seconds. A right password forgets the wrong ones, and so does a minute
 * without any. Of 1,024 sources the one refused longest ago makes room. */
#ifndef WARREN_TUNNEL_LOGIN_H
#define WARREN_TUNNEL_LOGIN_H

#include "tunnel/connection.h"
#include "tunnel/http/credentials.h"
#include "tunnel/http/http_error.h"

struct login_source;
struct logins; /* of a tunnel, by source */

/* A part of whoever asks for a password; it allocates nothing. */
struct login {
	struct connection *connection;
	void (*look)(void *owner); /* it is its turn: login_has_turn says so now */
	void (*tell)(void *owner); /* the refusal may be told */
	void *owner;
	bool has_turn;
	struct login_source *waits_at; /* or NULL */
	struct login *before, *after;  /* those that wait next to it */
	struct deadline deadline;      /* of `tell` */
};

/* What HTTP is answered without a password, and with a wrong one. */
extern const struct http_fault login_is_missing, login_is_wrong;

void login_init(struct login *login, struct connection *connection, void (*look)(void *owner), void (*tell)(void *owner), void *owner);
/* Gives up its place, for owners that end. */
void login_cancel(struct login *login);
/* May a password be looked at? If not, `look` is called in its turn, and connection.is_held is set until then. */
bool login_has_turn(struct login *login);
/* Looks at a password, NULL for one that cannot be right; without users all are right. When it is wrong, `tell` is called in time. */
bool login_is_right(struct login *login, const struct credentials *offered);
/* When all logins are gone. NULL is allowed. */
void logins_free(struct logins *logins);

#endif
