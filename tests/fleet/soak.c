/* fleet_soak [FAULTS [SEED [--show]]]: random faults of a simulated fleet (faults.h). Exits with 1 at the first violation. The same seed gives the
 * same course: with --show it is printed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fleet/faults.h"

#define FAULTS_A_WORLD 50

static struct world world;
static uint64_t counts[FAULTS], longest_pause, takeovers, acts, hours_ms;

/* Some nodes and shards, and up to FAULTS_A_WORLD faults. */
static bool run_world(uint64_t seed, uint64_t faults, bool shows)
{
	world_init(&world, seed, 3 + seed % 2, 16 + seed % 16);
	world_add_shard(&world, "@n1", 3, 2);
	world_add_shard(&world, "region=eu", 5, 2);
	world_add_shard(&world, "region=eu", 6, 2);
	world.shows = shows;
	world_begin(&world);
	for (uint64_t i = 0; i < faults && world.violations == 0; i++) {
		enum fault fault = (enum fault)world_roll(&world, FAULTS);
		counts[fault]++;
		fault_happen(&world, fault);
		if (world.violations > 0)
			printf("seed %" PRIu64 ", fault %" PRIu64 " (%s): %s\n", seed, i, fault_name(fault), world.first_violation);
	}
	longest_pause = world.longest_pause > longest_pause ? world.longest_pause : longest_pause;
	takeovers += world.takeovers;
	acts += world.acts;
	hours_ms += world.now;
	bool is_good = world.violations == 0;
	world_clear(&world);
	return is_good;
}

int main(int argc, char **argv)
{
	uint64_t faults = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000, seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	bool shows = argc > 3 && strcmp(argv[3], "--show") == 0;
	for (uint64_t done = 0; done < faults; done += FAULTS_A_WORLD, seed++)
		if (!run_world(seed, faults - done < FAULTS_A_WORLD ? faults - done : FAULTS_A_WORLD, shows))
			return 1;
	for (enum fault fault = 0; fault < FAULTS; fault++)
		printf("%s %" PRIu64 "%s", fault_name(fault), counts[fault], fault + 1 < FAULTS ? ", " : "\n");
	printf("%" PRIu64 " faults in %.1f simulated hours, %" PRIu64 " acts, %" PRIu64 " takeovers, longest pause %" PRIu64 " ms, no violation\n",
	       faults, (double)hours_ms / 3600000, acts, takeovers, longest_pause);
	return 0;
}
