/* DNS messages. c-ares is used only as a codec: its channel takes 76 KB, reads the host's files, needs sockets, and where
 * /dev/urandom is not available (in a sandboxed worker) it numbers queries with an unseeded rand(). */
#ifndef WARREN_NETSTACK_DNS_H
#define WARREN_NETSTACK_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netstack/netstack.h"

#define DNS_NAME_SIZE 254 /* 253 characters and NUL */
#define DNS_QUERY_MAX 512
#define DNS_ADDRESS_MAX 8 /* of one family */

enum dns_outcome {
	DNS_ADDRESSES,
	DNS_NOTHING,   /* NXDOMAIN, or no address of this family */
	DNS_FAILED,    /* the server failed, refused, sent a malformed answer, or is lame: it neither knows the name nor looks for it */
	DNS_TRUNCATED, /* ask again by TCP; the addresses that arrived are set, but not to be cached */
	DNS_NO_EDNS,   /* the server does not support EDNS, or not this version: ask again without (RFC 6891, 7) */
	DNS_FOREIGN,   /* not an answer to this query: ignore it */
};

struct dns_answer {
	enum dns_outcome outcome;
	uint32_t ttl; /* seconds for which it may be cached, 0: not at all */
	size_t count;
	struct netstack_endpoint addresses[DNS_ADDRESS_MAX];
};

struct dns_question {
	char name[DNS_NAME_SIZE]; /* as written by dns_read_name */
	uint8_t family;
	uint16_t id;
	bool plain; /* without EDNS */
};

/* Writes the name in lower case, without a final dot. false: not a name. */
bool dns_read_name(char name[DNS_NAME_SIZE], const char *text);
/* Returns the length of the query, 0: it cannot be written. */
size_t dns_write_query(const struct dns_question *question, uint8_t query[DNS_QUERY_MAX]);
void dns_read_answer(const struct dns_question *question, const uint8_t *bytes, size_t length, struct dns_answer *answer);

#endif
