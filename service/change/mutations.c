#include "service/change/mutations.h"

#include <assert.h>
#include <stdlib.h>

#include "service/change/inbox.h"
#include "service/registry/id_hash.h"

#define PEERS_OF_A_PIECE 64
#define SUSPENDED_LISTS 1024 /* thousands of tunnels that are created with wait=up */

struct mutations {
	const struct mutation_machine *machine;
	struct mutation_means means;
	struct inbox *inbox;
	struct mutation *under_way;                  /* without parts */
	struct mutation *waiting;                    /* for a worker that is being replaced */
	struct mutation *suspended[SUSPENDED_LISTS]; /* until their tunnel is up, by the hash of its id */
	struct mutation *unfinished, **last;         /* those that go on in the loop's next turn, in order */
	uv_idle_t next_turn;                         /* active while there are any */
	size_t work;                                 /* pieces done since the last turn of those, at most one turn's */
	uint64_t next_revision;
	bool is_stopping;
};

struct mutations *mutations_create(const struct mutation_machine *machine)
{
	struct mutations *mutations = calloc(1, sizeof(*mutations));
	if (mutations == NULL)
		return NULL;
	mutations->machine = machine;
	mutations->inbox = inbox_create();
	if (mutations->inbox != NULL)
		return mutations;
	free(mutations);
	return NULL;
}

void mutations_start(struct mutations *mutations, const struct mutation_means *means)
{
	mutations->means = *means;
	mutations->last = &mutations->unfinished;
	uv_idle_init(means->loop, &mutations->next_turn);
	mutations->next_turn.data = mutations;
	mutations->next_revision = store_next_revision(means->store);
}

void mutations_free(struct mutations *mutations)
{
	if (mutations == NULL)
		return;
	assert(mutations->under_way == NULL);
	inbox_free(mutations->inbox);
	free(mutations);
}

void mutations_step(struct mutation *mutation, enum mutation_event event)
{
	mutation->all->machine->step(mutation, event);
}

void mutations_submit(struct mutations *mutations, struct mutation *mutation)
{
	assert(mutation->done != NULL && mutation->state == MUTATION_READING);
	mutation->references++;
	mutation->all = mutations;
	mutation->course = mutation_course_of(mutation);
	if (!mutations->machine->read(mutation))
		problem_out_of_memory(&mutation->problem);
	mutations_step(mutation, MUTATION_EVENT_READ);
}

static void refuse_at_the_end(struct mutation *mutation)
{
	problem_set(&mutation->problem, PROBLEM_WORKER_UNAVAILABLE, PROBLEM_LEAVING);
}

void mutations_refuse_to_wait(struct mutation *mutation)
{
	problem_set(&mutation->problem, PROBLEM_WORKER_UNAVAILABLE, "The change was made; the daemon is stopping before the first handshake.");
}

bool mutations_enqueue(struct mutation *mutation)
{
	if (inbox_put(mutation->all->inbox, mutation))
		return true;
	refuse_at_the_end(mutation);
	return false;
}

static void start(struct mutations *mutations, struct mutation *mutation)
{
	/* The faults of a whole state are gathered with those that are found on its turn. */
	bool is_unread = mutation->problem.code != PROBLEM_NONE && mutation->course != MUTATION_WHOLE_STATE;
	mutation->next = mutations->under_way;
	mutation->before = &mutations->under_way;
	if (mutation->next != NULL)
		mutation->next->before = &mutation->next;
	mutations->under_way = mutation;
	if (mutations->is_stopping)
		refuse_at_the_end(mutation);
	mutations_step(mutation, is_unread || mutations->is_stopping ? MUTATION_EVENT_REFUSED : mutation_rules_of(mutation->course)->start);
}

void mutations_run(struct mutations *mutations)
{
	for (struct mutation *mutation = inbox_take_all(mutations->inbox); mutation != NULL;) {
		struct mutation *next = mutation->next;
		start(mutations, mutation);
		mutation = next;
	}
}

void mutations_leave(struct mutation *mutation)
{
	if (mutation->before == NULL)
		return;
	*mutation->before = mutation->next;
	if (mutation->next != NULL)
		mutation->next->before = mutation->before;
	mutation->before = NULL;
}

bool mutations_take_work(struct mutations *mutations, size_t peers)
{
	if (mutations->work >= MUTATIONS_TURN_WORK)
		return false;
	mutations->work += 1 + peers / PEERS_OF_A_PIECE;
	return true;
}

static void on_next_turn(uv_idle_t *idle)
{
	mutations_go_on(idle->data);
}

void mutations_go_on_later(struct mutation *mutation)
{
	struct mutations *mutations = mutation->all;
	mutation->next_waiting = NULL;
	*mutations->last = mutation;
	mutations->last = &mutation->next_waiting;
	uv_idle_start(&mutations->next_turn, on_next_turn);
}

void mutations_go_on(struct mutations *mutations)
{
	mutations->work = 0;
	while (mutations->unfinished != NULL && mutations->work < MUTATIONS_TURN_WORK) {
		struct mutation *mutation = mutations->unfinished;
		mutations->unfinished = mutation->next_waiting;
		if (mutations->unfinished == NULL)
			mutations->last = &mutations->unfinished;
		mutations_step(mutation, MUTATION_EVENT_MORE);
	}
	if (mutations->unfinished == NULL)
		uv_idle_stop(&mutations->next_turn);
}

void mutations_await_worker(struct mutation *mutation)
{
	mutation->next_waiting = mutation->all->waiting;
	mutation->all->waiting = mutation;
}

void mutations_check_workers(struct mutations *mutations)
{
	struct mutation *list = mutations->waiting;
	mutations->waiting = NULL;
	while (list != NULL) {
		struct mutation *mutation = list;
		list = mutation->next_waiting;
		if (mutations->machine->has_workers(mutation)) {
			mutations_step(mutation, MUTATION_EVENT_WORKER_READY);
		} else if (!mutations->is_stopping && uv_now(mutations->means.loop) < mutation->deadline) {
			mutations_await_worker(mutation);
		} else {
			problem_set(&mutation->problem, PROBLEM_WORKER_UNAVAILABLE,
			            "The worker of this tunnel is being replaced; try again in a moment.");
			mutations_step(mutation, MUTATION_EVENT_FAILED);
		}
	}
}

static struct mutation **suspended_with(struct mutations *mutations, const char *key)
{
	return &mutations->suspended[id_hash(key) % SUSPENDED_LISTS];
}

void mutations_suspend(struct mutation *mutation)
{
	struct mutation **list = suspended_with(mutation->all, mutation->operations[0].key);
	mutation->next_waiting = *list;
	*list = mutation;
}

static void check_list(struct mutation **list)
{
	for (struct mutation **at = list; *at != NULL;) {
		struct mutation *mutation = *at;
		if (!mutation->all->machine->is_waiting_over(mutation)) {
			at = &mutation->next_waiting;
			continue;
		}
		*at = mutation->next_waiting;
		mutations_step(mutation, MUTATION_EVENT_WAITING_OVER);
	}
}

void mutations_check_suspended(struct mutations *mutations)
{
	for (size_t i = 0; i < SUSPENDED_LISTS; i++)
		check_list(&mutations->suspended[i]);
}

void mutations_check_suspended_of(struct mutations *mutations, const char *key)
{
	check_list(suspended_with(mutations, key));
}

static void end_list(struct mutation **list)
{
	while (*list != NULL) {
		struct mutation *mutation = *list;
		*list = mutation->next_waiting;
		mutations_refuse_to_wait(mutation);
		mutations_step(mutation, MUTATION_EVENT_REFUSED);
	}
}

void mutations_stop(struct mutations *mutations)
{
	inbox_close(mutations->inbox);
	mutations->is_stopping = true;
	for (size_t i = 0; i < SUSPENDED_LISTS; i++)
		end_list(&mutations->suspended[i]);
}

void mutations_resume(struct mutations *mutations)
{
	mutations->is_stopping = false;
	inbox_reopen(mutations->inbox);
}

bool mutations_are_under_way(const struct mutations *mutations)
{
	return mutations->under_way != NULL;
}

bool mutations_are_stopping(const struct mutations *mutations)
{
	return mutations->is_stopping;
}

const struct mutation_means *mutations_means(const struct mutations *mutations)
{
	return &mutations->means;
}

uint64_t mutations_take_revision(struct mutations *mutations)
{
	return mutations->next_revision++;
}

uint64_t mutations_next_revision(const struct mutations *mutations)
{
	return mutations->next_revision;
}
