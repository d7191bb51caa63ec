/* The reason of a tunnel's state, and the last result of its probe. Shared by its snapshots, written by the service. Any thread. */
#ifndef WARREN_SERVICE_REGISTRY_STATUS_H
#define WARREN_SERVICE_REGISTRY_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/message.h"
#include "ipc/network.h"
#include "service/registry/history.h"

struct runtime_status;

/* The last result of the periodic probe. */
struct status_probe {
	bool ok;
	int64_t at;                       /* UNIX time in ms */
	uint32_t failures;                /* in a row */
	double rtt_ms;                    /* negative: there is none */
	struct wireguard_network exit_ip; /* of the last success of an exit_ip probe, else family 0 */
	char detail[160];
};

struct runtime_status *status_create(void);
struct runtime_status *status_reference(struct runtime_status *status);
void status_release(struct runtime_status *status); /* NULL is allowed */
/* What a worker says of a tunnel's state. */
struct status_report {
	uint64_t generation;
	enum tunnel_state state;
	int64_t since; /* UNIX time in ms */
};

/* The worker's latest report with its reason, of which 159 characters are kept, and nothing when memory is out. */
void status_set_report(struct runtime_status *status, const struct status_report *report, const char *reason);
/* A reason from the control process (a name that does not resolve …), shown if the worker gave none; "" removes it. */
void status_set_obstacle(struct runtime_status *status, const char *obstacle);
/* What is wrong with the file that makes the tunnel, or with its record in the fleet, since when (UNIX time in ms); "": nothing. */
void status_set_source_fault(struct runtime_status *status, const char *detail, int64_t at_ms);
#define STATUS_SOURCE_FAULT_SIZE 512
bool status_get_source_fault(struct runtime_status *status, char detail[STATUS_SOURCE_FAULT_SIZE], int64_t *at_ms); /* false: nothing */
/* A pool's own state, which is found here and not by its worker; returns whether it differs from the one before. */
bool status_set_state(struct runtime_status *status, enum tunnel_state state, const char *reason, int64_t now_ms);
enum tunnel_state status_get_state(struct runtime_status *status, char reason[160], int64_t *since);
/* An exit_ip of family 0 leaves the one that is known. */
void status_set_probe(struct runtime_status *status, const struct status_probe *probe);
void status_forget_probe(struct runtime_status *status);                          /* it is another one now */
bool status_get_probe(struct runtime_status *status, struct status_probe *probe); /* false: none, and `probe` is zero */
/* Adds a point to the history, which is begun if there is none; one that is idle is forgotten instead. Returns whether it was begun; memory that is
 * out begins none. */
bool status_record(struct runtime_status *status, const struct history_point *point, int64_t until, size_t steps);
bool status_has_history(struct runtime_status *status);
bool status_get_history(struct runtime_status *status, struct history *history); /* a copy; false: none */
/* For the program that takes this one's place. */
void status_save(struct runtime_status *status, struct message_writer *writer);
void status_load(struct runtime_status *status, struct message_reader *reader);
/* The counters are ahead of the reports, which have the reasons. A state is told with its own reason: `told` is what the counters say, and becomes
 * the report before while that of the same generation is on its way, for STATUS_REPORT_WAIT at most. A tunnel that is up has no reason from the time
 * before. */
#define STATUS_REPORT_WAIT 1000 /* ms */
void status_get(struct runtime_status *status, struct status_report *told, int64_t now_ms, char reason[160], char obstacle[160]);

#endif
