#include "netstack/assertion.h"

#include <stdlib.h>

static struct {
	void (*failed)(const char *text);
} process;

void assertion_start(void (*failed)(const char *text))
{
	process.failed = failed;
}

void assertion_lwip_failed(const char *text)
{
	if (process.failed != NULL)
		process.failed(text);
	abort();
}
