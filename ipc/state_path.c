#include "ipc/state_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool state_path_default(char *path, size_t size)
{
	const char *systemd = getenv("STATE_DIRECTORY"), *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int length = 0;
	if (systemd != NULL && *systemd != '\0')
		length = snprintf(path, size, "%.*s", (int)strcspn(systemd, ":"), systemd); /* a list, if the unit names several */
	else if (geteuid() == 0)
		length = snprintf(path, size, "/var/lib/warren");
	else if (xdg != NULL && *xdg == '/')
		length = snprintf(path, size, "%s/warren", xdg);
	else if (home != NULL && *home == '/')
		length = snprintf(path, size, "%s/.local/state/warren", home);
	if (length > 0 && (size_t)length < size)
		return true;
	*path = '\0';
	return false;
}
