/* What batches of data messages cost: nanoseconds a packet, for each back end of this CPU, in one run. The least of many short runs, because a
 * machine is never quiet. Opening is what sealing and opening take, less the sealing. Usage: bench_aead [BATCH …] */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tunnel/wireguard/aead.h"

enum {
	MOST = WIREGUARD_AEAD_BATCH,
	LARGE = 1420,
	STRIDE = 16 + LARGE + 16, /* as in a train */
	RUNS = 100,
	PACKETS = 1000, /* of a run, about */
};

static uint8_t train[MOST][STRIDE];
static const uint8_t key[WIREGUARD_KEY_LENGTH] = { 1, 2, 3 };

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double least_ns(size_t length, size_t count, bool also_opens)
{
	struct wireguard_aead_packet packets[MOST];
	size_t rounds = PACKETS / count + 1;
	double least = 0;

	for (size_t i = 0; i < count; i++)
		packets[i] = (struct wireguard_aead_packet){ train[i] + 16, length, i, false };
	for (unsigned run = 0; run < RUNS; run++) {
		double start = now_ns();
		for (size_t round = 0; round < rounds; round++) {
			if (wireguard_aead_seal_batch(key, packets, count) != 0)
				exit(1);
			if (also_opens)
				wireguard_aead_open_batch(key, packets, count);
		}
		double each = (now_ns() - start) / (double)(rounds * count);
		least = run == 0 || each < least ? each : least;
	}
	return least;
}

static void measure(size_t length, size_t count)
{
	printf("%5zu B x %2zu", length, count);
	for (unsigned backend = 0; backend < AEAD_BACKENDS; backend++) {
		if (!wireguard_aead_select((enum aead_backend)backend)) {
			printf("  %10s -", aead_backend_name((enum aead_backend)backend));
			continue;
		}
		double seal = least_ns(length, count, false), both = least_ns(length, count, true);
		printf("  %s %4.0f %4.0f", aead_backend_name((enum aead_backend)backend), seal, both - seal);
	}
	printf("\n");
}

int main(int count, char **arguments)
{
	static const size_t lengths[] = { LARGE, 1280, 512, 64 };
	static const size_t usual[] = { 1, 4, 8, 16, 64 };

	if (sodium_init() < 0 || wireguard_aead_start() != 0)
		return 1;
	printf("ns a packet: seal, open\n");
	for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
		for (int i = 1; i < count; i++)
			measure(lengths[l], strtoul(arguments[i], NULL, 10) % (MOST + 1));
		for (size_t i = 0; count < 2 && i < sizeof(usual) / sizeof(usual[0]); i++)
			measure(lengths[l], usual[i]);
	}
	wireguard_aead_stop();
	return 0;
}
