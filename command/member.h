/* Members of an answer by their dotted path, with what stands for one that is absent or of another type. */
#ifndef WARREN_COMMAND_MEMBER_H
#define WARREN_COMMAND_MEMBER_H

#include <jansson.h>
#include <stdbool.h>

/* NULL if there is none. Borrowed from the object; the path is not empty. */
json_t *member_at(const json_t *object, const char *path);
/* Empty if there is no text. */
const char *member_text(const json_t *object, const char *path);
/* `otherwise` if there is no number. */
double member_number(const json_t *object, const char *path, double otherwise);
bool member_is_true(const json_t *object, const char *path);
/* As jansson's flags: the digits that a double keeps of any decimal, so that 0.061 is written as it came. */
#define MEMBER_DIGITS JSON_REAL_PRECISION(15)
/* Any value on one line: JSON, and a text without quotes. Free it. */
char *member_line(const json_t *value);
/* A list of texts as "a, b". Free it. */
char *member_join(const json_t *object, const char *path);
/* An object of texts, as labels are, as "k=v, k2=v2". Free it. */
char *member_join_pairs(const json_t *object, const char *path);

#endif
