/* entries[i]->due <= entries[2i + 1]->due and entries[2i + 2]->due, and entries[i]->position == i. */
#include "tunnel/wireguard/schedule.h"

#include <stdlib.h>

#include "tunnel/wireguard/device.h"

static void place(const struct wireguard_schedule *schedule, struct wireguard_schedule_entry *entry, size_t position)
{
	schedule->entries[position] = entry;
	entry->position = position;
}

static void sift_up(const struct wireguard_schedule *schedule, struct wireguard_schedule_entry *entry)
{
	size_t position = entry->position;

	while (position > 0 && schedule->entries[(position - 1) / 2]->due > entry->due) {
		place(schedule, schedule->entries[(position - 1) / 2], position);
		position = (position - 1) / 2;
	}
	place(schedule, entry, position);
}

static void sift_down(const struct wireguard_schedule *schedule, struct wireguard_schedule_entry *entry)
{
	size_t position = entry->position;

	for (size_t child = 2 * position + 1; child < schedule->count; child = 2 * position + 1) {
		if (child + 1 < schedule->count && schedule->entries[child + 1]->due < schedule->entries[child]->due)
			child++;
		if (schedule->entries[child]->due >= entry->due)
			break;
		place(schedule, schedule->entries[child], position);
		position = child;
	}
	place(schedule, entry, position);
}

void wireguard_schedule_clear(struct wireguard_schedule *schedule)
{
	free(schedule->entries);
	*schedule = (struct wireguard_schedule){ 0 };
}

int wireguard_schedule_add(struct wireguard_schedule *schedule, struct wireguard_schedule_entry *entry, uint64_t due)
{
	if (schedule->count == schedule->capacity) {
		size_t capacity = schedule->capacity == 0 ? 1 : schedule->capacity * 2;
		struct wireguard_schedule_entry **grown = realloc(schedule->entries, capacity * sizeof(*grown));
		if (grown == NULL)
			return WIREGUARD_OUT_OF_MEMORY;
		schedule->entries = grown;
		schedule->capacity = capacity;
	}
	entry->due = due;
	place(schedule, entry, schedule->count++);
	sift_up(schedule, entry);
	return 0;
}

void wireguard_schedule_remove(struct wireguard_schedule *schedule, struct wireguard_schedule_entry *entry)
{
	struct wireguard_schedule_entry *last = schedule->entries[--schedule->count];

	if (last == entry)
		return;
	place(schedule, last, entry->position);
	sift_up(schedule, last);
	sift_down(schedule, last);
}

void wireguard_schedule_move(const struct wireguard_schedule *schedule, struct wireguard_schedule_entry *entry, uint64_t due)
{
	entry->due = due;
	sift_up(schedule, entry);
	sift_down(schedule, entry);
}

struct wireguard_schedule_entry *wireguard_schedule_first(const struct wireguard_schedule *schedule)
{
	return schedule->count == 0 ? NULL : schedule->entries[0];
}
