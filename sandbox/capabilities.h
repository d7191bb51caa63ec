/* The capabilities(7) that a process started as root keeps. */
#ifndef WARREN_SANDBOX_CAPABILITIES_H
#define WARREN_SANDBOX_CAPABILITIES_H

#include <stdint.h>

#define CAPABILITY(number) (1ull << (number))

/* Drops all capabilities of this thread except `kept`, and empties the bounding set where that is allowed, so that neither it nor a program that it
 * starts can gain others. Does nothing if there are no capabilities. */
void capabilities_keep(uint64_t kept);

#endif
