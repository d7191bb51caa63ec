/* The control API over libmicrohttpd, on TCP addresses and a unix socket. */
#ifndef WARREN_API_SERVER_H
#define WARREN_API_SERVER_H

#include "service/service.h"

struct api;

struct api_options {
	char state_dir[4096];
	char **listen; /* "HOST:PORT", port 0 allowed; none: "127.0.0.1:8470" */
	size_t listen_count;
	char unix_socket[108]; /* empty: STATE_DIR/api.sock */
	bool allow_remote;
	char **allowed_host;
	size_t allowed_host_count;
	char *tls_cert, *tls_key; /* files, or NULL */
	bool no_auth;
};

/* Checks the options before anything is started; false with one line for the user. */
bool api_check_options(const struct api_options *options, char failure[512]);
/* Binds all sockets, creates the admin token and tells the service which sockets to protect. Requests are answered only after api_serve, which writes
 * STATE_DIR/api.addr. The options must have been checked. NULL with one line for the user. */
struct api *api_create(const struct api_options *options, struct service *service, char failure[512]);
bool api_serve(struct api *api, char failure[512]);
/* Accepts no new requests, answers the pending ones, then closes the sockets. To be called before service_free. */
void api_quiesce(struct api *api);
void api_free(struct api *api);

#endif
