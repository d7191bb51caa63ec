/* warrend on a machine whose time of day is CLOCK_AHEAD seconds ahead. It is linked so that these are called in the place of the C library's. */
#include <pthread.h>
#include <time.h>

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *end);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = __real_clock_gettime(clock, now);
	if (clock == CLOCK_REALTIME && result == 0)
		now->tv_sec += CLOCK_AHEAD;
	return result;
}

/* The kernel compares the end with its own time of day. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *end)
{
	struct timespec there = *end;
	there.tv_sec -= CLOCK_AHEAD;
	return pthread_cond_clockwait(condition, mutex, CLOCK_REALTIME, &there);
}
