/* A peer's timers (paper, 6): deadlines that only protocol events move. The caller reports the event, and this file decides its effect on the
 * timers. */
#ifndef WARREN_TUNNEL_WIREGUARD_TIMERS_H
#define WARREN_TUNNEL_WIREGUARD_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "tunnel/wireguard/schedule.h"
#include "tunnel/wireguard/timings.h"

/* A retransmitted handshake is delayed a little, so that two sides that started together drift apart (paper, 6.1). */
#define WIREGUARD_JITTER_MAX (WIREGUARD_SECOND / 3)
/* When to ask again for room that the env did not have. */
#define WIREGUARD_ROOM_RETRY (WIREGUARD_SECOND / 100)
/* A peer that receives data and has none to send answers with a keepalive 10 s later. So the patience doubles each time that a peer was quiet, and
 * is reset when it sends data. */
#define WIREGUARD_PATIENCE (3 * WIREGUARD_SECOND)

enum wireguard_timer {
	WIREGUARD_TIMER_EXPIRY,        /* a session reaches REJECT_AFTER_TIME */
	WIREGUARD_TIMER_RETRANSMIT,    /* an initiation was not answered */
	WIREGUARD_TIMER_NEW_HANDSHAKE, /* data was sent and nothing came back */
	WIREGUARD_TIMER_QUIET,         /* the same, sooner; causes no packet */
	WIREGUARD_TIMER_KEEPALIVE,     /* data was received and nothing sent back */
	WIREGUARD_TIMER_PERSISTENT,    /* the persistent keepalive */
	WIREGUARD_TIMER_ROOM,          /* the env had no room for what must be sent */
	WIREGUARD_TIMER_COUNT
};

/* Embedded in a peer, the schedule's entry first. entry.due <= every deadline: when a deadline moves later, entry.due is corrected only when the
 * exact time is needed. So a packet costs a few stores. */
struct wireguard_timers {
	struct wireguard_schedule_entry entry;
	const struct wireguard_schedule *schedule;
	uint64_t deadlines[WIREGUARD_TIMER_COUNT];
	const struct wireguard_timings *timings;
	uint64_t persistent_interval, persistent_most; /* drawn from this range; 0: off */
	uint64_t random;                               /* state of the jitter */
	unsigned attempts;                             /* initiations repeated since the last reason to send one */
	uint64_t patience;                             /* until the peer is called quiet */
	bool needs_another_keepalive;
};

/* `timings` is borrowed. `seed` is random. 0 or WIREGUARD_OUT_OF_MEMORY. */
int wireguard_timers_init(struct wireguard_timers *timers, struct wireguard_schedule *schedule, const struct wireguard_timings *timings,
                          uint64_t seed) __attribute__((warn_unused_result));
void wireguard_timers_clear(struct wireguard_timers *timers, struct wireguard_schedule *schedule);

/* Data, not a keepalive. */
void wireguard_timers_data_sent(struct wireguard_timers *timers, uint64_t now);
void wireguard_timers_data_received(struct wireguard_timers *timers, uint64_t now);
/* Any message except a cookie reply, before the event of its content. */
void wireguard_timers_authenticated_sent(struct wireguard_timers *timers, uint64_t now);
void wireguard_timers_authenticated_received(struct wireguard_timers *timers, uint64_t now);
void wireguard_timers_initiation_sent(struct wireguard_timers *timers, uint64_t now);
/* An initiation is needed, but the last handshake message was sent at `last`, less than REKEY_TIMEOUT ago. */
void wireguard_timers_initiation_delayed(struct wireguard_timers *timers, uint64_t last);
/* The next initiation is to be sent at `at`, whatever was before. */
void wireguard_timers_initiation_due(struct wireguard_timers *timers, uint64_t at);
void wireguard_timers_initiation_abandoned(struct wireguard_timers *timers);
void wireguard_timers_handshake_completed(struct wireguard_timers *timers);
/* `created` is when the oldest remaining session was derived, or WIREGUARD_NEVER. */
void wireguard_timers_sessions_changed(struct wireguard_timers *timers, uint64_t created);
void wireguard_timers_room_missing(struct wireguard_timers *timers, uint64_t now);
/* The timer sent a keepalive; another one is due if data arrived since. */
void wireguard_timers_keepalive_elapsed(struct wireguard_timers *timers, uint64_t now);
void wireguard_timers_persistent_elapsed(struct wireguard_timers *timers, uint64_t now);
/* The first keepalive after enabling it is due at once. */
void wireguard_timers_set_persistent(struct wireguard_timers *timers, uint64_t interval, uint64_t most, uint64_t now);
/* A deadline from another device. */
void wireguard_timers_resume(struct wireguard_timers *timers, enum wireguard_timer timer, uint64_t deadline);
/* Whether an initiation that was not answered is repeated; counts it. */
bool wireguard_timers_may_repeat(struct wireguard_timers *timers);
/* A number of the range. */
uint32_t wireguard_timers_draw(struct wireguard_timers *timers, const struct obfuscation_range *range);

/* The exact time at which the next timer of all in the schedule is due. */
uint64_t wireguard_timers_deadline(const struct wireguard_schedule *schedule);
/* The timers that are due at `now`, or NULL. */
struct wireguard_timers *wireguard_timers_next(const struct wireguard_schedule *schedule, uint64_t now);
/* The peer was quiet: doubles the patience. */
void wireguard_timers_quiet_elapsed(struct wireguard_timers *timers);
/* Whether this timer is due; stops it if so. */
bool wireguard_timers_elapsed(struct wireguard_timers *timers, enum wireguard_timer timer, uint64_t now) __attribute__((warn_unused_result));

#endif
