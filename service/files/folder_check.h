/* The files of a tunnels directory, read and checked without making anything of them. */
#ifndef WARREN_SERVICE_FILES_FOLDER_CHECK_H
#define WARREN_SERVICE_FILES_FOLDER_CHECK_H

#include "service/change/policy.h"

/* Calls `tell_line` with a line for each file that is wrong. `credentials` may be NULL. */
void folder_check(const char *path, const char *credentials, const struct policy *policy, void (*tell_line)(void *owner, const char *fault),
                  void *owner);

#endif
