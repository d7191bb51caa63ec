/* One budget of bytes for all that stacks of the process store for streams: what was written and received, what came out of order, fragments,
 * and the records of all these. Nobody reserves anything: limits shrink by themselves as memory fills (dynamic thresholds: Choudhury and
 * Hahne, 1998). A stack may hold as much as is free, so one alone gets half, two get a third each, and something is left for the next one
 * whatever they do; a buffer of it may grow to half of what the stack may still take. The floor is for each buffer while there is any; when
 * nothing is left to the stack, a stream goes on with what keeps it alive. */
#ifndef WARREN_NETSTACK_BUDGET_H
#define WARREN_NETSTACK_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#define BUDGET_FLOOR ((size_t)256 * 1024)
#define BUDGET_LEAST ((size_t)16 * 1024)

/* A stack's part. Embedded by value; all zero to begin with. */
struct budget {
	size_t used;
};

void budget_start(size_t bytes);
void budget_charge(struct budget *budget, size_t bytes);
void budget_release(struct budget *budget, size_t bytes);
size_t budget_used(void); /* by all stacks */
bool budget_is_spent(const struct budget *budget);
/* How large one buffer may become now: at least BUDGET_FLOOR, and BUDGET_LEAST when all is spent. */
size_t budget_share(const struct budget *budget);

#endif
