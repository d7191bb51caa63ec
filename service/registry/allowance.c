#include "service/registry/allowance.h"

#define SECOND 1000000000ull

bool allowance_take(struct allowance *allowance, unsigned per_second, unsigned burst, uint64_t now_ms)
{
	uint64_t now = now_ms * (SECOND / 1000), each = SECOND / per_second;
	uint64_t whole_at = allowance->whole_at > now ? allowance->whole_at : now;
	if (whole_at - now + each > burst * each)
		return false;
	allowance->whole_at = whole_at + each;
	return true;
}

void allowance_return(struct allowance *allowance, unsigned per_second)
{
	uint64_t each = SECOND / per_second;
	allowance->whole_at -= allowance->whole_at < each ? allowance->whole_at : each;
}
