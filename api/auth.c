/* The admin token is kept as a keyed hash. Presented tokens are hashed before they are compared, so that the time reveals neither content nor
 * length. */
#include "api/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "service/spec/random_text.h"

struct api_auth {
	struct service *service;
	uint8_t key[crypto_generichash_KEYBYTES];
	uint8_t admin[crypto_generichash_BYTES];
};

/* Written to a temporary file, synced and renamed: after a power cut there is a complete token or none. */
static bool write_token(const char *state_dir, const char *path, const char *token)
{
	char aside[4200];
	snprintf(aside, sizeof(aside), "%s.new", path);
	unlink(aside);
	int descriptor = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (descriptor < 0)
		return false;
	size_t length = strlen(token);
	bool written = write(descriptor, token, length) == (ssize_t)length && write(descriptor, "\n", 1) == 1 && fsync(descriptor) == 0;
	close(descriptor);
	if (!written || rename(aside, path) != 0) {
		unlink(aside);
		return false;
	}
	int directory = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory >= 0) {
		fsync(directory);
		close(directory);
	}
	return true;
}

static bool make_token(const char *state_dir, const char *path, char token[AUTH_TOKEN_MAX + 1], char failure[512])
{
	random_text(token, AUTH_TOKEN_MAX + 1, RANDOM_TEXT_BYTES_MAX);
	if (write_token(state_dir, path, token))
		return true;
	snprintf(failure, 512, "%.400s cannot be written: %s", path, strerror(errno));
	return false;
}

static bool is_token(const char *token)
{
	size_t length = strlen(token);
	if (length < AUTH_TOKEN_MIN || length > AUTH_TOKEN_MAX)
		return false;
	for (const char *c = token; *c; c++)
		if (*c <= ' ' || *c > '~')
			return false;
	return true;
}

static bool read_token(int descriptor, const char *path, char token[AUTH_TOKEN_MAX + 1], char failure[512])
{
	struct stat at;
	char content[AUTH_TOKEN_MAX + 3];
	if (fstat(descriptor, &at) != 0 || !S_ISREG(at.st_mode) || (at.st_mode & 077) != 0) {
		snprintf(failure, 512, "%.400s must be a file that only its owner can read (chmod 600)", path);
		return false;
	}
	ssize_t length = read(descriptor, content, sizeof(content) - 1);
	content[length > 0 ? length : 0] = '\0';
	content[strcspn(content, "\r\n")] = '\0';
	bool good = is_token(content);
	if (good)
		memcpy(token, content, strlen(content) + 1);
	else
		snprintf(failure, 512, "%.400s contains no token; delete the file to have a new one created", path);
	sodium_memzero(content, sizeof(content));
	return good;
}

static bool load_token(const char *state_dir, char token[AUTH_TOKEN_MAX + 1], char failure[512])
{
	char path[4160];
	snprintf(path, sizeof(path), "%s/admin.token", state_dir);
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (descriptor < 0 && errno == ENOENT)
		return make_token(state_dir, path, token, failure);
	if (descriptor < 0) {
		snprintf(failure, 512, "%.400s cannot be read: %s", path, strerror(errno));
		return false;
	}
	bool good = read_token(descriptor, path, token, failure);
	close(descriptor);
	return good;
}

static void hash_token(const struct api_auth *auth, const char *token, uint8_t hash[crypto_generichash_BYTES])
{
	/* A fixed length, so that the time reveals nothing about the token. */
	char padded[AUTH_TOKEN_MAX + 1] = { 0 };
	snprintf(padded, sizeof(padded), "%s", token);
	crypto_generichash(hash, crypto_generichash_BYTES, (const uint8_t *)padded, sizeof(padded), auth->key, sizeof(auth->key));
	sodium_memzero(padded, sizeof(padded));
}

struct api_auth *api_auth_create(struct service *service, const char *state_dir, char failure[512])
{
	char token[AUTH_TOKEN_MAX + 1] = "";
	if (!load_token(state_dir, token, failure))
		return NULL;
	struct api_auth *auth = calloc(1, sizeof(*auth));
	if (auth != NULL) {
		auth->service = service;
		randombytes_buf(auth->key, sizeof(auth->key));
		hash_token(auth, token, auth->admin);
	} else {
		snprintf(failure, 512, "out of memory");
	}
	sodium_memzero(token, sizeof(token));
	return auth;
}

void api_auth_free(struct api_auth *auth)
{
	if (auth == NULL)
		return;
	sodium_memzero(auth, sizeof(*auth));
	free(auth);
}

unsigned api_auth_scope(const struct api_auth *auth, const char *header)
{
	/* A missing or malformed token takes the same path as a wrong one, with a value that cannot match. */
	const char *token = "";
	if (header != NULL && strncasecmp(header, "Bearer ", 7) == 0)
		token = header + 7 + strspn(header + 7, " ");
	if (strlen(token) > AUTH_TOKEN_MAX)
		token = "";
	uint8_t hash[crypto_generichash_BYTES];
	hash_token(auth, token, hash);
	bool is_admin = sodium_memcmp(hash, auth->admin, sizeof(hash)) == 0;
	unsigned stored = service_token_scope(auth->service, token);
	return is_admin ? SCOPE_METRICS | SCOPE_READ | SCOPE_WRITE | SCOPE_ADMIN : stored;
}
