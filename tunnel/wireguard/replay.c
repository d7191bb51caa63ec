/* A ring of 64-bit words: word w holds the counters 64w to 64w + 63, modulo the ring. Moving ahead clears the words in between. */
#include "tunnel/wireguard/replay.h"

#define WORDS (WIREGUARD_REPLAY_BITS / 64)

static void move_ahead(struct wireguard_replay *replay, uint64_t counter)
{
	/* The word of the highest counter so far; before the first packet no word is in use and nothing is there to clear. */
	uint64_t current = replay->next == 0 ? 0 : (replay->next - 1) / 64;
	uint64_t ahead = counter / 64 - current;

	if (ahead > WORDS)
		ahead = WORDS;
	for (uint64_t i = 1; i <= ahead; i++)
		replay->words[(current + i) % WORDS] = 0;
	replay->next = counter + 1;
}

bool wireguard_replay_accept(struct wireguard_replay *replay, uint64_t counter)
{
	if (counter >= replay->next)
		move_ahead(replay, counter);
	else if (replay->next - counter > WIREGUARD_REPLAY_WINDOW + 1)
		return false;

	uint64_t *word = &replay->words[counter / 64 % WORDS];
	uint64_t bit = UINT64_C(1) << counter % 64;
	if ((*word & bit) != 0)
		return false;
	*word |= bit;
	return true;
}
