/* A peer's timers (paper, 6): deadlines that only the protocol's events move. The caller tells what happened; here is decided what it
 * means for the timers. */
#ifndef WARREN_TUNNEL_WIREGUARD_TIMERS_H
#define WARREN_TUNNEL_WIREGUARD_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "tunnel/wireguard/schedule.h"

#define WIREGUARD_SECOND UINT64_C(1000000000)
#define WIREGUARD_REKEY_AFTER_TIME (120 * WIREGUARD_SECOND)
#define WIREGUARD_REJECT_AFTER_TIME (180 * WIREGUARD_SECOND)
#define WIREGUARD_REKEY_TIMEOUT (5 * WIREGUARD_SECOND)
#define WIREGUARD_REKEY_ATTEMPT_TIME (90 * WIREGUARD_SECOND)
#define WIREGUARD_KEEPALIVE_TIMEOUT (10 * WIREGUARD_SECOND)
/* A handshake is repeated a little later than due, so that two sides that began at once do not go on doing so (paper, 6.1). */
#define WIREGUARD_JITTER_MAX (WIREGUARD_SECOND / 3)
/* How soon to ask again for room that the env did not have. */
#define WIREGUARD_ROOM_RETRY (WIREGUARD_SECOND / 100)
/* A peer that takes data and has none to send answers by a keepalive, 10 s later. So the patience doubles each time that a peer was quiet, and
 * begins anew when it sends data. */
#define WIREGUARD_PATIENCE (3 * WIREGUARD_SECOND)

enum wireguard_timer {
	WIREGUARD_TIMER_EXPIRY,        /* a session reaches REJECT_AFTER_TIME */
	WIREGUARD_TIMER_RETRANSMIT,    /* an initiation was not answered */
	WIREGUARD_TIMER_NEW_HANDSHAKE, /* data was sent and nothing came back */
	WIREGUARD_TIMER_QUIET,         /* the same, sooner, and nothing is sent for it */
	WIREGUARD_TIMER_KEEPALIVE,     /* data was received and nothing sent back */
	WIREGUARD_TIMER_PERSISTENT,    /* the persistent keepalive */
	WIREGUARD_TIMER_ROOM,          /* the env had no room for what must be sent */
	WIREGUARD_TIMER_COUNT
};

/* Embedded in a peer, the schedule's entry first. entry.due <= every deadline: a deadline that moves on leaves it behind, and it is put
 * right when its time is asked for. So a packet costs a few stores. */
struct wireguard_timers {
	struct wireguard_schedule_entry entry;
	const struct wireguard_schedule *schedule;
	uint64_t deadlines[WIREGUARD_TIMER_COUNT];
	uint64_t persistent_interval; /* 0: off */
	uint64_t random;              /* state of the jitter */
	unsigned attempts;            /* initiations repeated since the last reason to send one */
	uint64_t patience;            /* until the peer is called quiet */
	bool needs_another_keepalive;
};

/* `seed` is random. 0 or WIREGUARD_OUT_OF_MEMORY. */
int wireguard_timers_init(struct wireguard_timers *timers, struct wireguard_schedule *schedule, uint64_t seed) __attribute__((warn_unused_result));
void wireguard_timers_clear(struct wireguard_timers *timers, struct wireguard_schedule *schedule);

/* Data, not a keepalive. */
void wireguard_timers_data_sent(struct wireguard_timers *timers, uint64_t now);
void wireguard_timers_data_received(struct wireguard_timers *timers, uint64_t now);
/* Any message but a cookie reply, before what is said of its content. */
void wireguard_timers_authenticated_sent(struct wireguard_timers *timers, uint64_t now);
void wireguard_timers_authenticated_received(struct wireguard_timers *timers, uint64_t now);
void wireguard_timers_initiation_sent(struct wireguard_timers *timers, uint64_t now);
/* An initiation is needed, but the last handshake message was sent at `last`, less than REKEY_TIMEOUT ago. */
void wireguard_timers_initiation_delayed(struct wireguard_timers *timers, uint64_t last);
/* The next initiation is to be sent at `at`, whatever was before. */
void wireguard_timers_initiation_due(struct wireguard_timers *timers, uint64_t at);
void wireguard_timers_initiation_abandoned(struct wireguard_timers *timers);
void wireguard_timers_handshake_completed(struct wireguard_timers *timers);
/* `created` is when the oldest session that is left was derived, or WIREGUARD_NEVER. */
void wireguard_timers_sessions_changed(struct wireguard_timers *timers, uint64_t created);
void wireguard_timers_room_missing(struct wireguard_timers *timers, uint64_t now);
/* A keepalive was sent by the timer; another one is due if data came since. */
void wireguard_timers_keepalive_elapsed(struct wireguard_timers *timers, uint64_t now);
void wireguard_timers_persistent_elapsed(struct wireguard_timers *timers, uint64_t now);
/* The first keepalive after switching it on is due at once. */
void wireguard_timers_set_persistent(struct wireguard_timers *timers, uint64_t interval, uint64_t now);

/* The exact time at which the next timer of all in the schedule is due. */
uint64_t wireguard_timers_deadline(const struct wireguard_schedule *schedule);
/* The timers that are due at `now`, or NULL. */
struct wireguard_timers *wireguard_timers_next(const struct wireguard_schedule *schedule, uint64_t now);
/* The peer was quiet: the next time it has twice as long. */
void wireguard_timers_quiet_elapsed(struct wireguard_timers *timers);
/* Whether this timer is due; it is then stopped. */
bool wireguard_timers_elapsed(struct wireguard_timers *timers, enum wireguard_timer timer, uint64_t now) __attribute__((warn_unused_result));

#endif
