#include "service/store/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/log.h"

static bool make_directories(const char *path, char failure[512])
{
	char part[4096];
	snprintf(part, sizeof(part), "%s", path);
	for (char *slash = strchr(part + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash != NULL)
			*slash = '\0';
		if (mkdir(part, 0700) != 0 && errno != EEXIST) {
			snprintf(failure, 512, "cannot create %.300s: %s", part, strerror(errno));
			return false;
		}
		if (slash == NULL)
			return true;
		*slash = '/';
	}
}

static bool check_directory(const char *path, char failure[512])
{
	struct stat info;
	if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
		snprintf(failure, 512, "%.300s is not a directory", path);
		return false;
	}
	if (info.st_uid != geteuid()) {
		snprintf(failure, 512, "refusing %.300s: it belongs to another user", path);
		return false;
	}
	/* systemd's StateDirectory= has mode 0755 by default; its contents are private in any case. */
	if ((info.st_mode & 077) != 0 && chmod(path, 0700) != 0) {
		snprintf(failure, 512, "cannot make %.300s private: %s", path, strerror(errno));
		return false;
	}
	return true;
}

static bool take_lock(struct state_dir *dir, char failure[512])
{
	char path[4200], pid[32] = "";
	snprintf(path, sizeof(path), "%s/lock", dir->path);
	dir->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (dir->lock < 0) {
		snprintf(failure, 512, "cannot open %.300s: %s", path, strerror(errno));
		return false;
	}
	if (flock(dir->lock, LOCK_EX | LOCK_NB) != 0) {
		ssize_t length = read(dir->lock, pid, sizeof(pid) - 1);
		pid[length > 0 ? strcspn(pid, "\n") : 0] = '\0';
		snprintf(failure, 512, "another warrend (process %s) uses %.300s", pid[0] ? pid : "unknown", dir->path);
		close(dir->lock);
		dir->lock = -1;
		return false;
	}
	int length = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	/* The number is only informative; the lock decides. */
	if (ftruncate(dir->lock, 0) != 0 || pwrite(dir->lock, pid, (size_t)length, 0) != length)
		log_line(LOG_DEBUG, NULL, "the process's number cannot be written to %s: %s", path, strerror(errno));
	return true;
}

static bool take_path(struct state_dir *dir, const char *path, char failure[512])
{
	*dir = (struct state_dir){ .lock = -1 };
	snprintf(dir->path, sizeof(dir->path), "%s", path);
	size_t length = strlen(dir->path);
	while (length > 1 && dir->path[length - 1] == '/')
		dir->path[--length] = '\0';
	if (length == 0 || length > 3900) {
		snprintf(failure, 512, "the state directory's name is %s", length == 0 ? "empty" : "too long");
		return false;
	}
	return true;
}

bool state_dir_resume(struct state_dir *dir, const char *path, int lock, char failure[512])
{
	bool is_named = take_path(dir, path, failure);
	dir->lock = lock;
	if (is_named && lock < 0)
		snprintf(failure, 512, "the lock of the state directory was not handed over");
	return is_named && lock >= 0;
}

bool state_dir_open(struct state_dir *dir, const char *path, char failure[512])
{
	char sockets[4200];
	if (!take_path(dir, path, failure))
		return false;
	if (!make_directories(dir->path, failure) || !check_directory(dir->path, failure) || !take_lock(dir, failure))
		return false;
	snprintf(sockets, sizeof(sockets), "%s/sockets", dir->path);
	if (make_directories(sockets, failure))
		return true;
	state_dir_close(dir);
	return false;
}

/* The nearest directory above that exists. */
static bool can_be_made(const char *path, char failure[512])
{
	char part[4096];
	struct stat info;
	snprintf(part, sizeof(part), "%s", path);
	while (stat(part, &info) != 0 && errno == ENOENT && strchr(part, '/') != NULL) {
		char *slash = strrchr(part, '/');
		slash[slash == part] = '\0';
	}
	if (strchr(part, '/') == NULL)
		snprintf(part, sizeof(part), ".");
	if (access(part, W_OK | X_OK) == 0)
		return true;
	snprintf(failure, 512, "--state-dir: %.200s cannot be made in %.200s: %s", path, part, strerror(errno));
	return false;
}

bool state_dir_check(const char *path, char failure[512])
{
	struct stat info;
	char lock[4200];
	if (stat(path, &info) != 0 && errno == ENOENT)
		return can_be_made(path, failure);
	if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
		snprintf(failure, 512, "--state-dir: %.300s is not a directory", path);
	else if (info.st_uid != geteuid())
		snprintf(failure, 512, "--state-dir: %.300s belongs to another user", path);
	else if (access(path, R_OK | W_OK | X_OK) != 0)
		snprintf(failure, 512, "--state-dir: %.300s cannot be used: %s", path, strerror(errno));
	else {
		snprintf(lock, sizeof(lock), "%s/lock", path);
		int file = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (file >= 0)
			close(file);
		if (file >= 0 || errno == ENOENT)
			return true;
		snprintf(failure, 512, "--state-dir: %.300s cannot be locked: %s", lock, strerror(errno));
	}
	return false;
}

void state_dir_close(struct state_dir *dir)
{
	if (dir->lock >= 0)
		close(dir->lock);
	dir->lock = -1;
}
