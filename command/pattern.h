/* Patterns of ids, as a shell has them for file names: `ams-*`, `eu-?`, `[ab]*`. An id itself never holds such a character. */
#ifndef WARREN_COMMAND_PATTERN_H
#define WARREN_COMMAND_PATTERN_H

#include <stdbool.h>

bool pattern_is(const char *word);
bool pattern_matches(const char *pattern, const char *id);

#endif
