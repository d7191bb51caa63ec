/* Answers of etcd's gateway as a stranger may send them. The first byte says where the rest is divided into chunks, and which status it has: however
 * it is divided, the same lines come out; what is read of them stays within its bounds. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/etcd_answer.h"
#include "fleet/etcd/received.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void demand(bool holds)
{
	if (!holds)
		abort();
}

static void check_answer(const char *text, size_t length, long status)
{
	static struct etcd_record record;
	struct etcd_answer answer;
	if (etcd_answer_read(&answer, status, text, length) != ETCD_OK) {
		demand(answer.document == NULL && answer.record_count == 0);
		return;
	}
	for (size_t i = 0; i < answer.record_count; i++)
		if (etcd_answer_record(&answer, i, "/w/", &record)) {
			demand(strlen(record.kv.key) < FLEET_KEY_TEXT && record.kv.key[0] != '\0');
			demand(record.kv.length <= FLEET_VALUE_TEXT);
		}
	etcd_answer_clear(&answer);
}

/* Lines that `received` has; the offset in the whole text at which the next one begins. */
static size_t check_lines(struct etcd_received *received, const char *text, size_t at, long status)
{
	const char *line;
	size_t length;
	while ((line = etcd_received_line(received, &length)) != NULL) {
		demand(memcmp(line, text + at, length) == 0 && text[at + length] == '\n' && memchr(line, '\n', length) == NULL);
		check_answer(line, length, status);
		at += length + 1;
	}
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const long statuses[] = { 200, 400, 404, 503 };
	struct etcd_received received = { 0 };
	if (length == 0)
		return 0;
	const char *text = (const char *)bytes + 1;
	size_t chunk = 1 + bytes[0] / 4, at = 0, rest;
	long status = statuses[bytes[0] % 4];
	length--;
	for (size_t sent = 0; sent < length; sent += chunk) {
		demand(etcd_received_add(&received, text + sent, length - sent < chunk ? length - sent : chunk) == ETCD_OK);
		at = check_lines(&received, text, at, status);
	}
	const char *left = etcd_received_rest(&received, &rest);
	demand(at + rest == length && memcmp(left, text + at, rest) == 0);
	check_answer(left, rest, status);
	etcd_received_clear(&received);
	return 0;
}
