#include "command/api_address.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc/state_path.h"

/* $WARREN_STATE_DIR, else the default; empty if there is none. */
static void usual_state_dir(char path[PLACE_PATH_MAX])
{
	const char *state_dir = getenv("WARREN_STATE_DIR");
	if (state_dir != NULL && *state_dir != '\0')
		snprintf(path, PLACE_PATH_MAX, "%s", state_dir);
	else
		state_path_default(path, PLACE_PATH_MAX);
}

static bool choose_socket(struct api_address *address, const char *socket)
{
	char state_dir[PLACE_PATH_MAX];
	size_t size = sizeof(address->socket);
	if (socket == NULL)
		socket = getenv("WARREN_UNIX_SOCKET");
	if (socket != NULL && *socket != '\0')
		return snprintf(address->socket, size, "%s", socket) < (int)size;
	usual_state_dir(state_dir);
	return *state_dir != '\0' && snprintf(address->socket, size, "%s/api.sock", state_dir) < (int)size;
}

/* The socket's directory, unless only the usual one is a state directory: warrend --unix-socket may have put the socket elsewhere. */
static void choose_state_dir(struct api_address *address)
{
	char copy[PLACE_PATH_MAX], usual[PLACE_PATH_MAX], file[PLACE_PATH_MAX + sizeof("/api.addr")];
	snprintf(copy, sizeof(copy), "%s", address->socket);
	snprintf(address->state_dir, sizeof(address->state_dir), "%s", dirname(copy));
	snprintf(file, sizeof(file), "%s/api.addr", address->state_dir);
	if (access(file, F_OK) == 0)
		return;
	usual_state_dir(usual);
	snprintf(file, sizeof(file), "%s/api.addr", usual);
	if (*usual != '\0' && access(file, F_OK) == 0)
		snprintf(address->state_dir, sizeof(address->state_dir), "%s", usual);
}

bool api_address_find(struct api_address *address, const char *socket, const char *url, char failure[256])
{
	*address = (struct api_address){ .url = url };
	if (socket != NULL && url != NULL) {
		snprintf(failure, 256, "give --socket or --url, not both");
		return false;
	}
	if (url != NULL && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
		snprintf(failure, 256, "--url must begin with http:// or https://");
		return false;
	}
	if (url != NULL)
		return true;
	if (!choose_socket(address, socket)) {
		snprintf(failure, 256, "no default for the state directory: give --socket PATH or --url URL");
		return false;
	}
	if (strlen(address->socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		snprintf(failure, 256, "the socket's path is too long: a unix socket has room for %zu bytes",
		         sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
		return false;
	}
	choose_state_dir(address);
	return true;
}

static void explain_permission(const struct api_address *address)
{
	struct stat status;
	const char *what = address->socket;
	if (stat(what, &status) != 0)
		what = address->state_dir;
	if (stat(what, &status) != 0) {
		fputs("The directory may not be searched by this user. Run it as the user of warrend, or as root (sudo).\n", stderr);
		return;
	}
	const struct passwd *user = getpwuid(status.st_uid);
	bool is_roots = status.st_uid == 0;
	const struct group *group = getgrgid(status.st_gid);
	fprintf(stderr, "%s belongs to user %s and group %s, and its mode is %04o.\n", what, user != NULL ? user->pw_name : "?",
	        group != NULL ? group->gr_name : "?", status.st_mode & 07777U);
	if ((status.st_mode & 060) == 060 && group != NULL)
		fprintf(stderr, "Join the group %s, or run it as %sroot (sudo).\n", group->gr_name, is_roots ? "" : "that user or as ");
	else
		fprintf(stderr, "Run it as %sroot (sudo); warrend --socket-group GROUP opens the socket for a group.\n",
		        is_roots ? "" : "that user or as ");
}

void api_address_explain(const struct api_address *address, int error)
{
	fprintf(stderr, "warren: cannot reach warrend at %s: %s\n", address->socket, strerror(error));
	if (error == EACCES || error == EPERM)
		explain_permission(address);
	else if (error == ECONNREFUSED)
		fputs("warrend has ended without removing its socket. Start it again.\n", stderr);
	else
		fputs("Is warrend running? If its state directory or socket is another one, name the socket with --socket PATH (warrend "
		      "--state-dir DIR has it at DIR/api.sock; the system's service at /var/lib/warren/api.sock).\n",
		      stderr);
}
