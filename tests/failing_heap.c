#include "tests/failing_heap.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

static _Atomic bool fails, once;
static _Atomic unsigned passed, allowed_to_pass, refused;
static _Thread_local bool is_spared;

void heap_fails_after(unsigned allowed)
{
	once = false;
	allowed_to_pass = allowed;
	passed = refused = 0;
	fails = true;
}

void heap_fails_once_after(unsigned allowed)
{
	heap_fails_after(allowed);
	once = true;
}

void heap_spares_this_thread(void)
{
	is_spared = true;
}

void heap_works(void)
{
	fails = false;
}

unsigned heap_refused(void)
{
	return refused;
}

static bool refuses(void)
{
	if (!fails || is_spared || passed++ < allowed_to_pass || (once && refused > 0))
		return false;
	refused++;
	errno = ENOMEM;
	return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return refuses() ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
	return refuses() ? NULL : __real_calloc(count, size);
}

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size)
{
	return refuses() ? NULL : __real_realloc(old, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
	return refuses() ? NULL : __real_strdup(text);
}

char *__real_strndup(const char *text, size_t length);
char *__wrap_strndup(const char *text, size_t length);
char *__wrap_strndup(const char *text, size_t length)
{
	return refuses() ? NULL : __real_strndup(text, length);
}

int __real_vasprintf(char **text, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));
static int __attribute__((format(printf, 2, 0))) print(char **text, const char *format, va_list arguments)
{
	if (!refuses())
		return __real_vasprintf(text, format, arguments);
	*text = NULL;
	return -1;
}

/* What asprintf and vasprintf are with and without _FORTIFY_SOURCE. */
int __wrap_vasprintf(char **text, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));
int __wrap_vasprintf(char **text, const char *format, va_list arguments)
{
	return print(text, format, arguments);
}

int __wrap___vasprintf_chk(char **text, int flag, const char *format, va_list arguments) __attribute__((format(printf, 3, 0)));
int __wrap___vasprintf_chk(char **text, int flag, const char *format, va_list arguments)
{
	(void)flag;
	return print(text, format, arguments);
}

int __wrap_asprintf(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **text, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int length = print(text, format, arguments);
	va_end(arguments);
	return length;
}

int __wrap___asprintf_chk(char **text, int flag, const char *format, ...) __attribute__((format(printf, 3, 4)));
int __wrap___asprintf_chk(char **text, int flag, const char *format, ...)
{
	va_list arguments;
	(void)flag;
	va_start(arguments, format);
	int length = print(text, format, arguments);
	va_end(arguments);
	return length;
}

void *__real_sodium_allocarray(size_t count, size_t size);
void *__wrap_sodium_allocarray(size_t count, size_t size);
void *__wrap_sodium_allocarray(size_t count, size_t size)
{
	return refuses() ? NULL : __real_sodium_allocarray(count, size);
}
