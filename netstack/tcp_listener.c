#include "netstack/tcp_listener.h"

#include <assert.h>
#include <stdlib.h>

#include "netstack/tcp_handshake.h"

int netstack_listen(struct netstack *stack, const struct netstack_endpoint *at, void (*accept)(void *owner, struct netstack_stream *stream),
                    void *owner, struct netstack_listener **listener)
{
	assert(accept != NULL);
	if (!stack_owns(stack, at->family, at->bytes))
		return NETSTACK_NO_ADDRESS;
	struct netstack_listener *fresh = calloc(1, sizeof(*fresh));
	if (fresh == NULL)
		return NETSTACK_OUT_OF_MEMORY;
	*fresh = (struct netstack_listener){ .stack = stack, .accept = accept, .owner = owner };
	int result = tcp_handshake_listen(fresh, &fresh->pcb, at);
	if (result != 0) {
		free(fresh);
		return result;
	}
	fresh->next = stack->listeners;
	stack->listeners = fresh;
	*listener = fresh;
	return 0;
}

void netstack_listener_set_owner(struct netstack_listener *listener, void *owner)
{
	listener->owner = owner;
}

/* Incomplete handshakes end with it; lwIP resets them at their next segment. */
void netstack_listener_free(struct netstack_listener *listener)
{
	if (listener == NULL)
		return;
	struct netstack *stack = listener->stack;
	struct netstack_listener **at = &stack->listeners;
	while (*at != listener)
		at = &(*at)->next;
	*at = listener->next;
	for (struct netstack_stream *stream = stack->all_streams; stream != NULL; stream = stream->next) {
		if (stream->listener == listener)
			stream->listener = NULL;
	}
	tcp_handshake_listen_end(stack, listener->pcb);
	free(listener);
}

void tcp_listener_free_all(struct netstack *stack)
{
	while (stack->listeners != NULL)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the call takes the first from the list. */
		netstack_listener_free(stack->listeners);
}
