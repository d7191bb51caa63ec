#include "tunnel/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "tunnel/dial.h"
#include "tunnel/http/target.h"

#define COUNT_DEFAULT 3
#define COUNT_MOST 20
#define TIMEOUT_DEFAULT (2 * LOOP_SECOND)
#define TIMEOUT_MOST (60 * LOOP_SECOND)
#define TIMEOUT_PERIODIC (5 * LOOP_SECOND)
#define GAP (200 * LOOP_MILLISECOND) /* between the attempts of a requested probe */
#define FIRST_AFTER LOOP_SECOND      /* a new tunnel is given time for its handshake */

/* An attempt is pending while `waits`. Its end is recorded, and handled by the deadline, never in a callback of the stack. */
struct probe {
	struct tunnel *tunnel;
	struct probe *next;
	uint64_t request;    /* 0: periodic */
	uint64_t generation; /* of the request, repeated in the reply; 0: the tunnel's */
	enum spec_probe_type type;
	char text[256];       /* the target as written */
	struct target target; /* of a ping or a TCP connection */
	bool has_target, waits, failing;
	uint32_t count, sent, received;
	uint64_t timeout, interval;
	uint64_t began;            /* start of the attempt; also identifies a ping, see on_pong */
	uint64_t least, most, sum; /* round trips */
	char detail[160];
	struct dial *dial;
	struct netstack_query *query;
	struct deadline deadline;
};

static uint64_t now_of(const struct probe *probe)
{
	return loop_now(probe->tunnel->context->loop);
}

static void set_deadline(struct probe *probe, uint64_t at)
{
	deadline_set(probe->tunnel->context->loop, &probe->deadline, at);
}

static void stop_attempt(struct probe *probe)
{
	probe->waits = false;
	dial_cancel(probe->dial);
	probe->dial = NULL;
	netstack_query_cancel(probe->query);
	probe->query = NULL;
}

static void probe_free(struct probe *probe)
{
	if (probe == NULL)
		return;
	stop_attempt(probe);
	set_deadline(probe, LOOP_NEVER);
	free(probe);
}

/* Results. */

static void tell(const struct probe *probe)
{
	const struct tunnel *tunnel = probe->tunnel;
	struct message_probed message = {
		.request = probe->request,
		.slot = tunnel->slot,
		.generation = probe->generation == 0 ? tunnel->generation : probe->generation,
		.ok = probe->received > 0,
		.sent = probe->sent,
		.received = probe->received,
	};
	if (probe->received > 0) {
		message.rtt_min_ms = (double)probe->least / 1e6;
		message.rtt_avg_ms = (double)probe->sum / probe->received / 1e6;
		message.rtt_max_ms = (double)probe->most / 1e6;
	}
	memcpy(message.detail, probe->detail, sizeof(message.detail));
	counter_add(message.ok ? &tunnel->counters->probes_ok : &tunnel->counters->probes_failed, 1);
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_probed(&writer, &message);
	tunnel->context->send(tunnel->context, MESSAGE_PROBED, &writer);
}

static void finish_asked(struct probe *probe)
{
	struct probe **at = &probe->tunnel->probes_asked;
	while (*at != probe)
		at = &(*at)->next;
	*at = probe->next;
	tell(probe);
	probe_free(probe);
}

/* A failing probe is a warning, a counter and an event, and nothing else (S9). */
static void finish_periodic(struct probe *probe)
{
	bool fails = probe->received == 0;
	if (fails && !probe->failing)
		log_line(LOG_WARN, probe->tunnel->id, "the probe fails: %s", probe->detail);
	else if (!fails && probe->failing)
		log_line(LOG_INFO, probe->tunnel->id, "the probe succeeds again");
	probe->failing = fails;
	tell(probe);
	probe->sent = probe->received = 0;
	probe->least = probe->most = probe->sum = 0;
	probe->detail[0] = '\0';
	set_deadline(probe, probe->began + probe->interval);
}

/* May be called from anywhere; the deadline continues. */
static void end_attempt(struct probe *probe, const char *failure)
{
	uint64_t now = now_of(probe), took = now > probe->began ? now - probe->began : 0;
	if (!probe->waits)
		return;
	probe->waits = false;
	if (failure == NULL) {
		probe->least = probe->received == 0 || took < probe->least ? took : probe->least;
		probe->most = took > probe->most ? took : probe->most;
		probe->sum += took;
		probe->received++;
	} else {
		snprintf(probe->detail, sizeof(probe->detail), "%s", failure);
	}
	set_deadline(probe, probe->sent < probe->count && probe->began + GAP > now ? probe->began + GAP : now);
}

/* Attempts. */

static bool is_named_by(const struct probe *probe, uint64_t began)
{
	return probe->type == SPEC_PROBE_PING && probe->waits && probe->began == began;
}

/* The stack gives a ping no handle, and drops it silently when it is freed. So the tunnel owns all pings, and the time at which one was
 * sent, which is unique, identifies the probe. One that has ended is not found. Timeouts are the probe's own deadline. */
static void on_pong(void *owner, uint64_t round_trip)
{
	struct tunnel *tunnel = owner;
	if (round_trip == NETSTACK_NEVER)
		return;
	uint64_t began = loop_now(tunnel->context->loop) - round_trip;
	if (tunnel->probe != NULL && is_named_by(tunnel->probe, began))
		end_attempt(tunnel->probe, NULL);
	for (struct probe *probe = tunnel->probes_asked; probe != NULL; probe = probe->next)
		if (is_named_by(probe, began))
			end_attempt(probe, NULL);
}

static bool is_taken(const struct tunnel *tunnel, const struct probe *but, uint64_t began)
{
	if (tunnel->probe != NULL && tunnel->probe != but && tunnel->probe->began == began)
		return true;
	for (const struct probe *probe = tunnel->probes_asked; probe != NULL; probe = probe->next)
		if (probe != but && probe->began == began)
			return true;
	return false;
}

static void ping(struct probe *probe)
{
	struct tunnel *tunnel = probe->tunnel;
	const char *why = tunnel_why_unroutable(tunnel, &probe->target.address);
	if (why != NULL) {
		end_attempt(probe, why);
		return;
	}
	while (is_taken(tunnel, probe, probe->began))
		probe->began++;
	int error = netstack_ping(tunnel->stack, &probe->target.address, probe->timeout, on_pong, tunnel, probe->began);
	if (error == NETSTACK_NO_ADDRESS)
		end_attempt(probe, "the tunnel has no address of the target's family");
	else if (error != NETSTACK_OK)
		end_attempt(probe, "the echo request could not be sent");
	tunnel_wake(tunnel);
}

static void on_dialed(void *owner, struct netstack_stream *stream, const struct http_fault *fault)
{
	struct probe *probe = owner;
	probe->dial = NULL;
	if (stream != NULL)
		netstack_stream_abort(stream, now_of(probe));
	end_attempt(probe, stream != NULL ? NULL : fault->detail);
}

static void connect_tcp(struct probe *probe)
{
	probe->dial = dial_start(probe->tunnel, &probe->target, true, on_dialed, probe);
	if (probe->dial == NULL)
		end_attempt(probe, "out of memory");
}

static void on_named(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count, bool more)
{
	struct probe *probe = owner;
	(void)addresses;
	if (!more)
		probe->query = NULL;
	if (error == NETSTACK_NAME_OK && count > 0)
		end_attempt(probe, NULL);
	else if (!more)
		end_attempt(probe, error == NETSTACK_NAME_NOT_FOUND ? "the name was not found" : "the tunnel's name servers gave no answer");
}

static void resolve(struct probe *probe)
{
	netstack_resolve(probe->tunnel->resolver, probe->text, on_named, probe, probe->began, &probe->query);
	tunnel_wake(probe->tunnel);
}

static void begin_attempt(struct probe *probe)
{
	stop_attempt(probe);
	probe->began = now_of(probe);
	probe->sent++;
	probe->waits = true;
	set_deadline(probe, probe->began + probe->timeout);
	if (!probe->has_target) {
		end_attempt(probe, "the target is malformed");
		return;
	}
	switch (probe->type) {
	case SPEC_PROBE_PING: ping(probe); break;
	case SPEC_PROBE_TCP: connect_tcp(probe); break;
	case SPEC_PROBE_DNS: resolve(probe); break;
	case SPEC_PROBE_NONE: end_attempt(probe, "unknown probe type"); break;
	}
}

static void on_deadline(void *owner)
{
	struct probe *probe = owner;
	if (probe->waits) {
		const struct health *health = &probe->tunnel->health;
		end_attempt(probe, health->is_down && health->reason[0] != '\0' ? health->reason : "no answer in time");
		stop_attempt(probe);
		return;
	}
	if (probe->sent < probe->count)
		begin_attempt(probe);
	else if (probe->request == 0)
		finish_periodic(probe);
	else
		finish_asked(probe);
}

/* Life. */

static bool read_target(struct probe *probe)
{
	size_t length = strlen(probe->text);
	switch (probe->type) {
	case SPEC_PROBE_PING: return target_parse(&probe->target, probe->text, length, 0) == 0 && !target_is_name(&probe->target);
	case SPEC_PROBE_TCP: return target_parse_authority(&probe->target, probe->text, length, 0) == 0;
	case SPEC_PROBE_DNS: return length > 0;
	case SPEC_PROBE_NONE: break;
	}
	return true;
}

static struct probe *probe_create(struct tunnel *tunnel, enum spec_probe_type type, const char *text)
{
	struct probe *probe = calloc(1, sizeof(*probe));
	if (probe == NULL)
		return NULL;
	probe->tunnel = tunnel;
	probe->type = type;
	snprintf(probe->text, sizeof(probe->text), "%s", text == NULL ? "" : text);
	probe->has_target = read_target(probe);
	probe->count = 1;
	deadline_init(&probe->deadline, on_deadline, probe);
	return probe;
}

static uint64_t interval_of(const struct spec_probe *spec)
{
	return (spec->interval == 0 ? 1 : spec->interval) * LOOP_SECOND;
}

bool probe_prepare(struct tunnel *tunnel, const struct spec *spec, struct probe **fresh)
{
	bool is_wanted = spec->enabled && spec->probe.type != SPEC_PROBE_NONE;
	*fresh = is_wanted ? probe_create(tunnel, spec->probe.type, spec->probe.target) : NULL;
	if (*fresh == NULL)
		return !is_wanted;
	uint64_t interval = interval_of(&spec->probe);
	(*fresh)->interval = interval;
	(*fresh)->timeout = interval < TIMEOUT_PERIODIC ? interval : TIMEOUT_PERIODIC;
	return true;
}

static bool is_same(const struct probe *a, const struct probe *b)
{
	return a != NULL && b != NULL && a->type == b->type && a->interval == b->interval && strcmp(a->text, b->text) == 0;
}

void probe_commit(struct tunnel *tunnel, struct probe *fresh)
{
	if (is_same(tunnel->probe, fresh)) {
		probe_free(fresh);
		return;
	}
	probe_free(tunnel->probe);
	tunnel->probe = fresh;
	if (fresh != NULL)
		set_deadline(fresh, now_of(fresh) + FIRST_AFTER);
}

void probe_discard(struct probe *fresh)
{
	probe_free(fresh);
}

static void refuse(struct tunnel *tunnel, const struct message_probe *message)
{
	struct probe none = { .tunnel = tunnel, .request = message->request, .generation = message->generation, .detail = "out of memory" };
	tell(&none);
}

void probe_run(struct tunnel *tunnel, const struct message_probe *message)
{
	struct probe *probe = probe_create(tunnel, (enum spec_probe_type)message->type, message->target);
	if (probe == NULL) {
		refuse(tunnel, message);
		return;
	}
	probe->request = message->request;
	probe->generation = message->generation;
	probe->count = message->count == 0 ? COUNT_DEFAULT : message->count;
	if (probe->count > COUNT_MOST)
		probe->count = COUNT_MOST;
	probe->timeout = message->timeout_ms == 0 ? TIMEOUT_DEFAULT : message->timeout_ms * LOOP_MILLISECOND;
	if (probe->timeout > TIMEOUT_MOST)
		probe->timeout = TIMEOUT_MOST;
	probe->next = tunnel->probes_asked;
	tunnel->probes_asked = probe;
	set_deadline(probe, now_of(probe));
}

void probe_stop(struct tunnel *tunnel)
{
	probe_free(tunnel->probe);
	tunnel->probe = NULL;
	while (tunnel->probes_asked != NULL) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the call takes the first from the list. */
		snprintf(tunnel->probes_asked->detail, sizeof(tunnel->probes_asked->detail), "the tunnel ended");
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): as above. */
		finish_asked(tunnel->probes_asked);
	}
}
