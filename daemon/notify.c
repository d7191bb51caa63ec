#include "daemon/notify.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void notify(const char *text, int flags)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path == NULL ? 0 : strlen(path);
	if (length < 2 || length >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, length);
	/* "@" stands for the abstract name space. */
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return;
	/* Ignored: a manager that does not listen is no fault of ours. */
	(void)sendto(descriptor, text, strlen(text), MSG_NOSIGNAL | flags, (struct sockaddr *)&address,
	             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
	close(descriptor);
}

void notify_ready(void)
{
	notify("READY=1", 0);
}

static uint64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Microseconds; 0 if there is no watchdog, or it is for another process. */
static uint64_t watchdog_time(void)
{
	const char *limit = getenv("WATCHDOG_USEC"), *owner = getenv("WATCHDOG_PID");
	if (limit == NULL || (owner != NULL && strtol(owner, NULL, 10) != getpid()))
		return 0;
	return strtoull(limit, NULL, 10);
}

void notify_alive(void)
{
	static uint64_t told_at;
	uint64_t limit = watchdog_time(), now = now_us();
	/* sd_watchdog_enabled(3) recommends half of the time, which allows for a late turn of the loop. */
	if (limit == 0 || now - told_at < limit / 3)
		return;
	told_at = now;
	/* Non-blocking, so that the loop never waits for a manager that does not read. */
	notify("WATCHDOG=1", MSG_DONTWAIT);
}

/* systemd waits for READY=1 of the program that follows, which is the same process. */
void notify_reloading(void)
{
	char text[64];
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)now_us());
	notify(text, 0);
}

void notify_stopping(void)
{
	notify("STOPPING=1", 0);
}
