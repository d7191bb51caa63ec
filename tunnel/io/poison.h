/* Marks memory that stays allocated but is not in use: under AddressSanitizer each access to it is reported. Other builds do nothing. */
#ifndef WARREN_TUNNEL_IO_POISON_H
#define WARREN_TUNNEL_IO_POISON_H

#include <stddef.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define POISON_WATCHED
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define POISON_WATCHED
#endif

#ifdef POISON_WATCHED
/* As in sanitizer/asan_interface.h, which not every clang brings. NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void __asan_poison_memory_region(const volatile void *bytes, size_t length);
void __asan_unpoison_memory_region(const volatile void *bytes, size_t length);
int __asan_address_is_poisoned(const volatile void *byte);
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static inline void poison(const void *bytes, size_t length)
{
	__asan_poison_memory_region(bytes, length);
}
static inline void unpoison(const void *bytes, size_t length)
{
	__asan_unpoison_memory_region(bytes, length);
}
#else
static inline void poison(const void *bytes, size_t length)
{
	(void)bytes;
	(void)length;
}
static inline void unpoison(const void *bytes, size_t length)
{
	(void)bytes;
	(void)length;
}
#endif

#endif
