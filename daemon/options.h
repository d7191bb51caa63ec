/* The options of `warrend`: the command line overrides the environment, which overrides the configuration file (warrend(8)). */
#ifndef WARREN_DAEMON_OPTIONS_H
#define WARREN_DAEMON_OPTIONS_H

#include "api/server.h"
#include "ipc/log.h"
#include "service/service.h"

struct options {
	struct service_options service;
	struct api_options api;
	enum log_level log_level;
	bool log_json;
	bool help, version;
	/* The memory of the strings above. */
	char **listen, **allowed_host, **allow_socket;
	size_t listen_count, allowed_host_count, allow_socket_count;
	char *tls_cert, *tls_key;
};

/* False with one line for the user: what is wrong, where, and what to do. */
bool options_read(struct options *options, int count, char **arguments, char failure[512]);
void options_clear(struct options *options);
extern const char options_help[];

#endif
