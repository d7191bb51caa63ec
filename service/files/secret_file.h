/* A secret in a file of its own: below the tunnels directory or the service manager's credentials, and nowhere else. */
#ifndef WARREN_SERVICE_FILES_SECRET_FILE_H
#define WARREN_SERVICE_FILES_SECRET_FILE_H

#include <stddef.h>

#define SECRET_FILE_MOST 4096 /* bytes */

/* Directories that are open; credentials may be -1. */
struct secret_places {
	int directory, credentials;
};

/* Reads the file at the relative path from the first place that has it, without white space around it, into `text`, which the caller wipes. NULL, or
 * why it cannot be read, a static text: no path leads outside of its place, be it by "..", by a leading slash or by a link. */
const char *secret_file_read(const struct secret_places *places, const char *path, char text[SECRET_FILE_MOST + 1]);
/* Opens a regular file below the directory for reading. A descriptor, or -1 with errno (EXDEV or ELOOP: it leads outside). */
int secret_file_open(int directory, const char *path);

#endif
