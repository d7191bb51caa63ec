#include "tunnel/access_report.h"

#include "ipc/wall_clock.h"
#include "tunnel/connection.h"
#include "tunnel/connection_query.h"

#define DELAY (100 * LOOP_MILLISECOND)

static void on_flush(void *owner)
{
	access_report_flush(owner);
}

void access_report_start(struct context *context, bool (*has_room)(struct context *context))
{
	context->access_report = (struct access_report){ .context = context, .has_room = has_room };
	deadline_init(&context->access_report.flush, on_flush, &context->access_report);
}

void access_report_add(struct access_report *report, const struct connection *connection)
{
	struct query_connection item;
	if (report->context == NULL)
		return;
	struct loop *loop = report->context->loop;
	connection_query_describe(connection, &item);
	item.closed_at = (uint64_t)wall_clock_ms();
	query_encode_connection(&report->writer, &item);
	if (report->count++ == 0)
		deadline_set(loop, &report->flush, loop_now(loop) + DELAY);
	if (report->writer.length + QUERY_ITEM_MAX > QUERY_PIECE_MAX)
		access_report_flush(report);
}

void access_report_flush(struct access_report *report)
{
	if (report->count == 0)
		return;
	struct context *context = report->context;
	deadline_set(context->loop, &report->flush, LOOP_NEVER);
	if (report->writer.failed || !report->has_room(context)) {
		counter_add(&context->counters->worker.access_log_dropped, report->count);
		message_writer_clear(&report->writer);
	} else {
		context->send(context, MESSAGE_ENDED, &report->writer);
	}
	report->count = 0;
}

void access_report_clear(struct access_report *report)
{
	if (report->context != NULL)
		deadline_set(report->context->loop, &report->flush, LOOP_NEVER);
	message_writer_clear(&report->writer);
	*report = (struct access_report){ .context = NULL };
}
