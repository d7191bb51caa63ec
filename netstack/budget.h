/* One budget of bytes for all send and receive buffers of the process. Nobody reserves anything: a buffer may grow to a share of
 * what is free (a dynamic threshold: Choudhury and Hahne, 1998), so limits shrink by themselves as memory fills. The floor is
 * everybody's while there is any; when nothing is left, a stream goes on with what keeps it alive. */
#ifndef WARREN_NETSTACK_BUDGET_H
#define WARREN_NETSTACK_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#define BUDGET_FLOOR ((size_t)256 * 1024)
#define BUDGET_LEAST ((size_t)16 * 1024)

void budget_start(size_t bytes);
void budget_charge(size_t bytes);
void budget_release(size_t bytes);
size_t budget_used(void);
bool budget_is_spent(void);
/* How large one buffer may become now: at least BUDGET_FLOOR, and BUDGET_LEAST when all is spent. */
size_t budget_share(void);

#endif
