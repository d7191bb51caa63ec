/* The Host allow-list: names that cannot be rebound (localhost and those the operator gave) and literals of addresses that are ours. */
#include "api/host.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

/* The host part without brackets and port; false when it is malformed. */
static bool split_port(const char *host, char out[256])
{
	bool bracketed = host[0] == '[';
	const char *start = bracketed ? host + 1 : host;
	size_t length = strcspn(start, bracketed ? "]" : ":");
	const char *rest = start + length;
	if (length == 0 || length > 255 || (bracketed && *rest++ != ']'))
		return false;
	if (*rest && (*rest != ':' || strspn(rest + 1, "0123456789") != strlen(rest + 1) || strlen(rest + 1) > 5))
		return false;
	memcpy(out, start, length);
	out[length] = '\0';
	return true;
}

static bool v4_is_ours(struct in_addr literal, const struct sockaddr *local)
{
	if (ntohl(literal.s_addr) >> 24 == 127)
		return true;
	if (local->sa_family == AF_INET)
		return ((const struct sockaddr_in *)local)->sin_addr.s_addr == literal.s_addr;
	const struct in6_addr *v6 = &((const struct sockaddr_in6 *)local)->sin6_addr;
	return IN6_IS_ADDR_V4MAPPED(v6) && memcmp(&v6->s6_addr[12], &literal, 4) == 0;
}

static bool literal_is_ours(const char *host, const struct sockaddr *local)
{
	struct in_addr v4;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return v4_is_ours(v4, local);
	struct in6_addr v6;
	if (inet_pton(AF_INET6, host, &v6) != 1)
		return false;
	if (IN6_IS_ADDR_LOOPBACK(&v6))
		return true;
	return local->sa_family == AF_INET6 && memcmp(&((const struct sockaddr_in6 *)local)->sin6_addr, &v6, sizeof(v6)) == 0;
}

bool api_host_is_ours(const struct api_host_rules *rules, const char *host, const struct sockaddr *local)
{
	if (local == NULL)
		return true;
	char name[256];
	if (!split_port(host, name))
		return false;
	if (strcasecmp(name, "localhost") == 0 || literal_is_ours(name, local))
		return true;
	for (size_t i = 0; i < rules->name_count; i++)
		if (strcasecmp(name, rules->names[i]) == 0)
			return true;
	return false;
}

/* Without the port that the scheme has by itself, which no browser writes. */
static bool is_host(const char *written, const char *host, const char *own_port)
{
	size_t length = strlen(host), port = strlen(own_port);
	if (length > port && strcmp(host + length - port, own_port) == 0)
		length -= port;
	return strcasecmp(written, host) == 0 || (strlen(written) == length && strncasecmp(written, host, length) == 0);
}

bool api_host_origin_is_ours(const struct api_host_rules *rules, const char *origin, const char *host, bool tls)
{
	if (origin == NULL)
		return true;
	for (size_t i = 0; i < rules->origin_count; i++)
		if (strcasecmp(origin, rules->origins[i]) == 0)
			return true;
	if (strncasecmp(origin, "https://", 8) == 0)
		return is_host(origin + 8, host, ":443");
	return !tls && strncasecmp(origin, "http://", 7) == 0 && is_host(origin + 7, host, ":80");
}
