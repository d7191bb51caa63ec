#include "service/registry/status.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 159

struct runtime_status {
	_Atomic unsigned references;
	pthread_mutex_t lock;
	struct status_report report;
	char *reason, *obstacle;    /* NULL: "". Most tunnels have neither */
	struct status_probe *probe; /* NULL: no result */
	char *source_fault;         /* NULL: none */
	int64_t source_fault_at;    /* UNIX time in ms */
	struct history *history;    /* NULL: none */
	/* of a pool */
	enum tunnel_state state;
	int64_t since; /* UNIX time in ms */
};

struct runtime_status *status_create(void)
{
	struct runtime_status *status = calloc(1, sizeof(*status));
	if (status == NULL)
		return NULL;
	status->references = 1;
	pthread_mutex_init(&status->lock, NULL);
	return status;
}

struct runtime_status *status_reference(struct runtime_status *status)
{
	status->references++;
	return status;
}

void status_release(struct runtime_status *status)
{
	if (status == NULL || --status->references > 0)
		return;
	pthread_mutex_destroy(&status->lock);
	free(status->reason);
	free(status->obstacle);
	free(status->probe);
	free(status->source_fault);
	free(status->history);
	free(status);
}

static char *copy_of(const char *text)
{
	return text[0] == '\0' ? NULL : strndup(text, LONGEST);
}

void status_set_report(struct runtime_status *status, const struct status_report *report, const char *reason)
{
	char *copy = copy_of(reason);
	pthread_mutex_lock(&status->lock);
	char *old = status->reason;
	status->reason = copy;
	status->report = *report;
	pthread_mutex_unlock(&status->lock);
	free(old);
}

void status_set_obstacle(struct runtime_status *status, const char *obstacle)
{
	char *copy = copy_of(obstacle);
	pthread_mutex_lock(&status->lock);
	char *old = status->obstacle;
	status->obstacle = copy;
	pthread_mutex_unlock(&status->lock);
	free(old);
}

void status_set_source_fault(struct runtime_status *status, const char *detail, int64_t at_ms)
{
	char *copy = detail[0] == '\0' ? NULL : strndup(detail, STATUS_SOURCE_FAULT_SIZE - 1);
	pthread_mutex_lock(&status->lock);
	char *old = status->source_fault;
	status->source_fault = copy;
	status->source_fault_at = at_ms;
	pthread_mutex_unlock(&status->lock);
	free(old);
}

bool status_get_source_fault(struct runtime_status *status, char detail[STATUS_SOURCE_FAULT_SIZE], int64_t *at_ms)
{
	pthread_mutex_lock(&status->lock);
	bool has_fault = status->source_fault != NULL;
	snprintf(detail, STATUS_SOURCE_FAULT_SIZE, "%s", has_fault ? status->source_fault : "");
	*at_ms = status->source_fault_at;
	pthread_mutex_unlock(&status->lock);
	return has_fault;
}

bool status_set_state(struct runtime_status *status, enum tunnel_state state, const char *reason, int64_t now_ms)
{
	char *copy = copy_of(reason);
	pthread_mutex_lock(&status->lock);
	bool is_other = status->since == 0 || status->state != state || strcmp(status->reason == NULL ? "" : status->reason, reason) != 0;
	char *old = status->reason;
	status->reason = copy;
	if (status->since == 0 || status->state != state)
		status->since = now_ms;
	status->state = state;
	pthread_mutex_unlock(&status->lock);
	free(old);
	return is_other;
}

enum tunnel_state status_get_state(struct runtime_status *status, char reason[160], int64_t *since)
{
	pthread_mutex_lock(&status->lock);
	enum tunnel_state state = status->since == 0 ? TUNNEL_STARTING : status->state;
	snprintf(reason, LONGEST + 1, "%s", status->reason == NULL ? "" : status->reason);
	*since = status->since;
	pthread_mutex_unlock(&status->lock);
	return state;
}

static bool is_running(enum tunnel_state state)
{
	return state == TUNNEL_HANDSHAKING || state == TUNNEL_UP || state == TUNNEL_STALE;
}

static bool is_late(const struct status_report *counters, const struct status_report *report, int64_t now_ms)
{
	return counters->generation == report->generation && counters->state != report->state && is_running(counters->state) &&
	       is_running(report->state) && now_ms >= counters->since && now_ms - counters->since < STATUS_REPORT_WAIT;
}

void status_get(struct runtime_status *status, struct status_report *told, int64_t now_ms, char reason[160], char obstacle[160])
{
	pthread_mutex_lock(&status->lock);
	if (is_late(told, &status->report, now_ms))
		*told = status->report;
	bool has_reason = status->reason != NULL && (told->state != TUNNEL_UP || status->report.state == TUNNEL_UP);
	snprintf(reason, LONGEST + 1, "%s", has_reason ? status->reason : "");
	snprintf(obstacle, LONGEST + 1, "%s", status->obstacle == NULL ? "" : status->obstacle);
	pthread_mutex_unlock(&status->lock);
}

static struct status_probe *swap_probe(struct runtime_status *status, struct status_probe *fresh)
{
	pthread_mutex_lock(&status->lock);
	struct status_probe *old = status->probe;
	if (fresh != NULL && old != NULL && fresh->exit_ip.family == 0)
		fresh->exit_ip = old->exit_ip;
	status->probe = fresh;
	pthread_mutex_unlock(&status->lock);
	return old;
}

void status_set_probe(struct runtime_status *status, const struct status_probe *probe)
{
	struct status_probe *fresh = malloc(sizeof(*fresh));
	if (fresh == NULL)
		return;
	*fresh = *probe;
	free(swap_probe(status, fresh));
}

void status_forget_probe(struct runtime_status *status)
{
	free(swap_probe(status, NULL));
}

bool status_get_probe(struct runtime_status *status, struct status_probe *probe)
{
	*probe = (struct status_probe){ .rtt_ms = -1 };
	pthread_mutex_lock(&status->lock);
	bool has_probe = status->probe != NULL;
	if (has_probe)
		*probe = *status->probe;
	pthread_mutex_unlock(&status->lock);
	return has_probe;
}

bool status_record(struct runtime_status *status, const struct history_point *point, int64_t until, size_t steps)
{
	struct history *idle = NULL;
	pthread_mutex_lock(&status->lock);
	bool is_new = status->history == NULL;
	if (is_new)
		status->history = history_create();
	if (status->history != NULL) {
		history_add(status->history, point, until, steps);
		if (history_is_idle(status->history)) {
			idle = status->history;
			status->history = NULL;
		}
	}
	bool has_begun = is_new && status->history != NULL;
	pthread_mutex_unlock(&status->lock);
	free(idle);
	return has_begun;
}

bool status_has_history(struct runtime_status *status)
{
	pthread_mutex_lock(&status->lock);
	bool has_history = status->history != NULL;
	pthread_mutex_unlock(&status->lock);
	return has_history;
}

bool status_get_history(struct runtime_status *status, struct history *history)
{
	pthread_mutex_lock(&status->lock);
	bool has_history = status->history != NULL;
	if (has_history)
		*history = *status->history;
	pthread_mutex_unlock(&status->lock);
	return has_history;
}

static void probe_save(const struct status_probe *probe, struct message_writer *writer)
{
	message_put_u8(writer, probe->ok);
	message_put_u64(writer, (uint64_t)probe->at);
	message_put_u32(writer, probe->failures);
	message_put_bytes(writer, &probe->rtt_ms, sizeof(probe->rtt_ms));
	message_put_u8(writer, probe->exit_ip.family != 0);
	if (probe->exit_ip.family != 0)
		message_put_network(writer, &probe->exit_ip);
	message_put_text(writer, probe->detail, sizeof(probe->detail));
}

static void probe_load(struct status_probe *probe, struct message_reader *reader)
{
	probe->ok = message_get_u8(reader) != 0;
	probe->at = (int64_t)message_get_u64(reader);
	probe->failures = message_get_u32(reader);
	message_get_bytes(reader, &probe->rtt_ms, sizeof(probe->rtt_ms));
	probe->exit_ip = (struct wireguard_network){ .family = 0 };
	if (message_get_u8(reader) != 0)
		message_get_network(reader, &probe->exit_ip);
	message_get_text(reader, probe->detail, sizeof(probe->detail));
}

void status_save(struct runtime_status *status, struct message_writer *writer)
{
	struct status_probe probe;
	bool has_probe = status_get_probe(status, &probe);
	pthread_mutex_lock(&status->lock);
	message_put_u8(writer, status->report.state == TUNNEL_UP);
	message_put_string(writer, status->reason);
	message_put_string(writer, status->obstacle);
	message_put_u8(writer, (uint8_t)status->state);
	message_put_u64(writer, (uint64_t)status->since);
	message_put_u8(writer, has_probe);
	if (has_probe)
		probe_save(&probe, writer);
	pthread_mutex_unlock(&status->lock);
}

void status_load(struct runtime_status *status, struct message_reader *reader)
{
	struct status_probe probe;
	pthread_mutex_lock(&status->lock);
	free(status->reason);
	free(status->obstacle);
	/* Of no generation: the counters alone tell the state until the next report. */
	status->report = (struct status_report){ .state = message_get_u8(reader) != 0 ? TUNNEL_UP : TUNNEL_STARTING };
	status->reason = message_get_string(reader, LONGEST);
	status->obstacle = message_get_string(reader, LONGEST);
	status->state = (enum tunnel_state)message_get_u8(reader);
	status->since = (int64_t)message_get_u64(reader);
	bool has_probe = message_get_u8(reader) != 0;
	if (has_probe)
		probe_load(&probe, reader);
	if (status->state >= TUNNEL_STATE_COUNT)
		reader->failed = true;
	pthread_mutex_unlock(&status->lock);
	if (has_probe && !reader->failed)
		status_set_probe(status, &probe);
}
