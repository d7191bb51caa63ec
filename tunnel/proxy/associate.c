#include "tunnel/proxy/associate.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/address.h"
#include "tunnel/descriptor_request.h"
#include "tunnel/dial.h"
#include "tunnel/io/linger.h"
#include "tunnel/proxy/backlog.h"
#include "tunnel/proxy/host_datagram.h"
#include "tunnel/proxy/udp_session.h"

#define DATAGRAMS_A_TURN 64
#define NAMES 16                       /* that an association remembers */
#define NAME_REFUSED (5 * LOOP_SECOND) /* before a name that was not found is looked up again */

/* A name keeps its first address: a flow that alternated between addresses would not work. */
struct known_name {
	struct associate *associate;
	char host[TARGET_NAME_MAX + 2];   /* empty: this place is free */
	struct netstack_endpoint address; /* family 0: not known */
	uint64_t used_at, refused_until;
	struct netstack_query *query;
	struct block *backlog;
};

struct associate {
	struct connection *connection;
	const struct pool_visit *visit; /* NULL: not through a pool */
	struct tunnel *tunnel;
	void (*ended)(void *owner);
	void *owner;
	struct poller *control, *relay;
	uint32_t lost; /* datagrams that the kernel had no room for */
	struct descriptor_request *want;
	enum socks_reply refusal; /* to be sent at the end of the turn */
	enum counters_failure failure;
	struct udp_session session;
	struct netstack_endpoint client; /* port 0: none has sent yet */
	uint16_t announced_port;         /* 0: none */
	struct known_name names[NAMES];
	struct deadline idle;
	struct deferred deferred;
};

static struct loop *loop_of(const struct associate *associate)
{
	return associate->tunnel->context->loop;
}

static void forget_name(struct known_name *name)
{
	if (name->query != NULL)
		netstack_query_cancel(name->query);
	block_pool_give(name->associate->tunnel->context->blocks, name->backlog);
	*name = (struct known_name){ .associate = name->associate };
}

static void destroy(struct associate *associate)
{
	descriptor_request_cancel(associate->tunnel->context, associate->want);
	deferred_cancel(loop_of(associate), &associate->deferred);
	deadline_set(loop_of(associate), &associate->idle, LOOP_NEVER);
	for (size_t i = 0; i < NAMES; i++)
		forget_name(&associate->names[i]);
	if (associate->session.flow != NULL)
		netstack_flow_close(associate->session.flow);
	poller_free(associate->relay);
	poller_free(associate->control);
	free(associate);
}

void associate_abort(struct associate *associate)
{
	destroy(associate);
}

static void end(struct associate *associate)
{
	void (*ended)(void *owner) = associate->ended;
	void *owner = associate->owner;
	destroy(associate);
	ended(owner);
}

static void say(struct associate *associate, enum socks_reply reply, const struct netstack_endpoint *bound)
{
	uint8_t bytes[SOCKS_REPLY_MAX];
	size_t length = socks_reply_write(bytes, reply, bound);
	ssize_t sent = send(poller_descriptor(associate->control), bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)sent; /* the kernel has room for this, or the client is gone */
}

static void refuse(struct associate *associate, enum socks_reply reply, enum counters_failure failure)
{
	connection_count_failed(associate->connection, failure);
	say(associate, reply, NULL);
	linger_close(loop_of(associate), associate->control);
	associate->control = NULL;
	end(associate);
}

static void on_idle(void *owner)
{
	struct associate *associate = owner;
	uint64_t at = associate->session.active_at + associate->connection->proxy->idle_timeout * LOOP_SECOND;
	if (at > loop_now(loop_of(associate)))
		deadline_set(loop_of(associate), &associate->idle, at);
	else
		end(associate);
}

/* Datagrams. */

/* To the client that wrote before, and nowhere else. */
static void on_answered(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	struct associate *associate = owner;
	uint8_t header[SOCKS_DATAGRAM_HEADER_MAX];
	if (associate->session.host.any.sa_family == AF_UNSPEC)
		tunnel_count_dropped(associate->tunnel, COUNTERS_DROP_STRANGER);
	else
		udp_session_send_host(&associate->session, header, socks_datagram_header_write(header, from), bytes, length);
}

/* Names. */

static void send_named(void *owner, uint16_t port, const uint8_t *bytes, size_t length)
{
	struct known_name *name = owner;
	struct netstack_endpoint to = name->address;
	to.port = port;
	udp_session_send_inner(&name->associate->session, &to, bytes, length);
}

/* The first allowed address: a name's addresses are checked like literals (X6). */
static bool choose_address(struct known_name *name, const struct netstack_endpoint *addresses, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct target there;
		target_from_address(&there, &addresses[i]);
		if (dial_judge(name->associate->tunnel, name->associate->connection->proxy, &there).error != HTTP_ERROR_NONE)
			continue;
		name->address = addresses[i];
		return true;
	}
	return false;
}

/* Called from within the stack: waiting datagrams are sent at the end of the turn. */
static void on_named(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count, bool more)
{
	struct known_name *name = owner;
	struct associate *associate = name->associate;
	if (!more)
		name->query = NULL;
	if (name->address.family != 0)
		return;
	if (error == NETSTACK_NAME_OK && choose_address(name, addresses, count)) {
		deferred_queue(loop_of(associate), &associate->deferred);
	} else if (!more) {
		name->refused_until = loop_now(loop_of(associate)) + NAME_REFUSED;
		backlog_refuse(&name->backlog, associate->tunnel);
	}
}

static void ask_name(struct known_name *name)
{
	struct tunnel *tunnel = name->associate->tunnel;
	netstack_resolve(tunnel->resolver, name->host, on_named, name, loop_now(tunnel->context->loop), &name->query);
	tunnel_wake(tunnel);
}

/* The name's place, or that of the least recently used one. */
static struct known_name *find_name(struct associate *associate, const char *host)
{
	struct known_name *oldest = &associate->names[0];
	for (size_t i = 0; i < NAMES; i++) {
		struct known_name *name = &associate->names[i];
		if (strcmp(name->host, host) == 0)
			return name;
		if (name->used_at < oldest->used_at)
			oldest = name;
	}
	forget_name(oldest);
	memcpy(oldest->host, host, strlen(host) + 1);
	return oldest;
}

static void send_to_name(struct associate *associate, const struct target *target, const uint8_t *bytes, size_t length)
{
	uint64_t now = loop_now(loop_of(associate));
	struct known_name *name = find_name(associate, target->host);
	name->used_at = now;
	if (name->address.family != 0 && name->backlog == NULL) {
		send_named(name, target->port, bytes, length);
		return;
	}
	if (name->refused_until > now) {
		tunnel_count_dropped(associate->tunnel, COUNTERS_DROP_REFUSED);
		return;
	}
	backlog_hold(&name->backlog, associate->tunnel, target->port, bytes, length);
	if (name->query == NULL && name->address.family == 0)
		ask_name(name);
}

/* The client's side. */

static bool may_go_to(const struct associate *associate, const struct target *target)
{
	return dial_judge(associate->tunnel, associate->connection->proxy, target).error == HTTP_ERROR_NONE &&
	       (associate->visit == NULL || visit_lets_pass(associate->visit, target));
}

static void on_client_datagram(struct associate *associate, const uint8_t *bytes, size_t length)
{
	struct target target;
	int header = socks_datagram_read(&target, bytes, length);
	if (header < 0 || !may_go_to(associate, &target)) {
		tunnel_count_dropped(associate->tunnel, COUNTERS_DROP_REFUSED);
		return;
	}
	if (target_is_name(&target)) {
		send_to_name(associate, &target, bytes + header, length - (size_t)header);
		return;
	}
	target.address.port = target.port;
	udp_session_send_inner(&associate->session, &target.address, bytes + header, length - (size_t)header);
}

/* RFC 1928, 7: datagrams from other addresses are dropped. The first one fixes the port. Clients also announce a port that they do not use; one that
 * does is recognized whenever it sends. */
static bool is_client(struct associate *associate, const union wireguard_endpoint *from)
{
	struct netstack_endpoint address;
	if (!address_from_host(&address, from) || !address_is_same_host(&address, &associate->client))
		return false;
	if (associate->client.port == 0 || address.port == associate->announced_port)
		associate->client.port = address.port;
	if (associate->client.port != address.port)
		return false;
	associate->session.host = *from;
	return true;
}

static void on_relay(void *owner, int events)
{
	struct associate *associate = owner;
	uint8_t bytes[HOST_DATAGRAM_MAX];
	(void)events;
	for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
		union wireguard_endpoint from = { 0 };
		ssize_t got = host_datagram_receive(associate->tunnel, poller_descriptor(associate->relay), bytes, &from, &associate->lost);
		if (got >= 0 && is_client(associate, &from))
			on_client_datagram(associate, bytes, (size_t)got);
		else if (got >= 0)
			tunnel_count_dropped(associate->tunnel, COUNTERS_DROP_STRANGER);
		else if (errno == EAGAIN)
			return;
	}
}

/* The association ends with its control connection (RFC 1928, 7), also before there is a relay: what comes then is that the client left. */
static void on_control(void *owner, int events)
{
	struct associate *associate = owner;
	char away[512];
	if ((events & LOOP_LEFT) != 0 && associate->want != NULL) {
		connection_count_failed(associate->connection, COUNTERS_FAILED_CLIENT_GONE);
		end(associate);
		return;
	}
	ssize_t got = recv(poller_descriptor(associate->control), away, sizeof(away), MSG_DONTWAIT);
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		end(associate);
}

/* The beginning. */

static bool open_relay(struct associate *associate, int descriptor, struct netstack_endpoint *bound)
{
	struct tunnel *tunnel = associate->tunnel;
	union wireguard_endpoint host = { 0 };
	socklen_t size = sizeof(host);
	associate->relay = poller_create(tunnel->context->loop, descriptor, on_relay, associate);
	if (associate->relay == NULL) {
		close(descriptor);
		return false;
	}
	if (netstack_flow_open(tunnel->stack, NULL, on_answered, associate, &associate->session.flow) != NETSTACK_OK) {
		associate->session.flow = NULL;
		return false;
	}
	associate->session.descriptor = descriptor;
	return getsockname(descriptor, &host.any, &size) == 0 && address_from_host(bound, &host);
}

static void on_granted(void *owner, enum message_status status, int descriptor)
{
	struct associate *associate = owner;
	struct netstack_endpoint bound;
	associate->want = NULL;
	if (status != MESSAGE_STATUS_OK || !open_relay(associate, descriptor, &bound)) {
		refuse(associate, SOCKS_GENERAL_FAILURE, status == MESSAGE_STATUS_REFUSED ? COUNTERS_FAILED_POLICY : COUNTERS_FAILED_MEMORY);
		return;
	}
	say(associate, SOCKS_SUCCEEDED, &bound);
	connection_count_ok(associate->connection);
	poller_set(associate->control, LOOP_READABLE);
	poller_set(associate->relay, LOOP_READABLE);
	associate->session.active_at = loop_now(loop_of(associate));
	if (associate->connection->proxy->idle_timeout > 0)
		deadline_set(loop_of(associate), &associate->idle,
		             associate->session.active_at + associate->connection->proxy->idle_timeout * LOOP_SECOND);
}

static void on_deferred(void *owner)
{
	struct associate *associate = owner;
	if (associate->refusal != SOCKS_SUCCEEDED) {
		refuse(associate, associate->refusal, associate->failure);
		return;
	}
	for (size_t i = 0; i < NAMES; i++)
		if (associate->names[i].address.family != 0)
			backlog_release(&associate->names[i].backlog, associate->tunnel, send_named, &associate->names[i]);
}

/* The control connection's two addresses. False for a unix socket, which has none that UDP could use. */
static bool read_ends(struct associate *associate, union wireguard_endpoint *local)
{
	union {
		struct sockaddr_storage any;
		union wireguard_endpoint inet;
	} ends[2] = { 0 };
	struct netstack_endpoint here;
	socklen_t size = sizeof(ends[0]), far_size = sizeof(ends[1]);
	int descriptor = poller_descriptor(associate->control);
	if (getsockname(descriptor, (struct sockaddr *)&ends[0], &size) < 0 || getpeername(descriptor, (struct sockaddr *)&ends[1], &far_size) < 0)
		return false;
	if (!address_from_host(&here, &ends[0].inet) || !address_from_host(&associate->client, &ends[1].inet))
		return false;
	here.port = 0; /* any */
	address_to_host(local, &here);
	return true;
}

static bool ask_relay(struct associate *associate, uint16_t listen_index)
{
	struct tunnel *tunnel = associate->tunnel;
	struct message_want want = {
		.slot = tunnel->slot, .generation = tunnel->generation, .index = listen_index, .pool = associate->connection->pool
	};
	associate->refusal = SOCKS_GENERAL_FAILURE;
	associate->failure = COUNTERS_FAILED_BAD_REQUEST;
	if (!read_ends(associate, &want.local))
		return false;
	associate->failure = COUNTERS_FAILED_LIMIT;
	if (connection_is_over_limit(associate->connection) || tunnel_is_used_up(tunnel))
		return false;
	associate->failure = COUNTERS_FAILED_TUNNEL_DOWN;
	if (health_is_down(tunnel)) {
		health_wanted(tunnel);
		return false;
	}
	associate->failure = COUNTERS_FAILED_MEMORY;
	associate->want = descriptor_request_ask(tunnel->context, MESSAGE_WANT_RELAY, &want, on_granted, associate);
	if (associate->want == NULL)
		return false;
	poller_set(associate->control, LOOP_LEFT);
	associate->refusal = SOCKS_SUCCEEDED;
	return true;
}

/* A client that knows where it will send from says so by its own address, or by none. Any other, such as the target's or one behind a
 * NAT, says nothing of a port (RFC 1928, 4). */
static uint16_t port_announced(const struct netstack_endpoint *claim, const struct netstack_endpoint *client)
{
	static const uint8_t zero[16];
	bool is_zero = memcmp(claim->bytes, zero, sizeof(zero)) == 0;
	return claim->family != 0 && (is_zero || address_is_same_host(claim, client)) ? claim->port : 0;
}

struct associate *associate_create(struct connection *connection, struct poller *control, const struct associate_want *want,
                                   void (*ended)(void *owner), void *owner)
{
	assert(ended != NULL);
	struct tunnel *tunnel = connection->tunnel;
	struct associate *associate = calloc(1, sizeof(*associate));
	if (associate == NULL) {
		poller_free(control);
		return NULL;
	}
	associate->connection = connection;
	associate->visit = want->visit;
	associate->tunnel = tunnel;
	associate->session = (struct udp_session){ .connection = connection, .tunnel = tunnel, .owner = associate, .descriptor = -1 };
	associate->control = control;
	associate->ended = ended;
	associate->owner = owner;
	for (size_t i = 0; i < NAMES; i++)
		associate->names[i].associate = associate;
	deadline_init(&associate->idle, on_idle, associate);
	deferred_init(&associate->deferred, on_deferred, associate);
	poller_set_owner(control, on_control, associate);
	poller_set(control, 0);
	if (!ask_relay(associate, want->listen_index))
		deferred_queue(tunnel->context->loop, &associate->deferred);
	associate->client.port = 0;
	associate->announced_port = port_announced(&want->request->target.address, &associate->client);
	return associate;
}
