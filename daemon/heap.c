/* Wipes every heap block when it is freed, so that no key, password or token stays in freed memory (P8). Libraries free their
 * copies without wiping them: libmicrohttpd request lines and bodies, jansson texts, SQLite pages and bindings, GnuTLS records. These two
 * functions replace the C library's in the whole process, libraries included, and call it. Sanitizers have their own heap, so their builds
 * exclude this file. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* The C library's own names of the replaced functions. */
extern void __libc_free(void *block);                  /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
extern void *__libc_realloc(void *block, size_t size); /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* A copy leaves what it copied in vector registers, from where a signal, or the dynamic linker when it looks up a function, would put it
 * on the stack. */
#ifdef __x86_64__
__attribute__((target("avx512f"))) static void clear_registers_16_to_31(void)
{
	__asm__ volatile(".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n\t"
	                 "vpxord %%zmm\\n, %%zmm\\n, %%zmm\\n\n\t"
	                 ".endr"
	                 :
	                 :
	                 : "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28",
	                   "xmm29", "xmm30", "xmm31");
}

__attribute__((target("avx"))) static void clear_registers_0_to_15(void)
{
	__asm__ volatile("vzeroall"
	                 :
	                 :
	                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
	                   "xmm14", "xmm15");
}

static void clear_registers(void)
{
	if (__builtin_cpu_supports("avx512f"))
		clear_registers_16_to_31();
	if (__builtin_cpu_supports("avx"))
		clear_registers_0_to_15();
}
#else
static void clear_registers(void)
{
}
#endif

void free(void *ptr)
{
	if (ptr == NULL)
		return;
	explicit_bzero(ptr, malloc_usable_size(ptr));
	clear_registers();
	__libc_free(ptr);
}

void *realloc(void *ptr, size_t size)
{
	if (ptr == NULL)
		return malloc(size);
	size_t usable = malloc_usable_size(ptr);
	if (size > 0 && size <= usable) {
		/* It shrinks in place; the part that is cut off may be reused. */
		explicit_bzero((char *)ptr + size, usable - size);
		return __libc_realloc(ptr, size);
	}
	void *grown = size == 0 ? NULL : malloc(size);
	if (grown != NULL)
		memcpy(grown, ptr, usable);
	if (grown != NULL || size == 0)
		free(ptr);
	return grown;
}
