/* DNS messages. c-ares is used as a codec alone: its channel takes 76 KB, reads the host's files, wants sockets, and where
 * /dev/urandom is out of reach (a sandboxed worker) it numbers queries by an unseeded rand(). */
#ifndef WARREN_NETSTACK_DNS_H
#define WARREN_NETSTACK_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netstack/netstack.h"

#define DNS_NAME_SIZE 254 /* 253 characters and the end */
#define DNS_QUERY_MAX 512
#define DNS_ADDRESS_MAX 8 /* of one family */

enum dns_outcome {
	DNS_ADDRESSES,
	DNS_NOTHING,   /* NXDOMAIN, or no address of this family */
	DNS_FAILED,    /* the server cannot, will not, or speaks nonsense */
	DNS_TRUNCATED, /* ask again by TCP; the addresses that came are there, not to be kept */
	DNS_NO_EDNS,   /* the server knows no EDNS, or not this version: ask again without (RFC 6891, 7) */
	DNS_FOREIGN,   /* not an answer to this query: ignore it */
};

struct dns_answer {
	enum dns_outcome outcome;
	uint32_t ttl; /* seconds for which it may be kept, 0: not at all */
	size_t count;
	struct netstack_endpoint addresses[DNS_ADDRESS_MAX];
};

struct dns_question {
	char name[DNS_NAME_SIZE]; /* as dns_read_name made it */
	uint8_t family;
	uint16_t id;
	bool plain; /* without EDNS */
};

/* Lower case, without a final dot. false: not a name. */
bool dns_read_name(char name[DNS_NAME_SIZE], const char *text);
/* The length of the query, 0: it cannot be written. */
size_t dns_write_query(const struct dns_question *question, uint8_t query[DNS_QUERY_MAX]);
void dns_read_answer(const struct dns_question *question, const uint8_t *bytes, size_t length, struct dns_answer *answer);

#endif
