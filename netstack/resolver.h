/* Inside netstack/: detaches resolvers from a stack that is freed before them. */
#ifndef WARREN_NETSTACK_RESOLVER_H
#define WARREN_NETSTACK_RESOLVER_H

#include "netstack/stack.h"

void resolver_detach_all(struct netstack *stack);

#endif
