#include "tests/fleet/world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 50
#define TIMEOUT_MS 2000 /* of a request, at the client */
#define ETCD_GIVES_UP_MS 7000
#define SUPERVISED_MS 5000

enum event_kind {
	EVENT_ARRIVE,  /* a request, at a member */
	EVENT_REPLY,   /* at the control process; also when its time is over */
	EVENT_STREAM,  /* the watch has something to tell */
	EVENT_CREATED, /* the watch is open */
	EVENT_ENDED,   /* the watch's stream */
	EVENT_WORKER,  /* a message to the worker: a shard's epoch, or an end of the changes so far */
	EVENT_CONFIRM, /* the worker has carried out all up to a revision */
};

struct world_event {
	uint64_t at, order;
	enum event_kind kind;
	size_t machine;
	uint64_t life; /* of what it is for */
	uint64_t sent_at, sequence;
	unsigned member;
	bool is_late; /* the client has given up */
	struct fleet_request request;
	struct fleet_txn *txn; /* owned copy */
	struct fleet_reply reply;
	struct model_kv *found; /* owned copy of the reply's key, or of a list */
	size_t found_count;
	size_t shard;
	int64_t number; /* epoch, revision */
};

static void show(const struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void show(const struct world *world, const char *format, ...)
{
	va_list arguments;
	if (!world->shows)
		return;
	va_start(arguments, format);
	printf("%9.3f ", (double)world->now / 1000);
	vprintf(format, arguments);
	putchar('\n');
	va_end(arguments);
}

uint64_t world_roll(struct world *world, uint64_t below)
{
	world->dice += 0x9e3779b97f4a7c15U;
	return fleet_hash_mix(world->dice) % below;
}

static bool happens(struct world *world, unsigned percent)
{
	return world_roll(world, 100) < percent;
}

/* ---- Clocks ---- */

static uint64_t clock_of(const struct machine *machine, uint64_t now)
{
	return (uint64_t)((int64_t)now + machine->offset + (int64_t)now * machine->slew_ppm / 1000000);
}

static uint64_t wall_of(const struct machine *machine, uint64_t now)
{
	return (uint64_t)((int64_t)now + (int64_t)now * machine->slew_ppm / 1000000 + machine->wall_offset);
}

/* The first true time at which its clock has reached `t`. */
static uint64_t true_time(const struct machine *machine, uint64_t t)
{
	int64_t guess = ((int64_t)t - machine->offset) * 1000000 / (1000000 + machine->slew_ppm) - 2;
	uint64_t at = guess < 0 ? 0 : (uint64_t)guess;
	while (clock_of(machine, at) < t)
		at++;
	return at;
}

/* ---- Events ---- */

static bool is_before(const struct world_event *a, const struct world_event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void swap(struct world_event *a, struct world_event *b)
{
	struct world_event c = *a;
	*a = *b;
	*b = c;
}

static void push(struct world *world, struct world_event event)
{
	assert(world->event_count < WORLD_EVENTS);
	size_t i = world->event_count++;
	if (event.order == 0)
		event.order = ++world->next_sequence;
	world->events[i] = event;
	for (; i > 0 && is_before(&world->events[i], &world->events[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&world->events[i], &world->events[(i - 1) / 2]);
}

static struct world_event pop(struct world *world)
{
	struct world_event first = world->events[0];
	world->events[0] = world->events[--world->event_count];
	for (size_t i = 0, child; (child = 2 * i + 1) < world->event_count; i = child) {
		if (child + 1 < world->event_count && is_before(&world->events[child + 1], &world->events[child]))
			child++;
		if (!is_before(&world->events[child], &world->events[i]))
			break;
		swap(&world->events[child], &world->events[i]);
	}
	return first;
}

static void free_event(struct world_event *event)
{
	for (size_t i = 0; i < event->found_count; i++)
		free(event->found[i].value);
	free(event->found);
	free(event->txn);
}

static uint64_t latency(struct world *world)
{
	if (world->now < world->slow_until)
		return world_roll(world, happens(world, 10) ? 5000 : 1500);
	return happens(world, 2) ? 50 + world_roll(world, 250) : 1 + world_roll(world, 8);
}

/* ---- The referee ---- */

static void violate(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void violate(struct world *world, const char *format, ...)
{
	char text[sizeof(world->first_violation) - 32];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (world->violations++ == 0)
		snprintf(world->first_violation, sizeof(world->first_violation), "at %.3f: %s", (double)world->now / 1000, text);
	show(world, "VIOLATION %s", text);
}

static bool is_within_deadline(const struct world *world, const struct machine *machine)
{
	return clock_of(machine, world->now) < machine->deadline;
}

static bool may_serve(const struct world *world, const struct machine *machine, size_t shard)
{
	return machine->is_up && world->now >= machine->worker.frozen_until && machine->worker.epochs[shard] != 0 &&
	       (world->keeps || is_within_deadline(world, machine));
}

/* With `keep` two may serve while one of them is isolated. */
static void judge(struct world *world, const struct machine *machine, size_t i)
{
	struct world_shard *shard = &world->shards[i];
	int64_t epoch = machine->worker.epochs[i];
	bool counts = is_within_deadline(world, machine);
	if (counts && epoch < shard->acted_epoch)
		violate(world, "%s serves %s/%u under epoch %" PRId64 " after %" PRId64, machine->name, shard->class, shard->number, epoch,
		        shard->acted_epoch);
	uint64_t timestamp = wall_of(machine, world->now);
	if (timestamp < machine->floors[i])
		timestamp = machine->floors[i];
	if (counts && epoch > shard->acted_epoch) {
		if (timestamp < shard->timestamp)
			violate(world, "%s shakes hands for %s/%u before the last one", machine->name, shard->class, shard->number);
		world->takeovers++;
		shard->acted_epoch = epoch;
	}
	if (counts && timestamp > shard->timestamp)
		shard->timestamp = timestamp;
	shard->served_at = world->now;
	world->acts++;
}

static void serve(struct world *world, size_t i)
{
	const struct machine *servers[WORLD_MACHINES];
	size_t count = 0, valid = 0;
	for (size_t m = 0; m < world->machine_count; m++)
		if (may_serve(world, &world->machines[m], i)) {
			servers[count++] = &world->machines[m];
			valid += is_within_deadline(world, &world->machines[m]);
		}
	for (size_t k = 0; k < count; k++)
		judge(world, servers[k], i);
	if (valid > 1)
		violate(world, "%s and %s serve %s/%u at one time", servers[0]->name, servers[1]->name, world->shards[i].class,
		        world->shards[i].number);
}

static void check_pause(struct world *world, size_t i)
{
	const struct world_shard *shard = &world->shards[i];
	uint64_t since = shard->served_at > world->excused_until ? shard->served_at : world->excused_until;
	if (shard->is_exempt || since == 0 || world->now < since)
		return;
	uint64_t pause = world->now - since;
	if (shard->served_at > world->excused_until && pause > world->longest_pause)
		world->longest_pause = pause;
	if (pause > fleet_rule_silence(&FLEET_RULE_DEFAULT) + 1000) {
		violate(world, "%s/%u is not served for %" PRIu64 " ms", shard->class, shard->number, pause);
		world->excused_until = world->now;
	}
}

static void serve_all(struct world *world)
{
	for (size_t i = 0; i < world->shard_count; i++)
		serve(world, i);
}

/* ---- etcd's members ---- */

static bool member_answers(const struct world *world, unsigned member)
{
	return world->now >= world->members[member].down_until && world->now >= world->members[member].stopped_until;
}

static bool member_joins_in(const struct world *world, unsigned member)
{
	return member_answers(world, member) && world->now >= world->members[member].cut_until;
}

static void check_leader(struct world *world)
{
	unsigned present = 0;
	for (unsigned i = 0; i < WORLD_MEMBERS; i++)
		present += member_joins_in(world, i);
	if (present < 2) {
		world->elected_at = FLEET_NEVER;
		return;
	}
	if (member_joins_in(world, world->leader) && world->elected_at != FLEET_NEVER)
		return;
	while (!member_joins_in(world, world->leader))
		world->leader = (world->leader + 1) % WORLD_MEMBERS;
	world->elected_at = world->now + 1000 + world_roll(world, 1000);
	etcd_model_promote(&world->etcd, world->elected_at);
	show(world, "etcd: member %u leads", world->leader);
}

static bool has_quorum(const struct world *world)
{
	return world->elected_at != FLEET_NEVER && world->now >= world->elected_at;
}

/* ---- The network ---- */

static bool is_cut(const struct world *world, const struct machine *machine)
{
	return world->now < machine->cut_until;
}

static void reply_to(struct world *world, const struct world_event *request, struct world_event reply, uint64_t at)
{
	reply.at = at;
	reply.kind = EVENT_REPLY;
	reply.machine = request->machine;
	reply.life = request->life;
	reply.sequence = request->sequence;
	reply.member = request->member;
	reply.reply.kind = request->request.kind;
	push(world, reply);
}

static void fail(struct world *world, const struct world_event *request, uint64_t at)
{
	reply_to(world, request, (struct world_event){ .reply.result = FLEET_UNKNOWN, .reply.lease = request->request.lease }, at);
}

static struct model_kv *copy_kv(const struct model_kv *kv, struct model_kv *to)
{
	*to = *kv;
	to->value = kv->value == NULL ? NULL : strdup(kv->value);
	return to;
}

static void list(struct world *world, struct world_event *reply)
{
	reply->reply.revision = world->etcd.revision;
	reply->found = calloc(world->etcd.key_count + 1, sizeof(*reply->found));
	for (size_t i = 0; i < world->etcd.key_count; i++)
		copy_kv(&world->etcd.keys[i], &reply->found[reply->found_count++]);
}

static void execute(struct world *world, const struct world_event *event)
{
	struct world_event answer = { .reply.cluster = world->etcd.cluster };
	const struct fleet_request *request = &event->request;
	switch (request->kind) {
	case FLEET_GRANT: etcd_model_grant(&world->etcd, request->ttl, world->now, &answer.reply); break;
	case FLEET_KEEPALIVE: etcd_model_keepalive(&world->etcd, request->lease, world->now, &answer.reply); break;
	case FLEET_LIST: list(world, &answer); break;
	case FLEET_JOIN:
	case FLEET_HEARTBEAT:
	case FLEET_LEAD:
	case FLEET_PLACE: etcd_model_txn(&world->etcd, event->txn, &answer.reply); break;
	case FLEET_WATCH:
	case FLEET_REQUEST_KINDS: assert(false); break;
	}
	if (answer.reply.found.key != NULL) {
		answer.found = calloc(1, sizeof(*answer.found));
		copy_kv(etcd_model_find(&world->etcd, answer.reply.found.key), answer.found);
		answer.found_count = 1;
	}
	if (event->is_late)
		free_event(&answer);
	else
		reply_to(world, event, answer, world->now + latency(world));
}

static void open_stream(struct world *world, const struct world_event *event)
{
	struct machine *machine = &world->machines[event->machine];
	const struct etcd_model *etcd = &world->etcd;
	struct world_event created = { .kind = EVENT_CREATED, .machine = event->machine, .life = event->life, .sequence = event->sequence };
	if (event->sequence != machine->stream || event->life != machine->life)
		return;
	created.at = world->now + latency(world);
	/* A member that lags says so. */
	created.number = etcd->revision - (happens(world, 5) ? (int64_t)world_roll(world, 3) : 0);
	if (event->request.revision <= etcd->compacted) {
		created.kind = EVENT_ENDED;
		created.is_late = true; /* compacted */
		push(world, created);
		return;
	}
	uint64_t at = etcd->history_first;
	while (at < etcd->history_end && etcd->history[at % MODEL_HISTORY].revision < event->request.revision)
		at++;
	machine->stream_next = at;
	machine->stream_member = event->member;
	machine->is_stream_open = true;
	machine->is_stream_due = false;
	push(world, created);
}

static void end_stream(struct world *world, size_t machine)
{
	struct machine *m = &world->machines[machine];
	m->is_stream_open = false;
	push(world, (struct world_event){
			.at = world->now + latency(world), .kind = EVENT_ENDED, .machine = machine, .life = m->life, .sequence = m->stream });
}

/* A request at a member. What a stopped member, or one without a quorum, has taken in may be done later, when nobody waits any more. */
static void arrive(struct world *world, struct world_event *event)
{
	const struct member *member = &world->members[event->member];
	struct machine *machine = &world->machines[event->machine];
	bool is_watch = event->request.kind == FLEET_WATCH;
	bool may_come_late = event->txn != NULL && (event->is_late || happens(world, 50));
	uint64_t later = FLEET_NEVER;
	if (is_cut(world, machine) && !event->is_late)
		return;
	if (world->now < member->down_until) {
		if (is_watch)
			end_stream(world, event->machine);
		else if (!event->is_late)
			fail(world, event, world->now + latency(world));
		return;
	}
	if (world->now < member->stopped_until)
		later = member->stopped_until;
	else if (is_watch) {
		open_stream(world, event);
		return;
	} else if (!has_quorum(world) || world->now < member->cut_until)
		later = world->now + 100;
	if (later == FLEET_NEVER) {
		execute(world, event);
		return;
	}
	/* Nobody waits for a read. */
	bool is_late = later >= event->sent_at + TIMEOUT_MS;
	bool is_given_up = later != member->stopped_until && later >= event->sent_at + ETCD_GIVES_UP_MS;
	if (is_given_up || (is_late && !may_come_late))
		return;
	struct world_event again = *event;
	again.at = later;
	again.order = 0;
	again.is_late = is_late;
	event->txn = NULL;
	push(world, again);
}

/* Entries point into the text of their transaction. */
static struct fleet_txn *copy_txn(const struct fleet_txn *txn)
{
	struct fleet_txn *copy = malloc(sizeof(*copy));
	*copy = *txn;
#define MOVED(pointer) ((pointer) == NULL ? NULL : copy->text + ((pointer)-txn->text))
	for (size_t i = 0; i < copy->compare_count; i++)
		copy->compares[i].key = MOVED(txn->compares[i].key);
	for (size_t i = 0; i < copy->put_count; i++) {
		copy->puts[i].key = MOVED(txn->puts[i].key);
		copy->puts[i].value = MOVED(txn->puts[i].value);
	}
	copy->read = MOVED(txn->read);
#undef MOVED
	return copy;
}

static void send_request(struct world *world, size_t index, const struct fleet_request *request)
{
	struct machine *machine = &world->machines[index];
	struct world_event event = { .at = world->now + latency(world), .kind = EVENT_ARRIVE, .machine = index, .life = machine->life };
	event.sent_at = world->now;
	event.request = *request;
	event.sequence = ++world->next_sequence;
	if (request->is_elsewhere)
		machine->member = (machine->member + 1) % WORLD_MEMBERS;
	event.member = machine->member;
	event.txn = request->txn == NULL ? NULL : copy_txn(request->txn);
	if (request->kind == FLEET_WATCH) {
		machine->stream = event.sequence;
		machine->is_stream_open = false;
	} else {
		machine->sequence[request->kind] = event.sequence;
		fail(world, &event, world->now + TIMEOUT_MS);
	}
	push(world, event);
}

/* ---- The control process ---- */

static size_t find_shard(const struct world *world, const char *class, uint32_t number)
{
	for (size_t i = 0; i < world->shard_count; i++)
		if (world->shards[i].number == number && strcmp(world->shards[i].class, class) == 0)
			return i;
	return WORLD_SHARDS;
}

static void tell_worker(struct world *world, size_t index, size_t shard, int64_t number)
{
	struct worker *worker = &world->machines[index].worker;
	/* A busy worker takes its time to end what it serves. */
	uint64_t at = world->now + 1 + world_roll(world, number == 0 && happens(world, 5) ? 1000 : 20);
	worker->told_until = at > worker->told_until ? at : worker->told_until;
	push(world, (struct world_event){
			.at = worker->told_until, .kind = EVENT_WORKER, .machine = index, .life = worker->life, .shard = shard, .number = number });
}

static void ask_for_confirmation(struct world *world, size_t index)
{
	struct machine *machine = &world->machines[index];
	tell_worker(world, index, WORLD_SHARDS, fleet_node_applied(machine->node));
	machine->confirmations_due++;
}

static void hand_changes_over(struct world *world, size_t index)
{
	struct machine *machine = &world->machines[index];
	struct fleet_change change;
	bool has_changed = false;
	while (fleet_node_next_change(machine->node, &change)) {
		size_t shard = find_shard(world, change.class, change.shard);
		if (shard == WORLD_SHARDS || machine->owned[shard] == change.epoch)
			continue;
		machine->owned[shard] = change.epoch;
		machine->floors[shard] = change.ts_floor;
		tell_worker(world, index, shard, change.epoch);
		has_changed = true;
	}
	if (has_changed)
		ask_for_confirmation(world, index);
	if (machine->confirmations_due > 0)
		return;
	fleet_node_silent(machine->node, fleet_node_applied(machine->node));
	fleet_node_running(machine->node, fleet_node_applied(machine->node));
	if (fleet_node_state(machine->node, 0) == FLEET_NODE_LEAVING)
		fleet_node_say_bye(machine->node);
}

static void store_deadline(struct world *world, struct machine *machine)
{
	uint64_t deadline = fleet_node_deadline(machine->node);
	if (deadline == machine->deadline)
		return;
	machine->deadline = deadline;
	for (size_t i = 0; i < world->shard_count; i++)
		if (machine->worker.epochs[i] != 0)
			serve(world, i);
}

static void end_process(struct world *world, struct machine *machine);

static void pump(struct world *world, size_t index)
{
	struct machine *machine = &world->machines[index];
	struct fleet_request request;
	uint64_t now = clock_of(machine, world->now), wall = wall_of(machine, world->now);
	if (!machine->is_up || world->now < machine->frozen_until)
		return;
	hand_changes_over(world, index);
	while (fleet_node_next(machine->node, &request, wall, now) || fleet_placer_next(machine->placer, &request, wall, now))
		send_request(world, index, &request);
	store_deadline(world, machine);
	if (fleet_node_state(machine->node, now) == FLEET_NODE_LEFT) {
		end_process(world, machine);
		return;
	}
	uint64_t wake = fleet_node_wake(machine->node, now), placers = fleet_placer_wake(machine->placer, now);
	wake = wake < placers ? wake : placers;
	machine->wake_at = wake == FLEET_NEVER ? FLEET_NEVER : true_time(machine, wake);
	if (machine->wake_at <= world->now)
		machine->wake_at = world->now + 1;
}

static void take_reply(struct world *world, struct world_event *event)
{
	struct machine *machine = &world->machines[event->machine];
	uint64_t now = clock_of(machine, world->now);
	struct fleet_reply *reply = &event->reply;
	if (machine->sequence[reply->kind] != event->sequence)
		return;
	machine->sequence[reply->kind] = 0;
	if (reply->result == FLEET_UNKNOWN && machine->member == event->member)
		machine->member = (machine->member + 1) % WORLD_MEMBERS;
	if (reply->kind == FLEET_LIST)
		for (size_t i = 0; i < event->found_count; i++) {
			const struct model_kv *kv = &event->found[i];
			fleet_node_listed(machine->node,
			                  &(struct fleet_kv){ kv->key, kv->value, strlen(kv->value), kv->revision, kv->lease, false, 0 }, now);
		}
	else if (event->found_count == 1) {
		const struct model_kv *kv = event->found;
		reply->found = (struct fleet_kv){ kv->key, kv->value, strlen(kv->value), kv->revision, kv->lease, false, 0 };
	}
	if (reply->kind == FLEET_LEAD || reply->kind == FLEET_PLACE)
		fleet_placer_reply(machine->placer, reply, now);
	else
		fleet_node_reply(machine->node, reply, now);
}

/* Everything that has happened, in one answer or in two fragments, between which the stream may end. */
static void take_stream(struct world *world, size_t index)
{
	struct machine *machine = &world->machines[index];
	struct etcd_model *etcd = &world->etcd;
	uint64_t now = clock_of(machine, world->now), end = etcd->history_end;
	int64_t revision = 0;
	machine->is_stream_due = false;
	if (machine->stream_next < etcd->history_first) {
		machine->is_stream_open = false;
		fleet_node_watch_ended(machine->node, true, now);
		return;
	}
	bool is_fragment = end - machine->stream_next > 1 && happens(world, 12);
	if (is_fragment)
		end -= 1 + world_roll(world, end - machine->stream_next - 1);
	for (; machine->stream_next < end; machine->stream_next++) {
		const struct model_kv *kv = &etcd->history[machine->stream_next % MODEL_HISTORY];
		struct fleet_kv event = {
			kv->key, kv->value, kv->value == NULL ? 0 : strlen(kv->value), kv->revision, kv->lease, kv->value == NULL, 0
		};
		fleet_node_watch_event(machine->node, &event, now);
		revision = kv->revision;
	}
	if (is_fragment && happens(world, 10))
		end_stream(world, index);
	else if (!is_fragment && revision != 0)
		fleet_node_watch_progress(machine->node, revision, now);
}

static void take_confirm(struct world *world, const struct world_event *event)
{
	struct machine *machine = &world->machines[event->machine];
	if (event->life != machine->worker.life)
		return;
	machine->confirmations_due--;
	fleet_node_silent(machine->node, event->number);
	fleet_node_running(machine->node, event->number);
}

static bool is_for_control(enum event_kind kind)
{
	return kind == EVENT_REPLY || kind == EVENT_STREAM || kind == EVENT_CREATED || kind == EVENT_ENDED || kind == EVENT_CONFIRM;
}

static void take_for_control(struct world *world, struct world_event *event)
{
	struct machine *machine = &world->machines[event->machine];
	uint64_t now = clock_of(machine, world->now);
	/* What etcd has said is lost on the way; that time is over is not. */
	bool hears = !is_cut(world, machine) && world->now >= machine->deaf_until;
	if (event->kind == EVENT_REPLY && event->reply.cluster != 0 && !hears)
		return;
	bool is_stream = event->kind != EVENT_REPLY && event->kind != EVENT_CONFIRM;
	if (is_stream && event->sequence != machine->stream)
		return;
	if (is_stream && (!hears || world->now < machine->stalled_until)) {
		machine->is_stream_due = false;
		return;
	}
	if (event->kind == EVENT_REPLY)
		take_reply(world, event);
	else if (event->kind == EVENT_STREAM)
		take_stream(world, event->machine);
	else if (event->kind == EVENT_CREATED)
		fleet_node_watch_created(machine->node, event->number, world->etcd.cluster);
	else if (event->kind == EVENT_ENDED)
		fleet_node_watch_ended(machine->node, event->is_late, now);
	else
		take_confirm(world, event);
	pump(world, event->machine);
}

/* ---- The worker ---- */

static void take_for_worker(struct world *world, const struct world_event *event)
{
	struct worker *worker = &world->machines[event->machine].worker;
	if (event->life != worker->life)
		return;
	if (event->shard < WORLD_SHARDS) {
		worker->epochs[event->shard] = event->number;
		serve(world, event->shard);
		return;
	}
	push(world, (struct world_event){ .at = world->now + 1 + world_roll(world, 5),
	                                  .kind = EVENT_CONFIRM,
	                                  .machine = event->machine,
	                                  .life = worker->life,
	                                  .number = event->number });
}

/* What the supervisor does with one that stands still. */
static void replace_worker(struct world *world, size_t index)
{
	struct machine *machine = &world->machines[index];
	machine->worker = (struct worker){ .life = ++world->next_sequence };
	machine->confirmations_due = 0;
	show(world, "%s replaces its worker", machine->name);
	fleet_node_silent(machine->node, fleet_node_applied(machine->node));
	for (size_t i = 0; i < world->shard_count; i++)
		if (machine->owned[i] != 0)
			tell_worker(world, index, i, machine->owned[i]);
	ask_for_confirmation(world, index);
	pump(world, index);
}

/* ---- Time ---- */

static bool defer(struct world *world, struct world_event *event, uint64_t until)
{
	if (world->now >= until)
		return false;
	event->at = until;
	push(world, *event);
	return true;
}

static void take(struct world *world, struct world_event *event)
{
	struct machine *machine = &world->machines[event->machine];
	if (event->kind == EVENT_ARRIVE) {
		arrive(world, event);
		free_event(event);
		return;
	}
	bool is_dropped = !machine->is_up || (event->kind != EVENT_WORKER && event->kind != EVENT_CONFIRM && event->life != machine->life);
	if (!is_dropped && defer(world, event, is_for_control(event->kind) ? machine->frozen_until : machine->worker.frozen_until))
		return;
	if (!is_dropped && event->kind == EVENT_WORKER)
		take_for_worker(world, event);
	else if (!is_dropped)
		take_for_control(world, event);
	free_event(event);
}

static void feed_streams(struct world *world)
{
	for (size_t i = 0; i < world->machine_count; i++) {
		struct machine *machine = &world->machines[i];
		if (!machine->is_up || !machine->is_stream_open || machine->is_stream_due)
			continue;
		if (world->now < world->members[machine->stream_member].down_until) {
			end_stream(world, i);
			continue;
		}
		if (!has_quorum(world) && world->now >= world->no_quorum_since + 3900) {
			end_stream(world, i);
			continue;
		}
		bool is_silent = world->now < world->members[machine->stream_member].stopped_until ||
		                 world->now < world->members[machine->stream_member].cut_until || is_cut(world, machine) ||
		                 world->now < machine->stalled_until || world->now < machine->deaf_until;
		if (is_silent || machine->stream_next == world->etcd.history_end)
			continue;
		machine->is_stream_due = true;
		push(world,
		     (struct world_event){
			 .at = world->now + latency(world), .kind = EVENT_STREAM, .machine = i, .life = machine->life, .sequence = machine->stream });
	}
}

static void show_state(const struct world *world, struct machine *machine)
{
	enum fleet_node_state state = fleet_node_state(machine->node, clock_of(machine, world->now));
	if (state != machine->state)
		show(world, "%s is %s", machine->name, fleet_node_state_name(state));
	machine->state = state;
}

static void tick(struct world *world)
{
	check_leader(world);
	if (has_quorum(world)) {
		world->no_quorum_since = world->now;
		etcd_model_expire(&world->etcd, world->now);
	}
	for (size_t i = 0; i < world->machine_count; i++) {
		struct machine *machine = &world->machines[i];
		if (machine->is_up)
			show_state(world, machine);
		bool is_stuck = world->now < machine->worker.frozen_until && world->now >= machine->worker.frozen_since + SUPERVISED_MS;
		if (machine->is_up && world->supervises && is_stuck && world->now >= machine->frozen_until)
			replace_worker(world, i);
	}
	serve_all(world);
	for (size_t i = 0; i < world->shard_count; i++)
		check_pause(world, i);
}

static void wake_machines(struct world *world)
{
	for (size_t i = 0; i < world->machine_count; i++)
		if (world->machines[i].is_up && world->now >= world->machines[i].wake_at && world->now >= world->machines[i].frozen_until)
			pump(world, i);
}

static uint64_t find_next_time(const struct world *world, uint64_t end)
{
	uint64_t next = (world->now / TICK_MS + 1) * TICK_MS;
	if (world->event_count > 0 && world->events[0].at < next)
		next = world->events[0].at;
	for (size_t i = 0; i < world->machine_count; i++) {
		const struct machine *machine = &world->machines[i];
		uint64_t at = machine->wake_at > machine->frozen_until ? machine->wake_at : machine->frozen_until;
		if (machine->worker.frozen_until > world->now && machine->worker.frozen_until < next)
			next = machine->worker.frozen_until;
		if (machine->is_up && at < next)
			next = at > world->now ? at : world->now + 1;
	}
	return next < end ? next : end;
}

/* A worker that goes on acts before it has read anything. */
static void thaw_workers(struct world *world)
{
	for (size_t m = 0; m < world->machine_count; m++)
		for (size_t i = 0; world->machines[m].worker.frozen_until == world->now && i < world->shard_count; i++)
			serve(world, i);
}

void world_run(struct world *world, uint64_t ms)
{
	uint64_t end = world->now + ms;
	while (world->now < end) {
		world->now = find_next_time(world, end);
		thaw_workers(world);
		if (world->now % TICK_MS == 0)
			tick(world);
		while (world->event_count > 0 && world->events[0].at <= world->now) {
			struct world_event event = pop(world);
			take(world, &event);
		}
		wake_machines(world);
		feed_streams(world);
	}
}

/* ---- What happens ---- */

void world_init(struct world *world, uint64_t seed, size_t machines, size_t shards)
{
	*world = (struct world){ .now = 1000, .dice = seed * 1000003, .machine_count = machines, .supervises = true };
	world->events = calloc(WORLD_EVENTS, sizeof(*world->events));
	etcd_model_init(&world->etcd, 77);
	for (size_t i = 0; i < machines; i++) {
		struct machine *machine = &world->machines[i];
		snprintf(machine->name, sizeof(machine->name), "n%u", (unsigned)i);
		snprintf(machine->boot, sizeof(machine->boot), "boot-%u", (unsigned)i);
		snprintf(machine->region, sizeof(machine->region), "%s", i < 2 ? "eu" : "us");
		machine->rule = FLEET_RULE_DEFAULT;
		machine->capacity = 10000;
		/* Up to an hour apart, and up to a per cent too fast or too slow. */
		machine->offset = (int64_t)world_roll(world, 3600000);
		machine->wall_offset = 1700000000000 - (int64_t)world_roll(world, 3600000);
		machine->slew_ppm = (int)world_roll(world, 20000) - 10000;
	}
	for (size_t i = 0; i < shards; i++)
		world_add_shard(world, "any", (uint32_t)(i * 61 % FLEET_CLASS_SHARDS), 1 + (uint32_t)world_roll(world, 3));
}

void world_clear(struct world *world)
{
	for (size_t i = 0; i < world->machine_count; i++) {
		fleet_placer_free(world->machines[i].placer);
		fleet_node_free(world->machines[i].node);
	}
	while (world->event_count > 0) {
		struct world_event event = pop(world);
		free_event(&event);
	}
	free(world->events);
	etcd_model_clear(&world->etcd);
}

void world_add_shard(struct world *world, const char *class, uint32_t number, uint32_t count)
{
	struct fleet_key key = { .kind = FLEET_KEY_CHANGED, .shard = number };
	char text[FLEET_KEY_TEXT], value[FLEET_VALUE_TEXT];
	assert(world->shard_count < WORLD_SHARDS);
	struct world_shard *shard = &world->shards[world->shard_count++];
	*shard = (struct world_shard){ .number = number, .is_exempt = class[0] == '@' };
	snprintf(shard->class, sizeof(shard->class), "%s", class);
	snprintf(key.class, sizeof(key.class), "%s", class);
	fleet_key_write(&key, text);
	fleet_count_write(count, value);
	etcd_model_put(&world->etcd, text, value);
}

void world_start(struct world *world, size_t index)
{
	static char key[] = "region";
	struct machine *machine = &world->machines[index];
	struct spec_label label = { key, machine->region };
	struct fleet_node_config config = { machine->name,
		                            machine->boot,
		                            "https://192.0.2.1:8443",
		                            "0.1.0",
		                            machine->capacity,
		                            &label,
		                            1,
		                            machine->rule,
		                            world_roll(world, FLEET_NEVER) };
	assert(!machine->is_up);
	machine->life = ++world->next_sequence;
	machine->is_up = true;
	machine->frozen_until = machine->deadline = machine->wake_at = 0;
	machine->is_stream_open = false;
	machine->stream = 0;
	machine->confirmations_due = 0;
	memset(machine->sequence, 0, sizeof(machine->sequence));
	memset(machine->owned, 0, sizeof(machine->owned));
	machine->worker = (struct worker){ .life = ++world->next_sequence };
	machine->member = (unsigned)world_roll(world, WORLD_MEMBERS);
	machine->node = fleet_node_create(&config, clock_of(machine, world->now));
	machine->placer = fleet_placer_create(machine->node, &machine->rule, world_roll(world, FLEET_NEVER));
	show(world, "%s starts", machine->name);
	pump(world, index);
}

static void end_process(struct world *world, struct machine *machine)
{
	fleet_placer_free(machine->placer);
	fleet_node_free(machine->node);
	machine->placer = NULL;
	machine->node = NULL;
	machine->is_up = false;
	memset(machine->worker.epochs, 0, sizeof(machine->worker.epochs));
	show(world, "%s ends", machine->name);
}

void world_kill(struct world *world, size_t index)
{
	if (world->machines[index].is_up)
		end_process(world, &world->machines[index]);
}

void world_freeze(struct world *world, size_t index, bool control, bool worker, uint64_t ms)
{
	struct machine *machine = &world->machines[index];
	show(world, "%s is frozen for %" PRIu64 " ms%s%s", machine->name, ms, control ? ", control" : "", worker ? ", worker" : "");
	if (control)
		machine->frozen_until = world->now + ms;
	if (worker) {
		machine->worker.frozen_since = world->now;
		machine->worker.frozen_until = world->now + ms;
	}
}

void world_leave(struct world *world, size_t index)
{
	struct machine *machine = &world->machines[index];
	if (!machine->is_up)
		return;
	show(world, "%s leaves", machine->name);
	fleet_node_leave(machine->node);
	store_deadline(world, machine);
	pump(world, index);
}

void world_cut(struct world *world, size_t index, uint64_t ms)
{
	show(world, "%s is cut for %" PRIu64 " ms", world->machines[index].name, ms);
	world->machines[index].cut_until = world->now + ms;
}

void world_deafen(struct world *world, size_t index, uint64_t ms)
{
	show(world, "%s hears nothing for %" PRIu64 " ms", world->machines[index].name, ms);
	world->machines[index].deaf_until = world->now + ms;
}

void world_stall(struct world *world, size_t index, uint64_t ms)
{
	show(world, "%s's watches stand still for %" PRIu64 " ms", world->machines[index].name, ms);
	world->machines[index].stalled_until = world->now + ms;
}

size_t world_copy(struct world *world, size_t index)
{
	size_t copy = world->machine_count++;
	struct machine *machine = &world->machines[copy];
	assert(copy < WORLD_MACHINES);
	*machine = (struct machine){ .rule = FLEET_RULE_DEFAULT, .capacity = 10000 };
	memcpy(machine->name, world->machines[index].name, sizeof(machine->name));
	memcpy(machine->region, world->machines[index].region, sizeof(machine->region));
	snprintf(machine->boot, sizeof(machine->boot), "copy-%zu", copy);
	machine->wall_offset = 1700000000000;
	return copy;
}

void world_kill_member(struct world *world, unsigned member, uint64_t ms)
{
	show(world, "etcd: member %u is killed for %" PRIu64 " ms", member, ms);
	world->members[member].down_until = world->now + ms;
	check_leader(world);
}

void world_stop_member(struct world *world, unsigned member, uint64_t ms)
{
	show(world, "etcd: member %u is stopped for %" PRIu64 " ms", member, ms);
	world->members[member].stopped_until = world->now + ms;
	check_leader(world);
}

void world_cut_member(struct world *world, unsigned member, uint64_t ms)
{
	show(world, "etcd: member %u is cut off for %" PRIu64 " ms", member, ms);
	world->members[member].cut_until = world->now + ms;
	check_leader(world);
}

void world_revoke_leases(struct world *world, unsigned percent)
{
	show(world, "etcd: leases are revoked");
	for (size_t i = world->etcd.lease_count; i-- > 0;)
		if (happens(world, percent))
			etcd_model_revoke(&world->etcd, world->etcd.leases[i].id);
}

void world_excuse(struct world *world, uint64_t ms)
{
	if (world->now + ms > world->excused_until)
		world->excused_until = world->now + ms;
}

/* ---- What is ---- */

static size_t count_servers(const struct world *world, size_t shard)
{
	size_t count = 0;
	for (size_t i = 0; i < world->machine_count; i++)
		count += may_serve(world, &world->machines[i], shard);
	return count;
}

bool world_is_served(const struct world *world)
{
	for (size_t i = 0; i < world->shard_count; i++)
		if (count_servers(world, i) != 1 && !(world->shards[i].is_exempt && count_servers(world, i) == 0))
			return false;
	return true;
}

int world_server(const struct world *world, size_t shard)
{
	for (size_t i = 0; i < world->machine_count; i++)
		if (may_serve(world, &world->machines[i], shard))
			return (int)i;
	return -1;
}

size_t world_load(const struct world *world, size_t machine)
{
	size_t count = 0;
	for (size_t i = 0; i < world->shard_count; i++)
		count += may_serve(world, &world->machines[machine], i);
	return count;
}

int world_placer(const struct world *world)
{
	const struct model_kv *leader = etcd_model_find(&world->etcd, "p/leader");
	char name[FLEET_NAME] = "";
	if (leader != NULL)
		fleet_leader_read(name, leader->value, strlen(leader->value));
	for (size_t i = 0; i < world->machine_count; i++)
		if (world->machines[i].is_up && strcmp(world->machines[i].name, name) == 0)
			return (int)i;
	return -1;
}

bool world_settle(struct world *world, uint64_t ms)
{
	uint64_t end = world->now + ms, quiet_since = world->now, writes = world->etcd.shard_writes;
	while (world->now < end) {
		world_run(world, 100);
		if (!world_is_served(world) || world->etcd.shard_writes != writes)
			quiet_since = world->now;
		writes = world->etcd.shard_writes;
		if (world->now >= quiet_since + 5000)
			return true;
	}
	return false;
}

void world_begin(struct world *world)
{
	world_excuse(world, 60000);
	for (size_t i = 0; i < world->machine_count; i++)
		world_start(world, i);
	bool is_settled = world_settle(world, 60000);
	assert(is_settled);
	(void)is_settled;
	world->excused_until = world->now;
}
