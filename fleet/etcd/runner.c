#include "fleet/etcd/runner.h"

#include <sodium.h>
#include <stdlib.h>
#include <time.h>

struct etcd_runner {
	struct fleet_node *node;
	struct fleet_placer *placer;
	struct etcd_client *client;
	struct etcd_runner_listener listener;
	uv_timer_t timer;
	uint64_t deadline; /* that was told */
	int64_t applied;   /* that was told */
	bool is_started, has_left;
	bool is_turning, must_turn_again;
};

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* It goes on while the machine is suspended. */
uint64_t etcd_runner_now(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

/* ---- A turn: after every event, whatever the rules want now ---- */

static void deliver(struct etcd_runner *runner, const struct fleet_reply *reply)
{
	if (reply->kind == FLEET_LEAD || reply->kind == FLEET_PLACE)
		fleet_placer_reply(runner->placer, reply, etcd_runner_now());
	else
		fleet_node_reply(runner->node, reply, etcd_runner_now());
}

static void ask(struct etcd_runner *runner, const struct fleet_request *request)
{
	if (etcd_client_ask(runner->client, request))
		return;
	const struct fleet_reply none = { .kind = request->kind, .result = FLEET_UNKNOWN, .lease = request->lease };
	if (request->kind == FLEET_WATCH)
		fleet_node_watch_ended(runner->node, false, etcd_runner_now());
	else
		deliver(runner, &none);
}

/* Workers read the deadline themselves, so an earlier one is told before anything else. */
static void tell_deadline(struct etcd_runner *runner)
{
	uint64_t deadline = fleet_node_deadline(runner->node);
	if (deadline == runner->deadline)
		return;
	runner->deadline = deadline;
	runner->listener.deadline(runner->listener.owner, deadline);
}

static void tell_changes(struct etcd_runner *runner)
{
	struct fleet_change change;
	while (fleet_node_next_change(runner->node, &change))
		runner->listener.change(runner->listener.owner, &change);
	int64_t applied = fleet_node_applied(runner->node);
	if (applied == runner->applied)
		return;
	runner->applied = applied;
	runner->listener.applied(runner->listener.owner, applied);
}

static void turn_once(struct etcd_runner *runner)
{
	struct fleet_request request;
	tell_changes(runner);
	uint64_t wall = clock_ms(CLOCK_REALTIME);
	while (fleet_node_next(runner->node, &request, wall, etcd_runner_now()) ||
	       fleet_placer_next(runner->placer, &request, wall, etcd_runner_now()))
		ask(runner, &request);
	tell_deadline(runner);
	if (fleet_node_state(runner->node, etcd_runner_now()) != FLEET_NODE_LEFT || runner->has_left)
		return;
	runner->has_left = true;
	runner->listener.left(runner->listener.owner);
}

static void on_timer(uv_timer_t *timer);

static void set_timer(struct etcd_runner *runner)
{
	uint64_t now = etcd_runner_now(), wake = fleet_node_wake(runner->node, now), placers = fleet_placer_wake(runner->placer, now);
	if (placers < wake)
		wake = placers;
	if (wake == FLEET_NEVER || runner->has_left)
		uv_timer_stop(&runner->timer);
	else
		uv_timer_start(&runner->timer, on_timer, wake > now ? wake - now : 1, 0);
}

/* Listeners call back: that begins another turn when this one is over. */
static void turn(struct etcd_runner *runner)
{
	runner->must_turn_again = true;
	if (runner->is_turning || !runner->is_started)
		return;
	runner->is_turning = true;
	while (runner->must_turn_again && !runner->has_left) {
		runner->must_turn_again = false;
		turn_once(runner);
	}
	runner->is_turning = false;
	set_timer(runner);
}

static void on_timer(uv_timer_t *timer)
{
	turn(timer->data);
}

/* ---- What etcd tells ---- */

static void on_reply(void *owner, const struct fleet_reply *reply, enum etcd_error error, const char *member)
{
	struct etcd_runner *runner = owner;
	if (reply->result == FLEET_UNKNOWN)
		runner->listener.failed(runner->listener.owner, reply->kind, error, member);
	deliver(runner, reply);
	turn(runner);
}

static void on_listed(void *owner, const struct fleet_kv *kv)
{
	struct etcd_runner *runner = owner;
	fleet_node_listed(runner->node, kv, etcd_runner_now());
}

static void on_created(void *owner, int64_t revision, uint64_t cluster)
{
	struct etcd_runner *runner = owner;
	fleet_node_watch_created(runner->node, revision, cluster);
	turn(runner);
}

static void on_event(void *owner, const struct fleet_kv *kv)
{
	struct etcd_runner *runner = owner;
	fleet_node_watch_event(runner->node, kv, etcd_runner_now());
}

static void on_progress(void *owner, int64_t revision)
{
	struct etcd_runner *runner = owner;
	fleet_node_watch_progress(runner->node, revision, etcd_runner_now());
	turn(runner);
}

static void on_ended(void *owner, bool is_compacted, enum etcd_error error, const char *member)
{
	struct etcd_runner *runner = owner;
	runner->listener.failed(runner->listener.owner, FLEET_WATCH, error, member);
	fleet_node_watch_ended(runner->node, is_compacted, etcd_runner_now());
	turn(runner);
}

/* ---- The owner ---- */

void etcd_runner_start(struct etcd_runner *runner)
{
	runner->is_started = true;
	turn(runner);
}

void etcd_runner_silent(struct etcd_runner *runner, int64_t revision)
{
	fleet_node_silent(runner->node, revision);
	turn(runner);
}

void etcd_runner_running(struct etcd_runner *runner, int64_t revision)
{
	fleet_node_running(runner->node, revision);
	turn(runner);
}

void etcd_runner_settled(struct etcd_runner *runner, int64_t revision)
{
	fleet_node_settled(runner->node, revision);
}

void etcd_runner_told(struct etcd_runner *runner, uint64_t at)
{
	fleet_node_told(runner->node, at);
}

void etcd_runner_drain(struct etcd_runner *runner, bool is_draining)
{
	fleet_node_drain(runner->node, is_draining);
	turn(runner);
}

void etcd_runner_leave(struct etcd_runner *runner)
{
	fleet_node_leave(runner->node);
	tell_deadline(runner);
	turn(runner);
}

void etcd_runner_say_bye(struct etcd_runner *runner)
{
	fleet_node_say_bye(runner->node);
	turn(runner);
}

const struct fleet_node *etcd_runner_node(const struct etcd_runner *runner)
{
	return runner->node;
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void etcd_runner_free(struct etcd_runner *runner)
{
	if (runner == NULL)
		return;
	etcd_client_free(runner->client);
	fleet_placer_free(runner->placer);
	fleet_node_free(runner->node);
	uv_close((uv_handle_t *)&runner->timer, on_timer_closed);
}

static uint64_t seed(void)
{
	uint64_t value;
	randombytes_buf(&value, sizeof(value));
	return value;
}

struct etcd_runner *etcd_runner_create(uv_loop_t *loop, const struct fleet_node_config *node, const struct etcd_client_config *etcd,
                                       const struct etcd_runner_listener *listener)
{
	struct etcd_runner *runner = calloc(1, sizeof(*runner));
	if (runner == NULL)
		return NULL;
	const struct etcd_client_listener told = { runner, on_reply, on_listed, on_created, on_event, on_progress, on_ended };
	runner->listener = *listener;
	uv_timer_init(loop, &runner->timer);
	runner->timer.data = runner;
	runner->node = fleet_node_create(node, etcd_runner_now());
	runner->placer = runner->node == NULL ? NULL : fleet_placer_create(runner->node, &node->rule, seed());
	runner->client = etcd_client_create(loop, etcd, &told);
	if (runner->placer != NULL && runner->client != NULL)
		return runner;
	etcd_runner_free(runner);
	return NULL;
}
