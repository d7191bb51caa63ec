/* DNS answers and names. The first byte says which family was asked for, and whether the header and question are put right. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netstack/dns.h"
#include "netstack/name_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_name(const uint8_t *bytes, size_t length)
{
	char text[600], name[DNS_NAME_SIZE], again[DNS_NAME_SIZE];

	if (length >= sizeof(text))
		return;
	memcpy(text, bytes, length);
	text[length] = '\0';
	if (!dns_read_name(name, text))
		return;
	if (!dns_read_name(again, name) || strcmp(name, again) != 0)
		abort();
	struct dns_question question = { .family = AF_INET, .id = 7 };
	memcpy(question.name, name, strlen(name) + 1);
	uint8_t query[DNS_QUERY_MAX];
	if (dns_write_query(&question, query) == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const uint8_t header[] = { 0, 7, 0x81, 0x80, 0, 1 };
	struct dns_question question = { .name = "name.example", .id = 7 };
	struct name_cache cache = { 0 };
	struct dns_answer answer;
	uint8_t *copy;

	if (length < 1)
		return 0;
	question.family = bytes[0] & 1 ? AF_INET6 : AF_INET;
	check_name(bytes + 1, length - 1);
	uint8_t query[DNS_QUERY_MAX];
	size_t size = dns_write_query(&question, query) - 11; /* without EDNS */
	size_t start = bytes[0] & 2 ? size : 0;
	copy = malloc(start + length);
	memcpy(copy, query, start);
	memcpy(copy + start, bytes + 1, length - 1);
	if (start > 0) {
		memcpy(copy, header, sizeof(header));
		if (length > 8)
			memcpy(copy + 6, bytes + 1, 4); /* the counts */
		if (bytes[0] & 4)
			copy[3] = bytes[0] >> 4;
		memset(copy + 10, 0, 2);
	}
	dns_read_answer(&question, copy, start + length - 1, &answer);
	if (answer.count > DNS_ADDRESS_MAX || (answer.outcome != DNS_TRUNCATED && (answer.outcome == DNS_ADDRESSES) != (answer.count > 0)))
		abort();
	name_cache_put(&cache, question.name, question.family, &answer, 1);
	const struct dns_answer *kept = name_cache_get(&cache, question.name, question.family, 2);
	if ((kept != NULL) != (answer.ttl > 0))
		abort();
	name_cache_clear(&cache);
	free(copy);
	return 0;
}
