#include "tests/netstack/owner.h"

void owner_ignore(void *owner)
{
	(void)owner;
}

void owner_ignore_acknowledged(void *owner, size_t bytes)
{
	(void)owner;
	(void)bytes;
}

void owner_ignore_datagram(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	(void)owner;
	(void)from;
	(void)bytes;
	(void)length;
}

bool owner_take_packet(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	(void)owner;
	(void)parts;
	(void)count;
	(void)length;
	return true;
}

size_t owner_look(const struct iovec *parts, size_t count)
{
	size_t length = 0;
	volatile uint8_t last = 0;

	for (size_t i = 0; i < count; i++) {
		length += parts[i].iov_len;
		last = ((const uint8_t *)parts[i].iov_base)[parts[i].iov_len - 1];
	}
	(void)last;
	return length;
}
