/* lwIP's assertions. They check its own state: a restarted worker is better than one that runs on with a broken heap.
 * netstack/lwip/ASSERTIONS.md says for each why no packet can make it fail. */
#ifndef WARREN_NETSTACK_ASSERTION_H
#define WARREN_NETSTACK_ASSERTION_H

/* `failed` gets the text before the process ends; it may neither allocate nor take a lock. NULL: no call. */
void assertion_start(void (*failed)(const char *text));
/* Called through LWIP_ASSERT. */
_Noreturn void assertion_lwip_failed(const char *text);

#endif
