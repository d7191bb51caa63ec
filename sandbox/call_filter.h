/* A list of the system calls that a process may make from now on. Any other does nothing: it returns EPERM and is told in the log, which
 * every end-to-end test reads. Under sanitizers and coverage, which need files, it is made and only the kernel logs it. */
#ifndef WARREN_SANDBOX_CALL_FILTER_H
#define WARREN_SANDBOX_CALL_FILTER_H

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>

/* A call that is allowed when all of its `count` conditions hold. Several rules of a call are alternatives. */
struct call_rule {
	int call;
	unsigned count;
	struct scmp_arg_cmp conditions[2];
};
/* The conditions, on the 32 bits that the kernel reads of an int: argument `n` has `value` in the bits of `mask`; is `value`; has no bits but
 * those that are allowed; has the bits; has none of them. */
#define CALL_MASKED(n, mask, value)                                                                                                                  \
	{                                                                                                                                            \
		(n), SCMP_CMP_MASKED_EQ, (uint32_t)(mask), (uint32_t)(value)                                                                         \
	}
#define CALL_IS(n, value) CALL_MASKED(n, 0xffffffffu, value)
#define CALL_HAS_ONLY(n, bits) CALL_MASKED(n, ~(uint32_t)(bits), 0)
#define CALL_HAS(n, bits) CALL_MASKED(n, bits, bits)
#define CALL_LACKS(n, bits) CALL_MASKED(n, bits, 0)

/* NULL when memory ran out. */
scmp_filter_ctx call_filter_create(const int *allowed, size_t count);
/* NULL stays NULL, and so does what memory ran out for: the filter is released. */
scmp_filter_ctx call_filter_add(scmp_filter_ctx filter, const struct call_rule *rules, size_t count);
/* Consumes the filter; it holds for this thread and what it starts. False when the kernel has no seccomp. */
bool call_filter_enter(scmp_filter_ctx filter);

#endif
