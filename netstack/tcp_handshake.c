#include "netstack/tcp_handshake.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "netstack/lwip/hooks.h"

#include "netstack/packet/budget.h"
#include "netstack/lwip_address.h"
#include "netstack/path.h"
#include "netstack/packet/random.h"
#include "netstack/segment.h"
#include "netstack/tcp_listener.h"

#define WAITS_MAX 1024   /* connections of a stack in TIME-WAIT */
#define SEGMENT_LEAST 64 /* a far end that announces less gets this; Linux stops at 48 */

/* --- lwIP's callbacks --- */

static void on_error(void *argument, err_t error)
{
	struct netstack_stream *stream = argument;

	if (stream == NULL)
		return;
	stream->pcb = NULL;
	stream->note.is_gone = true;
	if (error == ERR_CLSD)
		stream->note.why = NETSTACK_OK;
	else if (error == ERR_RST)
		stream->note.why = stream->state == STREAM_CONNECTING ? NETSTACK_REFUSED : NETSTACK_RESET;
	else
		stream->note.why = NETSTACK_TIMED_OUT;
	stream_note(stream);
}

/* The first acknowledgement must advertise our window, not the largest one, and no less than the SYN did. */
static void begin(struct netstack_stream *stream, struct tcp_pcb *pcb)
{
	uint32_t window = budget_is_spent(&stream->stack->budget) ? UINT16_MAX : BUDGET_FLOOR;

	if (window > (uint32_t)UINT16_MAX << pcb->rcv_scale)
		window = (uint32_t)UINT16_MAX << pcb->rcv_scale;
	pcb->rcv_wnd = pcb->rcv_ann_wnd = window;
	pcb->rcv_ann_right_edge = pcb->rcv_nxt + window;
	stream->receiver.first = pcb->rcv_nxt;
	stream->receiver.edge = window;
	stream->note.is_connected = true;
	stream_note(stream);
}

static err_t on_connected(void *argument, struct tcp_pcb *pcb, err_t error)
{
	(void)error;
	begin(argument, pcb);
	return ERR_OK;
}

static void attach(struct netstack_stream *stream, struct tcp_pcb *pcb)
{
	stream->pcb = pcb;
	tcp_arg(pcb, stream);
	tcp_recv(pcb, NULL); /* gate.c keeps bytes from lwIP */
	tcp_err(pcb, on_error);
}

static err_t on_accepted(void *argument, struct tcp_pcb *pcb, err_t error)
{
	struct netstack_listener *listener = argument;
	struct netstack_endpoint local, remote;

	if (error != ERR_OK || pcb == NULL || listener == NULL)
		return ERR_MEM;
	lwip_address_to_endpoint(&local, &pcb->local_ip, pcb->local_port);
	lwip_address_to_endpoint(&remote, &pcb->remote_ip, pcb->remote_port);
	struct netstack_stream *stream = stream_create(listener->stack, &local, &remote);
	if (stream == NULL)
		return ERR_MEM; /* lwIP resets it */
	stream->listener = listener;
	attach(stream, pcb);
	begin(stream, pcb);
	return ERR_OK;
}

/* --- opening --- */

/* lwIP's tcp_bind would search all its lists for the port; the table has already been checked. */
int tcp_handshake_connect(struct netstack_stream *stream)
{
	ip_addr_t remote;
	int result = NETSTACK_OUT_OF_MEMORY;

	if (!stack_start(stream->stack))
		return result;
	stack_enter(stream->stack);
	struct tcp_pcb *pcb = tcp_new();
	if (pcb != NULL) {
		lwip_address_from_endpoint(&pcb->local_ip, &stream->local);
		pcb->local_port = stream->local.port;
		lwip_address_from_endpoint(&remote, &stream->remote);
		attach(stream, pcb);
		stack_limit(stream->stack, &stream->remote);
		if (tcp_connect(pcb, &remote, stream->remote.port, on_connected) == ERR_OK) {
			result = 0;
		} else {
			tcp_arg(pcb, NULL);
			tcp_abort(pcb);
			stream->pcb = NULL;
		}
	}
	stack_leave(stream->stack);
	return result;
}

/* lwIP searches one list of connections. An open one is in it only while lwIP is shown a segment, and is then the first. Otherwise
 * it holds only handshakes, whose cost does not grow with the open connections (before, 21 us each with 10,000). */
static void take_out(struct tcp_pcb *pcb)
{
	TCP_RMV(&tcp_active_pcbs, pcb);
}

static void put_back(struct tcp_pcb *pcb)
{
	pcb->next = tcp_active_pcbs;
	tcp_active_pcbs = pcb;
}

/* What the far end announced (RFC 9293, 3.7.1), or 536 if it announced nothing. Less than 1,220 bytes over IPv6 are legitimate, and so are less
 * than 536 of a small device. The sender bounds the datagrams of such a stream (transmit.c). */
static uint32_t segment_size(const struct netstack_stream *stream, uint32_t announced)
{
	uint32_t most = black_hole_payload(stream->local.family, path_mtu(stream->stack, &stream->remote));
	uint32_t size = announced < SEGMENT_LEAST ? SEGMENT_LEAST : announced;

	return size < most ? size : most;
}

void tcp_handshake_complete(struct netstack_stream *stream, uint64_t now)
{
	struct tcp_pcb *pcb = stream->pcb;
	bool has_sack = (pcb->flags & TF_SACK) != 0;
	uint8_t scale = pcb->flags & TF_WND_SCALE ? pcb->rcv_scale : 0;
	uint64_t round_trip = stream->listener == NULL && pcb->nrtx == 0 ? now - stream->born_at : 0;
	struct sender_env env = { .owner = stream, .family = stream->local.family, .emit = segment_emit };
	uint32_t first = stream->receiver.first;
	uint64_t window = stream->receiver.edge;

	sender_init(&stream->sender, &env, &stream->stack->budget, pcb->snd_nxt, segment_size(stream, pcb->mss), has_sack, round_trip, now);
	stream->sender.window_end = stream->sender.window_max = pcb->snd_wnd;
	stream->sender.window_sequence = pcb->snd_wl1;
	receiver_init(&stream->receiver, first, scale, has_sack, window, round_trip, &stream->stack->budget, &stream->stack->retired);
	stream->window_shift = pcb->snd_scale;
	segment_prepare(stream);
	stack_enter(stream->stack);
	take_out(pcb);
	stack_leave(stream->stack);
}

static bool is_listened_on(const ip_addr_t *address, uint16_t port)
{
	const struct tcp_pcb_listen *pcb = tcp_listen_pcbs.listen_pcbs;

	while (pcb != NULL && !(pcb->local_port == port && ip_addr_cmp(&pcb->local_ip, address)))
		pcb = pcb->next;
	return pcb != NULL;
}

/* lwIP's tcp_bind would refuse a port because of a far end's handshake or a connection in TIME-WAIT. */
int tcp_handshake_listen(struct netstack_listener *listener, struct tcp_pcb **pcb, const struct netstack_endpoint *at)
{
	ip_addr_t address;

	if (!stack_start(listener->stack))
		return NETSTACK_OUT_OF_MEMORY;
	stack_enter(listener->stack);
	lwip_address_from_endpoint(&address, at);
	bool is_taken = is_listened_on(&address, at->port);
	struct tcp_pcb *fresh = is_taken ? NULL : tcp_new();
	int result = is_taken ? NETSTACK_IN_USE : NETSTACK_OUT_OF_MEMORY;
	if (fresh != NULL) {
		fresh->local_ip = address;
		fresh->local_port = at->port;
		*pcb = tcp_listen(fresh);
		if (*pcb == NULL) {
			tcp_close(fresh);
		} else {
			tcp_arg(*pcb, listener);
			tcp_accept(*pcb, on_accepted);
			result = 0;
		}
	}
	stack_leave(listener->stack);
	return result;
}

void tcp_handshake_listen_end(struct netstack *stack, struct tcp_pcb *pcb)
{
	stack_enter(stack);
	tcp_close(pcb);
	stack_leave(stack);
}

/* --- segments shown to lwIP --- */

/* Updates the pcb as if lwIP had seen all segments. Its own queues stay empty. */
static void bring_up_to_date(struct netstack_stream *stream)
{
	struct tcp_pcb *pcb = stream->pcb;
	struct receiver *receiver = &stream->receiver;

	pcb->snd_nxt = pcb->snd_lbb = stream->sender.first + (uint32_t)stream->sender.next;
	pcb->lastack = pcb->snd_wl2 = stream->sender.first + (uint32_t)stream->sender.acknowledged;
	pcb->rcv_nxt = segment_acknowledgement(stream);
	uint64_t window = receiver->edge > receiver->next ? receiver->edge - receiver->next : 0;
	pcb->rcv_wnd = pcb->rcv_ann_wnd = window > 2 ? (tcpwnd_size_t)window : 2; /* the FIN has to fit */
	pcb->rcv_ann_right_edge = pcb->rcv_nxt + pcb->rcv_ann_wnd;
	pcb->snd_wl1 = pcb->rcv_nxt;
}

static void show(struct netstack_stream *stream, const uint8_t *packet, size_t length)
{
	stack_enter(stream->stack);
	put_back(stream->pcb);
	stack_feed(stream->stack, packet, length);
	if (stream->pcb != NULL && stream->pcb->state != TIME_WAIT)
		take_out(stream->pcb);
	stack_leave(stream->stack);
}

/* Shows lwIP an empty segment, as if from the far end. lwIP checks no checksums. */
static void show_made_up(struct netstack_stream *stream, uint8_t flags, uint32_t acknowledgement)
{
	uint8_t packet[sizeof(stream->header)];
	size_t size = stack_address_size(stream->local.family);
	uint8_t *source = packet + (stream->local.family == AF_INET ? 12 : 8);
	uint8_t *header = packet + stream->header_length;
	size_t length = (size_t)stream->header_length + PACKET_TCP_HEADER;

	memcpy(packet, stream->header, sizeof(packet));
	memcpy(source, stream->remote.bytes, size);
	memcpy(source + size, stream->local.bytes, size);
	if (stream->local.family == AF_INET)
		packet_write16(packet + 2, (uint16_t)length);
	else
		packet_write16(packet + 4, PACKET_TCP_HEADER);
	memset(header, 0, PACKET_TCP_HEADER);
	packet_write16(header, stream->remote.port);
	packet_write16(header + 2, stream->local.port);
	packet_write32(header + 4, stream->pcb->rcv_nxt);
	packet_write32(header + 8, acknowledgement);
	header[12] = 5 << 4;
	header[13] = (uint8_t)(flags | SEGMENT_ACK);
	packet_write16(header + 14, UINT16_MAX);
	show(stream, packet, length);
}

void tcp_handshake_show_reset(struct netstack_stream *stream)
{
	bring_up_to_date(stream);
	show_made_up(stream, SEGMENT_RST, stream->pcb->lastack);
}

/* lwIP's state advances as if it had sent its FIN; the sender sends the actual segment. */
static void shut_down(struct netstack_stream *stream)
{
	struct tcp_pcb *pcb = stream->pcb;

	if (stream->has_shut_down)
		return;
	stream->has_shut_down = true;
	bring_up_to_date(stream);
	pcb->snd_nxt = pcb->snd_lbb = stream->sender.first + (uint32_t)stream->sender.queue.end;
	pcb->lastack = pcb->snd_nxt;
	stack_enter(stream->stack);
	stream->stack->is_muted = true;
	tcp_shutdown(pcb, 0, 1);
	stream->stack->is_muted = false;
	tcp_segs_free(pcb->unsent);
	tcp_segs_free(pcb->unacked);
	pcb->unsent = pcb->unacked = NULL;
	pcb->snd_queuelen = 0;
	pcb->rtime = -1;
	pcb->persist_backoff = 0;
	stack_leave(stream->stack);
	pcb->snd_nxt = pcb->snd_lbb;
}

/* If our FIN is already in flight, both ends close simultaneously (RFC 9293, figure 13), so lwIP must see the right order. */
void tcp_handshake_show_end(struct netstack_stream *stream)
{
	if (stream->sender.has_finished && stream->sender.next > stream->sender.queue.end)
		shut_down(stream);
	bring_up_to_date(stream);
	uint32_t acknowledgement = stream->pcb->lastack;
	if (sender_is_done(&stream->sender))
		acknowledgement = stream->pcb->snd_nxt;
	stream->has_shown_end = true;
	show_made_up(stream, SEGMENT_FIN, acknowledgement);
	receiver_acknowledged(&stream->receiver); /* lwIP did */
}

void tcp_handshake_show_done(struct netstack_stream *stream)
{
	stream->has_shown_done = true;
	shut_down(stream);
	bring_up_to_date(stream);
	stream->pcb->lastack--;
	show_made_up(stream, 0, stream->pcb->snd_nxt);
}

bool tcp_handshake_is_over(const struct netstack_stream *stream)
{
	return stream->pcb != NULL && stream->pcb->state == TIME_WAIT;
}

/* --- the end --- */

void tcp_handshake_detach(struct netstack_stream *stream)
{
	struct tcp_pcb *pcb = stream->pcb;

	if (pcb == NULL)
		return;
	tcp_arg(pcb, NULL);
	tcp_recv(pcb, NULL);
	tcp_err(pcb, NULL);
	stream->pcb = NULL;
}

static void drop(struct netstack_stream *stream, bool with_reset)
{
	struct tcp_pcb *pcb = stream->pcb;

	if (pcb == NULL)
		return;
	if (stream->state == STREAM_OPEN)
		bring_up_to_date(stream);
	tcp_handshake_detach(stream);
	stack_enter(stream->stack);
	tcp_abandon(pcb, with_reset);
	stack_leave(stream->stack);
}

void tcp_handshake_abort(struct netstack_stream *stream)
{
	drop(stream, true);
}

void tcp_handshake_abandon(struct netstack_stream *stream)
{
	drop(stream, false);
}

bool tcp_handshake_is_its_syn(const struct netstack_stream *stream, uint32_t sequence)
{
	return stream->pcb != NULL && sequence == stream->pcb->snd_nxt - 1;
}

/* --- all of a stack's --- */

/* lwIP repeats a SYN at a constant interval. With doubling intervals four are sent in 15 s, and the last after 23 s. */
static void slow_down_syns(void)
{
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) {
		if (pcb->state == SYN_SENT)
			pcb->rto = (int16_t)(2 << (pcb->nrtx < 3 ? pcb->nrtx : 3));
	}
}

/* lwIP walks over all connections in TIME-WAIT for each unknown segment. New ones are first, so the tail is dropped.
 * Between two ticks there may be more by what was closed meanwhile. */
static void bound_waits(void)
{
	struct tcp_pcb *kept = tcp_tw_pcbs, *last = kept;

	for (size_t i = 1; last != NULL && i < WAITS_MAX; i++)
		last = last->next;
	if (last == NULL || last->next == NULL)
		return;
	/* In a list of their own each is the first, which lwIP finds at once. */
	tcp_tw_pcbs = last->next;
	last->next = NULL;
	while (tcp_tw_pcbs != NULL)
		tcp_abort(tcp_tw_pcbs); /* quiet in this state */
	tcp_tw_pcbs = kept;
}

bool tcp_handshake_tick(void)
{
	slow_down_syns();
	tcp_tmr();
	bound_waits();
	if (tcp_tw_pcbs != NULL)
		return true;
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) {
		if (pcb->state == SYN_SENT || pcb->state == SYN_RCVD)
			return true;
	}
	return false;
}

void tcp_handshake_kick(void)
{
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) {
		if (pcb->state == SYN_SENT && pcb->nrtx > 0) {
			pcb->rtime = 0;
			tcp_rexmit_rto(pcb);
		}
	}
}

void tcp_handshake_forget_all(void)
{
	while (tcp_active_pcbs != NULL)
		tcp_abort(tcp_active_pcbs);
	while (tcp_tw_pcbs != NULL)
		tcp_abort(tcp_tw_pcbs);
	while (tcp_listen_pcbs.pcbs != NULL)
		tcp_close(tcp_listen_pcbs.pcbs);
}

u32_t random_lwip_isn(const ip_addr_t *local, u16_t local_port, const ip_addr_t *remote, u16_t remote_port)
{
	struct netstack_endpoint from, to;

	lwip_address_to_endpoint(&from, local, local_port);
	lwip_address_to_endpoint(&to, remote, remote_port);
	return random_sequence(&from, &to, stack_current()->now);
}
