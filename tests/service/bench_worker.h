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
	struct worker worker;
	struct channel *far_end;
	uv_poll_t far_poll; /* wakes the loop for the test */
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

#endif
