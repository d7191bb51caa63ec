#include "service/socket/host_socket.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <fcntl.h>

#include "ipc/endpoint.h"
#include "ipc/place.h"

#define BACKLOG 1024
#define UNSENT_MOST (128 * 1024)
#define BUFFER_SIZE (7 << 20) /* measured: reduces a fast sender's losses from thousands of packets to none */

static void set_option(int descriptor, int level, int option, int value)
{
	(void)setsockopt(descriptor, level, option, &value, sizeof(value));
}

#define KEEPALIVE_IDLE 60 /* seconds */
#define KEEPALIVE_EVERY 15
#define KEEPALIVE_COUNT 4

/* What a listener accepts inherits all. Without the second the kernel takes 4 MB for a client that reads nothing, and the receive window
 * grows after a client that seems so quick; what is on its way to the client does not count, so that a long path to it stays full. The rest
 * finds a client that is gone without a word, two minutes later; an idle one that answers is kept (tunnel/proxy/relay.c). */
static void tune_stream(int descriptor)
{
	set_option(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_MOST);
	set_option(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE);
	set_option(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY);
	set_option(descriptor, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
}

static struct host_socket *adopt(enum host_socket_kind kind, int descriptor, int *error)
{
	struct host_socket *socket = calloc(1, sizeof(*socket));
	if (socket == NULL) {
		*error = ENOMEM;
		close(descriptor);
		return NULL;
	}
	socket->references = 1;
	socket->kind = kind;
	socket->descriptor = descriptor;
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	if (kind != HOST_SOCKET_UNIX && getsockname(descriptor, (struct sockaddr *)&address, &length) == 0)
		endpoint_from((struct sockaddr *)&address, &socket->bound);
	return socket;
}

/* Lets another socket of this user be bound to the same port. If both sockets have SO_REUSEPORT, the kernel requires the same user; SO_REUSEADDR
 * would admit any. It is on only during a bind, so that a port in use is a conflict at all other times. */
static void share(int descriptor, bool on)
{
	set_option(descriptor, SOL_SOCKET, SO_REUSEPORT, on);
}

static int open_inet(const union wireguard_endpoint *address, enum spec_transport transport, bool v6_only, bool beside, int *error)
{
	int type = transport == SPEC_TCP ? SOCK_STREAM : SOCK_DGRAM;
	int descriptor = socket(address->any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (descriptor < 0) {
		*error = errno;
		return -1;
	}
	/* So that connections in TIME-WAIT do not block the port. For UDP it would share the port. Not for a port chosen by the system, since with
	 * the option set the kernel searches only half of the range, which takes 2 ms per port once that is full. */
	bool chosen = endpoint_port(address) != 0;
	if (transport == SPEC_TCP && chosen)
		set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
	if (address->any.sa_family == AF_INET6)
		set_option(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, v6_only);
	if (transport == SPEC_TCP)
		tune_stream(descriptor);
	else
		set_option(descriptor, SOL_SOCKET, SO_RXQ_OVFL, 1);
	share(descriptor, beside);
	bool bound = bind(descriptor, &address->any, endpoint_length(address)) == 0;
	if (bound && transport == SPEC_TCP && !chosen)
		set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
	if (bound && (transport == SPEC_UDP || listen(descriptor, BACKLOG) == 0)) {
		share(descriptor, false);
		return descriptor;
	}
	*error = errno;
	close(descriptor);
	return -1;
}

/* Removes the socket file of a dead process; a file that is not a socket is left alone. */
static void remove_stale(int directory, const char *name)
{
	struct sockaddr_un address;
	struct stat info;
	int file = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int descriptor = file < 0 ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool is_stale = descriptor >= 0 && fstat(file, &info) == 0 && S_ISSOCK(info.st_mode) && socket_path_address(file, NULL, &address) &&
	                connect(descriptor, (const struct sockaddr *)&address, sizeof(address)) != 0 && errno == ECONNREFUSED;
	if (is_stale)
		unlinkat(directory, name, 0);
	if (descriptor >= 0)
		close(descriptor);
	if (file >= 0)
		close(file);
}

/* A listening socket in the place's directory, or -1. The mode of a socket before bind is the mode of its file: there is no moment in which
 * others could connect, and no file whose mode is changed by its name. */
static int listen_unix(struct unix_place *place)
{
	struct sockaddr_un address;
	struct stat info;
	if (!socket_path_address(place->directory, place->name, &address)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	remove_stale(place->directory, place->name);
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return -1;
	bool is_bound = fchmod(descriptor, 0600) == 0 && bind(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0;
	if (is_bound && fstatat(place->directory, place->name, &info, AT_SYMLINK_NOFOLLOW) == 0 && listen(descriptor, BACKLOG) == 0) {
		place->device = info.st_dev;
		place->inode = info.st_ino;
		return descriptor;
	}
	int error = errno;
	if (is_bound)
		unlinkat(place->directory, place->name, 0);
	close(descriptor);
	errno = error;
	return -1;
}

static struct host_socket *open_unix(const struct socket_roots *roots, const char *path, int *error)
{
	struct unix_place *place = calloc(1, sizeof(*place));
	if (place == NULL) {
		*error = ENOMEM;
		return NULL;
	}
	snprintf(place->path, sizeof(place->path), "%s", path);
	place->directory = socket_path_directory(roots, place->path, &place->name);
	int descriptor = place->directory < 0 ? -1 : listen_unix(place);
	*error = errno;
	struct host_socket *socket = descriptor < 0 ? NULL : adopt(HOST_SOCKET_UNIX, descriptor, error);
	if (socket != NULL) {
		socket->place = place;
		return socket;
	}
	if (descriptor >= 0)
		unlinkat(place->directory, place->name, 0);
	if (place->directory >= 0)
		close(place->directory);
	free(place);
	return NULL;
}

struct host_socket *host_socket_open(const struct socket_roots *roots, const struct spec_place *place, enum spec_transport transport,
                                     uint16_t preferred, bool insists, bool v6_only, bool beside, int *error)
{
	if (place->kind == SPEC_PLACE_UNIX)
		return open_unix(roots, place->host, error);
	union wireguard_endpoint address;
	if (!place_address(place, &address)) {
		*error = EINVAL;
		return NULL;
	}
	int descriptor = -1;
	bool prefers = place->port == 0 && preferred != 0;
	if (prefers) {
		endpoint_set_port(&address, preferred);
		descriptor = open_inet(&address, transport, v6_only, beside, error);
		endpoint_set_port(&address, 0);
	}
	if (descriptor < 0 && !(prefers && insists && *error == EADDRINUSE))
		descriptor = open_inet(&address, transport, v6_only, beside, error);
	if (descriptor < 0)
		return NULL;
	struct host_socket *socket = adopt(transport == SPEC_TCP ? HOST_SOCKET_TCP : HOST_SOCKET_UDP, descriptor, error);
	if (socket != NULL)
		socket->v6_only = v6_only;
	return socket;
}

static int open_dual(uint16_t port, bool beside, int *error)
{
	union wireguard_endpoint address = { .v6 = { .sin6_family = AF_INET6 } };
	int descriptor = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (descriptor >= 0)
		set_option(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	endpoint_set_port(&address, port);
	if (descriptor >= 0)
		share(descriptor, beside);
	if (descriptor >= 0 && bind(descriptor, &address.any, sizeof(address.v6)) == 0)
		return descriptor;
	*error = errno;
	if (descriptor >= 0)
		close(descriptor);
	/* A kernel without IPv6, or with IPv6 disabled. */
	if (*error != EAFNOSUPPORT && *error != EADDRNOTAVAIL)
		return -1;
	address = (union wireguard_endpoint){ .v4 = { .sin_family = AF_INET, .sin_port = htons(port) } };
	descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (descriptor >= 0)
		share(descriptor, beside);
	if (descriptor >= 0 && bind(descriptor, &address.any, sizeof(address.v4)) == 0)
		return descriptor;
	*error = errno;
	if (descriptor >= 0)
		close(descriptor);
	return -1;
}

static void set_buffer(int descriptor, int forced, int plain)
{
	int size = BUFFER_SIZE;
	if (setsockopt(descriptor, SOL_SOCKET, forced, &size, sizeof(size)) != 0)
		set_option(descriptor, SOL_SOCKET, plain, size);
}

static struct host_socket *adopt_wireguard(int descriptor, int *error)
{
	if (descriptor < 0)
		return NULL;
	set_buffer(descriptor, SO_RCVBUFFORCE, SO_RCVBUF);
	set_buffer(descriptor, SO_SNDBUFFORCE, SO_SNDBUF);
	return adopt(HOST_SOCKET_WIREGUARD, descriptor, error);
}

struct host_socket *host_socket_open_wireguard(uint16_t port, uint16_t preferred, bool insists, bool beside, int *error)
{
	int descriptor = -1;
	bool prefers = port == 0 && preferred != 0;
	if (prefers)
		descriptor = open_dual(preferred, beside, error);
	if (descriptor < 0 && !(prefers && insists && *error == EADDRINUSE))
		descriptor = open_dual(port, beside, error);
	if (descriptor >= 0)
		share(descriptor, false);
	return adopt_wireguard(descriptor, error);
}

struct host_socket *host_socket_reference(struct host_socket *socket)
{
	socket->references++;
	return socket;
}

/* Another file with that name is left alone. */
static void remove_file(struct unix_place *place)
{
	struct stat info;
	if (fstatat(place->directory, place->name, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_dev == place->device && info.st_ino == place->inode)
		unlinkat(place->directory, place->name, 0);
	close(place->directory);
	free(place);
}

void host_socket_release(struct host_socket *socket)
{
	if (socket == NULL || --socket->references > 0)
		return;
	if (socket->kind == HOST_SOCKET_UNIX)
		remove_file(socket->place);
	close(socket->descriptor);
	free(socket);
}

int host_socket_duplicate(const struct host_socket *socket)
{
	return fcntl(socket->descriptor, F_DUPFD_CLOEXEC, 3);
}

void host_socket_save(const struct host_socket *socket, struct handover *handover)
{
	struct message_writer *writer = &handover->writer;
	const struct unix_place *place = socket->place;
	handover_put_descriptor(handover, socket->descriptor);
	message_put_u8(writer, (uint8_t)socket->kind);
	message_put_u8(writer, socket->v6_only);
	if (socket->kind != HOST_SOCKET_UNIX)
		return;
	handover_put_descriptor(handover, place->directory);
	message_put_u64(writer, place->device);
	message_put_u64(writer, place->inode);
	message_put_text(writer, place->path, sizeof(place->path));
	message_put_u16(writer, (uint16_t)(place->name - place->path));
}

static struct unix_place *load_place(struct handover *handover)
{
	struct unix_place *place = calloc(1, sizeof(*place));
	if (place == NULL)
		return NULL;
	place->directory = handover_get_descriptor(handover);
	place->device = message_get_u64(&handover->reader);
	place->inode = message_get_u64(&handover->reader);
	message_get_text(&handover->reader, place->path, sizeof(place->path));
	uint16_t at = message_get_u16(&handover->reader);
	if (!handover->reader.failed && at < sizeof(place->path)) {
		place->name = place->path + at;
		return place;
	}
	free(place);
	return NULL;
}

struct host_socket *host_socket_load(struct handover *handover)
{
	int error = 0, descriptor = handover_get_descriptor(handover);
	unsigned kind = message_get_u8(&handover->reader);
	bool v6_only = message_get_u8(&handover->reader) != 0;
	if (handover->reader.failed || kind > HOST_SOCKET_UNIX)
		return NULL;
	struct unix_place *place = kind == HOST_SOCKET_UNIX ? load_place(handover) : NULL;
	struct host_socket *socket = kind == HOST_SOCKET_UNIX && place == NULL ? NULL : adopt((enum host_socket_kind)kind, descriptor, &error);
	if (socket == NULL) {
		free(place);
		return NULL;
	}
	socket->v6_only = v6_only;
	socket->place = place;
	return socket;
}

uint16_t host_socket_port(const struct host_socket *socket)
{
	return socket->kind == HOST_SOCKET_UNIX ? 0 : endpoint_port(&socket->bound);
}

char *host_socket_format(const struct host_socket *socket)
{
	char *text = NULL;
	char address[64];
	if (socket->kind == HOST_SOCKET_UNIX)
		return asprintf(&text, "unix:%s", socket->place->path) < 0 ? NULL : text;
	endpoint_format(&socket->bound, address);
	return strdup(address);
}

static bool kind_matches(const struct host_socket *socket, const struct spec_place *place, enum spec_transport transport)
{
	if (place->kind == SPEC_PLACE_UNIX)
		return socket->kind == HOST_SOCKET_UNIX;
	return socket->kind == (transport == SPEC_TCP ? HOST_SOCKET_TCP : HOST_SOCKET_UDP);
}

bool host_socket_is_there(const struct host_socket *socket)
{
	const struct unix_place *place = socket->place;
	struct stat info;
	if (socket->kind != HOST_SOCKET_UNIX)
		return true;
	return lstat(place->path, &info) == 0 && info.st_dev == place->device && info.st_ino == place->inode;
}

/* Its directory was replaced, or its file removed or replaced: nobody can connect, and it can be bound again. Without a directory it cannot. */
static bool has_lost_its_file(const struct host_socket *socket)
{
	const struct unix_place *place = socket->place;
	char folder[SOCKET_PATH_SIZE];
	struct stat info;
	snprintf(folder, sizeof(folder), "%.*s", (int)(place->name - place->path), place->path);
	return !host_socket_is_there(socket) && stat(folder, &info) == 0;
}

bool host_socket_serves(const struct host_socket *socket, const struct spec_place *place, enum spec_transport transport)
{
	union wireguard_endpoint address;
	if (!kind_matches(socket, place, transport))
		return false;
	if (place->kind == SPEC_PLACE_UNIX)
		return strcmp(socket->place->path, place->host) == 0 && !has_lost_its_file(socket);
	return place_address(place, &address) && endpoint_same_host(&socket->bound, &address) &&
	       (place->port == 0 || place->port == endpoint_port(&socket->bound));
}

/* Takes the other family's port, too, unless `v6_only`. */
static bool is_for_both(const union wireguard_endpoint *address)
{
	return address->any.sa_family == AF_INET6 && endpoint_is_any(address);
}

bool host_socket_overlaps(const struct host_socket *socket, const struct spec_place *place, enum spec_transport transport)
{
	union wireguard_endpoint address;
	if (!kind_matches(socket, place, transport) || place->kind == SPEC_PLACE_UNIX || !place_address(place, &address))
		return false;
	bool may_meet = address.any.sa_family == socket->bound.any.sa_family || is_for_both(&address) || is_for_both(&socket->bound);
	return place->port != 0 && place->port == endpoint_port(&socket->bound) && may_meet &&
	       (endpoint_is_any(&address) || endpoint_is_any(&socket->bound) || endpoint_same_host(&address, &socket->bound));
}

void host_socket_share(struct host_socket *socket, bool on)
{
	share(socket->descriptor, on);
	socket->is_shared = on;
}

int host_socket_relay(const union wireguard_endpoint *local)
{
	int error = 0;
	union wireguard_endpoint address = *local;
	endpoint_set_port(&address, 0);
	int descriptor = open_inet(&address, SPEC_UDP, true, false, &error);
	errno = error;
	return descriptor;
}

int host_socket_dial(const union wireguard_endpoint *target, enum spec_transport transport)
{
	int type = transport == SPEC_TCP ? SOCK_STREAM : SOCK_DGRAM;
	int descriptor = socket(target->any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return -1;
	if (transport == SPEC_TCP)
		tune_stream(descriptor);
	else
		set_option(descriptor, SOL_SOCKET, SO_RXQ_OVFL, 1);
	if (connect(descriptor, &target->any, endpoint_length(target)) == 0 || errno == EINPROGRESS)
		return descriptor;
	int error = errno;
	close(descriptor);
	errno = error;
	return -1;
}

/* The kernel records who listens: this process, for the API and every listener of a tunnel. */
static bool is_own(int connected)
{
	struct ucred listening;
	socklen_t length = sizeof(listening);
	return getsockopt(connected, SOL_SOCKET, SO_PEERCRED, &listening, &length) != 0 || listening.pid == getpid();
}

int host_socket_dial_unix(int file)
{
	struct sockaddr_un address;
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return -1;
	socket_path_address(file, NULL, &address);
	int error = connect(descriptor, (struct sockaddr *)&address, sizeof(address)) != 0 ? errno : is_own(descriptor) ? EACCES : 0;
	if (error == 0)
		return descriptor;
	close(descriptor);
	errno = error;
	return -1;
}

bool host_socket_is_local(const union wireguard_endpoint *address)
{
	union wireguard_endpoint own = *address;
	if (endpoint_is_loopback(address) || endpoint_is_any(address))
		return true;
	/* Only the host's own addresses can be bound. */
	endpoint_set_port(&own, 0);
	int descriptor = socket(own.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return true;
	bool is_local = bind(descriptor, &own.any, endpoint_length(&own)) == 0;
	close(descriptor);
	return is_local;
}
