/* What of root's power (capabilities(7)) a process keeps that was started as root. */
#ifndef WARREN_SANDBOX_CAPABILITIES_H
#define WARREN_SANDBOX_CAPABILITIES_H

#include <stdint.h>

#define CAPABILITY(number) (1ull << (number))

/* Gives up all but `kept` of what this thread has, and what it or a program that it starts could ever get: the bounding set is emptied where
 * that is allowed. Without a capability from the start it does nothing. */
void capabilities_keep(uint64_t kept);

#endif
