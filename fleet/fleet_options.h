/* What an operator says of the fleet and of this node in it (the options --fleet… and --node…), read and checked. No I/O: files are named, not read.
 */
#ifndef WARREN_FLEET_FLEET_OPTIONS_H
#define WARREN_FLEET_FLEET_OPTIONS_H

#include <jansson.h>

#include "fleet/record.h"
#include "fleet/seal.h"

#define FLEET_URLS_MAX 16    /* members of etcd */
#define FLEET_URL_MAX 255    /* bytes of a URL */
#define FLEET_PREFIX_MAX 128 /* bytes of the prefix of all keys, with its end */
#define FLEET_CAPACITY 10000 /* tunnels of a node, if nothing is said */

/* All zeros: nothing was said. Texts are owned. */
struct fleet_options {
	char *urls[FLEET_URLS_MAX]; /* "https://etcd-1:2379" */
	size_t url_count;           /* 0: this daemon is in no fleet */
	char *prefix;               /* "/warren/v1/" */
	char *seal_keys[FLEET_SEAL_KEYS];
	size_t seal_key_count;
	char *ca, *certificate, *key;
	char *user, *password_file;
	char *node; /* its name in the fleet */
	char *api;  /* URL of its API for the other nodes */
	uint32_t capacity;
	struct spec_label *labels; /* sorted by key; after the check */
	size_t label_count;
	json_t *given_labels; /* before */
};

/* Takes a value of an option: "fleet", "fleet-key-file", "node-label" …, which is one of fleet_options_names. False: `failure` says in a line for the
 * user what is wrong and what to write. */
bool fleet_options_set(struct fleet_options *options, const char *name, const char *value, char failure[512]);
/* Once all are taken: what belongs together is there, and what was not said is filled in. False as above. */
bool fleet_options_check(struct fleet_options *options, char failure[512]);
void fleet_options_clear(struct fleet_options *options);
/* NULL ends them. */
extern const char *const fleet_options_names[];

#endif
