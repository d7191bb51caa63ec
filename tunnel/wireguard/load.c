/* A queue's length is (busy_until - now) / cost, its own COST or that of the shared one. */
#include "tunnel/wireguard/load.h"

#include "tunnel/wireguard/timers.h"

#define COST (WIREGUARD_SECOND / WIREGUARD_LOAD_PER_SECOND)
#define SHARED_COST (COST / WIREGUARD_LOAD_SHARED)
#define SHARED_HIGH ((uint64_t)WIREGUARD_LOAD_HIGH * WIREGUARD_LOAD_SHARED)
#define SHARED_QUEUE ((uint64_t)WIREGUARD_LOAD_QUEUE * WIREGUARD_LOAD_SHARED)

void wireguard_load_init(struct wireguard_load *load, const struct wireguard_env *env)
{
	*load = (struct wireguard_load){ .sweep_at = WIREGUARD_NEVER };
	env->random(env->owner, load->limiter_key, sizeof(load->limiter_key));
}

void wireguard_load_clear(struct wireguard_load *load)
{
	wireguard_limiter_free(load->limiter);
	load->limiter = NULL;
	load->sweep_at = WIREGUARD_NEVER;
}

static bool is_high(struct wireguard_load_queue *queue, uint64_t high, uint64_t now)
{
	if (queue->busy_until >= now + high)
		queue->high_until = now + WIREGUARD_SECOND;
	return now < queue->high_until;
}

bool wireguard_load_is_high(struct wireguard_load *load, bool is_initiation, uint64_t now)
{
	bool is_shared_high = is_initiation && load->shared != NULL && is_high(load->shared, SHARED_HIGH * SHARED_COST, now);

	return is_high(&load->queue, WIREGUARD_LOAD_HIGH * COST, now) || is_shared_high;
}

bool wireguard_load_allow(struct wireguard_load *load, const union wireguard_endpoint *from, uint64_t now)
{
	if (load->limiter == NULL) {
		load->limiter = wireguard_limiter_create(load->limiter_key);
		if (load->limiter == NULL)
			return false;
		load->sweep_at = now + WIREGUARD_SECOND;
	}
	return wireguard_limiter_allow(load->limiter, from, now);
}

/* When the queue would be empty after one more. */
static uint64_t with_one_more(const struct wireguard_load_queue *queue, uint64_t cost, uint64_t now)
{
	return (queue->busy_until > now ? queue->busy_until : now) + cost;
}

bool wireguard_load_enter(struct wireguard_load *load, bool is_initiation, uint64_t now)
{
	struct wireguard_load_queue *shared = is_initiation ? load->shared : NULL;
	uint64_t busy = with_one_more(&load->queue, COST, now);

	if (busy > now + WIREGUARD_LOAD_QUEUE * COST)
		return false;
	if (shared != NULL) {
		uint64_t shared_busy = with_one_more(shared, SHARED_COST, now);
		if (shared_busy > now + SHARED_QUEUE * SHARED_COST)
			return false;
		shared->busy_until = shared_busy;
	}
	load->queue.busy_until = busy;
	return true;
}

void wireguard_load_sweep(struct wireguard_load *load, uint64_t now)
{
	load->sweep_at = now + WIREGUARD_SECOND;
	if (!wireguard_limiter_sweep(load->limiter, now))
		wireguard_load_clear(load);
}
