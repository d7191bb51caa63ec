#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/service/quoted_json.h"

json_t *quoted_json(const char *text)
{
	json_error_t error;
	char *copy = strdup(text);
	for (char *c = copy; *c != '\0'; c++)
		if (*c == '\'')
			*c = '"';
	json_t *json = json_loads(copy, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	if (json == NULL)
		fail_msg("test document: %s in %s", error.text, copy);
	free(copy);
	return json;
}
