/* What is known of a tunnel besides its numbers: the reason of its state. Shared by its snapshots, written by the service. Any thread. */
#ifndef WARREN_SERVICE_STATUS_H
#define WARREN_SERVICE_STATUS_H

#include <stdint.h>

struct runtime_status;

struct runtime_status *status_create(void);
struct runtime_status *status_reference(struct runtime_status *status);
void status_release(struct runtime_status *status); /* NULL is allowed */
/* Of the worker's latest report. Both keep 159 characters, and nothing when memory is out. */
void status_set_reason(struct runtime_status *status, const char *reason);
/* Of the control process (a name that does not resolve …), which is shown when the worker gave none; "" takes it back. */
void status_set_obstacle(struct runtime_status *status, const char *obstacle);
void status_get(struct runtime_status *status, char reason[160], char obstacle[160]);

#endif
