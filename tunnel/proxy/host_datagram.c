#include "tunnel/proxy/host_datagram.h"

#include <string.h>
#include <sys/socket.h>

static void count_lost(struct tunnel *tunnel, struct msghdr *message, uint32_t *lost)
{
	uint32_t total;
	const struct cmsghdr *told = CMSG_FIRSTHDR(message);
	if (told == NULL || told->cmsg_level != SOL_SOCKET || told->cmsg_type != SO_RXQ_OVFL)
		return;
	memcpy(&total, CMSG_DATA(told), sizeof(total));
	counter_add(&tunnel->counters->dropped[COUNTERS_DROP_OVERFLOW], (uint32_t)(total - *lost));
	*lost = total;
}

ssize_t host_datagram_receive(struct tunnel *tunnel, int descriptor, uint8_t bytes[HOST_DATAGRAM_MAX], union wireguard_endpoint *from, uint32_t *lost)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(*lost))];
	} control;
	struct iovec part = { .iov_base = bytes, .iov_len = HOST_DATAGRAM_MAX };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	message.msg_name = from;
	message.msg_namelen = from == NULL ? 0 : sizeof(*from);
	ssize_t got = recvmsg(descriptor, &message, MSG_DONTWAIT);
	if (got >= 0)
		count_lost(tunnel, &message, lost);
	return got;
}
