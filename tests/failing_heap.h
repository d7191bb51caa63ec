/* A heap that fails on request (F1); it replaces the C library's through the linker's --wrap. */
#ifndef WARREN_TESTS_FAILING_HEAP_H
#define WARREN_TESTS_FAILING_HEAP_H

/* In all threads except spared ones: the next `allowed` allocations succeed, and all others fail. */
void heap_fails_after(unsigned allowed);
/* The next `allowed` allocations succeed, one fails, the others succeed. */
void heap_fails_once_after(unsigned allowed);
void heap_spares_this_thread(void);
void heap_works(void);
unsigned heap_refused(void); /* since the last request to fail */

#endif
