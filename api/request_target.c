/* Parsing of request targets. Works on one copy of the text, in place. */
#include "api/request_target.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decodes in place. A plus is a blank only in a query (as forms write it). */
static bool decode(char *text, bool is_query)
{
	char *out = text;
	for (const char *in = text; *in; in++) {
		if (*in == '+' && is_query) {
			*out++ = ' ';
			continue;
		}
		if (*in != '%') {
			*out++ = *in;
			continue;
		}
		int high = hex_digit(in[1]), low = high < 0 ? -1 : hex_digit(in[2]);
		if (low < 0 || (high == 0 && low == 0))
			return false;
		*out++ = (char)(high * 16 + low);
		in += 2;
	}
	*out = '\0';
	return true;
}

/* Skips "http://authority" and returns the path; usually the target is only a path. */
static char *skip_authority(struct api_request_target *target, char *text)
{
	if (*text == '/')
		return text;
	size_t scheme = strncasecmp(text, "http://", 7) == 0 ? 7 : strncasecmp(text, "https://", 8) == 0 ? 8 : 0;
	if (scheme == 0)
		return NULL;
	char *authority = text + scheme;
	size_t length = strcspn(authority, "/?");
	/* The authority is moved to the start, where the scheme leaves room for its NUL. */
	char last = authority[length];
	memmove(text, authority, length);
	text[length] = '\0';
	target->authority = text;
	return last == '/' ? authority + length : NULL;
}

static int split_path(struct api_request_target *target, char *path)
{
	char *rest = path + 1;
	for (;;) {
		if (target->segment_count == TARGET_SEGMENTS_MAX)
			return TARGET_TOO_DEEP;
		char *segment = rest;
		rest = strchr(segment, '/');
		if (rest != NULL)
			*rest++ = '\0';
		if (!decode(segment, false))
			return TARGET_MALFORMED;
		target->segments[target->segment_count++] = segment;
		if (rest == NULL)
			return TARGET_OK;
	}
}

static int split_query(struct api_request_target *target, char *query)
{
	for (char *rest = query; rest != NULL;) {
		char *name = rest;
		rest = strchr(name, '&');
		if (rest != NULL)
			*rest++ = '\0';
		if (*name == '\0')
			continue;
		if (target->parameter_count == TARGET_PARAMETERS_MAX)
			return TARGET_MALFORMED;
		char *value = strchr(name, '=');
		if (value != NULL)
			*value++ = '\0';
		if (!decode(name, true) || (value != NULL && !decode(value, true)))
			return TARGET_MALFORMED;
		target->parameters[target->parameter_count++] =
		    (struct api_request_target_parameter){ .name = name, .value = value != NULL ? value : "" };
	}
	return TARGET_OK;
}

int api_request_target_parse(struct api_request_target *target, const char *raw)
{
	*target = (struct api_request_target){ .storage = strdup(raw) };
	if (target->storage == NULL)
		return TARGET_OUT_OF_MEMORY;
	char *path = skip_authority(target, target->storage);
	if (path == NULL) {
		api_request_target_clear(target);
		return TARGET_MALFORMED;
	}
	char *query = strchr(path, '?');
	if (query != NULL)
		*query++ = '\0';
	int status = split_path(target, path);
	if (status == TARGET_OK && query != NULL)
		status = split_query(target, query);
	if (status != TARGET_OK)
		api_request_target_clear(target);
	return status;
}

void api_request_target_clear(struct api_request_target *target)
{
	free(target->storage);
	*target = (struct api_request_target){ 0 };
}

const char *api_request_target_parameter(const struct api_request_target *target, const char *name)
{
	for (size_t i = 0; i < target->parameter_count; i++)
		if (strcmp(target->parameters[i].name, name) == 0)
			return target->parameters[i].value;
	return NULL;
}
