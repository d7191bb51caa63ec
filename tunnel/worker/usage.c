#include "tunnel/worker/usage.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void usage_init(struct usage *usage)
{
	*usage = (struct usage){ .memory = open("/proc/self/statm", O_RDONLY | O_CLOEXEC) };
}

void usage_clear(struct usage *usage)
{
	if (usage->memory >= 0)
		close(usage->memory);
	usage->memory = -1;
}

static uint64_t cpu_us(void)
{
	struct timespec time;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

/* The second number of the line, in pages (proc(5)). */
static uint64_t resident_bytes(const struct usage *usage)
{
	char line[128];
	ssize_t length = usage->memory < 0 ? -1 : pread(usage->memory, line, sizeof(line) - 1, 0);
	if (length <= 0)
		return 0;
	line[length] = '\0';
	char *rest;
	strtoul(line, &rest, 10);
	return strtoul(rest, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

void usage_publish(struct usage *usage, struct counters_worker *counters)
{
	uint64_t now = cpu_us();
	counter_add(&counters->cpu_us, now - usage->cpu_us);
	usage->cpu_us = now;
	counter_set(&counters->resident_bytes, resident_bytes(usage));
}
