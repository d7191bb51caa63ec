/* The queue's length is (busy_until - now) / COST. */
#include "tunnel/wireguard/load.h"

#include "tunnel/wireguard/timers.h"

#define COST (WIREGUARD_SECOND / WIREGUARD_LOAD_PER_SECOND)

void wireguard_load_init(struct wireguard_load *load, const struct wireguard_env *env)
{
	*load = (struct wireguard_load){ .sweep_at = WIREGUARD_NEVER };
	env->random(env->owner, load->limiter_key, sizeof load->limiter_key);
}

void wireguard_load_clear(struct wireguard_load *load)
{
	wireguard_limiter_free(load->limiter);
	load->limiter = NULL;
	load->sweep_at = WIREGUARD_NEVER;
}

bool wireguard_load_is_high(struct wireguard_load *load, uint64_t now)
{
	if (load->busy_until >= now + WIREGUARD_LOAD_HIGH * COST)
		load->high_until = now + WIREGUARD_SECOND;
	return now < load->high_until;
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

bool wireguard_load_enter(struct wireguard_load *load, uint64_t now)
{
	uint64_t busy = load->busy_until > now ? load->busy_until : now;

	if (busy + COST > now + WIREGUARD_LOAD_QUEUE * COST)
		return false;
	load->busy_until = busy + COST;
	return true;
}

void wireguard_load_sweep(struct wireguard_load *load, uint64_t now)
{
	load->sweep_at = now + WIREGUARD_SECOND;
	if (!wireguard_limiter_sweep(load->limiter, now))
		wireguard_load_clear(load);
}
