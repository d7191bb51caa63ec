/* Tunnels that lose their way, because what they go through (interface.via) is deleted. */
#ifndef WARREN_COMMAND_WAY_H
#define WARREN_COMMAND_WAY_H

#include <jansson.h>

/* Those of a list of tunnels that go through one of the ids `gone`, which ends with NULL, and are not among these: "b, c". Of many the first are
 * named and the rest is counted. NULL: none. Free it. */
char *way_lost(const json_t *tunnels, char *const *gone);
/* The same of ids that are known to go through one of `gone`, as the API's header names them: "b, c". NULL: none are known. */
char *way_lost_of(const char *inside, char *const *gone);

#endif
