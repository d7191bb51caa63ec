#include "service/files/secret_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

static bool has_parent_component(const char *path)
{
	for (const char *at = path; at != NULL; at = strchr(at, '/')) {
		at += *at == '/';
		if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
			return true;
	}
	return false;
}

/* For kernels before 5.6, and containers that refuse the call: component by component, and no link at all. */
static int walk(int directory, const char *path)
{
	char part[256];
	int at = fcntl(directory, F_DUPFD_CLOEXEC, 0);
	while (at >= 0 && *path != '\0') {
		size_t length = strcspn(path, "/");
		bool is_last = path[length] == '\0';
		int next = -1;
		if (length < sizeof(part)) {
			snprintf(part, sizeof(part), "%.*s", (int)length, path);
			next = openat(at, part, is_last ? OPEN_FLAGS | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		} else {
			errno = ENAMETOOLONG;
		}
		int error = errno;
		close(at);
		errno = error;
		at = next;
		path += length + strspn(path + length, "/");
	}
	return at;
}

int secret_file_open(int directory, const char *path)
{
	struct open_how how = { .flags = OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	struct stat info;
	int file = (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
	if (file < 0 && (errno == ENOSYS || errno == EPERM))
		file = walk(directory, path);
	if (file >= 0 && (fstat(file, &info) != 0 || !S_ISREG(info.st_mode))) {
		close(file);
		errno = EISDIR;
		return -1;
	}
	return file;
}

static int open_in(const struct secret_places *places, const char *path)
{
	int file = secret_file_open(places->directory, path);
	return file < 0 && errno == ENOENT && places->credentials >= 0 ? secret_file_open(places->credentials, path) : file;
}

static const char *why_not(int error)
{
	switch (error) {
	case ENOENT: return "There is no such file in the tunnels directory or in $CREDENTIALS_DIRECTORY.";
	case EACCES: return "The daemon's user may not read this file.";
	case EXDEV:
	case ELOOP: return "This path leads out of its directory, through a link.";
	case EISDIR: return "This is not a regular file.";
	default: return "This file cannot be read.";
	}
}

/* Of the file's bytes; NULL: fine, and `text` is without white space around it. */
static const char *check_text(char *text, size_t length)
{
	if (length > SECRET_FILE_MOST)
		return "This file is larger than 4096 bytes.";
	if (memchr(text, '\0', length) != NULL)
		return "This file has a NUL byte: it must be text, and a key in base64.";
	text[length] = '\0';
	while (length > 0 && isspace((unsigned char)text[length - 1]))
		text[--length] = '\0';
	size_t blanks = strspn(text, " \t\r\n\v\f");
	memmove(text, text + blanks, length - blanks + 1);
	return text[0] == '\0' ? "This file is empty." : NULL;
}

const char *secret_file_read(const struct secret_places *places, const char *path, char text[SECRET_FILE_MOST + 1])
{
	text[0] = '\0';
	if (path[0] == '\0' || path[0] == '/' || has_parent_component(path))
		return "This must be a path relative to the tunnels directory or to $CREDENTIALS_DIRECTORY, without \"..\".";
	int file = open_in(places, path);
	if (file < 0)
		return why_not(errno);
	size_t length = 0;
	ssize_t got;
	while (length <= SECRET_FILE_MOST && (got = read(file, text + length, SECRET_FILE_MOST + 1 - length)) > 0)
		length += (size_t)got;
	const char *fault = got < 0 ? why_not(errno) : check_text(text, length);
	close(file);
	if (fault != NULL)
		sodium_memzero(text, SECRET_FILE_MOST + 1);
	return fault;
}
