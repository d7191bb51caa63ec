/* Connections to the targets of inbound forwards: the only ones that the control process makes. */
#ifndef WARREN_SERVICE_GRANT_DIAL_H
#define WARREN_SERVICE_GRANT_DIAL_H

#include <stddef.h>

#include "tunnel/message.h"

struct service;
struct worker;

/* Answers the wish with a connected descriptor, or with why there is none. The forward is read at once. */
void outside_grant_dial_start(struct service *service, struct worker *worker, const struct spec_forward *forward, const struct message_want *want);
/* Those of a slot that are under way. */
size_t grant_dial_count(const struct service *service, const struct worker *worker, uint32_t slot);
/* Of a worker that died: nobody waits for them any more. */
void grant_dial_end_of(struct service *service, const struct worker *worker);
void grant_dial_end_all(struct service *service);

/* grant.c: the descriptor goes to the worker; -1: why, as an errno. */
void grant_answer(struct worker *worker, const struct message_want *want, int descriptor, int error);

#endif
