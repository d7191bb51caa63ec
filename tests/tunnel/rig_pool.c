#include "tests/tunnel/rig_pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/flush.h"
#include "tunnel/login.h"
#include "tunnel/proxy/client.h"

struct tunnel there, front;
struct pools *workers[WORKERS];
static struct listener port = { .tunnel = &front, .id = 9, .kind = MESSAGE_SOCKET_PROXY };

static void settle_there(void *owner)
{
	flush_all(owner);
	netstack_settle(NULL, rig.now);
	flush_all(owner);
}

static void init_tunnel(struct tunnel *tunnel, uint32_t slot, const char *id)
{
	*tunnel = (struct tunnel){ .context = &rig.context, .slot = slot, .generation = 7, .health = { .state = TUNNEL_UP, .reason = "" } };
	tunnel->counters = &rig.context.counters->tunnels[slot];
	strcpy(tunnel->id, id);
	spec_init(&tunnel->spec);
	deferred_init(&tunnel->settle, settle_there, tunnel);
}

static struct tunnel *find_here(struct context *context, uint32_t slot)
{
	(void)context;
	return slot == 3 ? &rig.tunnel : slot == 5 ? &front : NULL;
}

static struct tunnel *find_there(struct context *context, uint32_t slot)
{
	(void)context;
	return slot == 4 ? &there : NULL;
}

void rig_pool_tell_members(struct pools *pools, unsigned first, unsigned last)
{
	struct pool_members message = { .pool = POOL, .is_first = true, .is_last = true, .list = calloc(WORKERS, sizeof(struct pool_member)) };
	for (unsigned i = first; i <= last; i++) {
		struct pool_member *member = &message.list[message.count++];
		*member = (struct pool_member){ .number = 1 + i, .worker = i, .slot = 3 + i, .generation = 7, .weight = 1, .order = i, .up = true };
		strcpy(member->id, i == HERE ? "here" : "there");
	}
	pools_take_members(pools, &message, true);
}

static char **names(const char *first, const char *second)
{
	char **list = calloc(2, sizeof(char *));
	list[0] = strdup(first);
	list[1] = strdup(second);
	return list;
}

/* The pool's spec in both workers, with its members. */
static void tell_pool(unsigned retries)
{
	front.spec.kind = SPEC_POOL;
	front.spec.pool.strategy = SPEC_FAILOVER;
	front.spec.pool.retries = retries;
	if (front.spec.pool.members.tunnels == NULL)
		front.spec.pool.members = (struct spec_selection){ .tunnels = names("here", "there"), .tunnel_count = 2 };
	assert_true(pool_prepare(workers[HERE], &front, POOL, &front.spec));
	pool_commit(front.pool, &front);
	struct pool_elsewhere message = { .pool = POOL, .home = HERE };
	assert_true(spec_copy(&message.spec, &front.spec));
	pools_take_elsewhere(workers[THERE], &message);
}

void rig_pool_tell(unsigned first, unsigned last, unsigned retries)
{
	tell_pool(retries);
	rig_pool_tell_members(workers[HERE], first, last);
	rig_pool_tell_members(workers[THERE], first, last);
	pools_take_sessions(workers[HERE], &(struct pool_sessions){ .pool = POOL, .is_last = true });
}

int rig_pool_start(void **state)
{
	rig_start(state);
	strcpy(rig.tunnel.id, "here");
	init_tunnel(&there, 4, "there");
	init_tunnel(&front, 5, "pool");
	for (unsigned i = 0; i < WORKERS; i++) {
		const struct pools_means means = { .context = &rig.context,
			                           .worker = i,
			                           .find = i == HERE ? find_here : find_there,
			                           .arrived = client_arrive,
			                           .opened = listener_open_all };
		workers[i] = pools_create(&means);
	}
	return 0;
}

void rig_pool_link(void)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		pools_take_link(workers[i], &(struct peer_link){ .worker = 1 - i, .incarnation = 1 }, ends[i]);
}

int rig_pool_stop(void **state)
{
	while (there.connections != NULL)
		there.connections->end(there.connections);
	pool_end_home(&front);
	while (front.connections != NULL)
		front.connections->end(front.connections);
	rig_turn();
	for (unsigned i = 0; i < WORKERS; i++)
		pools_free(workers[i]);
	rig_pass(2 * LOOP_SECOND);
	logins_free(front.logins);
	spec_clear(&front.spec);
	spec_clear(&there.spec);
	deferred_cancel(rig.context.loop, &there.settle);
	return rig_stop(state);
}

int rig_pool_come(void)
{
	int ends[2];
	union wireguard_endpoint from = rig_host("192.0.2.1", 4000);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	client_accept(&port, ends[1], &from);
	rig_turn();
	return ends[0];
}
