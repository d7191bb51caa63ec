/* Memory of a program that does one thing and ends: when there is none left, it says so and ends. */
#ifndef WARREN_COMMAND_MEMORY_H
#define WARREN_COMMAND_MEMORY_H

#include <stddef.h>

/* Zeroed. Free with free(). */
void *memory_take(size_t size);
/* As realloc(); what is new is not zeroed. */
void *memory_resize(void *old, size_t size);
/* A buffer of `*room` bytes, of which `used` are used, with room for `more` of them: doubled if need be, without leaving a copy behind. */
char *memory_grow(char *old, size_t used, size_t more, size_t *room);
char *memory_copy(const char *text);
/* Wipes it before it frees it: for what may hold a key, a password or a token. */
void memory_discard(void *memory);
/* As asprintf(). */
char *memory_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
