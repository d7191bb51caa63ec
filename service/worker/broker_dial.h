/* Connections to the targets of inbound forwards: the only ones that the control process makes. */
#ifndef WARREN_SERVICE_WORKER_BROKER_DIAL_H
#define WARREN_SERVICE_WORKER_BROKER_DIAL_H

#include "ipc/message.h"

struct service;
struct worker;

/* Answers the want with a connected descriptor, or with why there is none. The forward is read at once. */
void broker_dial_start(struct service *service, struct worker *worker, const struct spec_forward *forward, const struct message_want *want);
/* Of a worker that died: nobody waits for them any more. */
void broker_dial_end_of(struct service *service, const struct worker *worker);

/* broker.c: the descriptor goes to the worker; -1: why, as an errno. */
void broker_answer(struct service *service, struct worker *worker, const struct message_want *want, int descriptor, int error);

#endif
