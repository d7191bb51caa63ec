/* One budget of bytes for all send and receive buffers of the process. Nobody reserves anything: a buffer may grow to a share of
 * what is free (a dynamic threshold: Choudhury and Hahne, 1998), so limits shrink by themselves as memory fills, and the floor is
 * everybody's. */
#ifndef WARREN_NETSTACK_BUDGET_H
#define WARREN_NETSTACK_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#define BUDGET_FLOOR ((size_t)256 * 1024)

void budget_start(size_t bytes);
void budget_charge(size_t bytes);
void budget_release(size_t bytes);
size_t budget_used(void);
bool budget_is_spent(void);
/* How large one buffer may become now: at least BUDGET_FLOOR. */
size_t budget_share(void);

#endif
