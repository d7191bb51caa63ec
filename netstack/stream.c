#include "netstack/stream.h"

#include <assert.h>
#include <stdlib.h>

#include "netstack/gate.h"
#include "netstack/path.h"
#include "netstack/packet/random.h"
#include "netstack/segment.h"
#include "netstack/stream_table.h"
#include "netstack/tcp_handshake.h"
#include "netstack/tcp_listener.h"

#define PARTS_MAX 64
#define PORT_TRIES 64
#define LEAST_SEGMENT 88            /* Linux' floor is about the same; RFC 1191 allows an MTU of 68 */
#define LINGER (60 * 1000000000ull) /* time for a released stream to deliver its data */

/* --- creation --- */

static void run_timer(struct timer *timer, uint64_t now);

struct netstack_stream *stream_create(struct netstack *stack, const struct netstack_endpoint *local, const struct netstack_endpoint *remote)
{
	struct netstack_stream *stream = calloc(1, sizeof(*stream));

	if (stream == NULL)
		return NULL;
	stream->stack = stack;
	stream->local = *local;
	stream->remote = *remote;
	stream->born_at = stack->now;
	if (!stream_table_insert(&stack->streams, stream)) {
		free(stream);
		return NULL;
	}
	if (timer_heap_add(&stack->timers, &stream->timer, run_timer) != 0) {
		stream_table_remove(&stack->streams, stream);
		free(stream);
		return NULL;
	}
	stream->next = stack->all_streams;
	stream->back = &stack->all_streams;
	if (stream->next != NULL)
		stream->next->back = &stream->next;
	stack->all_streams = stream;
	return stream;
}

struct netstack_stream *stream_find(struct netstack *stack, const struct netstack_endpoint *local, const struct netstack_endpoint *remote)
{
	return stream_table_find(&stack->streams, local, remote);
}

struct netstack_stream *stream_find_by_packet(struct netstack *stack, const struct packet *packet, const struct segment *segment)
{
	struct netstack_endpoint local = { .family = packet->family, .port = segment->target };
	struct netstack_endpoint remote = { .family = packet->family, .port = segment->source };
	size_t size = stack_address_size(packet->family);

	memcpy(local.bytes, packet->target, size);
	memcpy(remote.bytes, packet->source, size);
	return stream_table_find(&stack->streams, &local, &remote);
}

/* --- queues --- */

static void enqueue(struct stack_queue *queue, struct netstack_stream *stream)
{
	assert(!stream->is_queued && stream->state == STREAM_OPEN);
	stream->is_queued = true;
	stream->next_in_queue = NULL;
	if (queue->last != NULL)
		queue->last->next_in_queue = stream;
	else
		queue->first = stream;
	queue->last = stream;
}

static struct netstack_stream *dequeue(struct stack_queue *queue)
{
	struct netstack_stream *stream = queue->first;

	if (stream == NULL)
		return NULL;
	queue->first = stream->next_in_queue;
	if (queue->first == NULL)
		queue->last = NULL;
	stream->is_queued = false;
	return stream;
}

/* false: it is not in this one. */
static bool unqueue(struct stack_queue *queue, const struct netstack_stream *stream)
{
	struct netstack_stream *last = NULL;

	for (struct netstack_stream *at = queue->first; at != NULL; last = at, at = at->next_in_queue) {
		if (at != stream)
			continue;
		if (last != NULL)
			last->next_in_queue = at->next_in_queue;
		else
			queue->first = at->next_in_queue;
		if (queue->last == at)
			queue->last = last;
		return true;
	}
	return false;
}

void stream_touch(struct netstack_stream *stream)
{
	if (!stream->is_queued && !stream->is_settling && stream->state == STREAM_OPEN)
		enqueue(&stream->stack->dirty, stream);
}

void stream_note(struct netstack_stream *stream)
{
	struct stack_queue *noted = &stream->stack->noted;

	if (stream->note.is_queued)
		return;
	stream->note.is_queued = true;
	stream->next_noted = NULL;
	if (noted->last != NULL)
		noted->last->next_noted = stream;
	else
		noted->first = stream;
	noted->last = stream;
}

/* --- closing --- */

/* Only the memory is left, since a caller up the stack may still hold the pointer. */
static void lay_out(struct netstack_stream *stream)
{
	struct netstack *stack = stream->stack;

	assert(stream->pcb == NULL || tcp_handshake_is_over(stream));
	tcp_handshake_detach(stream);
	stream_table_remove(&stack->streams, stream);
	timer_heap_remove(&stack->timers, &stream->timer);
	if (stream->is_queued) {
		bool was_queued = unqueue(&stack->dirty, stream) || unqueue(&stack->waiting, stream);
		assert(was_queued);
		stream->is_queued = false;
	}
	if (stream->state == STREAM_OPEN) {
		sender_clear(&stream->sender);
		receiver_clear(&stream->receiver);
	}
	stream->state = STREAM_CLOSED;
	*stream->back = stream->next;
	if (stream->next != NULL)
		stream->next->back = stream->back;
	stream->next = stack->graveyard;
	stack->graveyard = stream;
}

void stream_close(struct netstack_stream *stream, enum netstack_error why)
{
	const struct netstack_stream_events *events = stream->events;

	if (stream->state == STREAM_CLOSED)
		return;
	lay_out(stream);
	if (events != NULL)
		events->closed(stream->owner, why);
}

void stream_bury(struct netstack *stack)
{
	struct netstack_stream **at = &stack->graveyard;

	while (*at != NULL) {
		struct netstack_stream *stream = *at;
		if (stream->note.is_queued) { /* still in a list that is being walked */
			at = &stream->next;
			continue;
		}
		*at = stream->next;
		free(stream);
	}
}

void stream_abandon_all(struct netstack *stack)
{
	while (stack->all_streams != NULL) {
		struct netstack_stream *stream = stack->all_streams;
		tcp_handshake_abandon(stream);
		stream_close(stream, NETSTACK_ABORTED);
	}
}

/* --- orderly close --- */

/* Shows lwIP the ends of both directions, and closes the stream when lwIP has nothing left to do. */
static void proceed_to_end(struct netstack_stream *stream)
{
	if (stream->state == STREAM_OPEN && stream->pcb != NULL && !stream->has_shown_done && sender_is_done(&stream->sender))
		tcp_handshake_show_done(stream);
	if (stream->state == STREAM_OPEN && stream->pcb != NULL && !stream->has_shown_end && receiver_is_at_end(&stream->receiver)) {
		tcp_handshake_show_end(stream);
		if (stream->events != NULL)
			stream->events->finished(stream->owner);
	}
	if (stream->state == STREAM_OPEN && tcp_handshake_is_over(stream))
		stream_close(stream, NETSTACK_OK);
}

/* --- a segment --- */

void stream_challenge(struct netstack_stream *stream, uint64_t now)
{
	if (stream->pcb == NULL || !gate_may_challenge(stream->pcb, now))
		return;
	stream->receiver.must_acknowledge = true;
	stream_touch(stream);
}

/* Bytes lent while the stack settles would be freed with those lent before. This cannot happen: only a segment brings bytes, and events that
 * lwIP reports for one are handled before netstack_input returns. */
static void hand_over(struct netstack_stream *stream, const struct iovec *parts, size_t count, size_t length)
{
	assert(stream->stack->is_showing);
	if (stream->events != NULL)
		stream->events->received(stream->owner, parts, count, length);
	else
		receiver_consume(&stream->receiver, length);
}

/* The owner reads no more. Our data is still delivered; then the far end is told that its bytes are lost (RFC 2525, 2.17). */
static bool is_unwanted(const struct netstack_stream *stream, const struct segment *segment)
{
	return stream->is_released && segment->length > 0 && sender_is_done(&stream->sender);
}

void stream_input(struct netstack_stream *stream, const struct segment *segment, uint64_t now)
{
	struct iovec parts[PARTS_MAX];
	size_t length;
	uint64_t acknowledged = stream->sender.acknowledged;

	if (!sender_heard(&stream->sender, segment, stream->window_shift, now)) {
		stream_touch(stream);
		stream_challenge(stream, now);
		return;
	}
	stream->heard_at = now;
	stream_touch(stream);
	if (stream->sender.acknowledged > acknowledged && stream->sender.acknowledged == stream->sender.next)
		receiver_expect(&stream->receiver, now);
	if (is_unwanted(stream, segment)) {
		netstack_stream_abort(stream, now);
		return;
	}
	size_t count = receiver_take(&stream->receiver, segment, parts, PARTS_MAX, &length, now);
	/* Each iteration takes held bytes, and the window bounds their sum. */
	while (count > 0 && stream->state == STREAM_OPEN) {
		hand_over(stream, parts, count, length);
		if (stream->state != STREAM_OPEN)
			return;
		count = receiver_take_held(&stream->receiver, parts, PARTS_MAX, &length);
	}
	proceed_to_end(stream);
}

/* --- events from lwIP --- */

static void open_stream(struct netstack_stream *stream, uint64_t now)
{
	struct netstack_listener *listener = stream->listener;

	tcp_handshake_complete(stream, now);
	stream->state = STREAM_OPEN;
	stream->listener = NULL;
	if (listener != NULL)
		listener->accept(listener->owner, stream);
	else if (stream->events != NULL)
		stream->events->connected(stream->owner);
	stream_touch(stream);
}

static void act_on_note(struct netstack_stream *stream, uint64_t now)
{
	if (stream->note.is_gone) {
		stream_close(stream, stream->note.why);
		return;
	}
	if (!stream->note.is_connected || stream->state != STREAM_CONNECTING)
		return;
	open_stream(stream, now);
}

/* The list holds each stream once, and meanwhile only lwIP's reactions to an owner can add to it. */
void stream_act_on_notes(struct netstack *stack, uint64_t now)
{
	struct netstack_stream *stream;

	while ((stream = stack->noted.first) != NULL) {
		stack->noted.first = stream->next_noted;
		if (stack->noted.first == NULL)
			stack->noted.last = NULL;
		stream->note.is_queued = false;
		if (stream->state != STREAM_CLOSED)
			act_on_note(stream, now);
	}
}

/* --- the end of a batch --- */

static void tell_acknowledged(struct netstack_stream *stream)
{
	uint64_t released = stream->sender.queue.start;
	size_t bytes = (size_t)(released - stream->told);

	if (bytes == 0)
		return;
	stream->told = released;
	if (stream->events != NULL)
		stream->events->acknowledged(stream->owner, bytes);
}

static void set_timer(struct netstack_stream *stream)
{
	uint64_t at = sender_deadline(&stream->sender);

	if (stream->receiver.deadline < at)
		at = stream->receiver.deadline;
	if (stream->receiver.gap.deadline < at)
		at = stream->receiver.gap.deadline;
	if (stream->is_released && stream->born_at + LINGER < at)
		at = stream->born_at + LINGER;
	timer_heap_set(&stream->stack->timers, &stream->timer, at);
}

/* Sends what is due. An acknowledgement that found no room stays due, since must_acknowledge stays. */
static void settle(struct netstack_stream *stream, uint64_t now)
{
	bool is_waiting;

	stream->is_settling = true; /* data that the owner writes now is sent just below */
	tell_acknowledged(stream);
	stream->is_settling = false;
	if (stream->state != STREAM_OPEN)
		return;
	sender_update(&stream->sender, now);
	is_waiting = stream->sender.is_blocked;
	if (receiver_settle(&stream->receiver, now) && !segment_acknowledge(stream))
		is_waiting = true;
	set_timer(stream);
	if (is_waiting)
		enqueue(&stream->stack->waiting, stream);
	if (stream->sender.path_limit != 0) {
		path_limit(stream, stream->sender.path_limit, now);
		stream->sender.path_limit = 0;
	}
}

void stream_settle_all(struct netstack *stack, uint64_t now)
{
	struct netstack_stream *stream;

	while ((stream = dequeue(&stack->dirty)) != NULL)
		settle(stream, now);
}

void stream_resume_all(struct netstack *stack)
{
	struct netstack_stream *stream;

	while ((stream = dequeue(&stack->waiting)) != NULL)
		enqueue(&stack->dirty, stream);
}

/* We cannot see packets that do not reach us. But if a gap stays that is larger than any segment received, although the far end answers when
 * probed, its full segments do not pass. So it is if nothing comes, while the answer's sequence number shows that more was sent: a far end
 * that has nothing to say yet answers with the number that we wait for. Later connections ask for smaller ones. */
static void watch_gap(struct netstack_stream *stream, uint64_t now)
{
	struct gap *gap = &stream->receiver.gap;
	uint8_t family = stream->local.family;

	switch (gap_expire(gap, stream->receiver.next, receiver_lacks_data(&stream->receiver), now)) {
	case GAP_WAIT: break;
	case GAP_ASK: netstack_stream_probe(stream); break;
	case GAP_JUDGE: {
		uint32_t packet = black_hole_below(family, path_mtu(stream->stack, &stream->remote));
		if (packet != 0 && stream->heard_at > gap->asked_at && receiver_lacks_large(&stream->receiver, black_hole_payload(family, packet)))
			path_limit(stream, packet, now);
		break;
	}
	}
}

static void run_timer(struct timer *timer, uint64_t now)
{
	struct netstack_stream *stream = (struct netstack_stream *)((char *)timer - offsetof(struct netstack_stream, timer));

	if (stream->state != STREAM_OPEN)
		return;
	sender_expire(&stream->sender, now);
	receiver_expire(&stream->receiver, now);
	watch_gap(stream, now);
	if (stream->sender.has_given_up) {
		tcp_handshake_abort(stream);
		stream_close(stream, NETSTACK_TIMED_OUT);
	} else if (stream->is_released && stream->born_at + LINGER <= now) {
		netstack_stream_abort(stream, now);
	} else {
		set_timer(stream);
		stream_touch(stream);
	}
}

void stream_kick_all(struct netstack *stack, uint64_t now)
{
	for (struct netstack_stream *stream = stack->all_streams; stream != NULL; stream = stream->next) {
		if (stream->state != STREAM_OPEN)
			continue;
		sender_kick(&stream->sender, now);
		stream_touch(stream);
	}
}

void stream_shrink(struct netstack_stream *stream, size_t packet_size)
{
	size_t headers = (size_t)stream->header_length + PACKET_TCP_HEADER;

	if (stream->state == STREAM_OPEN && packet_size >= headers + LEAST_SEGMENT)
		sender_shrink(&stream->sender, (uint32_t)(packet_size - headers));
	stream_touch(stream);
}

/* --- for the owner --- */

/* A port that no connection to the same remote address uses (RFC 6056, 3.3.1). */
static bool choose_port(struct netstack *stack, struct netstack_endpoint *local, const struct netstack_endpoint *remote)
{
	for (int i = 0; i < PORT_TRIES; i++) {
		local->port = random_port();
		if (stream_table_find(&stack->streams, local, remote) == NULL)
			return true;
	}
	return false;
}

int netstack_stream_connect(struct netstack *stack, const struct netstack_endpoint *to, const struct netstack_stream_events *events, void *owner,
                            uint64_t now, struct netstack_stream **stream)
{
	const struct netstack_endpoint *source = stack_source_for(stack, to);

	assert(netstack_stream_events_are_whole(events, false));
	if (source == NULL)
		return NETSTACK_NO_ADDRESS;
	if (to->port == 0 || stack_owns(stack, to->family, to->bytes))
		return NETSTACK_UNREACHABLE;
	stack_begin(stack, now);
	struct netstack_endpoint local = *source;
	int result = choose_port(stack, &local, to) ? NETSTACK_OUT_OF_MEMORY : NETSTACK_IN_USE;
	struct netstack_stream *fresh = result == NETSTACK_IN_USE ? NULL : stream_create(stack, &local, to);
	if (fresh != NULL) {
		result = tcp_handshake_connect(fresh);
		if (result != 0) {
			lay_out(fresh);
		} else {
			fresh->events = events;
			fresh->owner = owner;
			*stream = fresh;
		}
	}
	stack_end(stack);
	return result;
}

size_t netstack_stream_write(struct netstack_stream *stream, const void *bytes, size_t length, uint64_t now)
{
	if (stream->state != STREAM_OPEN)
		return 0;
	stack_begin(stream->stack, now);
	receiver_ask(&stream->receiver);
	size_t taken = sender_write(&stream->sender, bytes, length);
	if (taken > 0)
		stream_touch(stream);
	stack_end(stream->stack);
	return taken;
}

size_t netstack_stream_room(const struct netstack_stream *stream)
{
	return stream->state == STREAM_OPEN && !stream->sender.has_finished ? sender_room(&stream->sender) : 0;
}

void netstack_stream_finish(struct netstack_stream *stream, uint64_t now)
{
	if (stream->state != STREAM_OPEN)
		return;
	stack_begin(stream->stack, now);
	receiver_ask(&stream->receiver);
	sender_finish(&stream->sender);
	stream_touch(stream);
	stack_end(stream->stack);
}

void netstack_stream_consumed(struct netstack_stream *stream, size_t bytes, uint64_t now)
{
	if (stream->state != STREAM_OPEN)
		return;
	stack_begin(stream->stack, now);
	receiver_consume(&stream->receiver, bytes);
	stream_touch(stream);
	stack_end(stream->stack);
}

void netstack_stream_abort(struct netstack_stream *stream, uint64_t now)
{
	struct netstack *stack = stream->stack;

	if (stream->state == STREAM_CLOSED)
		return;
	stack_begin(stack, now);
	tcp_handshake_abort(stream);
	lay_out(stream);
	stack_end(stack);
}

/* Unread bytes are dropped, as the owner drops them. Out of memory there is nothing to deliver from. */
void netstack_stream_release(struct netstack_stream *stream, uint64_t now)
{
	struct netstack *stack = stream->stack;

	stream->events = NULL;
	stream->owner = NULL;
	if (stream->state == STREAM_CONNECTING || (stream->state == STREAM_OPEN && !queue_own(&stream->sender.queue))) {
		netstack_stream_abort(stream, now);
		return;
	}
	if (stream->state != STREAM_OPEN)
		return;
	stack_begin(stack, now);
	stream->is_released = true;
	stream->born_at = now;
	sender_finish(&stream->sender);
	receiver_consume(&stream->receiver, (size_t)(stream->receiver.next - stream->receiver.consumed));
	stream_touch(stream);
	stack_end(stack);
}

uint64_t netstack_stream_heard_at(const struct netstack_stream *stream)
{
	return stream->heard_at;
}

/* If data is outstanding, its retransmission asks the same. A probe that finds no room is lost, as on any link. */
void netstack_stream_probe(struct netstack_stream *stream)
{
	const struct sender *sender = &stream->sender;

	if (stream->state == STREAM_OPEN && sender->next == sender->acknowledged)
		(void)segment_emit(stream, sender->acknowledged - 1, NULL, 0, 0, SEGMENT_ACK);
}

void netstack_stream_local(const struct netstack_stream *stream, struct netstack_endpoint *local)
{
	*local = stream->local;
}

void netstack_stream_remote(const struct netstack_stream *stream, struct netstack_endpoint *remote)
{
	*remote = stream->remote;
}

void netstack_stream_set_owner(struct netstack_stream *stream, const struct netstack_stream_events *events, void *owner)
{
	assert(events == NULL || netstack_stream_events_are_whole(events, true));
	stream->events = events;
	stream->owner = owner;
}
