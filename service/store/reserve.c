#include "service/store/reserve.h"

#include <fcntl.h>
#include <unistd.h>

#define SPARE INT64_C(262144) /* where there is room, so that it rarely changes */

bool reserve_open(struct reserve *reserve, const char *path)
{
	*reserve = (struct reserve){ .descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) };
	if (reserve->descriptor < 0)
		return false;
	reserve_lend(reserve);
	return true;
}

void reserve_close(struct reserve *reserve)
{
	if (reserve->descriptor >= 0)
		close(reserve->descriptor);
	reserve->descriptor = -1;
}

static bool resize(struct reserve *reserve, int64_t size)
{
	bool is_done = size <= reserve->size ? ftruncate(reserve->descriptor, size) == 0 : posix_fallocate(reserve->descriptor, 0, size) == 0;
	if (is_done)
		reserve->size = size;
	else if (ftruncate(reserve->descriptor, reserve->size) != 0) /* a part of it may be there */
		reserve->size = 0;
	return is_done;
}

bool reserve_hold(struct reserve *reserve, int64_t size)
{
	bool is_enough = size <= reserve->size;
	if (reserve->is_lent || (is_enough && reserve->size - size <= 2 * SPARE))
		return is_enough;
	return resize(reserve, size + SPARE) || resize(reserve, size);
}

void reserve_lend(struct reserve *reserve)
{
	int result = ftruncate(reserve->descriptor, 0);
	(void)result; /* then there is no more room than before */
	reserve->is_lent = true;
}

bool reserve_take_back(struct reserve *reserve, int64_t size)
{
	reserve->is_lent = false;
	reserve->size = 0;
	return reserve_hold(reserve, size);
}

bool reserve_has_room(struct reserve *reserve)
{
	int64_t held = reserve->size;
	return resize(reserve, held + SPARE) && resize(reserve, held);
}
