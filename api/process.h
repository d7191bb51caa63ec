/* The process_* metrics of the control process. Files of /proc are opened at start, before a sandbox may forbid it. */
#ifndef WARREN_API_PROCESS_H
#define WARREN_API_PROCESS_H

#include "api/text.h"

struct api_process;

struct api_process *api_process_create(void); /* NULL when out of memory */
void api_process_free(struct api_process *process);
int64_t api_process_started_ms(const struct api_process *process); /* UNIX time */
void api_process_write(struct api_process *process, struct text *text);

#endif
