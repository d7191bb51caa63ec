/* Disk space reserved for a full disk: a file of zeros. SQLite needs space even to delete, for its log, and gets
 * the reserve's for as long as that takes. One thread at a time. */
#ifndef WARREN_SERVICE_STORE_RESERVE_H
#define WARREN_SERVICE_STORE_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

struct reserve {
	int descriptor;
	int64_t size; /* bytes that it holds, or held before it was lent */
	bool is_lent;
};

/* Opens or makes the file, lent at first: its room is there for what the start needs. False leaves errno. */
bool reserve_open(struct reserve *reserve, const char *path);
/* The space stays reserved, for the next start. */
void reserve_close(struct reserve *reserve);
/* Makes it hold `size` bytes and a little more, and answers whether it does. While it is lent: whether it was that large. */
bool reserve_hold(struct reserve *reserve, int64_t size);
void reserve_lend(struct reserve *reserve);
/* Takes back the lent space, or `size` bytes. False if other programs used it; reserve_hold tries again. */
bool reserve_take_back(struct reserve *reserve, int64_t size);
/* Whether there is room beyond what it holds; tried, because a quota counts, too. */
bool reserve_has_room(struct reserve *reserve);

#endif
