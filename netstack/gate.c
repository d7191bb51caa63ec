#include "netstack/gate.h"

#include "lwip/priv/tcp_priv.h"

#include "netstack/lwip_address.h"
#include "netstack/segment.h"
#include "netstack/tcp_handshake.h"

#define CHALLENGE_EVERY 500 /* ms */
#define CHALLENGED_AT 0     /* index of the pcb's extension argument that holds it: ms + 1, and 0 for never */

/* A connection gives at most two challenges a second, each to a segment that came: n connections give at most 2n a second, and never more
 * than they get segments. A limit for the whole stack is not better: who uses it up denies others their challenge, and who counts what is left
 * learns of their connections (CVE-2016-5696). */
bool gate_may_challenge(struct tcp_pcb *pcb, uint64_t now)
{
	uint32_t at = (uint32_t)(now / 1000000) + 1;
	uint32_t last = (uint32_t)(uintptr_t)tcp_ext_arg_get(pcb, CHALLENGED_AT);

	if (last != 0 && at - last < CHALLENGE_EVERY)
		return false;
	tcp_ext_arg_set(pcb, CHALLENGED_AT, (void *)(uintptr_t)at); /* a number; lwIP never dereferences it */
	return true;
}

/* --- lwIP's connections --- */

static bool is_of(const struct tcp_pcb *pcb, const struct packet *packet, const struct segment *segment)
{
	struct netstack_endpoint local, remote;
	size_t size = stack_address_size(packet->family);

	if (pcb->local_port != segment->target || pcb->remote_port != segment->source)
		return false;
	lwip_address_to_endpoint(&local, &pcb->local_ip, pcb->local_port);
	lwip_address_to_endpoint(&remote, &pcb->remote_ip, pcb->remote_port);
	return remote.family == packet->family && memcmp(remote.bytes, packet->source, size) == 0 && memcmp(local.bytes, packet->target, size) == 0;
}

/* The active list holds only handshakes: as many as the listeners' backlogs, 255 each, and our own SYNs. The other list is bounded by
 * tcp_handshake_tick. */
static struct tcp_pcb *find(struct tcp_pcb *first, const struct packet *packet, const struct segment *segment)
{
	while (first != NULL && !is_of(first, packet, segment))
		first = first->next;
	return first;
}

/* --- segments by state, each with the stack entered --- */

static uint32_t length_of(const struct segment *segment)
{
	return (uint32_t)segment->length + ((segment->flags & SEGMENT_SYN) != 0) + ((segment->flags & SEGMENT_FIN) != 0);
}

/* Shows lwIP the segment with this sequence number, empty and with these flags. */
static void show(struct netstack *stack, const struct packet *packet, uint32_t sequence, uint8_t flags)
{
	stack_feed(stack, packet->bytes, packet_empty_segment(packet, sequence, flags));
}

static void show_bare(struct netstack *stack, const struct packet *packet, uint32_t sequence, uint8_t flags)
{
	packet_blank_options(packet);
	show(stack, packet, sequence, flags);
}

/* Options are negotiated by the SYN that opens a connection and by the valid answer to ours. lwIP would read them from any segment. */
static void hear_stranger(struct netstack *stack, const struct packet *packet, const struct segment *segment)
{
	if ((segment->flags & (SEGMENT_SYN | SEGMENT_ACK | SEGMENT_RST)) != SEGMENT_SYN)
		packet_blank_options(packet);
	stack_feed(stack, packet->bytes, packet->length); /* lwIP reads the header */
}

/* RFC 9293, 3.10.7.3. Simultaneous open is not supported, since lwIP lacks it. A wrong acknowledgement is answered with a reset here, because lwIP
 * would also repeat its SYN at once, and give up after a few. */
static void hear_in_syn_sent(struct netstack *stack, const struct tcp_pcb *pcb, const struct packet *packet, const struct segment *segment)
{
	uint8_t flags = segment->flags & (SEGMENT_SYN | SEGMENT_ACK | SEGMENT_RST);
	bool is_right = segment->acknowledgement == pcb->lastack + 1;

	if (flags == (SEGMENT_SYN | SEGMENT_ACK) && is_right)
		show(stack, packet, segment->sequence, flags);
	else if (flags == (SEGMENT_RST | SEGMENT_ACK) && is_right)
		show_bare(stack, packet, segment->sequence, flags);
	else if ((flags & (SEGMENT_ACK | SEGMENT_RST)) == SEGMENT_ACK && !is_right)
		tcp_rst(pcb, segment->acknowledgement, segment->sequence + length_of(segment), &pcb->local_ip, &pcb->remote_ip, pcb->local_port,
		        pcb->remote_port);
}

/* RFC 9293, 3.4: whether a part of the segment is inside the window. */
static bool is_acceptable(const struct tcp_pcb *pcb, const struct segment *segment)
{
	uint32_t start = segment->sequence - pcb->rcv_nxt, length = length_of(segment);

	return start < pcb->rcv_wnd || (length > 0 && start + length - 1 < pcb->rcv_wnd);
}

/* RFC 9293, 3.10.7.4. lwIP sees only the acknowledgement, with the expected sequence number; the segment's data goes to the stream. A wrong one is
 * answered with a reset. */
static bool hear_in_syn_received(struct netstack *stack, struct tcp_pcb *pcb, const struct packet *packet, const struct segment *segment,
                                 uint64_t now)
{
	uint8_t flags = segment->flags & (SEGMENT_SYN | SEGMENT_ACK | SEGMENT_RST);

	if (flags == SEGMENT_SYN && segment->sequence == pcb->rcv_nxt - 1) {
		show_bare(stack, packet, segment->sequence, flags);
		return false;
	}
	bool is_reset = (flags & SEGMENT_RST) != 0, is_in_window = is_acceptable(pcb, segment);
	if (is_reset && segment->sequence == pcb->rcv_nxt) {
		show_bare(stack, packet, segment->sequence, SEGMENT_RST);
		return false;
	}
	if (flags == SEGMENT_ACK && is_in_window) {
		show_bare(stack, packet, pcb->rcv_nxt, flags);
		return true;
	}
	bool is_odd = is_reset ? is_in_window : (flags & SEGMENT_SYN) || !is_in_window;
	if (is_odd && gate_may_challenge(pcb, now))
		tcp_send_empty_ack(pcb);
	return false;
}

/* RFC 9293, 3.10.7.4; resets are ignored (RFC 1337). lwIP itself sees nothing. */
static void hear_in_time_wait(struct tcp_pcb *pcb, const struct segment *segment, uint64_t now)
{
	uint32_t length = length_of(segment);
	bool is_the_end = (segment->flags & SEGMENT_FIN) && segment->sequence + length == pcb->rcv_nxt;

	if ((segment->flags & SEGMENT_RST) || length == 0)
		return;
	if (is_the_end)
		pcb->tmr = tcp_ticks;
	if (is_the_end || gate_may_challenge(pcb, now))
		tcp_send_empty_ack(pcb);
}

/* A SYN beyond the received data ends TIME-WAIT (RFC 9293, 3.10.7.4); lwIP itself would refuse it. */
static bool begins_anew(const struct tcp_pcb *pcb, const struct segment *segment)
{
	return (segment->flags & (SEGMENT_SYN | SEGMENT_ACK | SEGMENT_RST)) == SEGMENT_SYN && (int32_t)(segment->sequence - pcb->rcv_nxt) > 0;
}

static bool hear(struct netstack *stack, const struct packet *packet, const struct segment *segment, uint64_t now)
{
	struct tcp_pcb *pcb = find(tcp_active_pcbs, packet, segment);

	if (pcb != NULL && pcb->state == SYN_RCVD)
		return hear_in_syn_received(stack, pcb, packet, segment, now);
	if (pcb != NULL) {
		if (pcb->state == SYN_SENT)
			hear_in_syn_sent(stack, pcb, packet, segment);
		return false;
	}
	pcb = find(tcp_tw_pcbs, packet, segment);
	if (pcb != NULL && !begins_anew(pcb, segment)) {
		hear_in_time_wait(pcb, segment, now);
		return false;
	}
	if (pcb != NULL)
		tcp_abort(pcb); /* quiet in this state */
	hear_stranger(stack, packet, segment);
	return false;
}

bool gate_input(struct netstack *stack, const struct packet *packet, const struct segment *segment, uint64_t now)
{
	if (!stack_start(stack))
		return false;
	stack_enter(stack);
	bool may_have_opened = hear(stack, packet, segment, now);
	stack_leave(stack);
	return may_have_opened;
}

/* --- open streams --- */

/* lwIP is shown a reset as a segment that we generate. */
void gate_input_open(struct netstack_stream *stream, const struct segment *segment, uint64_t now)
{
	const struct receiver *receiver = &stream->receiver;
	uint32_t ahead = segment->sequence - segment_acknowledgement(stream);
	uint64_t window = receiver->edge > receiver->next ? receiver->edge - receiver->next : 0;

	if (!(segment->flags & SEGMENT_RST) || (ahead > 0 && ahead < window))
		stream_challenge(stream, now);
	else if (ahead == 0)
		tcp_handshake_show_reset(stream);
}
