#include "ipc/url.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SCHEME "http://"

static bool is_visible(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

int url_split(const char *text, struct url *url)
{
	if (strlen(text) > URL_MAX || !is_visible(text) || strstr(text, "://") == NULL)
		return URL_MALFORMED;
	if (strncasecmp(text, SCHEME, strlen(SCHEME)) != 0)
		return URL_NOT_HTTP;
	const char *authority = text + strlen(SCHEME);
	size_t length = strcspn(authority, "/?");
	const char *path = authority + length;
	if (length == 0 || memchr(authority, '@', length) != NULL || strchr(authority, '#') != NULL)
		return URL_MALFORMED;
	snprintf(url->authority, sizeof(url->authority), "%.*s", (int)length, authority);
	snprintf(url->path, sizeof(url->path), "%s%s", path[0] == '/' ? "" : "/", path);
	return 0;
}
