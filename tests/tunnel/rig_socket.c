/* Socketpairs that look like internet sockets: the linker wraps the calls that return and take addresses. */
#include <string.h>
#include <sys/socket.h>

#include "tests/tunnel/rig.h"
#include "tunnel/address.h"

int __real_getsockname(int descriptor, struct sockaddr *address, socklen_t *length);
int __real_getpeername(int descriptor, struct sockaddr *address, socklen_t *length);
ssize_t __real_sendmsg(int descriptor, const struct msghdr *message, int flags);
int __wrap_getsockname(int descriptor, struct sockaddr *address, socklen_t *length);
int __wrap_getpeername(int descriptor, struct sockaddr *address, socklen_t *length);
ssize_t __real_recvmsg(int descriptor, struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int descriptor, const struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int descriptor, struct msghdr *message, int flags);

union wireguard_endpoint rig_host(const char *address, uint16_t port)
{
	struct netstack_endpoint endpoint = rig_endpoint(address, port);
	union wireguard_endpoint host;
	address_to_host(&host, &endpoint);
	return host;
}

static void say(const union wireguard_endpoint *what, struct sockaddr *address, socklen_t *length)
{
	memcpy(address, what, sizeof(*what) < *length ? sizeof(*what) : *length);
	*length = what->any.sa_family == AF_INET ? sizeof(what->v4) : sizeof(what->v6);
}

int __wrap_getsockname(int descriptor, struct sockaddr *address, socklen_t *length)
{
	if (rig.local.any.sa_family == AF_UNSPEC)
		return __real_getsockname(descriptor, address, length);
	say(&rig.local, address, length);
	return 0;
}

int __wrap_getpeername(int descriptor, struct sockaddr *address, socklen_t *length)
{
	if (rig.peer.any.sa_family == AF_UNSPEC)
		return __real_getpeername(descriptor, address, length);
	say(&rig.peer, address, length);
	return 0;
}

ssize_t __wrap_recvmsg(int descriptor, struct msghdr *message, int flags)
{
	ssize_t got = __real_recvmsg(descriptor, message, flags);
	if (got >= 0 && message->msg_name != NULL && rig.from.any.sa_family != AF_UNSPEC) {
		message->msg_namelen = sizeof(rig.from);
		say(&rig.from, message->msg_name, &message->msg_namelen);
	}
	return got;
}

ssize_t __wrap_sendmsg(int descriptor, const struct msghdr *message, int flags)
{
	struct msghdr copy = *message;
	if (copy.msg_name != NULL)
		memcpy(&rig.sent_to, copy.msg_name, copy.msg_namelen);
	copy.msg_name = NULL;
	copy.msg_namelen = 0;
	return __real_sendmsg(descriptor, &copy, flags);
}
