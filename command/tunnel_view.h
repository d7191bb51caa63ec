/* Tunnels as people see them. */
#ifndef WARREN_COMMAND_TUNNEL_VIEW_H
#define WARREN_COMMAND_TUNNEL_VIEW_H

#include <jansson.h>

#include "command/table.h"

struct invocation;

void tunnel_view_ids(const json_t *list);
void tunnel_view_list(const struct invocation *invocation, const json_t *tunnels);
void tunnel_view_one(const struct invocation *invocation, const json_t *tunnel);
/* After a write of a tunnel or pool: one line that says what became of it, and its warnings. Consumes the answer, which may be NULL. */
void tunnel_view_report(const struct invocation *invocation, json_t *object);
/* On stderr. */
void tunnel_view_warnings(const json_t *tunnel);

enum table_tone tunnel_view_tone(const char *state);
/* "yes", "no" or empty, if nobody judges. */
const char *tunnel_view_health(const json_t *status);
/* Why a tunnel or pool is in its state, and what is wrong with its file, for a list. Free it. */
char *tunnel_view_reason(const json_t *status);

#endif
