/* What the control process may do: reach its state, the resolver's and TLS files, sockets of the internet and of unix, and execute itself. */
#ifndef WARREN_DAEMON_CONFINE_H
#define WARREN_DAEMON_CONFINE_H

#include "daemon/options.h"

/* Before there is a second thread, and once the state directory is there. Holds for the workers too, which confine themselves further.
 * Says in one line what the kernel lacks for it. */
void confine_control(const struct options *options);

#endif
