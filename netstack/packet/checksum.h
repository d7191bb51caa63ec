/* The Internet checksum (RFC 1071), 32 bytes at a time. Sums are kept in the machine's byte order until they are finished. */
#ifndef WARREN_NETSTACK_PACKET_CHECKSUM_H
#define WARREN_NETSTACK_PACKET_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Adds bytes that begin at an even offset of the data being summed. */
uint64_t checksum_add(uint64_t sum, const void *bytes, size_t length);
/* Adds consecutive parts; each may have an odd length. */
uint64_t checksum_add_parts(uint64_t sum, const struct iovec *parts, size_t count);
/* Addresses, protocol and length of the pseudo header (RFC 9293, 3.1; RFC 8200, 8.1). */
uint64_t checksum_pseudo(uint8_t family, const uint8_t *source, const uint8_t *target, uint8_t protocol, size_t length);
/* The folded sum, not complemented. For a packet that includes its checksum, 0xffff means that it is correct. */
uint16_t checksum_fold(uint64_t sum);

/* lwIP's LWIP_CHKSUM. */
unsigned short checksum_lwip(const void *bytes, int length);

#endif
