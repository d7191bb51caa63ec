#include "service/registry/slot.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* A stack of free numbers; those never used lie behind `fresh`. */
struct pool {
	uint32_t *free;
	size_t free_count, free_capacity;
	uint32_t fresh, limit;
};

struct seats {
	pthread_mutex_t lock;
	struct counters *counters;
	int descriptor;
	unsigned worker;
	struct pool tunnels, peers;
	size_t placed; /* tunnels whose seat is not left yet */
};

struct seat {
	_Atomic unsigned references;
	struct seats *seats;
	uint32_t index;
	bool is_tunnel;
};

struct seats *seats_create(struct counters *counters, int descriptor, unsigned worker)
{
	struct seats *seats = calloc(1, sizeof(*seats));
	if (seats == NULL)
		return NULL;
	pthread_mutex_init(&seats->lock, NULL);
	seats->counters = counters;
	seats->descriptor = descriptor;
	seats->worker = worker;
	seats->tunnels.limit = COUNTERS_TUNNELS;
	seats->peers.limit = COUNTERS_PEERS;
	return seats;
}

void seats_free(struct seats *seats)
{
	if (seats == NULL)
		return;
	counters_unmap(seats->counters);
	close(seats->descriptor);
	free(seats->tunnels.free);
	free(seats->peers.free);
	pthread_mutex_destroy(&seats->lock);
	free(seats);
}

struct counters *seats_counters(struct seats *seats)
{
	return seats->counters;
}

int seats_descriptor(const struct seats *seats)
{
	return seats->descriptor;
}

size_t seats_tunnels_placed(struct seats *seats)
{
	pthread_mutex_lock(&seats->lock);
	size_t placed = seats->placed;
	pthread_mutex_unlock(&seats->lock);
	return placed;
}

static bool pool_take(struct pool *pool, uint32_t *index)
{
	if (pool->free_count > 0) {
		*index = pool->free[--pool->free_count];
		return true;
	}
	if (pool->fresh == pool->limit)
		return false;
	/* Room for its return is made now, so that giving it back cannot fail. */
	if (pool->free_capacity <= pool->fresh) {
		size_t capacity = pool->free_capacity == 0 ? 64 : pool->free_capacity * 2;
		uint32_t *grown = realloc(pool->free, capacity * sizeof(*grown));
		if (grown == NULL)
			return false;
		pool->free = grown;
		pool->free_capacity = capacity;
	}
	*index = pool->fresh++;
	return true;
}

static struct seat *take(struct seats *seats, bool is_tunnel)
{
	struct seat *seat = malloc(sizeof(*seat));
	if (seat == NULL)
		return NULL;
	*seat = (struct seat){ .references = 1, .seats = seats, .is_tunnel = is_tunnel };
	pthread_mutex_lock(&seats->lock);
	bool taken = pool_take(is_tunnel ? &seats->tunnels : &seats->peers, &seat->index);
	seats->placed += taken && is_tunnel;
	pthread_mutex_unlock(&seats->lock);
	if (taken)
		return seat;
	free(seat);
	return NULL;
}

struct seat *seat_take_tunnel(struct seats *seats)
{
	struct seat *seat = take(seats, true);
	if (seat != NULL)
		counters_clear_tunnel(seat_tunnel(seat));
	return seat;
}

struct seat *seat_take_peer(const struct seat *tunnel)
{
	struct seat *seat = take(tunnel->seats, false);
	if (seat != NULL)
		counters_clear_peer(seat_peer(seat));
	return seat;
}

struct seat *seat_reference(struct seat *seat)
{
	seat->references++;
	return seat;
}

void seat_release(struct seat *seat)
{
	if (seat == NULL || --seat->references > 0)
		return;
	struct seats *seats = seat->seats;
	struct pool *pool = seat->is_tunnel ? &seats->tunnels : &seats->peers;
	pthread_mutex_lock(&seats->lock);
	pool->free[pool->free_count++] = seat->index;
	pthread_mutex_unlock(&seats->lock);
	free(seat);
}

void seat_leave(struct seat *seat)
{
	if (seat == NULL)
		return;
	struct seats *seats = seat->seats;
	pthread_mutex_lock(&seats->lock);
	assert(seat->is_tunnel && seats->placed > 0);
	seats->placed--;
	pthread_mutex_unlock(&seats->lock);
	seat_release(seat);
}

uint32_t seat_index(const struct seat *seat)
{
	return seat->index;
}

unsigned seat_worker(const struct seat *seat)
{
	return seat->seats->worker;
}

struct counters_tunnel *seat_tunnel(const struct seat *seat)
{
	return &seat->seats->counters->tunnels[seat->index];
}

struct counters_peer *seat_peer(const struct seat *seat)
{
	return &seat->seats->counters->peers[seat->index];
}
