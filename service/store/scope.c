#include "service/store/scope.h"

#include <string.h>

#include "service/spec/json_writer.h"

static const struct {
	const char *name;
	unsigned scope;
} scopes_by_name[] = {
	{ "metrics", SCOPE_METRICS },
	{ "read", SCOPE_READ },
	{ "write", SCOPE_WRITE },
	{ "admin", SCOPE_ADMIN },
};

unsigned scope_with_included(unsigned scopes)
{
	for (unsigned scope = SCOPE_ADMIN; scope > SCOPE_METRICS; scope >>= 1)
		scopes |= scopes & scope ? scope >> 1 : 0;
	return scopes;
}

unsigned scope_parse(const char *name)
{
	for (size_t i = 0; i < sizeof(scopes_by_name) / sizeof(scopes_by_name[0]); i++)
		if (strcmp(name, scopes_by_name[i].name) == 0)
			return scopes_by_name[i].scope;
	return 0;
}

const char *scope_name(unsigned scope)
{
	for (size_t i = 0; i < sizeof(scopes_by_name) / sizeof(scopes_by_name[0]); i++)
		if (scope == scopes_by_name[i].scope)
			return scopes_by_name[i].name;
	return "none";
}

json_t *scope_list_to_json(unsigned scopes)
{
	struct json_writer writer = { .failed = false };
	json_t *list = json_array();
	for (size_t i = 0; i < sizeof(scopes_by_name) / sizeof(scopes_by_name[0]); i++)
		if ((scopes & scopes_by_name[i].scope) != 0)
			json_writer_add(&writer, list, json_string(scopes_by_name[i].name));
	return json_writer_end(&writer, list);
}
