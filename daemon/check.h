/* warrend --check: looks at everything that a start would use, starts nothing and changes nothing. */
#ifndef WARREN_DAEMON_CHECK_H
#define WARREN_DAEMON_CHECK_H

#include "daemon/options.h"

/* Writes every fault to the standard error, a line each. `failure` is what options_read failed with, or empty. Returns how many. */
unsigned check_run(const struct options *options, const char *failure);

#endif
