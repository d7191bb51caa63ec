/* lwIP's port to a hosted compiler. */
#ifndef WARREN_NETSTACK_LWIP_CC_H
#define WARREN_NETSTACK_LWIP_CC_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "netstack/assertion.h"

#define LWIP_PLATFORM_ASSERT(message) assertion_lwip_failed(message)
#define LWIP_PLATFORM_DIAG(arguments)

#endif
