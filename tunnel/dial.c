#include "tunnel/dial.h"

#include <assert.h>
#include <stdlib.h>

#include "tunnel/tunnel.h"

#define ADDRESSES_MOST 16
#define STAGGER (250 * LOOP_MILLISECOND) /* Connection Attempt Delay (RFC 8305, 5) */
#define SILENCE LOOP_SECOND              /* of the second family's answer, before the first one's failure is told */

struct attempt {
	struct dial *dial;
	struct netstack_stream *stream;
};

struct dial {
	struct tunnel *tunnel;
	const struct spec *proxy;
	struct dial *next, **before;
	struct target target;
	bool exempt, begun, over;
	dial_done *done;
	void *owner;
	struct netstack_query *query;
	bool more_names; /* the second family's answer is still pending */
	struct netstack_endpoint addresses[ADDRESSES_MOST];
	size_t address_count, tried;
	struct attempt attempts[ADDRESSES_MOST];
	struct http_fault fault; /* of the last attempt that failed */
	uint64_t started_at;
	struct deferred deferred;
	struct deadline timeout, stagger;
};

enum counters_failure dial_failure(enum http_error error)
{
	static const uint8_t failures[HTTP_ERRORS] = {
		[HTTP_ERROR_NONE] = COUNTERS_FAILED_MEMORY,
		[HTTP_ERROR_DNS_TIMEOUT] = COUNTERS_FAILED_NAME,
		[HTTP_ERROR_DNS_ERROR] = COUNTERS_FAILED_NAME,
		[HTTP_ERROR_DESTINATION_UNAVAILABLE] = COUNTERS_FAILED_TUNNEL_DOWN,
		[HTTP_ERROR_DESTINATION_IP_PROHIBITED] = COUNTERS_FAILED_POLICY,
		[HTTP_ERROR_DESTINATION_IP_UNROUTABLE] = COUNTERS_FAILED_UNREACHABLE,
		[HTTP_ERROR_CONNECTION_REFUSED] = COUNTERS_FAILED_REFUSED,
		[HTTP_ERROR_CONNECTION_TERMINATED] = COUNTERS_FAILED_RESET,
		[HTTP_ERROR_CONNECTION_TIMEOUT] = COUNTERS_FAILED_TIMEOUT,
		[HTTP_ERROR_CONNECTION_READ_TIMEOUT] = COUNTERS_FAILED_TIMEOUT,
		[HTTP_ERROR_CONNECTION_WRITE_TIMEOUT] = COUNTERS_FAILED_TIMEOUT,
		[HTTP_ERROR_CONNECTION_LIMIT_REACHED] = COUNTERS_FAILED_LIMIT,
		[HTTP_ERROR_HTTP_REQUEST_ERROR] = COUNTERS_FAILED_BAD_REQUEST,
		[HTTP_ERROR_HTTP_REQUEST_DENIED] = COUNTERS_FAILED_AUTHENTICATION,
		[HTTP_ERROR_HTTP_RESPONSE_INCOMPLETE] = COUNTERS_FAILED_RESET,
		[HTTP_ERROR_HTTP_RESPONSE_HEADER_SECTION_SIZE] = COUNTERS_FAILED_RESET,
		[HTTP_ERROR_HTTP_RESPONSE_TRANSFER_CODING] = COUNTERS_FAILED_RESET,
		[HTTP_ERROR_HTTP_UPGRADE_FAILED] = COUNTERS_FAILED_RESET,
		[HTTP_ERROR_HTTP_PROTOCOL_ERROR] = COUNTERS_FAILED_RESET,
		[HTTP_ERROR_PROXY_INTERNAL_RESPONSE] = COUNTERS_FAILED_MEMORY,
		[HTTP_ERROR_PROXY_INTERNAL_ERROR] = COUNTERS_FAILED_MEMORY,
		[HTTP_ERROR_PROXY_LOOP_DETECTED] = COUNTERS_FAILED_LOOP,
	};
	return (enum counters_failure)failures[error];
}

static struct http_fault fault_of_stream(enum netstack_error why)
{
	switch (why) {
	case NETSTACK_REFUSED: return (struct http_fault){ .error = HTTP_ERROR_CONNECTION_REFUSED, .detail = "the target refused the connection" };
	case NETSTACK_TIMED_OUT: return (struct http_fault){ .error = HTTP_ERROR_CONNECTION_TIMEOUT, .detail = "the target did not answer" };
	case NETSTACK_UNREACHABLE: return (struct http_fault){ .error = HTTP_ERROR_DESTINATION_IP_UNROUTABLE, .detail = "the target is unreachable" };
	case NETSTACK_NO_ADDRESS:
		return (struct http_fault){ .error = HTTP_ERROR_DESTINATION_IP_UNROUTABLE,
			                    .detail = "the tunnel has no address of the target's family" };
	case NETSTACK_OK:
	case NETSTACK_RESET:
	case NETSTACK_ABORTED: return (struct http_fault){ .error = HTTP_ERROR_CONNECTION_TERMINATED, .detail = "the connection was reset" };
	case NETSTACK_OUT_OF_MEMORY:
	case NETSTACK_IN_USE:
	case NETSTACK_TOO_BIG:
	case NETSTACK_BUSY: break;
	}
	return (struct http_fault){ .error = HTTP_ERROR_PROXY_INTERNAL_RESPONSE, .detail = "out of memory or ports" };
}

static struct http_fault fault_of_name(enum netstack_name_error why)
{
	switch (why) {
	case NETSTACK_NAME_TIMED_OUT:
		return (struct http_fault){ .error = HTTP_ERROR_DNS_TIMEOUT, .detail = "the tunnel's name servers did not answer" };
	case NETSTACK_NAME_NO_SERVER:
		return (struct http_fault){ .error = HTTP_ERROR_DNS_ERROR,
			                    .detail = "no packet can be sent to a name server of the tunnel: see interface.dns" };
	case NETSTACK_NAME_CUT_SHORT:
		return (struct http_fault){ .error = HTTP_ERROR_DNS_ERROR,
			                    .detail = "the tunnel's name server cut its answer short and gave none over TCP" };
	case NETSTACK_NAME_OK:
	case NETSTACK_NAME_NOT_FOUND:
	case NETSTACK_NAME_BAD: return (struct http_fault){ .error = HTTP_ERROR_DNS_ERROR, .detail = "the name was not found" };
	case NETSTACK_NAME_FAILED: break;
	}
	return (struct http_fault){ .error = HTTP_ERROR_DNS_ERROR, .detail = "the tunnel's name server failed" };
}

/* The end. */

static void sweep(void *owner)
{
	struct dial *dial = owner;
	uint64_t now = loop_now(dial->tunnel->context->loop);
	for (size_t i = 0; i < dial->tried; i++)
		if (dial->attempts[i].stream != NULL)
			netstack_stream_abort(dial->attempts[i].stream, now);
	if (dial->query != NULL)
		netstack_query_cancel(dial->query);
	deadline_set(dial->tunnel->context->loop, &dial->timeout, LOOP_NEVER);
	deadline_set(dial->tunnel->context->loop, &dial->stagger, LOOP_NEVER);
	deferred_cancel(dial->tunnel->context->loop, &dial->deferred);
	*dial->before = dial->next;
	if (dial->next != NULL)
		dial->next->before = dial->before;
	tunnel_wake(dial->tunnel);
	free(dial);
}

void dial_cancel(struct dial *dial)
{
	if (dial != NULL)
		sweep(dial);
}

/* The rest of the dial is freed at the end of the turn, because a stack's callback may only touch its own stream. */
static void finish(struct dial *dial, struct netstack_stream *stream, const struct http_fault *fault)
{
	struct http_fault copy = fault == NULL ? (struct http_fault){ 0 } : *fault;
	dial->over = true;
	dial->deferred.call = sweep;
	deferred_queue(dial->tunnel->context->loop, &dial->deferred);
	dial->done(dial->owner, stream, &copy);
}

static void count_duration(const struct dial *dial)
{
	struct counters_worker *worker = &dial->tunnel->context->counters->worker;
	uint64_t took = loop_now(dial->tunnel->context->loop) - dial->started_at;
	unsigned bucket = 0;
	while (bucket < COUNTERS_BUCKETS - 1 && (double)took / 1e9 > counters_bucket_bounds[bucket])
		bucket++;
	counter_add(&worker->connect_buckets[bucket], 1);
	counter_add(&worker->connect_count, 1);
	counter_add(&worker->connect_sum_us, took / 1000);
}

/* Attempts. */

static void try_next(struct dial *dial);

static bool is_trying(const struct dial *dial)
{
	for (size_t i = 0; i < dial->tried; i++)
		if (dial->attempts[i].stream != NULL)
			return true;
	return false;
}

/* The other family was tried before it, and was slower. */
static void note_family(const struct dial *dial, const struct attempt *winner)
{
	size_t place = (size_t)(winner - dial->attempts);
	uint8_t family = dial->addresses[place].family;
	for (size_t i = 0; i < place; i++)
		if (dial->attempts[i].dial != NULL && dial->addresses[i].family != family) {
			netstack_resolver_prefer(dial->tunnel->resolver, family, loop_now(dial->tunnel->context->loop));
			return;
		}
}

static void on_connected(void *owner)
{
	struct attempt *attempt = owner;
	struct dial *dial = attempt->dial;
	if (dial->over)
		return;
	struct netstack_stream *stream = attempt->stream;
	attempt->stream = NULL;
	count_duration(dial);
	note_family(dial, attempt);
	finish(dial, stream, NULL);
}

static void on_closed(void *owner, enum netstack_error why)
{
	struct attempt *attempt = owner;
	struct dial *dial = attempt->dial;
	attempt->stream = NULL;
	dial->fault = fault_of_stream(why);
	if (!dial->over)
		try_next(dial);
}

/* A connection that lost the race lives until the end of the turn; bytes it receives meanwhile are dropped with it. */

static void on_late_received(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	(void)owner;
	(void)parts;
	(void)count;
	(void)length;
}

static void on_late_finished(void *owner)
{
	(void)owner;
}

static void on_late_acknowledged(void *owner, size_t bytes)
{
	(void)owner;
	(void)bytes;
}

static const struct netstack_stream_events events = {
	.connected = on_connected,
	.received = on_late_received,
	.finished = on_late_finished,
	.acknowledged = on_late_acknowledged,
	.closed = on_closed,
};

static struct http_fault judge_route(const struct tunnel *tunnel, const struct netstack_endpoint *address)
{
	const char *why = tunnel_why_unroutable(tunnel, address);
	return why == NULL ? (struct http_fault){ 0 } : (struct http_fault){ .error = HTTP_ERROR_DESTINATION_IP_UNROUTABLE, .detail = why };
}

static struct http_fault judge_address(const struct tunnel *tunnel, const struct spec *proxy, const struct netstack_endpoint *address)
{
	switch (target_judge(&tunnel->spec, proxy, address)) {
	case TARGET_FORBIDDEN:
		return (struct http_fault){ .error = HTTP_ERROR_DESTINATION_IP_PROHIBITED,
			                    .detail = "loopback, link-local, unspecified and multicast targets are refused" };
	case TARGET_FORBIDDEN_PRIVATE:
		return (struct http_fault){ .error = HTTP_ERROR_DESTINATION_IP_PROHIBITED,
			                    .detail = "private targets are refused by allow_private_targets" };
	case TARGET_ALLOWED: break;
	}
	if (spec_has_address(&tunnel->spec, address->family, address->bytes))
		return (struct http_fault){ .error = HTTP_ERROR_PROXY_LOOP_DETECTED, .detail = "the target is the tunnel's own address" };
	return judge_route(tunnel, address);
}

struct http_fault dial_judge(const struct tunnel *tunnel, const struct spec *proxy, const struct target *target)
{
	if (!target_is_name(target))
		return judge_address(tunnel, proxy, &target->address);
	if (target_judge_asked(&tunnel->spec, proxy, target) != TARGET_ALLOWED)
		return (struct http_fault){ .error = HTTP_ERROR_DESTINATION_IP_PROHIBITED, .detail = "names under localhost are refused" };
	return (struct http_fault){ 0 };
}

/* Starts the next attempt with an allowed address; the dial fails if none is left and none is pending. */
static void try_next(struct dial *dial)
{
	struct tunnel *tunnel = dial->tunnel;
	uint64_t now = loop_now(tunnel->context->loop);
	while (dial->tried < dial->address_count) {
		struct attempt *attempt = &dial->attempts[dial->tried];
		struct netstack_endpoint *address = &dial->addresses[dial->tried++];
		struct http_fault fault = dial->exempt ? judge_route(tunnel, address) : judge_address(tunnel, dial->proxy, address);
		if (fault.error != HTTP_ERROR_NONE) {
			dial->fault = fault;
			continue;
		}
		attempt->dial = dial;
		int error = netstack_stream_connect(tunnel->stack, address, &events, attempt, now, &attempt->stream);
		tunnel_wake(tunnel);
		if (error == NETSTACK_OK) {
			deadline_set(tunnel->context->loop, &dial->stagger,
			             dial->tried < dial->address_count || dial->more_names ? now + STAGGER : LOOP_NEVER);
			return;
		}
		attempt->stream = NULL;
		dial->fault = fault_of_stream((enum netstack_error)error);
	}
	bool waits_for_names = !is_trying(dial) && dial->more_names && dial->address_count > 0;
	deadline_set(tunnel->context->loop, &dial->stagger, waits_for_names ? now + SILENCE : LOOP_NEVER);
	if (!is_trying(dial) && !dial->more_names)
		finish(dial, NULL, &dial->fault);
}

static void on_stagger(void *owner)
{
	struct dial *dial = owner;
	if (dial->over)
		return;
	if (dial->tried < dial->address_count)
		try_next(dial);
	else if (!is_trying(dial))
		finish(dial, NULL, &dial->fault);
}

static void on_named(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count, bool more)
{
	struct dial *dial = owner;
	dial->more_names = more;
	if (!more)
		dial->query = NULL;
	if (dial->over)
		return;
	if (error != NETSTACK_NAME_OK && dial->address_count == 0)
		dial->fault = fault_of_name(error);
	for (size_t i = 0; i < count && dial->address_count < ADDRESSES_MOST; i++) {
		dial->addresses[dial->address_count] = addresses[i];
		dial->addresses[dial->address_count++].port = dial->target.port;
	}
	if (!is_trying(dial))
		try_next(dial);
	else if (dial->stagger.at == LOOP_NEVER && dial->tried < dial->address_count)
		deadline_set(dial->tunnel->context->loop, &dial->stagger, loop_now(dial->tunnel->context->loop) + STAGGER);
}

static void on_timeout(void *owner)
{
	struct dial *dial = owner;
	struct http_fault fault = { .error = HTTP_ERROR_CONNECTION_TIMEOUT, .detail = "no connection within connect_timeout" };
	if (!dial->over)
		finish(dial, NULL, &fault);
}

static void fail_down(struct dial *dial)
{
	struct tunnel *tunnel = dial->tunnel;
	struct http_fault fault = { .error = HTTP_ERROR_DESTINATION_UNAVAILABLE, .detail = tunnel->health.reason };
	if (tunnel->health.state == TUNNEL_DISABLED)
		fault.detail = "the tunnel is disabled";
	else
		health_wanted(tunnel);
	finish(dial, NULL, &fault);
}

static void begin(void *owner)
{
	struct dial *dial = owner;
	struct tunnel *tunnel = dial->tunnel;
	if (dial->over || dial->begun)
		return;
	struct http_fault fault = { 0 };
	if (!dial->exempt)
		fault = dial_judge(tunnel, dial->proxy, &dial->target);
	else if (!target_is_name(&dial->target))
		fault = judge_route(tunnel, &dial->target.address);
	if (tunnel_is_used_up(tunnel))
		fault = http_fault_used_up;
	if (fault.error != HTTP_ERROR_NONE) {
		finish(dial, NULL, &fault);
		return;
	}
	if (health_is_down(tunnel)) {
		fail_down(dial);
		return;
	}
	if (tunnel->health.state != TUNNEL_UP)
		return; /* dial_go_all or dial_fail_all continues */
	dial->begun = true;
	if (!target_is_name(&dial->target)) {
		dial->addresses[dial->address_count++] = dial->target.address;
		dial->addresses[0].port = dial->target.port;
		try_next(dial);
		return;
	}
	dial->more_names = true;
	netstack_resolve(tunnel->resolver, dial->target.host, on_named, dial, loop_now(tunnel->context->loop), &dial->query);
	tunnel_wake(tunnel);
}

void dial_go_all(struct tunnel *tunnel)
{
	for (struct dial *dial = tunnel->dials; dial != NULL; dial = dial->next)
		if (!dial->begun && !dial->over)
			deferred_queue(tunnel->context->loop, &dial->deferred);
}

void dial_fail_all(struct tunnel *tunnel)
{
	for (struct dial *dial = tunnel->dials, *next; dial != NULL; dial = next) {
		next = dial->next;
		if (!dial->over)
			fail_down(dial);
	}
}

struct dial *dial_start(struct tunnel *tunnel, const struct spec *proxy, const struct target *target, bool exempt, dial_done *done, void *owner)
{
	assert(done != NULL);
	struct loop *loop = tunnel->context->loop;
	struct dial *dial = calloc(1, sizeof(*dial));
	if (dial == NULL)
		return NULL;
	dial->tunnel = tunnel;
	dial->proxy = proxy;
	dial->target = *target;
	dial->exempt = exempt;
	dial->done = done;
	dial->owner = owner;
	dial->started_at = loop_now(loop);
	dial->next = tunnel->dials;
	dial->before = &tunnel->dials;
	if (dial->next != NULL)
		dial->next->before = &dial->next;
	tunnel->dials = dial;
	deadline_init(&dial->timeout, on_timeout, dial);
	deadline_init(&dial->stagger, on_stagger, dial);
	deferred_init(&dial->deferred, begin, dial);
	deadline_set(loop, &dial->timeout, dial->started_at + proxy->connect_timeout * LOOP_SECOND);
	deferred_queue(loop, &dial->deferred);
	return dial;
}
