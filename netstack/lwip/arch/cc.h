/* lwIP's port to a hosted compiler. */
#ifndef WARREN_NETSTACK_LWIP_CC_H
#define WARREN_NETSTACK_LWIP_CC_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

/* lwIP's assertions are about its own state: better a worker that starts anew than one that goes on with a broken heap. */
#define LWIP_PLATFORM_ASSERT(message) abort()
#define LWIP_PLATFORM_DIAG(arguments)

#endif
