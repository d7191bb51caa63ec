#include "tunnel/probe.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "tunnel/assessment.h"
#include "tunnel/dial.h"
#include "tunnel/fetch.h"
#include "tunnel/http/target.h"

#define COUNT_DEFAULT 3
#define TIMEOUT_DEFAULT (2 * LOOP_SECOND)
#define TIMEOUT_MOST (60 * LOOP_SECOND)
#define GAP (200 * LOOP_MILLISECOND) /* between the attempts of a requested probe */
#define FIRST_AFTER LOOP_SECOND      /* a new tunnel is given time for its handshake */
/* Thousands of tunnels that start together do not probe together: the first probe waits for up to this much more, and at most for its interval; each
 * interval is a twentieth longer or shorter. */
#define FIRST_SPREAD (4 * LOOP_SECOND)

/* An attempt is pending while `waits`. Its end is recorded, and handled by the deadline, never in a callback of the stack. */
struct probe {
	struct tunnel *tunnel;
	struct probe *next;
	uint64_t request;    /* 0: periodic */
	uint64_t generation; /* of the request, repeated in the reply; 0: the tunnel's */
	enum spec_probe_type type;
	char text[256];       /* the target as written */
	struct target target; /* of a ping or a TCP connection */
	uint16_t status_low, status_high;
	bool has_target, waits;
	uint32_t failures; /* of a periodic probe: in a row */
	uint32_t unhealthy_after;
	struct wireguard_network exit_ip; /* family 0: not told */
	uint32_t count, sent, received;
	uint64_t timeout, interval;
	uint64_t began;            /* start of the attempt; also identifies a ping, see on_pong */
	uint64_t least, most, sum; /* round trips */
	char detail[160];
	struct dial *dial;
	struct netstack_query *query;
	struct fetch *fetch;
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
	fetch_free(probe->fetch);
	probe->fetch = NULL;
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
		.failures = probe->failures,
		.exit_ip = probe->exit_ip,
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

/* At most `most` ns, in milliseconds. */
static uint64_t at_random(uint64_t most)
{
	return randombytes_uniform((uint32_t)(most / LOOP_MILLISECOND) + 1) * LOOP_MILLISECOND;
}

/* A failing probe is a warning, a counter and an event, and the tunnel's health (S9). */
static void finish_periodic(struct probe *probe)
{
	bool fails = probe->received == 0;
	if (fails && probe->failures == 0)
		log_line(LOG_WARN, probe->tunnel->id, "the probe fails: %s", probe->detail);
	else if (!fails && probe->failures > 0)
		log_line(LOG_INFO, probe->tunnel->id, "the probe succeeds again");
	probe->failures = !fails ? 0 : probe->failures < UINT32_MAX ? probe->failures + 1 : UINT32_MAX;
	tell(probe);
	probe->tunnel->assessment.probe = probe->failures >= probe->unhealthy_after ? TUNNEL_UNHEALTHY : TUNNEL_HEALTHY;
	assessment_review(probe->tunnel);
	probe->exit_ip = (struct wireguard_network){ 0 };
	probe->sent = probe->received = 0;
	probe->least = probe->most = probe->sum = 0;
	probe->detail[0] = '\0';
	uint64_t spread = probe->interval / 20;
	set_deadline(probe, probe->began + probe->interval - spread + at_random(2 * spread));
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
	probe->dial = dial_start(probe->tunnel, &probe->tunnel->spec, &probe->target, true, on_dialed, probe);
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

/* An answer from the cache would say nothing of the name servers. */
static void resolve(struct probe *probe)
{
	netstack_resolve_anew(probe->tunnel->resolver, probe->text, on_named, probe, probe->began, &probe->query);
	tunnel_wake(probe->tunnel);
}

static bool read_exit_ip(const struct fetch_answer *answer, struct wireguard_network *exit_ip)
{
	char text[NETWORK_TEXT_SIZE];
	const char *at = answer->body, *end = at + answer->length;
	while (at < end && strchr(" \t\r\n", *at) != NULL && *at != '\0')
		at++;
	while (end > at && strchr(" \t\r\n", end[-1]) != NULL && end[-1] != '\0')
		end--;
	if ((size_t)(end - at) >= sizeof(text) || memchr(at, '\0', (size_t)(end - at)) != NULL)
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)(end - at), at);
	struct wireguard_network read;
	if (!network_parse_address(text, &read) || !network_is_host(&read))
		return false;
	network_unmap(&read);
	*exit_ip = read;
	return true;
}

static void on_fetched(void *owner, const struct fetch_answer *answer, const char *failure)
{
	struct probe *probe = owner;
	if (answer == NULL) {
		end_attempt(probe, failure);
		return;
	}
	if (answer->status < probe->status_low || answer->status > probe->status_high) {
		char text[64];
		snprintf(text, sizeof(text), "the answer's status is %u", answer->status);
		end_attempt(probe, text);
		return;
	}
	bool is_told = probe->type != SPEC_PROBE_EXIT_IP || read_exit_ip(answer, &probe->exit_ip);
	end_attempt(probe, is_told ? NULL : "the answer's body is not the IP address of a host");
}

static void fetch(struct probe *probe)
{
	probe->fetch = fetch_start(probe->tunnel, probe->text, probe->type == SPEC_PROBE_EXIT_IP, on_fetched, probe);
	if (probe->fetch == NULL)
		end_attempt(probe, "out of memory");
}

/* Why no answer can be expected, or NULL. */
static const char *why_down(const struct probe *probe)
{
	const struct health *health = &probe->tunnel->health;
	if (!health_is_down(probe->tunnel))
		return NULL;
	return health->state == TUNNEL_DISABLED ? "the tunnel is disabled" : health->reason;
}

static void attempt(struct probe *probe)
{
	switch (probe->type) {
	case SPEC_PROBE_PING: ping(probe); break;
	case SPEC_PROBE_TCP: connect_tcp(probe); break;
	case SPEC_PROBE_DNS: resolve(probe); break;
	case SPEC_PROBE_HTTP:
	case SPEC_PROBE_EXIT_IP: fetch(probe); break;
	case SPEC_PROBE_NONE:
	case SPEC_PROBE_TYPES: end_attempt(probe, "unknown probe type"); break;
	}
}

/* A periodic probe does not use a tunnel that is down: its packets would only start handshakes, as if a client wanted the tunnel. */
static void begin_attempt(struct probe *probe)
{
	stop_attempt(probe);
	probe->began = now_of(probe);
	probe->sent++;
	probe->waits = true;
	set_deadline(probe, probe->began + probe->timeout);
	if (!probe->has_target)
		end_attempt(probe, "the target is malformed");
	else if (probe->request == 0 && why_down(probe) != NULL)
		end_attempt(probe, why_down(probe));
	else
		attempt(probe);
}

static void on_deadline(void *owner)
{
	struct probe *probe = owner;
	if (probe->waits) {
		const char *why = why_down(probe);
		end_attempt(probe, why != NULL ? why : "no answer in time");
		stop_attempt(probe);
		return;
	}
	stop_attempt(probe);
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
	case SPEC_PROBE_HTTP:
	case SPEC_PROBE_EXIT_IP: return fetch_takes(probe->text);
	case SPEC_PROBE_NONE:
	case SPEC_PROBE_TYPES: break;
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

/* The body of a redirect or of an error is not the far end's word on an address. */
static void set_expected(struct probe *probe, uint16_t low, uint16_t high)
{
	bool has_body = probe->type == SPEC_PROBE_EXIT_IP;
	probe->status_low = has_body ? 200 : low;
	probe->status_high = has_body ? 299 : high;
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
	uint64_t interval = interval_of(&spec->probe), timeout = spec->probe.timeout * LOOP_SECOND;
	(*fresh)->interval = interval;
	(*fresh)->timeout = interval < timeout ? interval : timeout;
	(*fresh)->unhealthy_after = spec->probe.unhealthy_after;
	set_expected(*fresh, spec->probe.status_low, spec->probe.status_high);
	return true;
}

static bool is_same(const struct probe *a, const struct probe *b)
{
	return a != NULL && b != NULL && a->type == b->type && a->interval == b->interval && a->timeout == b->timeout &&
	       a->unhealthy_after == b->unhealthy_after && a->status_low == b->status_low && a->status_high == b->status_high &&
	       strcmp(a->text, b->text) == 0;
}

void probe_commit(struct tunnel *tunnel, struct probe *fresh)
{
	if (is_same(tunnel->probe, fresh)) {
		probe_free(fresh);
		return;
	}
	probe_free(tunnel->probe);
	tunnel->probe = fresh;
	tunnel->assessment.probe = TUNNEL_HEALTH_UNKNOWN; /* reviewed at the end of the commit */
	if (fresh != NULL)
		set_deadline(fresh, now_of(fresh) + FIRST_AFTER + at_random(fresh->interval < FIRST_SPREAD ? fresh->interval : FIRST_SPREAD));
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
	if (probe->count > MESSAGE_PROBE_COUNT_MAX)
		probe->count = MESSAGE_PROBE_COUNT_MAX;
	probe->timeout = message->timeout_ms == 0 ? TIMEOUT_DEFAULT : message->timeout_ms * LOOP_MILLISECOND;
	if (probe->timeout > TIMEOUT_MOST)
		probe->timeout = TIMEOUT_MOST;
	set_expected(probe, message->status_low, message->status_high);
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
