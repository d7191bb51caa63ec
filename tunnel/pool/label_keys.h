/* The keys of the labels that tunnels have, to find one at a place in a user name. */
#ifndef WARREN_TUNNEL_POOL_LABEL_KEYS_H
#define WARREN_TUNNEL_POOL_LABEL_KEYS_H

#include <stdbool.h>
#include <stddef.h>

struct label_key {
	char *text;     /* owned */
	size_t holders; /* labels that have it */
};

/* All zeros: no keys. */
struct label_keys {
	struct label_key *list; /* sorted by bytes, no two equal */
	size_t count, capacity;
};

/* A label more has the key; it is copied. False when out of memory. */
bool label_keys_hold(struct label_keys *keys, const char *text) __attribute__((warn_unused_result));
/* A label less; the last one takes the key along. */
void label_keys_release(struct label_keys *keys, const char *text);
void label_keys_clear(struct label_keys *keys);
/* The length of the longest key that `text` begins with and that a dash follows; 0: none. */
size_t label_keys_find(const struct label_keys *keys, const char *text, size_t length);

#endif
