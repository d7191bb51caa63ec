/* The control API over libmicrohttpd, on TCP addresses and a unix socket. */
#ifndef WARREN_API_SERVER_H
#define WARREN_API_SERVER_H

#include "api/socket_group.h"
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
	char *tls_cert, *tls_key; /* files, or both NULL */
	bool no_auth;
	const char *socket_group; /* or NULL */
	gid_t socket_gid;         /* of socket_group, as api_socket_group_enter has found it */
	char **trusted_proxy;     /* "192.0.2.1" or "192.0.2.0/24" */
	size_t trusted_proxy_count;
	char **allowed_origin; /* "https://warren.example" */
	size_t allowed_origin_count;
	enum aead_backend aead; /* for GET /v1/info */
	const char *given;      /* the daemon's options that are not at their defaults, as a JSON object, for GET /v1/info; no secret is an option */
	/* The listening sockets of the program before, from api_leave; taken. None: they are opened. */
	int *inherited;
	size_t inherited_count;
};

/* Checks the options before anything is started; false with one line for the user. */
bool api_check_options(const struct api_options *options, char failure[512]);
/* Whether the directory of the socket that the options name is there. */
bool api_check_socket(const struct api_options *options, char failure[512]);
/* Whether certificate and key can be read and belong together. Not while an API exists. */
bool api_check_certificate(const struct api_options *options, char failure[512]);
/* Binds all sockets, creates the admin token and tells the service which sockets to protect. Requests are answered only after api_serve, which writes
 * STATE_DIR/api.addr. The options must have been checked. NULL with one line for the user. */
struct api *api_create(const struct api_options *options, struct service *service, char failure[512]);
bool api_serve(struct api *api, char failure[512]);
/* Reads the certificate and its key again. False with one line: the old ones stay in use. Any thread. */
bool api_reload_certificate(char failure[512]);
/* Accepts no new requests, answers the pending ones, then closes the sockets. To be called before service_free. */
void api_quiesce(struct api *api);
/* The same for a program that takes this one's place: the sockets stay open, and are the caller's, in the order of the options (`descriptors` has
 * room for api_listener_count). Returns how many. */
size_t api_leave(struct api *api, int *descriptors);
size_t api_listener_count(const struct api_options *options);
void api_free(struct api *api);

#endif
