/* Finds the entry that is due first: a binary heap, so that neither finding nor moving one walks over all peers. */
#ifndef WARREN_TUNNEL_WIREGUARD_SCHEDULE_H
#define WARREN_TUNNEL_WIREGUARD_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

/* Embedded in its owner. */
struct wireguard_schedule_entry {
	uint64_t due;
	size_t position;
};

/* Embedded in the device. Starts as all zeros. */
struct wireguard_schedule {
	struct wireguard_schedule_entry **entries;
	size_t count;
	size_t capacity;
};

void wireguard_schedule_clear(struct wireguard_schedule *schedule);
/* `entry` is borrowed until it is removed. 0 or WIREGUARD_OUT_OF_MEMORY. */
int wireguard_schedule_add(struct wireguard_schedule *schedule, struct wireguard_schedule_entry *entry, uint64_t due)
    __attribute__((warn_unused_result));
void wireguard_schedule_remove(struct wireguard_schedule *schedule, struct wireguard_schedule_entry *entry);
/* The entries are moved, not the schedule. */
void wireguard_schedule_move(const struct wireguard_schedule *schedule, struct wireguard_schedule_entry *entry, uint64_t due);
/* NULL when it is empty. */
struct wireguard_schedule_entry *wireguard_schedule_first(const struct wireguard_schedule *schedule);

#endif
