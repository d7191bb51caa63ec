#include "tunnel/io/linger.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define LINGER_TIME LOOP_SECOND
#define LINGER_BYTES (1u << 20)

struct linger_state {
	struct loop *loop;
	struct poller *poller;
	struct deadline deadline;
	size_t drained;
};

static void finish(void *owner)
{
	struct linger_state *state = owner;
	deadline_set(state->loop, &state->deadline, LOOP_NEVER);
	poller_free(state->poller);
	free(state);
}

static void on_readable(void *owner, int events)
{
	struct linger_state *state = owner;
	char away[16384];
	(void)events;
	ssize_t got = recv(poller_descriptor(state->poller), away, sizeof(away), MSG_DONTWAIT);
	if (got > 0)
		state->drained += (size_t)got;
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR) || state->drained > LINGER_BYTES)
		finish(state);
}

void linger_close(struct loop *loop, struct poller *poller)
{
	struct linger_state *state = calloc(1, sizeof(*state));
	if (state == NULL || shutdown(poller_descriptor(poller), SHUT_WR) < 0) {
		free(state);
		poller_free(poller);
		return;
	}
	state->loop = loop;
	state->poller = poller;
	deadline_init(&state->deadline, finish, state);
	deadline_set(loop, &state->deadline, loop_now(loop) + LINGER_TIME);
	poller_set_owner(poller, on_readable, state);
	poller_set(poller, LOOP_READABLE);
}

void linger_reset(int descriptor)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}
