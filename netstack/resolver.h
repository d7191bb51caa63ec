/* Inside netstack/: a resolver outlives its stack only as an empty shell. */
#ifndef WARREN_NETSTACK_RESOLVER_H
#define WARREN_NETSTACK_RESOLVER_H

#include "netstack/stack.h"

void resolver_detach_all(struct netstack *stack);

#endif
