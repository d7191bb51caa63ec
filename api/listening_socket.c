/* Listening sockets: TCP and unix. */
#include "api/listening_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ipc/log.h"

#define BACKLOG 1024
#define RETRY_MS 100

static bool split(const char *written, char host[256], char port[6])
{
	const char *colon = strrchr(written, ':');
	if (colon == NULL || colon == written || strlen(colon + 1) == 0 || strlen(colon + 1) > 5)
		return false;
	if (strspn(colon + 1, "0123456789") != strlen(colon + 1) || strtoul(colon + 1, NULL, 10) > 65535)
		return false;
	snprintf(port, 6, "%s", colon + 1);
	size_t length = (size_t)(colon - written);
	bool bracketed = written[0] == '[' && colon[-1] == ']';
	if (bracketed) {
		written++;
		length -= 2;
	} else if (memchr(written, ':', length) != NULL) {
		return false;
	}
	if (length == 0 || length > 255)
		return false;
	memcpy(host, written, length);
	host[length] = '\0';
	return true;
}

bool api_listening_socket_parse(const char *written, struct api_address *address, char host[256])
{
	char port[6];
	if (!split(written, host, port))
		return false;
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *found;
	/* localhost is 127.0.0.1 here, whatever the machine's files say, so that there is exactly one port. */
	const char *node = strcasecmp(host, "localhost") == 0 ? "127.0.0.1" : host;
	if (getaddrinfo(node, port, &hints, &found) != 0) {
		hints.ai_flags = AI_NUMERICSERV;
		if (getaddrinfo(node, port, &hints, &found) != 0)
			return false;
	}
	memcpy(&address->any, found->ai_addr, found->ai_addrlen);
	address->length = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

bool api_listening_socket_is_loopback(const struct api_address *address)
{
	if (address->any.ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)&address->any)->sin_addr.s_addr) >> 24 == 127;
	return address->any.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&address->any)->sin6_addr);
}

static int listen_once(struct api_address *address)
{
	int descriptor = socket(address->any.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (descriptor < 0)
		return -1;
	int on = 1;
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	address->length = sizeof(address->any);
	if (bind(descriptor, (struct sockaddr *)&address->any,
	         address->any.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) == 0 &&
	    listen(descriptor, BACKLOG) == 0 && getsockname(descriptor, (struct sockaddr *)&address->any, &address->length) == 0)
		return descriptor;
	int error = errno;
	close(descriptor);
	errno = error;
	return -1;
}

static void tell_waiting(const struct api_address *address, unsigned patience_ms)
{
	char text[64];
	api_listening_socket_format(address, text);
	log_line(LOG_WARN, NULL, "%s is in use: trying for up to %u s", text, patience_ms / 1000);
}

int api_listening_socket_open(struct api_address *address, unsigned patience_ms)
{
	for (unsigned waited = 0;; waited += RETRY_MS) {
		int descriptor = listen_once(address);
		if (descriptor >= 0 || errno != EADDRINUSE || waited >= patience_ms)
			return descriptor;
		if (waited == 0)
			tell_waiting(address, patience_ms);
		nanosleep(&(struct timespec){ .tv_nsec = RETRY_MS * 1000000L }, NULL);
	}
}

/* Removes a socket file that nobody listens on any more. Anything else stays and makes the bind fail. */
static void remove_stale(const struct sockaddr_un *address)
{
	struct stat at;
	if (lstat(address->sun_path, &at) != 0 || !S_ISSOCK(at.st_mode))
		return;
	int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return;
	if (connect(probe, (const struct sockaddr *)address, sizeof(*address)) != 0 && errno == ECONNREFUSED)
		unlink(address->sun_path);
	close(probe);
}

int api_listening_socket_open_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	remove_stale(&address);
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (descriptor < 0)
		return -1;
	/* The socket's mode before bind becomes the mode of its file, so that there is no moment in which others can connect. */
	if (fchmod(descriptor, 0600) == 0 && bind(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(descriptor, BACKLOG) == 0)
		return descriptor;
	int error = errno;
	close(descriptor);
	errno = error;
	return -1;
}

void api_listening_socket_format(const struct api_address *address, char out[64])
{
	char host[INET6_ADDRSTRLEN] = "";
	if (address->any.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->any;
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(out, 64, "%s:%u", host, ntohs(v4->sin_port));
		return;
	}
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->any;
	inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
	snprintf(out, 64, "[%s]:%u", host, ntohs(v6->sin6_port));
}
