/* A ring of 64-bit words: word w holds the counters 64w to 64w + 63, modulo the ring. Moving ahead clears the words in between. */
#include "tunnel/wireguard/replay.h"

#include <stdlib.h>

#define WORDS (WIREGUARD_REPLAY_BITS / 64)

void wireguard_replay_clear(struct wireguard_replay *replay)
{
	free(replay->ring);
	*replay = (struct wireguard_replay){ 0 };
}

static bool has_word(struct wireguard_replay *replay, uint64_t counter)
{
	if (counter < 64 || replay->ring != NULL)
		return true;
	replay->ring = calloc(WORDS, sizeof(*replay->ring));
	if (replay->ring == NULL)
		return false;
	replay->ring[0] = replay->first;
	return true;
}

static void move_ahead(struct wireguard_replay *replay, uint64_t counter)
{
	/* The word of the highest counter so far; before the first packet no word is in use and there is nothing to clear. */
	uint64_t current = replay->next == 0 ? 0 : (replay->next - 1) / 64;
	uint64_t ahead = counter / 64 - current;

	if (ahead > WORDS)
		ahead = WORDS;
	for (uint64_t i = 1; i <= ahead; i++)
		replay->ring[(current + i) % WORDS] = 0;
	replay->next = counter + 1;
}

bool wireguard_replay_accept(struct wireguard_replay *replay, uint64_t counter)
{
	if (!has_word(replay, counter))
		return false;
	if (counter >= replay->next)
		move_ahead(replay, counter);
	else if (replay->next - counter > WIREGUARD_REPLAY_WINDOW + 1)
		return false;

	uint64_t *word = replay->ring == NULL ? &replay->first : &replay->ring[counter / 64 % WORDS];
	uint64_t bit = UINT64_C(1) << counter % 64;
	if ((*word & bit) != 0)
		return false;
	*word |= bit;
	return true;
}
