/* What workers tell without being asked. Nothing of it is trusted: a slot or generation that is not the tunnel's is dropped, names are
 * taken from our own spec, texts are escaped. */
#ifndef WARREN_SERVICE_WORKER_REPORT_H
#define WARREN_SERVICE_WORKER_REPORT_H

#include "service/registry/events.h"
#include "service/registry/slot_table.h"
#include "service/store/checkpointer.h"
#include "service/worker/broker.h"
#include "service/worker/peer_lookup.h"

/* Where it goes, borrowed. */
struct report {
	struct slot_table *slots;
	struct events *events;
	struct checkpointer *checkpointer;
	struct broker *broker;
	const struct peer_lookup_means *lookups;
	void (*told)(void *owner); /* of a state or a handshake: a tunnel may be up */
	void *owner;
};

/* False when it is not what an honest worker sends. */
bool report_take(const struct report *report, struct worker *worker, enum message_type type, struct message_reader *body);
void report_worker_died(const struct report *report, struct worker *worker);

#endif
