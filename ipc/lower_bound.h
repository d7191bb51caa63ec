/* Where something belongs in what is sorted. */
#ifndef WARREN_IPC_LOWER_BOUND_H
#define WARREN_IPC_LOWER_BOUND_H

#include <stddef.h>

/* The index of the first of `count` elements of `size` bytes that does not precede the key; `count` if all do. `compare` is bsearch's: the key, then
 * an element. */
size_t lower_bound(const void *key, const void *list, size_t count, size_t size, int (*compare)(const void *key, const void *element));

#endif
