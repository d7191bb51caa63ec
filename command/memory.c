#include "command/memory.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/command.h"

static void *checked(void *memory)
{
	if (memory != NULL)
		return memory;
	fputs("warren: out of memory\n", stderr);
	exit(EXIT_REFUSED);
}

void *memory_take(size_t size)
{
	return checked(calloc(1, size > 0 ? size : 1));
}

void *memory_resize(void *old, size_t size)
{
	return checked(realloc(old, size > 0 ? size : 1));
}

char *memory_grow(char *old, size_t used, size_t more, size_t *room)
{
	size_t size = *room > 0 ? *room : 4096;
	if (used + more <= *room)
		return old;
	while (size < used + more)
		size *= 2;
	char *larger = memory_take(size);
	if (used > 0)
		memcpy(larger, old, used);
	memory_discard(old);
	*room = size;
	return larger;
}

char *memory_copy(const char *text)
{
	return checked(strdup(text));
}

void memory_discard(void *memory)
{
	if (memory != NULL)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

char *memory_print(const char *format, ...)
{
	char *text = NULL;
	va_list list;
	va_start(list, format);
	if (vasprintf(&text, format, list) < 0)
		text = NULL;
	va_end(list);
	return checked(text);
}
