/* Handles unsolicited messages of workers. They are not trusted: those with a wrong slot or generation are dropped, names are taken from our own
 * spec, texts are escaped. */
#ifndef WARREN_SERVICE_WORKER_REPORT_H
#define WARREN_SERVICE_WORKER_REPORT_H

#include "service/registry/events.h"
#include "service/registry/slot_table.h"
#include "service/store/checkpointer.h"
#include "service/worker/access_log.h"
#include "service/worker/broker.h"
#include "service/worker/peer_lookup.h"

/* The recipients, borrowed. */
struct report {
	struct slot_table *slots;
	struct events *events;
	struct checkpointer *checkpointer;
	struct broker *broker;
	const struct access_log *access_log;
	const struct peer_lookup_means *lookups;
	void (*told)(void *owner, const struct entry *entry); /* after a state or a handshake: the tunnel may be up */
	void *owner;
};

/* False if the message breaks the protocol. */
bool report_take(const struct report *report, struct worker *worker, enum message_type type, struct message_reader *body);
void report_worker_died(const struct report *report, struct worker *worker);

#endif
