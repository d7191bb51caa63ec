/* Where the API is: the unix socket that warrend would use by default, or what the options name. */
#ifndef WARREN_COMMAND_API_ADDRESS_H
#define WARREN_COMMAND_API_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#define PLACE_PATH_MAX 4096

struct api_address {
	const char *url;                /* NULL: the socket */
	char socket[PLACE_PATH_MAX];    /* of --socket, else $WARREN_UNIX_SOCKET, else api.sock in the state directory */
	char state_dir[PLACE_PATH_MAX]; /* where api.addr and admin.token are: the socket's directory, else the usual one */
};

/* Borrows the options' values, which may be NULL. False with one line about what is wrong. */
bool api_address_find(struct api_address *address, const char *socket, const char *url, char failure[256]);
/* Why nothing answers at the socket, and what to do: one or two lines on stderr. `error` is connect()'s. */
void api_address_explain(const struct api_address *address, int error);

#endif
