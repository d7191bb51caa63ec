/* What the control process may do: reach its state, the resolver's and TLS files, sockets of the internet and of unix, and execute itself. */
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

/* Before there is a second thread, and once the state directory is there. Holds for the workers too, which confine themselves further.
 * Says in one line what the kernel lacks for it. */
void sandbox_enter_control(const struct control_paths *paths);

#endif
