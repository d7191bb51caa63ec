/* Wrong passwords by the source they came from (address_source), for the back-off of logins (X8). A refusal is told late, and later each
 * time; who was refused eight times in a row waits before the next password is looked at, right or wrong. A right one forgets them, and
 * so does a minute without a wrong one. Of 1,024 sources the one refused longest ago makes room for another. */
#ifndef WARREN_TUNNEL_LOGINS_H
#define WARREN_TUNNEL_LOGINS_H

#include <stdint.h>

struct logins;

/* Notes a wrong password; returns when it may be told. `*logins` is made when it is first needed, and freed by free(3). */
uint64_t logins_refuse(struct logins **logins, uint64_t source, uint64_t now);
/* Until when no password of this source is looked at; 0: at once. NULL is allowed. */
uint64_t logins_wait(struct logins *logins, uint64_t source, uint64_t now);
/* A right password. NULL is allowed. */
void logins_forget(struct logins *logins, uint64_t source);

#endif
