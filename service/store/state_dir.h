/* The state directory: private, and used by one daemon at a time. */
#ifndef WARREN_SERVICE_STORE_STATE_DIR_H
#define WARREN_SERVICE_STORE_STATE_DIR_H

#include <stdbool.h>

struct state_dir {
	char path[4096];
	int lock; /* descriptor, or -1 */
};

/* Creates the directory (0700) and its `sockets` if they are missing, checks the owner, and locks it; false with a line for the user. */
bool state_dir_open(struct state_dir *dir, const char *path, char failure[512]);
/* Whether it could be opened; changes nothing. One that is missing is fine if it can be made, and one that another warrend uses is fine, too. */
bool state_dir_check(const char *path, char failure[512]);
/* The same, with the lock that the program before took; it is taken over. */
bool state_dir_resume(struct state_dir *dir, const char *path, int lock, char failure[512]);
void state_dir_close(struct state_dir *dir);

#endif
