/* Connections that have ended, told to the control process for its access log: several in a message, at once when that is full and else after a
 * moment. When the control process does not keep up they are dropped and counted, so that a log never delays the traffic. */
#ifndef WARREN_TUNNEL_ACCESS_REPORT_H
#define WARREN_TUNNEL_ACCESS_REPORT_H

#include "ipc/message.h"
#include "tunnel/io/loop.h"

struct connection;
struct context;

/* Embedded by value in the context. All zeros: there is no log, and nothing is noted. */
struct access_report {
	struct context *context; /* NULL: no log */
	/* Whether the control process has read enough of what it was sent. */
	bool (*has_room)(struct context *context);
	struct message_writer writer;
	unsigned count; /* of connections in it */
	struct deadline flush;
};

void access_report_start(struct context *context, bool (*has_room)(struct context *context));
/* The connection is about to be freed. */
void access_report_add(struct access_report *report, const struct connection *connection);
/* Sends what is noted. */
void access_report_flush(struct access_report *report);
void access_report_clear(struct access_report *report);

#endif
