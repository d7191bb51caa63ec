/* The way of the control process to the program that takes its place: the program is checked, then everything that is half-way is finished or
 * refused, until what is left can be written down (inheritance.h). A failure leaves everything as it was. Main thread only. */
#ifndef WARREN_SERVICE_UPGRADE_H
#define WARREN_SERVICE_UPGRADE_H

#include "service/change/mutations.h"
#include "service/worker/broker.h"

struct upgrade;

/* Borrowed. */
struct upgrade_means {
	uv_loop_t *loop;
	const char *const *check; /* the arguments of the check, the program first, NULL at the end; or NULL: there is no upgrade */
	struct mutations *mutations;
	struct supervisor *supervisor;
	struct broker *broker;
	struct events *events;
	/* Everything is quiet: the loop is to be left. Whatever runs after that is seen by nobody, unless upgrade_fail follows. */
	void (*quiet)(void *owner);
	void *owner;
};

struct upgrade *upgrade_create(const struct upgrade_means *means); /* NULL when out of memory */
void upgrade_free(struct upgrade *upgrade);                        /* once the loop has run out */
/* Does nothing while one is under way. */
void upgrade_start(struct upgrade *upgrade);
/* Tells why in the log and in an event, and goes on as before. */
void upgrade_fail(struct upgrade *upgrade, const char *why);
/* The daemon ends: what is under way is forgotten, without a word. */
void upgrade_stop(struct upgrade *upgrade);

#endif
