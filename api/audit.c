#include "api/audit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/clock.h"
#include "api/request.h"
#include "ipc/log.h"

#define EVERY_MS 1000
#define ADDRESSES 256 /* that are told apart; the one that is quiet for longest makes room */
#define LINES_MOST 16 /* of refused credentials in a second, for all addresses */

struct refuser {
	char client[API_CLIENT_SIZE]; /* empty: unused */
	uint64_t told_ms;             /* the latest line */
	uint64_t count;               /* refused since */
};

struct api_audit {
	pthread_mutex_t lock;
	struct refuser refusers[ADDRESSES];
	uint64_t second, lines; /* written in this second */
	uint64_t refusals;
};

struct api_audit *api_audit_create(void)
{
	struct api_audit *audit = calloc(1, sizeof(*audit));
	if (audit != NULL)
		pthread_mutex_init(&audit->lock, NULL);
	return audit;
}

void api_audit_free(struct api_audit *audit)
{
	if (audit == NULL)
		return;
	pthread_mutex_destroy(&audit->lock);
	free(audit);
}

uint64_t api_audit_refusals(struct api_audit *audit)
{
	pthread_mutex_lock(&audit->lock);
	uint64_t refusals = audit->refusals;
	pthread_mutex_unlock(&audit->lock);
	return refusals;
}

static struct refuser *find(struct api_audit *audit, const char *client)
{
	struct refuser *oldest = &audit->refusers[0];
	for (size_t i = 0; i < ADDRESSES; i++) {
		struct refuser *refuser = &audit->refusers[i];
		if (strcmp(refuser->client, client) == 0)
			return refuser;
		if (refuser->told_ms < oldest->told_ms)
			oldest = refuser;
	}
	*oldest = (struct refuser){ .told_ms = 0 };
	snprintf(oldest->client, sizeof(oldest->client), "%s", client);
	return oldest;
}

/* How many refusals of this client a line now stands for; 0: no line. */
static uint64_t take_turn(struct api_audit *audit, const char *client, bool is_credential, uint64_t now_ms)
{
	uint64_t count = 0;
	pthread_mutex_lock(&audit->lock);
	struct refuser *refuser = find(audit, client);
	audit->refusals += is_credential;
	refuser->count++;
	if (now_ms / EVERY_MS != audit->second) {
		audit->second = now_ms / EVERY_MS;
		audit->lines = 0;
	}
	bool is_due = refuser->told_ms == 0 || now_ms - refuser->told_ms >= EVERY_MS;
	if (is_due && audit->lines < LINES_MOST) {
		audit->lines++;
		count = refuser->count;
		*refuser = (struct refuser){ .told_ms = now_ms };
		snprintf(refuser->client, sizeof(refuser->client), "%s", client);
	}
	pthread_mutex_unlock(&audit->lock);
	return count;
}

static void write_line(enum log_level level, const struct api_request *request, unsigned status, uint64_t count)
{
	/* The query is omitted, because it may contain a misplaced secret. */
	char path[256];
	snprintf(path, sizeof(path), "%.*s", (int)strcspn(request->raw, "?"), request->raw);
	const struct log_field fields[] = {
		{ .name = "actor", .text = request->caller.name }, { .name = "client", .text = request->from },
		{ .name = "method", .text = request->method },     { .name = "path", .text = path },
		{ .name = "object", .text = request->object },     { .name = "status", .number = status },
		{ .name = "request_id", .text = request->id },     { .name = "count", .number = count },
	};
	size_t all = sizeof(fields) / sizeof(fields[0]);
	log_event(level, NULL, "audit", fields, count > 0 ? all : all - 1);
}

static bool is_read(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/* A write that was refused for its Origin or Host, before anybody asked who sends it. */
static bool is_foreign_write(const struct api_request *request)
{
	enum problem_code code = request->problem.code;
	return request->caller.scopes == SCOPE_NONE && !is_read(request->method) && (code == PROBLEM_FORBIDDEN || code == PROBLEM_MISDIRECTED);
}

void api_audit_record(struct api_audit *audit, const struct api_request *request, unsigned status, uint64_t duration_us)
{
	const char *path = request->route != NULL ? request->route->path : "(no route)";
	log_line(LOG_DEBUG, NULL, "api %.16s %s %u in %llu us, request %s", request->method, path, status, (unsigned long long)duration_us,
	         request->id);
	bool is_credential = request->problem.code == PROBLEM_UNAUTHORIZED;
	if (is_credential || is_foreign_write(request)) {
		uint64_t count = take_turn(audit, request->from, is_credential, api_clock_ms());
		if (count > 0)
			write_line(LOG_WARN, request, status, count);
	} else if (request->caller.scopes != SCOPE_NONE && !is_read(request->method)) {
		write_line(LOG_INFO, request, status, 0);
	}
}
