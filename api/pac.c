#include "api/pac.h"

#include <stdio.h>

#define HOST_MAX 255

/* Nothing in it can end the script's string. */
static bool is_plain(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_[]:", text[i]) == NULL || text[i] == '\0')
			return false;
	return length > 0;
}

/* "name:80" and "[::1]:80" without the port. */
static size_t length_of_host(const char *host)
{
	if (host[0] == '[')
		return strcspn(host, "]") + 1;
	return strcspn(host, ":");
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* "HOST:PORT" as a browser on the other side of this request reaches it. False for a unix socket. */
static bool reachable(const char *listen, const char *host, char address[HOST_MAX + 8])
{
	const char *port = strrchr(listen, ':');
	if (begins(listen, "unix:") || port == NULL)
		return false;
	bool is_any = begins(listen, "0.0.0.0:") || begins(listen, "[::]:");
	size_t length = host == NULL ? 0 : length_of_host(host);
	if (is_any && length <= HOST_MAX && is_plain(host, length))
		snprintf(address, HOST_MAX + 8, "%.*s%s", (int)length, host, port);
	else if (is_any)
		snprintf(address, HOST_MAX + 8, "127.0.0.1%s", port);
	else
		snprintf(address, HOST_MAX + 8, "%s", listen);
	return is_plain(address, strlen(address));
}

static void put_proxy(struct text *text, const char *kind, const char *address, bool *is_first)
{
	text_put(text, *is_first ? "" : "; ");
	text_put(text, kind);
	text_put(text, address);
	*is_first = false;
}

bool api_pac_write(struct text *text, const struct snapshot *pool, const char *host)
{
	char address[HOST_MAX + 8];
	unsigned protocols = pool->spec.protocols;
	struct text list;
	bool is_first = true;
	text_init(&list);
	for (size_t i = 0; i < pool->listen_count; i++) {
		if (!reachable(pool->listen[i], host, address))
			continue;
		if (protocols & SPEC_HTTP)
			put_proxy(&list, "PROXY ", address, &is_first);
		if (protocols & SPEC_SOCKS5)
			put_proxy(&list, "SOCKS5 ", address, &is_first);
		if (protocols & SPEC_SOCKS4)
			put_proxy(&list, "SOCKS ", address, &is_first);
	}
	if (!is_first) {
		text_put(text, "function FindProxyForURL(url, host) {\n\treturn \"");
		text_put_n(text, list.bytes == NULL ? "" : list.bytes, list.length);
		text_put(text, "\";\n}\n");
	}
	text->failed |= list.failed;
	text_clear(&list);
	return !is_first;
}
