#include "tunnel/logins.h"

#include <stddef.h>
#include <stdlib.h>

#include "tunnel/loop.h"

#define SOURCES 64
#define DELAY (100 * LOOP_MILLISECOND)
#define DELAY_STEPS 4
#define REFUSED_FREELY 8
#define MEMORY (60 * LOOP_SECOND)

struct source {
	uint64_t source;
	uint64_t refused_at; /* the last time */
	uint64_t until;      /* the last refusal is told then */
	unsigned refused;    /* in a row; 0: the place is free */
};

struct logins {
	struct source sources[SOURCES];
};

static const struct source *find(const struct logins *logins, uint64_t source, uint64_t now)
{
	for (size_t i = 0; logins != NULL && i < SOURCES; i++) {
		const struct source *at = &logins->sources[i];
		if (at->refused > 0 && at->source == source)
			return now - at->refused_at < MEMORY ? at : NULL;
	}
	return NULL;
}

/* The source's place, or else a free one, or else that of the one refused longest ago. */
static struct source *place(struct logins *logins, uint64_t source)
{
	struct source *oldest = &logins->sources[0];
	for (size_t i = 0; i < SOURCES; i++) {
		struct source *at = &logins->sources[i];
		if (at->refused > 0 && at->source == source)
			return at;
		if (oldest->refused > 0 && (at->refused == 0 || at->refused_at < oldest->refused_at))
			oldest = at;
	}
	return oldest;
}

uint64_t logins_refuse(struct logins **logins, uint64_t source, uint64_t now)
{
	if (*logins == NULL)
		*logins = calloc(1, sizeof **logins);
	if (*logins == NULL)
		return now + (DELAY << DELAY_STEPS);
	const struct source *known = find(*logins, source, now);
	unsigned refused = known == NULL ? 0 : known->refused;
	uint64_t until = now + (DELAY << (refused < DELAY_STEPS ? refused : DELAY_STEPS));
	*place(*logins, source) = (struct source){ .source = source, .refused_at = now, .until = until, .refused = refused + 1 };
	return until;
}

uint64_t logins_wait(const struct logins *logins, uint64_t source, uint64_t now)
{
	const struct source *known = find(logins, source, now);
	return known != NULL && known->refused >= REFUSED_FREELY && known->until > now ? known->until : 0;
}

void logins_forget(struct logins *logins, uint64_t source)
{
	for (size_t i = 0; logins != NULL && i < SOURCES; i++)
		if (logins->sources[i].source == source)
			logins->sources[i].refused = 0;
}
