#include "service/fleet/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *key_fault(int error)
{
	switch ((enum fleet_seal_error)error) {
	case FLEET_SEAL_UNREADABLE: return strerror(errno);
	case FLEET_SEAL_OPEN_TO_ALL: return "others than its owner may use it; chmod 600";
	case FLEET_SEAL_NO_KEY: return "it must have 32 random bytes: head -c 32 /dev/urandom";
	case FLEET_SEAL_TOO_MANY: return "there are too many";
	case FLEET_SEAL_OK:
	case FLEET_SEAL_UNKNOWN_KEY:
	case FLEET_SEAL_MALFORMED:
	case FLEET_SEAL_FORGED:
	case FLEET_SEAL_NO_MEMORY: break;
	}
	return "";
}

static bool read_keys(struct fleet_keyring *ring, const struct fleet_options *options, char failure[512])
{
	for (size_t i = 0; i < options->seal_key_count; i++) {
		int error = fleet_keyring_add(ring, options->seal_keys[i]);
		if (error == FLEET_SEAL_OK)
			continue;
		snprintf(failure, 512, "--fleet-key-file '%.200s': %s", options->seal_keys[i], key_fault(error));
		return false;
	}
	return true;
}

/* Its first line. */
static bool read_password(char password[FLEET_PASSWORD_MOST + 1], const struct fleet_options *options, char failure[512])
{
	int file = options->password_file == NULL ? -1 : open(options->password_file, O_RDONLY | O_CLOEXEC);
	if (options->password_file == NULL)
		return true;
	ssize_t length = file < 0 ? -1 : read(file, password, FLEET_PASSWORD_MOST + 1);
	int cause = errno;
	if (file >= 0)
		close(file);
	if (length >= 0 && length <= FLEET_PASSWORD_MOST) {
		password[length] = '\0';
		password[strcspn(password, "\r\n")] = '\0';
	}
	if (length > 0 && length <= FLEET_PASSWORD_MOST && password[0] != '\0')
		return true;
	snprintf(failure, 512, "--fleet-password-file '%.200s': %s", options->password_file,
	         length < 0 ? strerror(cause) : "its first line must be the password, of at most 1024 bytes");
	return false;
}

bool fleet_secrets_read(struct fleet_secrets *secrets, const struct fleet_options *options, char failure[512])
{
	*secrets = (struct fleet_secrets){ .password = "" };
	if (read_keys(&secrets->ring, options, failure) && read_password(secrets->password, options, failure))
		return true;
	fleet_secrets_clear(secrets);
	return false;
}

void fleet_secrets_clear(struct fleet_secrets *secrets)
{
	fleet_keyring_clear(&secrets->ring);
	sodium_memzero(secrets, sizeof(*secrets));
}
