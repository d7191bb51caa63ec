#include "ipc/counters.h"

#include <assert.h>
#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL /* of later headers than the oldest that this must build with */
#define MFD_NOEXEC_SEAL 0x0008U
#endif

const double counters_bucket_bounds[COUNTERS_BUCKETS - 1] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 };

static const char *const failure_names[] = {
	"bad_request", "authentication", "policy",  "loop",  "limit",  "tunnel_down", "name",
	"refused",     "unreachable",    "timeout", "reset", "memory", "client_gone",
};
static_assert(sizeof(failure_names) / sizeof(failure_names[0]) == COUNTERS_FAILURES, "a name for each failure");

static const char *const drop_names[] = {
	"malformed",      "mac1",        "cookie",  "rate",     "unknown_peer", "unknown_index", "handshake",
	"authentication", "replay",      "expired", "inner",    "source",       "staged",        "unrecognized",
	"no_peer",        "no_endpoint", "send",    "not_peer", "stranger",     "refused",       "overflow",
};
static_assert(sizeof(drop_names) / sizeof(drop_names[0]) == COUNTERS_DROPS, "a name for each reason");

static const char *const state_names[] = { "disabled", "starting", "handshaking", "up", "stale", "failed" };
static_assert(sizeof(state_names) / sizeof(state_names[0]) == TUNNEL_STATE_COUNT, "a name for each state");

const char *counters_failure_name(enum counters_failure failure)
{
	return failure_names[failure];
}

const char *counters_drop_name(unsigned drop)
{
	return drop_names[drop];
}

const char *tunnel_state_name(enum tunnel_state state)
{
	return (unsigned)state < TUNNEL_STATE_COUNT ? state_names[state] : "failed";
}

unsigned counters_memory_flags(void)
{
	const unsigned plain = MFD_CLOEXEC | MFD_ALLOW_SEALING, no_program = plain | MFD_NOEXEC_SEAL;
	int descriptor = memfd_create("warren-counters", no_program);
	if (descriptor < 0)
		return plain;
	close(descriptor);
	return no_program;
}

static_assert(offsetof(struct counters, deadline) % 4096 != 0, "memory of earlier programs has room for it");

int counters_create(struct counters **counters)
{
	int descriptor = memfd_create("warren-counters", counters_memory_flags());
	if (descriptor < 0)
		return -1;
	/* Readers of truncated memory would die of SIGBUS, so its size is sealed before anyone else has it. */
	if (ftruncate(descriptor, sizeof(**counters)) < 0 || fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ||
	    (*counters = counters_map(descriptor)) == NULL) {
		close(descriptor);
		return -1;
	}
	return descriptor;
}

struct counters *counters_map(int descriptor)
{
	void *memory = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

void counters_unmap(struct counters *counters)
{
	if (counters != NULL)
		munmap(counters, sizeof(*counters));
}

static void zero(counter *first, size_t bytes)
{
	for (size_t i = 0; i < bytes / sizeof(*first); i++)
		counter_set(first + i, 0);
}

void counters_zero_gauges(struct counters_tunnel *tunnel)
{
	zero(tunnel->connections_open, sizeof(tunnel->connections_open));
	counter_set(&tunnel->throughput_sent, 0);
	counter_set(&tunnel->throughput_received, 0);
	zero(tunnel->conditions, sizeof(tunnel->conditions));
}

void counters_clear_tunnel(struct counters_tunnel *tunnel)
{
	zero(&tunnel->bytes_sent, sizeof(*tunnel));
}

void counters_clear_peer(struct counters_peer *peer)
{
	zero(&peer->bytes_sent, sizeof(*peer));
}

static void copy(counter *to, const counter *from, size_t bytes)
{
	for (size_t i = 0; i < bytes / sizeof(*to); i++)
		counter_set(to + i, counter_read(from + i));
}

void counters_copy_tunnel(struct counters_tunnel *to, const struct counters_tunnel *from)
{
	copy(&to->bytes_sent, &from->bytes_sent, sizeof(*to));
}

void counters_copy_peer(struct counters_peer *to, const struct counters_peer *from)
{
	copy(&to->bytes_sent, &from->bytes_sent, sizeof(*to));
}

/* A sequence lock with one writer: a reader that sees an odd or changed version tries again. */
void counters_set_endpoint(struct counters_peer *peer, const union wireguard_endpoint *endpoint)
{
	uint64_t words[4] = { 0 };
	static_assert(sizeof(*endpoint) <= sizeof(words), "an endpoint fits");
	memcpy(words, endpoint, sizeof(*endpoint));
	uint64_t version = counter_read(&peer->endpoint_version) | 1;
	atomic_store_explicit(&peer->endpoint_version, version, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (int i = 0; i < 4; i++)
		counter_set(&peer->endpoint[i], words[i]);
	atomic_store_explicit(&peer->endpoint_version, version + 1, memory_order_release);
}

bool counters_endpoint(const struct counters_peer *peer, union wireguard_endpoint *endpoint)
{
	for (int attempt = 0; attempt < 16; attempt++) {
		uint64_t words[4];
		uint64_t before = atomic_load_explicit(&peer->endpoint_version, memory_order_acquire);
		if (before == 0)
			return false;
		for (int i = 0; i < 4; i++)
			words[i] = counter_read(&peer->endpoint[i]);
		atomic_thread_fence(memory_order_acquire);
		if ((before & 1) != 0 || counter_read(&peer->endpoint_version) != before)
			continue;
		memcpy(endpoint, words, sizeof(*endpoint));
		return endpoint->any.sa_family == AF_INET || endpoint->any.sa_family == AF_INET6;
	}
	return false;
}

void counters_set_initiation(struct counters_peer *peer, const uint8_t tai64n[12])
{
	uint64_t seconds;
	uint32_t nanoseconds;
	memcpy(&seconds, tai64n, sizeof(seconds));
	memcpy(&nanoseconds, tai64n + sizeof(seconds), sizeof(nanoseconds));
	/* In this order: the last second's end, then this second's end, then the place in it. */
	atomic_store_explicit(&peer->initiation_nanoseconds, UINT32_MAX, memory_order_release);
	atomic_store_explicit(&peer->initiation_seconds, be64toh(seconds), memory_order_release);
	atomic_store_explicit(&peer->initiation_nanoseconds, be32toh(nanoseconds), memory_order_release);
}

void counters_initiation(const struct counters_peer *peer, uint8_t tai64n[12])
{
	uint64_t seconds = htobe64(counter_read(&peer->initiation_seconds));
	uint32_t nanoseconds = htobe32((uint32_t)counter_read(&peer->initiation_nanoseconds));
	memcpy(tai64n, &seconds, sizeof(seconds));
	memcpy(tai64n + sizeof(seconds), &nanoseconds, sizeof(nanoseconds));
}
