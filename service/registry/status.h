/* The reason of a tunnel's state. Shared by its snapshots, written by the service. Any thread. */
#ifndef WARREN_SERVICE_REGISTRY_STATUS_H
#define WARREN_SERVICE_REGISTRY_STATUS_H

#include <stdbool.h>
#include <stdint.h>

struct runtime_status;

struct runtime_status *status_create(void);
struct runtime_status *status_reference(struct runtime_status *status);
void status_release(struct runtime_status *status); /* NULL is allowed */
/* Of the worker's latest report, and whether the tunnel is up in it. Both keep 159 characters, and nothing when memory is out. */
void status_set_reason(struct runtime_status *status, bool is_up, const char *reason);
/* A reason from the control process (a name that does not resolve …), shown if the worker gave none; "" removes it. */
void status_set_obstacle(struct runtime_status *status, const char *obstacle);
/* The state itself is in the counters, which are ahead of the reports: a tunnel that is up has no reason from the time before. */
void status_get(struct runtime_status *status, bool is_up, char reason[160], char obstacle[160]);

#endif
