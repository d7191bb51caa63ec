/* The access log: a line for each connection that has ended, as its worker told (ipc/query.h). Main thread only. */
#ifndef WARREN_SERVICE_WORKER_ACCESS_LOG_H
#define WARREN_SERVICE_WORKER_ACCESS_LOG_H

#include <uv.h>

#include "ipc/message.h"
#include "service/registry/slot_table.h"
#include "service/store/line_writer.h"
#include "service/worker/supervisor.h"

/* Borrowed. */
struct access_log {
	struct line_writer *writer; /* NULL: there is no log, and no worker has been told to report */
	struct slot_table *slots;
	struct registry *registry;
	uv_loop_t *loop;
};

/* Handles ENDED. What a worker tells beyond any honest rate is dropped and counted, so that its lies cost no more than its messages. False if the
 * message breaks the protocol. */
bool access_log_take(const struct access_log *log, struct worker *worker, struct message_reader *body);

#endif
