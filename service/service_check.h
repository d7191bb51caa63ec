/* What a start of the service would find: state directory, store, access log and files. Starts nothing and changes nothing. */
#ifndef WARREN_SERVICE_SERVICE_CHECK_H
#define WARREN_SERVICE_SERVICE_CHECK_H

#include "service/service.h"

/* Calls `tell` with a line for each fault. A state directory that another warrend uses is none. */
void service_check(const struct service_options *options, void (*tell)(void *owner, const char *fault), void *owner);

#endif
