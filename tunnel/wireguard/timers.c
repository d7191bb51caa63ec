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

/* SplitMix64: jitter must differ but need not be secret, and is needed too often to ask the env. tunnel/pool/chooser.c has it, too (the reason is
 * there). */
static uint64_t next_random(struct wireguard_timers *timers)
{
	uint64_t z = timers->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t jitter(struct wireguard_timers *timers)
{
	return next_random(timers) % (WIREGUARD_JITTER_MAX + 1);
}

uint32_t wireguard_timers_draw(struct wireguard_timers *timers, const struct obfuscation_range *range)
{
	uint64_t numbers = (uint64_t)range->high - range->low + 1;

	return numbers == 1 ? range->low : range->low + (uint32_t)(next_random(timers) % numbers);
}

static uint64_t rekey_timeout(struct wireguard_timers *timers)
{
	return wireguard_timers_draw(timers, &timers->timings->rekey_timeout) * WIREGUARD_SECOND;
}

static uint64_t keepalive_timeout(struct wireguard_timers *timers)
{
	return wireguard_timers_draw(timers, &timers->timings->keepalive_timeout) * WIREGUARD_SECOND;
}

static uint64_t persistent(struct wireguard_timers *timers)
{
	uint64_t more = timers->persistent_most - timers->persistent_interval;
	return timers->persistent_interval + (more == 0 ? 0 : next_random(timers) % (more + 1));
}

int wireguard_timers_init(struct wireguard_timers *timers, struct wireguard_schedule *schedule, const struct wireguard_timings *timings,
                          uint64_t seed)
{
	*timers = (struct wireguard_timers){ .schedule = schedule, .timings = timings, .random = seed, .patience = WIREGUARD_PATIENCE };
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
	set(timers, WIREGUARD_TIMER_NEW_HANDSHAKE, now + keepalive_timeout(timers) + rekey_timeout(timers) + jitter(timers));
	set(timers, WIREGUARD_TIMER_QUIET, now + timers->patience);
}

void wireguard_timers_data_received(struct wireguard_timers *timers, uint64_t now)
{
	timers->patience = WIREGUARD_PATIENCE;
	if (is_pending(timers, WIREGUARD_TIMER_KEEPALIVE))
		timers->needs_another_keepalive = true;
	else
		set(timers, WIREGUARD_TIMER_KEEPALIVE, now + keepalive_timeout(timers));
}

static void traversed(struct wireguard_timers *timers, uint64_t now)
{
	if (timers->persistent_interval != 0)
		set(timers, WIREGUARD_TIMER_PERSISTENT, now + persistent(timers));
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
	set(timers, WIREGUARD_TIMER_RETRANSMIT, now + rekey_timeout(timers) + jitter(timers));
}

void wireguard_timers_initiation_delayed(struct wireguard_timers *timers, uint64_t last)
{
	if (!is_pending(timers, WIREGUARD_TIMER_RETRANSMIT))
		set(timers, WIREGUARD_TIMER_RETRANSMIT, last + rekey_timeout(timers) + jitter(timers));
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
	uint64_t life = timers->timings->reject_after.high * WIREGUARD_SECOND;

	set(timers, WIREGUARD_TIMER_EXPIRY, created == WIREGUARD_NEVER ? WIREGUARD_NEVER : created + life);
}

void wireguard_timers_room_missing(struct wireguard_timers *timers, uint64_t now)
{
	set(timers, WIREGUARD_TIMER_ROOM, now + WIREGUARD_ROOM_RETRY);
}

void wireguard_timers_keepalive_elapsed(struct wireguard_timers *timers, uint64_t now)
{
	if (timers->needs_another_keepalive)
		set(timers, WIREGUARD_TIMER_KEEPALIVE, now + keepalive_timeout(timers));
	timers->needs_another_keepalive = false;
}

void wireguard_timers_persistent_elapsed(struct wireguard_timers *timers, uint64_t now)
{
	set(timers, WIREGUARD_TIMER_PERSISTENT, now + persistent(timers));
}

void wireguard_timers_set_persistent(struct wireguard_timers *timers, uint64_t interval, uint64_t most, uint64_t now)
{
	bool was_off = timers->persistent_interval == 0;

	if (timers->persistent_interval == interval && timers->persistent_most == most)
		return;
	timers->persistent_interval = interval;
	timers->persistent_most = most;
	set(timers, WIREGUARD_TIMER_PERSISTENT, interval == 0 ? WIREGUARD_NEVER : was_off ? now : now + persistent(timers));
}

void wireguard_timers_resume(struct wireguard_timers *timers, enum wireguard_timer timer, uint64_t deadline)
{
	set(timers, timer, deadline);
}

void wireguard_timers_quiet_elapsed(struct wireguard_timers *timers)
{
	/* A value above the wait for a new handshake disables it in effect. */
	if (timers->patience < (timers->timings->keepalive_timeout.high + timers->timings->rekey_timeout.high) * WIREGUARD_SECOND)
		timers->patience *= 2;
}

bool wireguard_timers_may_repeat(struct wireguard_timers *timers)
{
	return timers->attempts++ <= wireguard_timers_draw(timers, &timers->timings->attempts);
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
