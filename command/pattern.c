#include "command/pattern.h"

#include <fnmatch.h>
#include <string.h>

bool pattern_is(const char *word)
{
	return strpbrk(word, "*?[") != NULL;
}

bool pattern_matches(const char *pattern, const char *id)
{
	return fnmatch(pattern, id, 0) == 0;
}
