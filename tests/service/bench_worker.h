/* What the control process has of one worker and its tunnels, without the worker's process: the test reads and writes its end of the channel. */
#ifndef WARREN_TESTS_SERVICE_BENCH_WORKER_H
#define WARREN_TESTS_SERVICE_BENCH_WORKER_H

#include "service/registry/events.h"
#include "service/registry/slot_table.h"
#include "service/worker/worker_process.h"

struct bench_worker {
	uv_loop_t loop;
	struct lock_queue *locks;
	struct registry *registry;
	struct slot_table *slots;
	struct events *events;
	struct supervisor supervisor;
	struct worker worker;
	uv_process_t process; /* never started */
	struct channel *far_end;
	unsigned kills;      /* of its process, where the linker wraps uv_process_kill */
	uv_poll_t *far_poll; /* wakes the loop for the test */
};

extern struct bench_worker bench;

int bench_worker_set_up(void **state);
/* Runs the loop out and removes all tunnels. */
int bench_worker_tear_down(void **state);
/* A tunnel at generation 1 with its slot and UDP socket. Takes the spec's one forward (NULL: none). */
struct entry *bench_worker_add(const char *id, struct spec_forward *forward);
/* Gives up its id and its slot, so that the next one gets that slot. */
void bench_worker_remove(struct entry *entry);
/* The next message to the worker that is GRANTED, waited for in the loop. Whether it came with a descriptor, which is closed. */
struct message_ack bench_worker_granted(bool *has_descriptor);

/* A new process, with channels of its own, in place of one that worker_kill has ended. */
void bench_worker_replace(void);
/* Answers the worker's oldest request; false when it has none. */
bool bench_worker_answer(uint8_t status, const char *detail);
/* The type of the next message to the worker that it has not read yet; 0 when there is none. Its descriptors are closed. */
enum message_type bench_worker_next(void);

#endif
