/* Reassembles fragments: a few datagrams at a time, each for a limited time. A stack has one only after its first fragment. */
#ifndef WARREN_NETSTACK_FRAGMENTS_H
#define WARREN_NETSTACK_FRAGMENTS_H

#include <stdint.h>

#include "netstack/packet/packet.h"
#include "netstack/packet/retired.h"

struct budget;
struct fragments;

struct fragments *fragments_create(struct budget *budget); /* NULL: out of memory */
void fragments_free(struct fragments *fragments);
/* Copies a fragment. true: `whole` is the datagram, which is now complete. Its buffer is already retired and cut to its length, so that a
 * turn's datagrams take no more memory than the bytes that arrived. */
bool fragments_add(struct fragments *fragments, const struct packet *fragment, struct packet *whole, struct retired *retired, uint64_t now);
uint64_t fragments_deadline(const struct fragments *fragments);
void fragments_expire(struct fragments *fragments, uint64_t now);

#endif
