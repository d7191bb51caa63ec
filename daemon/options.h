/* The options of `warrend`: the command line overrides the environment, which overrides the configuration file (warrend(8)). */
#ifndef WARREN_DAEMON_OPTIONS_H
#define WARREN_DAEMON_OPTIONS_H

#include "api/server.h"
#include "ipc/log.h"
#include "service/service.h"

#define OPTIONS_MOST 32

struct options {
	struct service_options service;
	struct api_options api;
	enum log_level log_level;
	bool log_json;
	bool help, version, check;
	/* The memory of the strings above. */
	char **listen, **allowed_host, **allow_socket, **trusted_proxy, **allowed_origin;
	size_t listen_count, allowed_host_count, allow_socket_count, trusted_proxy_count, allowed_origin_count;
	char *tls_cert, *tls_key, *socket_group, *given_json;
	struct fleet_options fleet;
	char *config;              /* the configuration file, or NULL */
	char *given[OPTIONS_MOST]; /* of each option the values that count, separated by commas; NULL: the default */
	char **faults;             /* with `check`: all of them */
	size_t fault_count;
};

/* False with one line for the user: what is wrong, where, and what to do. With --check, all faults of files and values are in `faults`, too. */
bool options_read(struct options *options, int count, char **arguments, char failure[512]);
/* The name, as in a configuration file, of the next option from `at` on whose values differ, or NULL. */
const char *options_difference(const struct options *a, const struct options *b, size_t *at, char name[64]);
void options_clear(struct options *options);
extern const char options_help[];

#endif
