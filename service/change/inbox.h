/* Jobs that were submitted but not yet taken by the service's thread. Any thread. */
#ifndef WARREN_SERVICE_CHANGE_INBOX_H
#define WARREN_SERVICE_CHANGE_INBOX_H

#include "service/change/mutation.h"

struct inbox;

struct inbox *inbox_create(void); /* NULL when out of memory */
void inbox_free(struct inbox *inbox);
/* Takes the mutation; false when the inbox is closed, then it stays the caller's. */
bool inbox_put(struct inbox *inbox, struct mutation *mutation);
struct mutation *inbox_take_all(struct inbox *inbox); /* in order of submission, linked by `next` */
void inbox_close(struct inbox *inbox);                /* no more jobs are accepted; those in it stay */
void inbox_reopen(struct inbox *inbox);

#endif
