/* A proxy auto-configuration file: a script that tells a browser which proxy to use. */
#ifndef WARREN_API_PAC_H
#define WARREN_API_PAC_H

#include "api/text.h"
#include "service/registry/snapshot.h"

/* Every address goes through the pool, and none directly: a browser whose proxy is away shows an error instead of the page (P1). `host` is the
 * request's Host header, which names the machine where the pool listens on all addresses. False, and nothing is written, if the pool has no listener
 * that a browser can use. */
bool api_pac_write(struct text *text, const struct snapshot *pool, const char *host);

#endif
