/* The life of the API: sockets, one library daemon for each address and one for the unix socket, and the acceptor: a thread that
 * accepts for all of them and watches over connections. The operator's socket has threads and limits of its own, so that no crowd on
 * TCP locks the operator out.
 * The library does not accept by itself: without descriptors, a thread of it that has no connection yet asks again at once for ever,
 * and one that has some waits until one of its own ends, though descriptors may have come from elsewhere. */
#include "api/server.h"

#include <assert.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "api/api.h"
#include "api/certificate.h"
#include "api/clock.h"
#include "api/event_stream.h"
#include "api/listening_socket.h"
#include "api/plain_http.h"
#include "api/request.h"
#include "api/suspended_request.h"
#include "ipc/log.h"

#define LISTEN_DEFAULT "127.0.0.1:8470"
#define BIND_PATIENCE_MS 5000
#define THREADS 2u                    /* of each address */
#define CONNECTION_MEMORY (32u << 10) /* a header of 16 KiB with the library's own records */
#define INACTIVITY_S 60u
#define TICK_MS 500u
#define PAUSE_MS 100u /* when one more client cannot be accepted */
#define BEAT_MS 15000u
#define DRAIN_MS 1500u
#define FLUSH_MS 500u

struct listener {
	int descriptor;
	struct api_address address; /* of TCP */
	struct MHD_Daemon *daemon;
};

struct api_listeners {
	struct listener *list; /* the TCP addresses, then the unix socket */
	size_t count, bound;
	char unix_path[108];
	char addr_path[4200];
	pthread_t acceptor;
	bool has_acceptor;
	struct pollfd *polled; /* the acceptor's: an eventfd that stops it, then the list's sockets */
};

static bool read_tls(struct api *api, const struct api_options *options, char failure[512])
{
	assert((options->tls_cert == NULL) == (options->tls_key == NULL));
	if (options->tls_cert == NULL)
		return true;
	if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
		snprintf(failure, 512, "this libmicrohttpd was built without TLS");
		return false;
	}
	api->tls = true;
	return certificate_open(options->tls_cert, options->tls_key, failure);
}

static bool read_proxies(struct api *api, const struct api_options *options, char failure[512])
{
	for (size_t i = 0; i < options->trusted_proxy_count; i++)
		if (!api_proxies_add(&api->proxies, options->trusted_proxy[i])) {
			snprintf(failure, 512, "out of memory");
			return false;
		}
	return true;
}

static bool add_name(struct api *api, const char *name)
{
	char **names = realloc(api->hosts.names, (api->hosts.name_count + 1) * sizeof(*names));
	if (names == NULL)
		return false;
	api->hosts.names = names;
	names[api->hosts.name_count] = strdup(name);
	return names[api->hosts.name_count++] != NULL;
}

/* Checks which addresses are permitted (warrend(8), --listen). */
static bool is_allowed(const struct api_options *options, const struct api_address *address, const char *written, char failure[512])
{
	if (api_listening_socket_is_loopback(address))
		return true;
	if (options->no_auth)
		snprintf(failure, 512, "--no-auth is permitted on loopback addresses only, and %.100s is not one", written);
	else if (!options->allow_remote)
		snprintf(failure, 512, "%.100s can be reached from outside: give --allow-remote, --tls-cert and --tls-key", written);
	else if (options->tls_cert == NULL)
		snprintf(failure, 512, "%.100s can be reached from outside: give --tls-cert and --tls-key", written);
	else
		return true;
	return false;
}

static bool check_address(const struct api_options *options, const char *written, char failure[512])
{
	struct api_address address;
	char host[256];
	if (api_listening_socket_parse(written, &address, host))
		return is_allowed(options, &address, written, failure);
	snprintf(failure, 512, "--listen %.200s is not HOST:PORT, for example 127.0.0.1:8470 or [::1]:8470", written);
	return false;
}

static bool unix_path(const struct api_options *options, char path[108], char failure[512])
{
	int length =
	    options->unix_socket[0] ? snprintf(path, 108, "%s", options->unix_socket) : snprintf(path, 108, "%.4000s/api.sock", options->state_dir);
	if (length >= 0 && length < 108)
		return true;
	path[0] = '\0';
	snprintf(failure, 512, "the path of the unix socket has %d bytes; at most 107 are possible: give a shorter one with --unix-socket", length);
	return false;
}

static bool is_origin(const char *written)
{
	const char *host = strncmp(written, "https://", 8) == 0 ? written + 8 : strncmp(written, "http://", 7) == 0 ? written + 7 : "";
	return *host != '\0' && strcspn(host, "/?#@ ") == strlen(host);
}

static bool check_proxies(const struct api_options *options, char failure[512])
{
	struct wireguard_network network;
	for (size_t i = 0; i < options->trusted_proxy_count; i++)
		if (!network_parse(options->trusted_proxy[i], false, &network)) {
			snprintf(failure, 512, "--trusted-proxy %.100s is no address or network, such as 192.0.2.1 or 192.0.2.0/24",
			         options->trusted_proxy[i]);
			return false;
		}
	for (size_t i = 0; i < options->allowed_origin_count; i++)
		if (!is_origin(options->allowed_origin[i])) {
			snprintf(failure, 512, "--allowed-origin %.100s is no origin, such as https://warren.example or https://warren.example:8443",
			         options->allowed_origin[i]);
			return false;
		}
	if (options->trusted_proxy_count > 0 && options->no_auth)
		snprintf(failure, 512, "--no-auth and --trusted-proxy exclude each other: everybody whom the proxy lets in would be an admin");
	return options->trusted_proxy_count == 0 || !options->no_auth;
}

bool api_check_options(const struct api_options *options, char failure[512])
{
	char path[108];
	for (size_t i = 0; i < options->listen_count; i++)
		if (!check_address(options, options->listen[i], failure))
			return false;
	return check_proxies(options, failure) && unix_path(options, path, failure);
}

size_t api_listener_count(const struct api_options *options)
{
	return (options->listen_count > 0 ? options->listen_count : 1) + 1;
}

/* -1: there is none. */
static int take_inherited(const struct api_options *options, size_t index)
{
	return options->inherited_count == api_listener_count(options) ? options->inherited[index] : -1;
}

static bool bind_tcp(struct api *api, const struct api_options *options, const char *written, char failure[512])
{
	struct api_listeners *all = api->listeners;
	struct listener *listener = &all->list[all->bound];
	char host[256];
	if (!api_listening_socket_parse(written, &listener->address, host))
		return false;
	listener->descriptor = take_inherited(options, all->bound);
	if (listener->descriptor >= 0)
		(void)getsockname(listener->descriptor, (struct sockaddr *)&listener->address.any, &listener->address.length);
	else
		listener->descriptor = api_listening_socket_open(&listener->address, BIND_PATIENCE_MS);
	if (listener->descriptor < 0) {
		snprintf(failure, 512, "%.200s: %s%s", written, strerror(errno),
		         errno == EADDRINUSE ? "; stop the program that listens there, or give another --listen HOST:PORT (port 0: any free port)"
		                             : "");
		return false;
	}
	all->bound++;
	/* A literal needs no entry: Host is compared with the local address. */
	struct in6_addr literal;
	bool is_name = inet_pton(AF_INET, host, &literal) != 1 && inet_pton(AF_INET6, host, &literal) != 1;
	if (service_protect(api->service, (const struct sockaddr *)&listener->address.any) && (!is_name || add_name(api, host)))
		return true;
	snprintf(failure, 512, "out of memory");
	return false;
}

static void tell_no_socket(const char *path, char failure[512])
{
	snprintf(failure, 512, "the API's socket %s (--unix-socket) cannot be made: %s", path, strerror(errno));
}

static bool bind_unix(struct api *api, const struct api_options *options, char failure[512])
{
	struct api_listeners *all = api->listeners;
	struct listener *listener = &all->list[all->bound];
	if (!unix_path(options, all->unix_path, failure))
		return false;
	int inherited = take_inherited(options, all->bound);
	listener->descriptor = inherited >= 0 ? inherited : api_listening_socket_open_unix(all->unix_path);
	if (listener->descriptor < 0) {
		tell_no_socket(all->unix_path, failure);
		all->unix_path[0] = '\0';
		return false;
	}
	all->bound++;
	if (options->socket_group != NULL && !api_socket_group_open(all->unix_path, options->socket_gid)) {
		snprintf(failure, 512, "%s cannot be given to the group %.100s: %s", all->unix_path, options->socket_group, strerror(errno));
		return false;
	}
	if (service_protect_path(api->service, all->unix_path))
		return true;
	snprintf(failure, 512, "out of memory");
	return false;
}

static bool bind_all(struct api *api, const struct api_options *options, char failure[512])
{
	struct api_listeners *all = api->listeners;
	size_t count = options->listen_count > 0 ? options->listen_count : 1;
	all->list = calloc(count + 1, sizeof(*all->list));
	if (all->list == NULL) {
		snprintf(failure, 512, "out of memory");
		return false;
	}
	all->count = count + 1;
	for (size_t i = 0; i < count; i++)
		if (!bind_tcp(api, options, options->listen_count > 0 ? options->listen[i] : LISTEN_DEFAULT, failure))
			return false;
	for (size_t i = 0; i < options->allowed_host_count; i++)
		if (!add_name(api, options->allowed_host[i]))
			return false;
	return bind_unix(api, options, failure);
}

static struct api *create_parts(struct service *service)
{
	struct api *api = calloc(1, sizeof(*api));
	if (api == NULL)
		return NULL;
	api->service = service;
	api->listeners = calloc(1, sizeof(*api->listeners));
	api->connections = api_http_connections_create();
	api->measure = api_measure_create();
	api->process = api_process_create();
	api->audit = api_audit_create();
	api->suspended_requests = api_suspended_requests_create();
	api->streams = api_streams_create(service_events(service));
	if (api->listeners != NULL && api->connections != NULL && api->measure != NULL && api->process != NULL && api->audit != NULL &&
	    api->suspended_requests != NULL && api->streams != NULL)
		return api;
	api_free(api);
	return NULL;
}

struct api *api_create(const struct api_options *options, struct service *service, char failure[512])
{
	snprintf(failure, 512, "out of memory");
	if (sodium_init() < 0)
		return NULL;
	struct api *api = create_parts(service);
	if (api == NULL)
		return NULL;
	api->no_auth = options->no_auth;
	api->aead = options->aead;
	api->given = options->given;
	api->hosts.origins = options->allowed_origin;
	api->hosts.origin_count = options->allowed_origin_count;
	api_http_connections_trust(api->connections, options->socket_group != NULL ? options->socket_gid : SOCKET_GROUP_NONE, &api->proxies);
	snprintf(api->listeners->addr_path, sizeof(api->listeners->addr_path), "%s/api.addr", options->state_dir);
	bool good = read_proxies(api, options, failure) && read_tls(api, options, failure) && bind_all(api, options, failure);
	if (good)
		api->auth = api_auth_create(service, options->state_dir, failure);
	if (good && api->auth != NULL)
		return api;
	api_free(api);
	return NULL;
}

static void log_library(void *context, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));
static void log_library(void *context, const char *format, va_list arguments)
{
	(void)context;
	char line[256];
	vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\r\n")] = '\0';
	log_line(LOG_DEBUG, NULL, "libmicrohttpd: %s", line);
}

static void notify(void *context, struct MHD_Connection *connection, void **client, enum MHD_ConnectionNotificationCode code)
{
	const struct api *api = context;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		*client = info != NULL ? api_http_connection_take_up(api->connections, info->connect_fd) : NULL;
		const union MHD_ConnectionInfo *tls = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
		if (*client != NULL && tls != NULL && tls->tls_session != NULL)
			api_plain_http_watch(api_http_connection_plain(*client), tls->tls_session, info->connect_fd);
	} else if (*client != NULL) {
		api_http_connection_close(api->connections, *client);
		*client = NULL;
	}
}

static struct MHD_Daemon *start_daemon(struct api *api, bool with_tls)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
	                 (with_tls ? (unsigned)MHD_USE_TLS : 0u);
	/* The limits are counted in http_connection.c, so that some are left for health checks; the library's own must never be reached. */
	intptr_t limit = (intptr_t)THREADS * 4 * (CONNECTIONS_MAX + CONNECTIONS_RESERVE);
	struct MHD_OptionItem options[] = {
		{ MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)log_library, NULL },
		{ MHD_OPTION_THREAD_POOL_SIZE, THREADS, NULL },
		{ MHD_OPTION_CONNECTION_LIMIT, limit, NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, INACTIVITY_S, NULL },
		{ MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)api_request_begin, api },
		{ MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)api_request_completed, api },
		{ MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)notify, api },
		{ with_tls ? MHD_OPTION_HTTPS_CERT_CALLBACK2 : MHD_OPTION_END, 0, (void *)(intptr_t)certificate_retrieve },
		{ MHD_OPTION_END, 0, NULL },
	};
	return MHD_start_daemon(flags, 0, NULL, NULL, api_request_handle, api, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

/* A tunnel's target that was made to lead here, or a compromised worker: a legitimate caller is another process. */
static bool is_from_within(const struct api *api, int descriptor)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && service_has_process(api->service, peer.pid);
}

/* Accepts one client. False if the system has no room for it. */
static bool accept_client(struct api *api, const struct listener *listener)
{
	struct api_address from = { .length = sizeof(from.any) };
	struct sockaddr *address = (struct sockaddr *)&from.any;
	int descriptor = accept4(listener->descriptor, address, &from.length, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (descriptor < 0)
		return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
	bool is_welcome = !is_from_within(api, descriptor) && api_http_connections_admit(api->connections, address);
	struct api_http_connection *connection = is_welcome ? api_http_connection_open(api->connections, descriptor, api_clock_ms()) : NULL;
	if (connection == NULL)
		close(descriptor);
	else if (MHD_add_connection(listener->daemon, descriptor, address, from.length) != MHD_YES)
		api_http_connection_close(api->connections, connection); /* the library closed the descriptor */
	return true;
}

static bool accept_clients(struct api *api)
{
	const struct api_listeners *all = api->listeners;
	bool has_room = true;
	for (size_t i = 0; i < all->bound; i++)
		if (all->polled[1 + i].revents)
			has_room = accept_client(api, &all->list[i]) && has_room;
	return has_room;
}

static void *run_acceptor(void *context)
{
	struct api *api = context;
	struct api_listeners *all = api->listeners;
	uint64_t now = api_clock_ms(), next_tick = now + TICK_MS, next_beat = now + BEAT_MS;
	bool has_room = true;
	while (!all->polled[0].revents) {
		/* Sockets that cannot be served are not polled for a while, since they would always be ready. */
		if (poll(all->polled, has_room ? 1 + all->bound : 1, has_room ? (int)(next_tick - now) : (int)PAUSE_MS) > 0 && has_room)
			has_room = accept_clients(api);
		else
			has_room = true;
		now = api_clock_ms();
		if (now >= next_tick) {
			api_http_connections_expire(api->connections, now);
			api_streams_check(api->streams, api->auth);
			next_tick = now + TICK_MS;
		}
		if (now >= next_beat) {
			api_streams_beat(api->streams);
			next_beat = now + BEAT_MS;
		}
	}
	return NULL;
}

static bool start_acceptor(struct api *api, char failure[512])
{
	struct api_listeners *all = api->listeners;
	all->polled = calloc(1 + all->bound, sizeof(*all->polled));
	int stop = all->polled != NULL ? eventfd(0, EFD_CLOEXEC) : -1;
	if (stop >= 0) {
		all->polled[0] = (struct pollfd){ .fd = stop, .events = POLLIN };
		for (size_t i = 0; i < all->bound; i++)
			all->polled[1 + i] = (struct pollfd){ .fd = all->list[i].descriptor, .events = POLLIN };
		all->has_acceptor = pthread_create(&all->acceptor, NULL, run_acceptor, api) == 0;
		if (!all->has_acceptor)
			close(stop);
	}
	if (!all->has_acceptor)
		snprintf(failure, 512, "the API's accept thread cannot be started");
	return all->has_acceptor;
}

/* Written to a temporary file and renamed, so that nobody reads a partial one. */
static bool write_addr(const struct api_listeners *all)
{
	char aside[4208], address[64];
	snprintf(aside, sizeof(aside), "%s.new", all->addr_path);
	api_listening_socket_format(&all->list[0].address, address);
	int descriptor = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (descriptor < 0)
		return false;
	bool written = dprintf(descriptor, "%s\n", address) > 0;
	close(descriptor);
	return written && rename(aside, all->addr_path) == 0;
}

static bool start_all(struct api *api, char failure[512])
{
	struct api_listeners *all = api->listeners;
	for (size_t i = 0; i < all->bound; i++) {
		bool is_unix = i + 1 == all->count;
		all->list[i].daemon = start_daemon(api, api->tls && !is_unix);
		if (all->list[i].daemon == NULL) {
			snprintf(failure, 512, "the API cannot be started: out of memory or threads");
			return false;
		}
	}
	return start_acceptor(api, failure);
}

bool api_serve(struct api *api, char failure[512])
{
	/* The main thread handles signals, except the sandbox's. */
	sigset_t all_signals, before;
	sigfillset(&all_signals);
	sigdelset(&all_signals, SIGSYS);
	pthread_sigmask(SIG_SETMASK, &all_signals, &before);
	bool started = start_all(api, failure);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!started)
		return false;
	if (!write_addr(api->listeners)) {
		snprintf(failure, 512, "%.400s: %s", api->listeners->addr_path, strerror(errno));
		return false;
	}
	char address[64];
	api_listening_socket_format(&api->listeners->list[0].address, address);
	log_line(LOG_INFO, NULL, "the API answers on %s://%s and %s", api->tls ? "https" : "http", address, api->listeners->unix_path);
	return true;
}

bool api_check_socket(const struct api_options *options, char failure[512])
{
	char directory[108];
	/* Without the option it is in the state directory, which a start makes. */
	if (options->unix_socket[0] == '\0' || !unix_path(options, directory, failure))
		return true;
	char *slash = strrchr(directory, '/');
	if (slash != NULL)
		slash[slash == directory ? 1 : 0] = '\0';
	int found = open(slash == NULL ? "." : directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (found < 0)
		tell_no_socket(options->unix_socket, failure);
	else
		close(found);
	return found >= 0;
}

bool api_check_certificate(const struct api_options *options, char failure[512])
{
	if (options->tls_cert == NULL || options->tls_key == NULL)
		return true;
	bool is_good = certificate_open(options->tls_cert, options->tls_key, failure);
	if (is_good)
		certificate_close();
	return is_good;
}

bool api_reload_certificate(char failure[512])
{
	return certificate_reload(failure);
}

static void stop_acceptor(struct api_listeners *all)
{
	if (!all->has_acceptor)
		return;
	eventfd_write(all->polled[0].fd, 1);
	pthread_join(all->acceptor, NULL);
	close(all->polled[0].fd);
	all->has_acceptor = false;
}

/* False if that was done before. */
static bool end_requests(struct api *api)
{
	struct api_listeners *all = api->listeners;
	if (atomic_exchange(&api->quiescing, true))
		return false;
	stop_acceptor(all);
	api_streams_end(api->streams);
	api_suspended_requests_drain(api->suspended_requests, DRAIN_MS);
	/* Replies are sent before the connections are closed. */
	for (unsigned waited = 0; atomic_load(&api->active) > 0 && waited < FLUSH_MS; waited += 5)
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	for (size_t i = 0; i < all->bound; i++) {
		if (all->list[i].daemon != NULL)
			MHD_stop_daemon(all->list[i].daemon);
		all->list[i].daemon = NULL;
	}
	return true;
}

size_t api_leave(struct api *api, int *descriptors)
{
	struct api_listeners *all = api->listeners;
	size_t count = all->bound;
	if (!end_requests(api))
		return 0;
	for (size_t i = 0; i < count; i++)
		descriptors[i] = all->list[i].descriptor;
	all->bound = 0;
	return count;
}

void api_quiesce(struct api *api)
{
	struct api_listeners *all = api->listeners;
	if (all == NULL || !end_requests(api))
		return;
	for (size_t i = 0; i < all->bound; i++)
		close(all->list[i].descriptor);
	all->bound = 0;
	if (all->unix_path[0])
		unlink(all->unix_path);
	unlink(all->addr_path);
}

static void free_listeners(struct api_listeners *all)
{
	if (all == NULL)
		return;
	certificate_close();
	free(all->polled);
	free(all->list);
	free(all);
}

void api_free(struct api *api)
{
	if (api == NULL)
		return;
	api_quiesce(api);
	for (size_t i = 0; i < api->hosts.name_count; i++)
		free(api->hosts.names[i]);
	free(api->hosts.names);
	api_auth_free(api->auth);
	api_proxies_clear(&api->proxies);
	api_audit_free(api->audit);
	api_http_connections_free(api->connections);
	api_measure_free(api->measure);
	api_process_free(api->process);
	api_suspended_requests_free(api->suspended_requests);
	api_streams_free(api->streams);
	free_listeners(api->listeners);
	free(api);
}
