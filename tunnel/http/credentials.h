/* The username and password that a proxy client offers, and the check against a tunnel's users. */
#ifndef WARREN_TUNNEL_HTTP_CREDENTIALS_H
#define WARREN_TUNNEL_HTTP_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/spec.h"

#define CREDENTIALS_PART_MAX 255

/* Padded with zeros, so that a comparison always sees the same number of bytes. Secret: clear it after use. */
struct credentials {
	uint8_t username_length;
	uint8_t password_length;
	char username[CREDENTIALS_PART_MAX];
	char password[CREDENTIALS_PART_MAX];
};

/* Both parts are copied. -1 when one is over 255 bytes or holds a control byte; then `credentials` is cleared. */
int credentials_set(struct credentials *credentials, const char *username, size_t username_length, const char *password, size_t password_length)
    __attribute__((warn_unused_result));
/* Those that no user has. */
void credentials_set_unknown(struct credentials *credentials);
/* Reads «Basic <base64>» (RFC 7617): canonical base64 of user:password. -1 as above, and for any other form. */
int credentials_from_basic(struct credentials *credentials, const char *value, size_t length) __attribute__((warn_unused_result));
void credentials_clear(struct credentials *credentials);
/* Converts UTF-8 to Latin-1 in place. False if a character is not in Latin-1. */
bool credentials_to_latin1(char *part, uint8_t *length);
/* True if one of the spec's users matches, in UTF-8 or in the Latin-1 that some clients send (RFC 7617, 2.1). The time depends only on the spec,
 * not on the offered credentials or on which user matches (X8). A spec without users admits nobody here. */
bool credentials_admitted(const struct credentials *offered, const struct spec *spec);

#endif
