/* An answer of etcd's JSON gateway: of any call, or a line of a stream. No I/O. Whatever comes is bounded, and is read or refused; members that are
 * missing are zeros, as etcd leaves zeros out. */
#ifndef WARREN_FLEET_ETCD_ETCD_ANSWER_H
#define WARREN_FLEET_ETCD_ETCD_ANSWER_H

#include <jansson.h>

#include "fleet/etcd/error.h"
#include "fleet/view.h"

struct etcd_answer {
	int64_t revision; /* of the header; 0: there was none */
	uint64_t cluster;
	int64_t lease, ttl;  /* of a grant or a keepalive */
	bool has_succeeded;  /* a transaction: its comparisons held */
	bool has_more;       /* a range: there are further pages */
	bool is_created;     /* a watch */
	bool is_canceled;    /* a watch: nothing more will come */
	bool is_compacted;   /* … because its revision is gone */
	bool is_fragment;    /* a watch: this message goes on in the next line */
	const char *token;   /* of a login; borrowed from the document; NULL: none */
	size_t record_count; /* records of a range or of a failed transaction, events of a watch */
	json_t *records;     /* borrowed from the document */
	json_t *document;    /* owned */
};

/* A record, its key without the fleet's prefix. */
struct etcd_record {
	struct fleet_kv kv; /* points into this struct */
	char key[FLEET_KEY_TEXT];
	unsigned char value[FLEET_VALUE_TEXT];
};

/* A record whose value has any length. All zeros before its first use. */
struct etcd_object {
	struct fleet_kv kv; /* points into this struct */
	char key[FLEET_KEY_TEXT];
	char *value; /* owned; a byte 0 is behind it */
	size_t room;
};

/* `status` is HTTP's. Returns an etcd_error: etcd's own too. After an error `answer` is all zeros. */
int etcd_answer_read(struct etcd_answer *answer, long status, const char *text, size_t length);
/* The token is wiped. */
void etcd_answer_clear(struct etcd_answer *answer);
/* One of the records. False: it is not below the prefix, or its key is longer than ours are. A value that is none, or longer than ours are, is empty,
 * which no record of ours is. */
bool etcd_answer_record(const struct etcd_answer *answer, size_t index, const char *prefix, struct etcd_record *record);
/* As above. ETCD_MALFORMED: it is not below the prefix, its key is longer than ours are, or its value is none. Or ETCD_NO_MEMORY. */
int etcd_answer_object(const struct etcd_answer *answer, size_t index, const char *prefix, struct etcd_object *object);
void etcd_object_clear(struct etcd_object *object);

#endif
