/* What the daemon was started with, read again while it runs. */
#ifndef WARREN_DAEMON_RELOAD_H
#define WARREN_DAEMON_RELOAD_H

#include "daemon/options.h"
#include "service/spec/problem.h"

struct reload_start {
	int count;
	char **arguments;
	const struct options *options; /* as read then */
};

/* For service_options. The log level and the certificate take effect; of other options that differ the names are told. */
void reload_run(void *owner, struct problem *problem, json_t *reloaded, json_t *restart_needed);

#endif
