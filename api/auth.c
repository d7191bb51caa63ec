/* The admin token is kept as a keyed hash. Presented tokens are hashed before they are compared, so that the time reveals neither content nor
 * length. */
#include "api/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "service/spec/random_text.h"

static const char *const via_names[] = {
	[API_VIA_NOTHING] = "nothing",    [API_VIA_TOKEN] = "token",     [API_VIA_ADMIN_TOKEN] = "admin_token",
	[API_VIA_SOCKET] = "unix_socket", [API_VIA_NO_AUTH] = "no_auth",
};
_Static_assert(sizeof(via_names) / sizeof(via_names[0]) == API_VIAS, "a name for each");

const char *api_via_name(enum api_via via)
{
	return via_names[via];
}

struct api_auth {
	struct service *service;
	char state_dir[4096];
	pthread_mutex_t lock; /* of what follows, and of the file */
	uint64_t generation;  /* of the admin token */
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
	errno = ENOSPC; /* what a short write means */
	bool written = write(descriptor, token, length) == (ssize_t)length && write(descriptor, "\n", 1) == 1 && fsync(descriptor) == 0;
	close(descriptor);
	if (!written || rename(aside, path) != 0) {
		int error = errno;
		unlink(aside);
		errno = error;
		return false;
	}
	int directory = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory >= 0) {
		fsync(directory);
		close(directory);
	}
	return true;
}

static void token_path(const char *state_dir, char path[4160])
{
	snprintf(path, 4160, "%s/admin.token", state_dir);
}

static bool make_token(const char *state_dir, char token[AUTH_TOKEN_MAX + 1])
{
	char path[4160];
	token_path(state_dir, path);
	random_text(token, AUTH_TOKEN_MAX + 1, RANDOM_TEXT_BYTES_MAX);
	return write_token(state_dir, path, token);
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
	token_path(state_dir, path);
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (descriptor < 0 && errno == ENOENT) {
		if (make_token(state_dir, token))
			return true;
		snprintf(failure, 512, "%.400s cannot be written: %s", path, strerror(errno));
		return false;
	}
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
		snprintf(auth->state_dir, sizeof(auth->state_dir), "%s", state_dir);
		pthread_mutex_init(&auth->lock, NULL);
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
	pthread_mutex_destroy(&auth->lock);
	sodium_memzero(auth, sizeof(*auth));
	free(auth);
}

static bool is_admin_token(struct api_auth *auth, const char *token, struct api_caller *caller)
{
	uint8_t hash[crypto_generichash_BYTES];
	hash_token(auth, token, hash);
	pthread_mutex_lock(&auth->lock);
	bool is_admin = sodium_memcmp(hash, auth->admin, sizeof(hash)) == 0;
	caller->generation = auth->generation;
	pthread_mutex_unlock(&auth->lock);
	return is_admin;
}

void api_auth_identify(struct api_auth *auth, const char *header, struct api_caller *caller)
{
	/* A missing or malformed token takes the same path as a wrong one, with a value that cannot match. */
	const char *token = "";
	if (header != NULL && strncasecmp(header, "Bearer ", 7) == 0)
		token = header + 7 + strspn(header + 7, " ");
	if (strlen(token) > AUTH_TOKEN_MAX)
		token = "";
	*caller = (struct api_caller){ .via = API_VIA_NOTHING };
	bool is_admin = is_admin_token(auth, token, caller);
	struct token_bearer bearer = { 0 };
	bool is_stored = service_token_find(auth->service, token, &bearer);
	if (is_admin) {
		caller->via = API_VIA_ADMIN_TOKEN;
		caller->scopes = scope_with_included(SCOPE_ADMIN);
		snprintf(caller->name, sizeof(caller->name), "admin");
	} else if (is_stored) {
		caller->via = API_VIA_TOKEN;
		caller->scopes = bearer.scopes;
		caller->expires_at = bearer.expires_at;
		memcpy(caller->token_id, bearer.id, sizeof(caller->token_id));
		memcpy(caller->name, bearer.name, sizeof(caller->name));
	}
	caller->has_expired = !is_admin && bearer.has_expired;
	/* Without scopes, whatever it covers cannot be reached. */
	caller->access = is_stored ? bearer.access : access_whole();
}

bool api_auth_holds(struct api_auth *auth, const struct api_caller *caller)
{
	bool holds = true;
	switch (caller->via) {
	case API_VIA_TOKEN: holds = service_token_holds(auth->service, caller->token_id); break;
	case API_VIA_ADMIN_TOKEN:
		pthread_mutex_lock(&auth->lock);
		holds = caller->generation == auth->generation;
		pthread_mutex_unlock(&auth->lock);
		break;
	case API_VIA_NOTHING:
	case API_VIA_SOCKET:
	case API_VIA_NO_AUTH:
	case API_VIAS: break;
	}
	return holds;
}

uint64_t api_auth_revocations(struct api_auth *auth)
{
	pthread_mutex_lock(&auth->lock);
	uint64_t generation = auth->generation;
	pthread_mutex_unlock(&auth->lock);
	return generation + service_token_revocations(auth->service);
}

bool api_auth_rotate(struct api_auth *auth, char token[AUTH_TOKEN_MAX + 1])
{
	pthread_mutex_lock(&auth->lock);
	bool is_made = make_token(auth->state_dir, token);
	if (is_made) {
		hash_token(auth, token, auth->admin);
		auth->generation++;
	}
	pthread_mutex_unlock(&auth->lock);
	return is_made;
}
