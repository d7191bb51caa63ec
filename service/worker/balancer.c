#include "service/worker/balancer.h"

#include <stdlib.h>

#include "ipc/log.h"
#include "service/registry/tunnel_identity.h"

#define REVIEW_MS 10000u /* as long as the throughput of a tunnel is a mean of */
#define BUSY 0.7         /* of a core */
#define IDLE_PART 0.5    /* of the busy one's time: the other one has at most so much to do */
#define GAIN_PART 0.8    /* of the busy one's time: after a move none has more */
#define CANDIDATES 8
#define RETRY_PAUSE_MS 1000u /* after an attempt in vain, which costs both workers a change */

struct suggestion {
	struct tunnel_identity tunnel;
	double after; /* the share of a core that the busier of both will have */
};

struct balancer {
	struct balancer_means means;
	uint64_t reviewed_at; /* 0: not yet */
	uint64_t retry_at;
	uint64_t *cpu_us; /* of each worker, at the last review */
	struct worker *from, *to;
	struct suggestion suggestions[CANDIDATES]; /* the best first */
	size_t count;
	bool is_moving;
	bool must_settle; /* what the next review sees is in part from before the move */
};

/* Two workers, and the shares of a core that they took. */
struct imbalance {
	struct worker *busiest, *idlest;
	double most, least;
};

struct balancer *balancer_create(const struct balancer_means *means)
{
	struct balancer *balancer = calloc(1, sizeof(*balancer));
	if (balancer != NULL)
		balancer->means = *means;
	return balancer;
}

static void forget_suggestions(struct balancer *balancer)
{
	while (balancer->count > 0)
		tunnel_identity_release(&balancer->suggestions[--balancer->count].tunnel);
}

void balancer_free(struct balancer *balancer)
{
	if (balancer == NULL)
		return;
	forget_suggestions(balancer);
	free(balancer->cpu_us);
	free(balancer);
}

/* One of the version before may not know how to refuse while it has a connection; it is replaced soon. */
static bool may_take_part(const struct worker *worker)
{
	return worker_duty(worker) == WORKER_SERVING && worker_is_ready(worker) && !worker_is_of_other_version(worker);
}

/* The counter comes from a worker, which is not trusted. */
static double take_share(struct balancer *balancer, struct worker *worker, uint64_t elapsed_ms)
{
	uint64_t *before = &balancer->cpu_us[worker_index(worker)];
	uint64_t now = counter_read(&slots_counters(worker_slots(worker))->worker.cpu_us);
	uint64_t used = now > *before ? now - *before : 0;
	*before = now;
	double share = (double)used / 1000 / (double)elapsed_ms;
	return share < 1 ? share : 1;
}

static struct imbalance look(struct balancer *balancer, struct supervisor *supervisor, uint64_t elapsed_ms)
{
	struct imbalance found = { .most = -1, .least = 2 };
	for (unsigned i = 0; i < supervisor_count(supervisor); i++) {
		struct worker *worker = supervisor_worker(supervisor, i);
		double share = take_share(balancer, worker, elapsed_ms);
		if (!may_take_part(worker))
			continue;
		if (share > found.most) {
			found.most = share;
			found.busiest = worker;
		}
		if (share < found.least) {
			found.least = share;
			found.idlest = worker;
		}
	}
	return found;
}

/* Bytes a second. */
static double rate_of(const struct entry *entry)
{
	if (entry->slot == NULL || entry->snapshot->spec.kind != SPEC_TUNNEL)
		return 0;
	const struct counters_tunnel *counters = slot_tunnel(entry->slot);
	return (double)counter_read(&counters->throughput_sent) + (double)counter_read(&counters->throughput_received);
}

/* Tunnels that go through each other stay together, where they are. */
static bool can_move(const struct balancer *balancer, const struct entry *entry)
{
	return entry->snapshot->failure == NULL && !entry->is_waiting &&
	       !registry_is_chained(balancer->means.registry, entry->id, &entry->snapshot->spec);
}

static void suggest(struct balancer *balancer, const struct entry *entry, double after)
{
	size_t place = balancer->count;
	while (place > 0 && balancer->suggestions[place - 1].after > after)
		place--;
	if (place == CANDIDATES)
		return;
	if (balancer->count == CANDIDATES)
		tunnel_identity_release(&balancer->suggestions[--balancer->count].tunnel);
	for (size_t i = balancer->count; i > place; i--)
		balancer->suggestions[i] = balancer->suggestions[i - 1];
	balancer->count++;
	balancer->suggestions[place].after = after;
	tunnel_identity_take(&balancer->suggestions[place].tunnel, entry->snapshot);
}

static void choose_tunnels(struct balancer *balancer, const struct imbalance *imbalance)
{
	struct registry *registry = balancer->means.registry;
	double total = 0;
	for (size_t i = 0; i < registry_count(registry); i++)
		if (registry_at(registry, i)->worker == imbalance->busiest)
			total += rate_of(registry_at(registry, i));
	for (size_t i = 0; i < registry_count(registry) && total > 0; i++) {
		const struct entry *entry = registry_at(registry, i);
		double part = entry->worker == imbalance->busiest ? imbalance->most * rate_of(entry) / total : 0;
		double left = imbalance->most - part, more = imbalance->least + part, after = left > more ? left : more;
		if (after <= GAIN_PART * imbalance->most && can_move(balancer, entry))
			suggest(balancer, entry, after);
	}
	balancer->from = imbalance->busiest;
	balancer->to = imbalance->idlest;
}

static void review_workers(struct balancer *balancer, struct supervisor *supervisor, uint64_t now_ms)
{
	bool is_first = balancer->cpu_us == NULL;
	if (is_first && (balancer->cpu_us = calloc(supervisor_count(supervisor), sizeof(*balancer->cpu_us))) == NULL)
		return;
	const struct imbalance imbalance = look(balancer, supervisor, is_first ? REVIEW_MS : now_ms - balancer->reviewed_at);
	balancer->reviewed_at = now_ms;
	forget_suggestions(balancer);
	if (!is_first && !balancer->must_settle && imbalance.busiest != NULL && imbalance.most >= BUSY &&
	    imbalance.least <= IDLE_PART * imbalance.most)
		choose_tunnels(balancer, &imbalance);
	balancer->must_settle = false;
}

static void on_balanced(void *owner, enum mover_result result, const char *failure)
{
	struct balancer *balancer = owner;
	balancer->is_moving = false;
	if (result == MOVER_BUSY)
		return;
	balancer->must_settle = true;
	forget_suggestions(balancer);
	if (result == MOVER_FAILED)
		log_line(LOG_WARN, NULL, "a tunnel could not move from worker %u, which is busy, to worker %u: %s", worker_index(balancer->from),
		         worker_index(balancer->to), failure);
}

static bool is_free(const struct balancer *balancer, const struct entry *entry)
{
	return entry != NULL && entry->worker == balancer->from && entry->slot != NULL && lock_queue_is_free(balancer->means.locks, entry->key) &&
	       counters_open_connections(slot_tunnel(entry->slot)) == 0;
}

static void move_one(struct balancer *balancer, uint64_t now_ms)
{
	struct entry *entry = NULL;
	for (size_t i = 0; i < balancer->count && !is_free(balancer, entry); i++)
		entry = tunnel_identity_find(&balancer->suggestions[i].tunnel, balancer->means.registry);
	if (!is_free(balancer, entry))
		return;
	balancer->is_moving = true;
	balancer->retry_at = now_ms + RETRY_PAUSE_MS;
	log_line(LOG_INFO, entry->id, "moves from worker %u, which is busy, to worker %u", worker_index(balancer->from), worker_index(balancer->to));
	if (!mover_start(balancer->means.mover, entry, balancer->to, true, on_balanced, balancer))
		on_balanced(balancer, MOVER_FAILED, "out of memory");
}

void balancer_tick(struct balancer *balancer, struct supervisor *supervisor, uint64_t now_ms)
{
	if (balancer->is_moving)
		return;
	if (balancer->cpu_us == NULL || now_ms - balancer->reviewed_at >= REVIEW_MS)
		review_workers(balancer, supervisor, now_ms);
	if (balancer->count > 0 && now_ms >= balancer->retry_at && may_take_part(balancer->from) && may_take_part(balancer->to))
		move_one(balancer, now_ms);
}
