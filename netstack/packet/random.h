/* Unpredictable sequence numbers, ports and ids. A worker cannot open files, so all of them derive from the process's seed. */
#ifndef WARREN_NETSTACK_PACKET_RANDOM_H
#define WARREN_NETSTACK_PACKET_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "netstack/packet/netstack_types.h"

void random_start(const uint8_t seed[32]);
void random_stop(void); /* wipes the keys */
void random_bytes(void *bytes, size_t length);
uint32_t random_number(void);
/* A port from 1024 to 65535 (RFC 6056, 3.2). */
uint16_t random_port(void);
/* A clock plus a keyed hash of the connection (RFC 6528, 3). */
uint32_t random_sequence(const struct netstack_endpoint *local, const struct netstack_endpoint *remote, uint64_t now);
/* A keyed hash, for tables whose keys untrusted parties choose. */
uint64_t random_hash(const void *bytes, size_t length);
/* NOLINTNEXTLINE(readability-redundant-declaration): lwipopts.h declares it too, for lwIP's own files. */
unsigned int random_lwip(void);

#endif
