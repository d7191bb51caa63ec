/* Two stacks on a fake clock, with a link between them that delays, limits, queues, loses, reorders and duplicates. */
#ifndef WARREN_TESTS_NETSTACK_LINK_H
#define WARREN_TESTS_NETSTACK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netstack/netstack.h"

#define MS 1000000ull
#define SECOND (1000 * MS)
#define LINK_MTU 1420

/* One direction. */
struct link_profile {
	double rate;         /* bit/s, 0: no limit */
	uint64_t delay;      /* ns */
	uint64_t queue;      /* ns of waiting after which packets are dropped */
	double loss;         /* share of packets */
	double burst;        /* probability that a loss starts a burst */
	double burst_length; /* its mean in packets, 0: 4 */
	double reorder;      /* share of packets that come 1 to 3 ms late */
	double duplicate;
	size_t size_max;    /* larger packets are silently lost, 0: none */
	bool is_size_of4;   /* only IPv4 packets */
	uint64_t down_from; /* nothing passes between these times */
	uint64_t down_until;
};

struct link_side {
	struct netstack *stack;
	struct link_profile out;
	uint64_t busy_until;
	bool in_burst;
	bool is_refusing; /* output refuses for lack of room */
	size_t room;      /* packets until it does, when has_room_limit */
	bool has_room_limit;
	uint16_t unreached_port; /* no name server with this port can be asked, 0: all can */
	uint64_t wake_grain;     /* it runs only at multiples of this, as on a busy machine */
	/* observations */
	uint64_t packets, data_packets, bytes, queue_drops, losses;
	uint64_t queue_sum, queue_max;
	void (*spy)(void *owner, const uint8_t *packet, size_t length);
	void *spy_owner;
};

struct link;

/* Both sides have 10.0.0.1/2 and fd00::1/2. */
struct link *link_create(uint64_t seed, size_t memory_budget);
void link_free(struct link *link);
void link_remove(struct link *link, int side); /* frees the stack of a side */
struct link_side *link_side(struct link *link, int index);
uint64_t link_now(const struct link *link);
void link_set(struct link *link, const struct link_profile *profile); /* both directions */
/* Runs until the time, or until `done` says so. */
bool link_run(struct link *link, uint64_t until, bool (*done)(void *owner), void *owner);
/* Delivers a packet to a side now. */
void link_inject(struct link *link, int side, const uint8_t *packet, size_t length);
/* Timers run late, at the next multiple of this, as in a loop with millisecond resolution. */
void link_set_timer_grain(struct link *link, uint64_t grain);
/* Forces a step at this time at the latest, once. */
void link_wake(struct link *link, uint64_t at);
/* Called after each step. */
void link_on_step(struct link *link, void (*step)(void *owner), void *owner);
double link_random(struct link *link);
struct netstack_endpoint link_address(int side, uint8_t family, uint16_t port);
/* Packets that arrive within so much time make one batch. */
void link_set_batch(struct link *link, uint64_t time);

#endif
