/* What owners of streams and flows do in tests that do not care: nothing, but look at what is shown to them. */
#ifndef WARREN_TESTS_NETSTACK_OWNER_H
#define WARREN_TESTS_NETSTACK_OWNER_H

#include "netstack/netstack.h"

void owner_ignore(void *owner); /* connected, finished */
void owner_ignore_acknowledged(void *owner, size_t bytes);
void owner_ignore_datagram(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length);
/* The env's output: the packet is taken and gone. */
bool owner_take_packet(void *owner, const struct iovec *parts, size_t count, size_t length);
/* Reads the last byte of each part, so that AddressSanitizer sees a part that is too long or gone. Returns the length of all. */
size_t owner_look(const struct iovec *parts, size_t count);

#endif
