/* The rules of the paper's section 6, as the kernel module interprets them. */
#include "tunnel/wireguard/timers.h"

#include "tunnel/wireguard/device.h"

static void set(struct wireguard_timers *timers, enum wireguard_timer timer, uint64_t deadline)
{
	timers->deadlines[timer] = deadline;
	if (deadline < timers->entry.due)
		wireguard_schedule_move(timers->schedule, &timers->entry, deadline);
}

static void stop(struct wireguard_timers *timers, enum wireguard_timer timer)
{
	timers->deadlines[timer] = WIREGUARD_NEVER;
}

static bool is_pending(const struct wireguard_timers *timers, enum wireguard_timer timer)
{
	return timers->deadlines[timer] != WIREGUARD_NEVER;
}

/* splitmix64: jitter must differ but need not be secret, and is needed too often to ask the env. */
static uint64_t jitter(struct wireguard_timers *timers)
{
	uint64_t z = timers->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % (WIREGUARD_JITTER_MAX + 1);
}

int wireguard_timers_init(struct wireguard_timers *timers, struct wireguard_schedule *schedule, uint64_t seed)
{
	*timers = (struct wireguard_timers){ .schedule = schedule, .random = seed, .patience = WIREGUARD_PATIENCE };
	for (enum wireguard_timer timer = 0; timer < WIREGUARD_TIMER_COUNT; timer++)
		stop(timers, timer);
	return wireguard_schedule_add(schedule, &timers->entry, WIREGUARD_NEVER);
}

void wireguard_timers_clear(struct wireguard_timers *timers, struct wireguard_schedule *schedule)
{
	wireguard_schedule_remove(schedule, &timers->entry);
}

void wireguard_timers_data_sent(struct wireguard_timers *timers, uint64_t now)
{
	if (is_pending(timers, WIREGUARD_TIMER_NEW_HANDSHAKE))
		return;
	set(timers, WIREGUARD_TIMER_NEW_HANDSHAKE, now + WIREGUARD_KEEPALIVE_TIMEOUT + WIREGUARD_REKEY_TIMEOUT + jitter(timers));
	set(timers, WIREGUARD_TIMER_QUIET, now + timers->patience);
}

void wireguard_timers_data_received(struct wireguard_timers *timers, uint64_t now)
{
	timers->patience = WIREGUARD_PATIENCE;
	if (is_pending(timers, WIREGUARD_TIMER_KEEPALIVE))
		timers->needs_another_keepalive = true;
	else
		set(timers, WIREGUARD_TIMER_KEEPALIVE, now + WIREGUARD_KEEPALIVE_TIMEOUT);
}

static void traversed(struct wireguard_timers *timers, uint64_t now)
{
	if (timers->persistent_interval != 0)
		set(timers, WIREGUARD_TIMER_PERSISTENT, now + timers->persistent_interval);
}

void wireguard_timers_authenticated_sent(struct wireguard_timers *timers, uint64_t now)
{
	stop(timers, WIREGUARD_TIMER_KEEPALIVE);
	traversed(timers, now);
}

void wireguard_timers_authenticated_received(struct wireguard_timers *timers, uint64_t now)
{
	stop(timers, WIREGUARD_TIMER_NEW_HANDSHAKE);
	stop(timers, WIREGUARD_TIMER_QUIET);
	traversed(timers, now);
}

void wireguard_timers_initiation_sent(struct wireguard_timers *timers, uint64_t now)
{
	set(timers, WIREGUARD_TIMER_RETRANSMIT, now + WIREGUARD_REKEY_TIMEOUT + jitter(timers));
}

void wireguard_timers_initiation_delayed(struct wireguard_timers *timers, uint64_t last)
{
	if (!is_pending(timers, WIREGUARD_TIMER_RETRANSMIT))
		set(timers, WIREGUARD_TIMER_RETRANSMIT, last + WIREGUARD_REKEY_TIMEOUT + jitter(timers));
}

void wireguard_timers_initiation_due(struct wireguard_timers *timers, uint64_t at)
{
	set(timers, WIREGUARD_TIMER_RETRANSMIT, at);
}

void wireguard_timers_initiation_abandoned(struct wireguard_timers *timers)
{
	stop(timers, WIREGUARD_TIMER_RETRANSMIT);
	stop(timers, WIREGUARD_TIMER_KEEPALIVE);
}

void wireguard_timers_handshake_completed(struct wireguard_timers *timers)
{
	stop(timers, WIREGUARD_TIMER_RETRANSMIT);
	timers->attempts = 0;
}

void wireguard_timers_sessions_changed(struct wireguard_timers *timers, uint64_t created)
{
	set(timers, WIREGUARD_TIMER_EXPIRY, created == WIREGUARD_NEVER ? WIREGUARD_NEVER : created + WIREGUARD_REJECT_AFTER_TIME);
}

void wireguard_timers_room_missing(struct wireguard_timers *timers, uint64_t now)
{
	set(timers, WIREGUARD_TIMER_ROOM, now + WIREGUARD_ROOM_RETRY);
}

void wireguard_timers_keepalive_elapsed(struct wireguard_timers *timers, uint64_t now)
{
	if (timers->needs_another_keepalive)
		set(timers, WIREGUARD_TIMER_KEEPALIVE, now + WIREGUARD_KEEPALIVE_TIMEOUT);
	timers->needs_another_keepalive = false;
}

void wireguard_timers_persistent_elapsed(struct wireguard_timers *timers, uint64_t now)
{
	set(timers, WIREGUARD_TIMER_PERSISTENT, now + timers->persistent_interval);
}

void wireguard_timers_set_persistent(struct wireguard_timers *timers, uint64_t interval, uint64_t now)
{
	if (timers->persistent_interval == interval)
		return;
	set(timers, WIREGUARD_TIMER_PERSISTENT, interval == 0 ? WIREGUARD_NEVER : timers->persistent_interval == 0 ? now : now + interval);
	timers->persistent_interval = interval;
}

void wireguard_timers_quiet_elapsed(struct wireguard_timers *timers)
{
	/* A value above the wait for a new handshake disables it in effect. */
	if (timers->patience < WIREGUARD_KEEPALIVE_TIMEOUT + WIREGUARD_REKEY_TIMEOUT)
		timers->patience *= 2;
}

static uint64_t earliest(const struct wireguard_timers *timers)
{
	uint64_t first = WIREGUARD_NEVER;

	for (enum wireguard_timer timer = 0; timer < WIREGUARD_TIMER_COUNT; timer++)
		if (timers->deadlines[timer] < first)
			first = timers->deadlines[timer];
	return first;
}

uint64_t wireguard_timers_deadline(const struct wireguard_schedule *schedule)
{
	struct wireguard_schedule_entry *entry;

	while ((entry = wireguard_schedule_first(schedule)) != NULL) {
		uint64_t due = earliest((struct wireguard_timers *)entry);
		if (due == entry->due)
			return due;
		wireguard_schedule_move(schedule, entry, due);
	}
	return WIREGUARD_NEVER;
}

struct wireguard_timers *wireguard_timers_next(const struct wireguard_schedule *schedule, uint64_t now)
{
	if (wireguard_timers_deadline(schedule) > now)
		return NULL;
	return (struct wireguard_timers *)wireguard_schedule_first(schedule);
}

bool wireguard_timers_elapsed(struct wireguard_timers *timers, enum wireguard_timer timer, uint64_t now)
{
	if (timers->deadlines[timer] > now)
		return false;
	stop(timers, timer);
	return true;
}
