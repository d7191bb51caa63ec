/* A list of the system calls that a process may make from now on. Any other has no effect, returns EPERM and is logged; every end-to-end test
 * reads the log. Under sanitizers and coverage, which need files, the call is made, and only the kernel logs it. */
#ifndef WARREN_SANDBOX_CALL_FILTER_H
#define WARREN_SANDBOX_CALL_FILTER_H

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>

/* A call that is allowed if all of its `count` conditions hold. Several rules for a call are alternatives. */
struct call_rule {
	int call;
	unsigned count;
	struct scmp_arg_cmp conditions[2];
};
/* The conditions, on the 32 bits that the kernel reads of an int: argument `n` has `value` in the bits of `mask`; equals `value`; has only
 * allowed bits; has all of the bits; has none of them. */
#define CALL_MASKED(n, mask, value)                                                                                                                  \
	{                                                                                                                                            \
		(n), SCMP_CMP_MASKED_EQ, (uint32_t)(mask), (uint32_t)(value)                                                                         \
	}
#define CALL_IS(n, value) CALL_MASKED(n, 0xffffffffu, value)
#define CALL_HAS_ONLY(n, bits) CALL_MASKED(n, ~(uint32_t)(bits), 0)
#define CALL_HAS(n, bits) CALL_MASKED(n, bits, bits)
#define CALL_LACKS(n, bits) CALL_MASKED(n, bits, 0)
/* A whole rule: setsockopt or getsockopt of one option. */
#define CALL_OPTION(call, level, name)                                                                                                               \
	{                                                                                                                                            \
		SCMP_SYS(call), 2,                                                                                                                   \
		{                                                                                                                                    \
			CALL_IS(1, level), CALL_IS(2, name)                                                                                          \
		}                                                                                                                                    \
	}

/* NULL when out of memory. */
scmp_filter_ctx call_filter_create(const int *allowed, size_t count);
/* Returns NULL for NULL, and when out of memory; the filter is then freed. */
scmp_filter_ctx call_filter_add(scmp_filter_ctx filter, const struct call_rule *rules, size_t count);
/* Takes the filter, which then applies to this thread and everything it starts. False if the kernel has no seccomp. */
/* Answers refused calls with EPERM, and logs them. call_filter_enter does that itself; a program that was started under a list needs it, too. */
void call_filter_watch(void);
bool call_filter_enter(scmp_filter_ctx filter);

#endif
