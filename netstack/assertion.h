/* lwIP's assertions. They are about its own state: better a worker that starts anew than one that goes on with a broken heap.
 * netstack/lwip/ASSERTIONS.md says of each why no packet makes it false. */
#ifndef WARREN_NETSTACK_ASSERTION_H
#define WARREN_NETSTACK_ASSERTION_H

/* What is told the text before the process ends; NULL: nobody. It may neither allocate nor take a lock. */
void assertion_start(void (*failed)(const char *text));
/* lwIP calls it by LWIP_ASSERT. */
_Noreturn void assertion_lwip_failed(const char *text);

#endif
