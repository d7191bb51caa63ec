/* The API's private struct, shared by all requests. server.h is the interface for the daemon. */
#ifndef WARREN_API_API_H
#define WARREN_API_API_H

#include <stdatomic.h>
#include <stdbool.h>

#include "api/audit.h"
#include "api/auth.h"
#include "api/forwarded.h"
#include "api/host.h"
#include "api/http_connection.h"
#include "api/measure.h"
#include "api/process.h"
#include "service/service.h"

struct api_listeners;
struct api_streams;
struct api_suspended_requests;

struct api {
	struct service *service; /* borrowed */
	bool no_auth, tls;
	enum aead_backend aead; /* as in the options */
	const char *given;      /* as in the options */
	struct api_host_rules hosts;
	struct api_proxies proxies;
	struct api_auth *auth;
	struct api_audit *audit;
	struct api_http_connections *connections;
	struct api_measure *measure;
	struct api_process *process;
	struct api_suspended_requests *suspended_requests; /* changes that are in progress in the service */
	struct api_streams *streams;                       /* readers of /v1/events */
	struct api_listeners *listeners;
	atomic_size_t body_bytes; /* of all bodies in memory */
	atomic_size_t active;     /* requests that are not completed */
	atomic_bool quiescing;
};

#endif
