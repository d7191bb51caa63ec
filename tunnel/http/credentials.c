#include "tunnel/http/credentials.h"

#include <sodium.h>
#include <string.h>
#include <strings.h>

void credentials_clear(struct credentials *credentials)
{
	sodium_memzero(credentials, sizeof(*credentials));
}

static bool is_part(const char *part, size_t length)
{
	if (length > CREDENTIALS_PART_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)part[i] < 0x20 || part[i] == 0x7f)
			return false;
	return true;
}

int credentials_set(struct credentials *credentials, const char *username, size_t username_length, const char *password, size_t password_length)
{
	credentials_clear(credentials);
	if (!is_part(username, username_length) || !is_part(password, password_length))
		return -1;
	credentials->username_length = (uint8_t)username_length;
	credentials->password_length = (uint8_t)password_length;
	memcpy(credentials->username, username, username_length);
	memcpy(credentials->password, password, password_length);
	return 0;
}

void credentials_set_unknown(struct credentials *credentials)
{
	credentials_clear(credentials);
	credentials->username_length = 1; /* of a byte that no name has */
}

int credentials_from_basic(struct credentials *credentials, const char *value, size_t length)
{
	static const char scheme[] = "Basic";
	char plain[2 * CREDENTIALS_PART_MAX + 1];
	size_t plain_length, skip = sizeof(scheme) - 1;
	int result = -1;
	credentials_clear(credentials);
	if (length <= skip || strncasecmp(value, scheme, skip) != 0 || value[skip] != ' ')
		return -1;
	while (skip < length && value[skip] == ' ')
		skip++;
	/* With padding, without stray bits, to the last byte: one spelling for one password (RFC 4648, 3.5). */
	if (sodium_base642bin((unsigned char *)plain, sizeof(plain), value + skip, length - skip, NULL, &plain_length, NULL,
	                      sodium_base64_VARIANT_ORIGINAL) != 0)
		goto out;
	const char *colon = memchr(plain, ':', plain_length);
	if (colon == NULL)
		goto out;
	size_t username = (size_t)(colon - plain);
	result = credentials_set(credentials, plain, username, colon + 1, plain_length - username - 1);
out:
	sodium_memzero(plain, sizeof(plain));
	return result;
}

bool credentials_to_latin1(char *part, uint8_t *length)
{
	size_t at = 0;
	for (size_t i = 0; i < *length; i++) {
		unsigned char c = (unsigned char)part[i];
		if (c >= 0x80) {
			/* 0xc2 and 0xc3 are the first bytes of U+0080 to U+00FF. */
			if ((c != 0xc2 && c != 0xc3) || ++i == *length || ((unsigned char)part[i] & 0xc0) != 0x80)
				return false;
			c = (unsigned char)(c << 6 | ((unsigned char)part[i] & 0x3f));
		}
		part[at++] = (char)c;
	}
	memset(part + at, 0, *length - at);
	*length = (uint8_t)at;
	return true;
}

bool credentials_admitted(const struct credentials *offered, const struct spec *spec)
{
	struct credentials user;
	unsigned admitted = 0;
	for (size_t i = 0; i < spec->user_count; i++) {
		const struct spec_user *known = &spec->users[i];
		unsigned usable = credentials_set(&user, known->username, strlen(known->username), known->password, strlen(known->password)) == 0;
		admitted |= usable & (sodium_memcmp(&user, offered, sizeof(user)) == 0);
		usable &= credentials_to_latin1(user.username, &user.username_length) && credentials_to_latin1(user.password, &user.password_length);
		admitted |= usable & (sodium_memcmp(&user, offered, sizeof(user)) == 0);
	}
	credentials_clear(&user);
	return admitted != 0;
}
