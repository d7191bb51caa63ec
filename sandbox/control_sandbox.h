/* The control process's sandbox: it may access its state, the resolver's files and TLS files, internet and unix sockets, and execute itself. */
#ifndef WARREN_SANDBOX_CONTROL_SANDBOX_H
#define WARREN_SANDBOX_CONTROL_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

/* The paths that the options name; a pointer may be NULL. */
struct control_paths {
	const char *program; /* this one */
	const char *state_dir;
	const char *config;
	const char *tls_cert, *tls_key;
	const char *api_socket; /* the API's unix socket */
	const char *tunnels_dir, *credentials_dir;
	const char *const *read_files; /* of the fleet, each of which may be renewed; NULL ends them; or NULL */
	const char *access_log;        /* "-": the standard output */
	char *const *allow_socket;
	size_t allow_socket_count;
};

/* To be called before a second thread starts, and after the state directory exists. Applies to the workers too, which confine themselves further.
 * Logs in one line what the kernel lacks. */
void sandbox_enter_control(const struct control_paths *paths);
/* What these rules are, as a number: a program that takes the place of one with the same number is confined already. A list that is entered again
 * only adds to what the kernel keeps, and Landlock has room for 16, of which a worker needs one. */
#define SANDBOX_LAYERS_MOST 12u
uint64_t sandbox_control_edition(void);
/* The rules as text, for the program that is to follow: a sandbox is never widened, so that it may need none that this one lacks. */
#define SANDBOX_RULES_SIZE 4096
void sandbox_control_rules(char text[SANDBOX_RULES_SIZE]);
/* How many rules of this program the text of another lacks. */
unsigned sandbox_control_lacks(const char *text);
/* For such a program: what it must do itself. Before anything that may be refused, which would end it. */
void sandbox_resume_control(void);

#endif
