#include <sodium.h>
#include <stdlib.h>

#include "ipc/log.h"
#include "tests/tunnel/rig.h"

void rig_context_start(bool gso)
{
	struct netstack_limits limits = { .memory_budget = 16 << 20 };
	log_start(LOG_ERROR, false, "worker");
	assert_true(sodium_init() >= 0);
	assert_int_equal(wireguard_start(64, false), WIREGUARD_OK);
	netstack_start(&limits);
	rig = (struct rig){ .now = 1000 * LOOP_SECOND };
	rig.context.loop = loop_create();
	rig.context.blocks = block_pool_create();
	rig.context.batch = udp_batch_create(rig.context.loop, gso);
	rig.context.counters = calloc(1, sizeof(struct counters));
	counter_set(&rig.context.counters->deadline, UINT64_MAX);
}

void rig_context_stop(void)
{
	loop_end_turn(rig.context.loop);
	udp_batch_free(rig.context.batch);
	assert_int_equal(block_pool_in_use(rig.context.blocks), 0);
	block_pool_free(rig.context.blocks);
	loop_free(rig.context.loop);
	free(rig.context.counters);
	netstack_stop();
	wireguard_stop();
}
