/* The bytes of an answer as they come, and the lines in them: a watch has one message a line, and chunks of HTTP are not messages. Wiped before it is
 * freed, because an answer can hold a token. */
#ifndef WARREN_FLEET_ETCD_RECEIVED_H
#define WARREN_FLEET_ETCD_RECEIVED_H

#include <stddef.h>

#include "fleet/etcd/error.h"

/* Bytes of an answer, or of a line of a watch. 500 records of FLEET_VALUE_TEXT are 5.6 MB; a fragment of a watch was at most 2.7 MB. */
#define ETCD_ANSWER_MAX ((size_t)8 * 1024 * 1024)

/* All zeros: empty. */
struct etcd_received {
	char *bytes; /* owned */
	size_t capacity, end;
	size_t start;   /* of the first line that was not taken */
	size_t scanned; /* up to here there is no line's end */
};

/* ETCD_OK, ETCD_TOO_LARGE or ETCD_NO_MEMORY; then nothing was added. Lines that were taken before are gone. */
int etcd_received_add(struct etcd_received *received, const char *bytes, size_t length);
/* The next whole line, without its end; NULL: there is none. Valid until bytes are added. */
const char *etcd_received_line(struct etcd_received *received, size_t *length);
/* What is behind the last line that was taken. */
const char *etcd_received_rest(const struct etcd_received *received, size_t *length);
void etcd_received_clear(struct etcd_received *received);

#endif
