/* SOCKS messages from strangers, each reader on the same bytes: the outcome must not depend on where the bytes end, once they are enough. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tunnel/http/socks.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void demand(bool holds)
{
	if (!holds)
		abort();
}

typedef enum socks_progress request_reader(struct socks_request *request, const uint8_t *bytes, size_t length);

static void try_request(request_reader *reader, const uint8_t *bytes, size_t length)
{
	struct socks_request whole, part;
	enum socks_progress progress = reader(&whole, bytes, length), result = SOCKS_MORE;
	demand(progress != SOCKS_MORE || length < SOCKS_MESSAGE_MAX);
	size_t n = 0;
	while (n <= length && (result = reader(&part, bytes, n)) == SOCKS_MORE)
		n++;
	demand(result == progress);
	/* A claim of UDP ASSOCIATE by a name says nothing. */
	bool has_target = whole.target.host[0] != '\0' && whole.target.port != 0;
	if (progress == SOCKS_WHOLE)
		demand(n == whole.length && part.length == n && (has_target || whole.command == SOCKS_UDP_ASSOCIATE));
	if (progress == SOCKS_REFUSED)
		demand(part.refusal == whole.refusal && whole.refusal != SOCKS_SUCCEEDED);
}

static void try_greeting(const uint8_t *bytes, size_t length)
{
	struct socks_greeting greeting;
	if (socks_greeting_read(&greeting, bytes, length) != SOCKS_WHOLE)
		return;
	demand(greeting.length <= length);
	demand(socks_method_choose(&greeting, true) != SOCKS_METHOD_NONE);
}

static void try_password(const uint8_t *bytes, size_t length)
{
	struct credentials credentials;
	size_t taken = 0;
	if (socks_password_read(&credentials, bytes, length, &taken) == SOCKS_WHOLE) {
		bool is_unknown = credentials.username_length == 1 && credentials.username[0] == '\0' && credentials.password_length == 0;
		demand(taken <= length && taken == 3u + bytes[1] + bytes[2u + bytes[1]]);
		demand(is_unknown || (credentials.username_length == bytes[1] && credentials.password_length == bytes[2u + bytes[1]]));
	}
	credentials_clear(&credentials);
}

static void try_datagram(const uint8_t *bytes, size_t length)
{
	struct target target;
	uint8_t header[SOCKS_DATAGRAM_HEADER_MAX];
	int taken = socks_datagram_read(&target, bytes, length);
	if (taken < 0)
		return;
	demand((size_t)taken <= length && target.port != 0);
	if (target_is_name(&target))
		return;
	/* A literal in a name's clothes, and a mapped one, are written as what they are. */
	size_t written = socks_datagram_header_write(header, &target.address);
	bool is_plain = bytes[3] != 3 && (bytes[3] == 1 || target.address.family == AF_INET6);
	demand(!is_plain || (written == (size_t)taken && memcmp(header, bytes, (size_t)taken) == 0));
	target_class(&target.address);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	/* Longer inputs only repeat what a stranger may send after a message. */
	length = length < 2 * SOCKS_MESSAGE_MAX ? length : 2 * SOCKS_MESSAGE_MAX;
	try_greeting(bytes, length);
	try_password(bytes, length);
	try_request(socks_request_read, bytes, length);
	try_request(socks4_request_read, bytes, length);
	try_datagram(bytes, length);
	return 0;
}
