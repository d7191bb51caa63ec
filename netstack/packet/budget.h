/* One budget of bytes for everything that the process's stacks store for streams: written and received data, out-of-order data, fragments,
 * and the records of all these. Nothing is reserved: limits shrink as memory fills (dynamic thresholds: Choudhury and Hahne, 1998). A stack may
 * hold as much as is free. So one alone gets half, two get a third each, and there is always some left for the next. A buffer may grow to half of
 * what its stack may still take. BUDGET_FLOOR is the minimum of each buffer while the stack has any left; after that, BUDGET_LEAST keeps a
 * stream alive. */
#ifndef WARREN_NETSTACK_PACKET_BUDGET_H
#define WARREN_NETSTACK_PACKET_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#define BUDGET_FLOOR ((size_t)256 * 1024)
#define BUDGET_LEAST ((size_t)16 * 1024)

/* A stack's part. Embedded by value; starts as all zeros. */
struct budget {
	size_t used;
};

void budget_start(size_t bytes);
void budget_charge(struct budget *budget, size_t bytes);
void budget_release(struct budget *budget, size_t bytes);
size_t budget_used(void); /* by all stacks */
bool budget_is_spent(const struct budget *budget);
/* The size that one buffer may reach now: at least BUDGET_FLOOR, or BUDGET_LEAST when the budget is spent. */
size_t budget_share(const struct budget *budget);

#endif
