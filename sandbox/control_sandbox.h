/* The control process's sandbox: it may access its state, the resolver's files and TLS files, internet and unix sockets, and execute itself. */
#ifndef WARREN_SANDBOX_CONTROL_SANDBOX_H
#define WARREN_SANDBOX_CONTROL_SANDBOX_H

#include <stddef.h>

/* The paths that the options name; a pointer may be NULL. */
struct control_paths {
	const char *state_dir;
	const char *tls_cert, *tls_key;
	const char *api_socket; /* the API's unix socket */
	char *const *allow_socket;
	size_t allow_socket_count;
};

/* To be called before a second thread starts, and after the state directory exists. Applies to the workers too, which confine themselves further.
 * Logs in one line what the kernel lacks. */
void sandbox_enter_control(const struct control_paths *paths);

#endif
