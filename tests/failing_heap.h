/* A heap that fails as the test wishes (F1), in the place of the C library's, by the linker's --wrap. */
#ifndef WARREN_TESTS_FAILING_HEAP_H
#define WARREN_TESTS_FAILING_HEAP_H

/* Of all threads but those that are spared: the next `allowed` allocations succeed, all that follow fail. */
void heap_fails_after(unsigned allowed);
/* The next `allowed` allocations succeed, one fails, the others succeed. */
void heap_fails_once_after(unsigned allowed);
void heap_spares_this_thread(void);
void heap_works(void);
unsigned heap_refused(void); /* since it was last told to fail */

#endif
