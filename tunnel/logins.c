#include "tunnel/logins.h"

#include <stddef.h>
#include <stdlib.h>

#include "tunnel/io/loop.h"

#define SOURCES 1024
#define DELAY (100 * LOOP_MILLISECOND)
#define DELAY_STEPS 4
#define REFUSED_FREELY 8
#define MEMORY (60 * LOOP_SECOND)

struct source {
	uint64_t source;
	uint64_t refused_at; /* the last time */
	uint64_t until;      /* the last refusal is told then */
	unsigned refused;    /* in a row */
};

struct logins {
	size_t count;
	struct source sources[SOURCES];
};

static struct source *find(struct logins *logins, uint64_t source)
{
	for (size_t i = 0; logins != NULL && i < logins->count; i++)
		if (logins->sources[i].source == source)
			return &logins->sources[i];
	return NULL;
}

/* A free place, or that of the one refused longest ago. */
static struct source *make_place(struct logins *logins)
{
	if (logins->count < SOURCES)
		return &logins->sources[logins->count++];
	struct source *oldest = &logins->sources[0];
	for (size_t i = 1; i < SOURCES; i++)
		if (logins->sources[i].refused_at < oldest->refused_at)
			oldest = &logins->sources[i];
	return oldest;
}

uint64_t logins_refuse(struct logins **logins, uint64_t source, uint64_t now)
{
	if (*logins == NULL)
		*logins = calloc(1, sizeof **logins);
	if (*logins == NULL)
		return now + (DELAY << DELAY_STEPS);
	struct source *at = find(*logins, source);
	unsigned refused = at == NULL || now - at->refused_at >= MEMORY ? 0 : at->refused;
	uint64_t until = now + (DELAY << (refused < DELAY_STEPS ? refused : DELAY_STEPS));
	if (at == NULL)
		at = make_place(*logins);
	*at = (struct source){ .source = source, .refused_at = now, .until = until, .refused = refused + 1 };
	return until;
}

uint64_t logins_wait(struct logins *logins, uint64_t source, uint64_t now)
{
	const struct source *at = find(logins, source);
	bool is_remembered = at != NULL && now - at->refused_at < MEMORY;
	return is_remembered && at->refused >= REFUSED_FREELY && at->until > now ? at->until : 0;
}

void logins_forget(struct logins *logins, uint64_t source)
{
	struct source *at = find(logins, source);
	if (at != NULL)
		*at = logins->sources[--logins->count];
}
