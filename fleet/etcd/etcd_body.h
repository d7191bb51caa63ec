/* The bodies of requests to etcd's JSON gateway. Keys are given without the fleet's prefix. Each returns a malloc'ed text, or NULL when out of
 * memory. int64 are strings, keys and values base64 (the standard alphabet, padded). */
#ifndef WARREN_FLEET_ETCD_ETCD_BODY_H
#define WARREN_FLEET_ETCD_ETCD_BODY_H

#include "fleet/fleet_options.h"
#include "fleet/txn.h"

#define ETCD_PAGE 500 /* records of a page, when these are small */

/* A page of all keys that begin with `folder`, of up to `page` records: the first, at the newest revision; or what comes after the key `after`, at
 * `revision`. */
char *etcd_body_range(const char *prefix, const char *folder, const char *after, int64_t revision, unsigned page);
char *etcd_body_read(const char *prefix, const char *key);
char *etcd_body_txn(const char *prefix, const struct fleet_txn *txn);
/* Every change of a key that begins with `folder`, from `revision` on, in fragments. */
char *etcd_body_watch(const char *prefix, const char *folder, int64_t revision);
char *etcd_body_grant(uint64_t ttl); /* seconds */
char *etcd_body_keepalive(int64_t lease);
/* The caller wipes it. NULL too when name and password are longer than 8 KiB as JSON. */
char *etcd_body_login(const char *name, const char *password);

#endif
