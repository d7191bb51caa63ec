#include "tests/netstack/dice.h"

static uint64_t seed = 1;

uint32_t dice(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 33) % below);
}
