#include "service/worker/endpoint_resolver.h"

#include <ares.h>
#include <assert.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/endpoint.h"
#include "ipc/log.h"

#define FAMILIES 2
#define DELAY_MS 50 /* how long one family's answer waits for the other's (RFC 8305, 3) */

/* IPv4 first, because hosts without IPv6 connectivity are more common than hosts without IPv4; the worker tries the rest. */
static const int families[FAMILIES] = { AF_INET, AF_INET6 };

struct part {
	struct endpoint_resolver_query *query;
	struct message_addresses addresses;
	bool is_routed[MESSAGE_ADDRESSES_MAX];
	bool is_answered;
};

/* A query lives until c-ares has answered both parts; it may be cancelled (done is NULL) before that. */
struct endpoint_resolver_query {
	struct endpoint_resolver *resolver;
	struct endpoint_resolver_query *next;
	uint16_t port;
	uint64_t deadline;
	uint64_t tell_at; /* when to report the answers so far, 0: reported, or none */
	void (*done)(void *owner, const struct message_addresses *addresses, bool more);
	void *owner;
	struct part parts[FAMILIES];
};

struct socket_watch {
	uv_poll_t poll; /* first: the handle is the watch */
	struct endpoint_resolver *resolver;
	struct socket_watch *next;
	ares_socket_t socket;
};

/* Identifies the file, because links to it change, and its age. */
struct configuration {
	dev_t device;
	ino_t inode;
	struct timespec changed;
};

struct endpoint_resolver {
	uv_loop_t *loop;
	uv_timer_t timer;
	ares_channel channel;
	bool has_channel, is_asking, ends;
	unsigned open_handles;
	struct endpoint_resolver_query *queries;
	struct socket_watch *watches;
	struct configuration configured; /* resolv.conf when the channel was made */
};

static void count_down(struct endpoint_resolver *resolver)
{
	if (--resolver->open_handles == 0)
		free(resolver);
}

static void on_watch_closed(uv_handle_t *handle)
{
	struct socket_watch *watch = (struct socket_watch *)handle;
	struct endpoint_resolver *resolver = watch->resolver;
	free(watch);
	count_down(resolver);
}

static void arm_timer(struct endpoint_resolver *resolver);

static bool is_answered(const struct endpoint_resolver_query *query)
{
	return query->parts[0].is_answered && query->parts[1].is_answered;
}

/* Whether there is a route to it (RFC 6724, 6, rule 1). Nothing is sent: connect only looks for the route. */
static bool has_route(const union wireguard_endpoint *endpoint)
{
	int descriptor = socket(endpoint->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return false;
	bool has_one = connect(descriptor, &endpoint->any, endpoint_length(endpoint)) == 0;
	close(descriptor);
	return has_one;
}

/* The families alternate (RFC 8305, 4), since often only one of the two is broken. */
static void take_those(const struct part parts[FAMILIES], bool routed, struct message_addresses *addresses)
{
	for (size_t i = 0; i < MESSAGE_ADDRESSES_MAX; i++)
		for (size_t family = 0; family < FAMILIES && addresses->count < MESSAGE_ADDRESSES_MAX; family++)
			if (i < parts[family].addresses.count && parts[family].is_routed[i] == routed)
				addresses->list[addresses->count++] = parts[family].addresses.list[i];
}

static void gather(const struct endpoint_resolver_query *query, struct message_addresses *addresses)
{
	*addresses = (struct message_addresses){ .count = 0 };
	take_those(query->parts, true, addresses);
	take_those(query->parts, false, addresses);
}

static bool is_final(const struct endpoint_resolver_query *query, uint64_t now)
{
	return is_answered(query) || query->deadline <= now;
}

static bool is_due(const struct endpoint_resolver_query *query, uint64_t now)
{
	return query->done != NULL && (is_final(query, now) || (query->tell_at != 0 && query->tell_at <= now));
}

/* The callback may cancel its query. */
static void tell(struct endpoint_resolver_query *query, uint64_t now)
{
	struct message_addresses addresses;
	bool more = !is_final(query, now);
	void (*done)(void *, const struct message_addresses *, bool) = query->done;
	gather(query, &addresses);
	query->tell_at = 0;
	if (!more)
		query->done = NULL;
	done(query->owner, &addresses, more);
}

/* Calls back for all that are answered or overdue. Answers are kept until here, so that no asker is called from within endpoint_resolver_ask. */
static void deliver(struct endpoint_resolver *resolver)
{
	uint64_t now = uv_now(resolver->loop);
	for (;;) {
		struct endpoint_resolver_query *query = resolver->queries;
		while (query != NULL && !is_due(query, now))
			query = query->next;
		if (query == NULL)
			break;
		tell(query, now);
	}
	for (struct endpoint_resolver_query **at = &resolver->queries; *at != NULL;) {
		struct endpoint_resolver_query *query = *at;
		if (query->done == NULL && is_answered(query)) {
			*at = query->next;
			free(query);
		} else {
			at = &query->next;
		}
	}
	arm_timer(resolver);
}

static void on_readiness(uv_poll_t *poll, int status, int events)
{
	struct socket_watch *watch = (struct socket_watch *)poll;
	struct endpoint_resolver *resolver = watch->resolver;
	bool both = status < 0;
	ares_process_fd(resolver->channel, both || (events & UV_READABLE) ? watch->socket : ARES_SOCKET_BAD,
	                both || (events & UV_WRITABLE) ? watch->socket : ARES_SOCKET_BAD);
	deliver(resolver);
}

static void on_timer(uv_timer_t *timer)
{
	struct endpoint_resolver *resolver = timer->data;
	if (resolver->has_channel)
		ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	deliver(resolver);
}

static void arm_timer(struct endpoint_resolver *resolver)
{
	if (resolver->ends)
		return;
	if (resolver->queries == NULL)
		uv_timer_stop(&resolver->timer);
	else if (!uv_is_active((uv_handle_t *)&resolver->timer))
		uv_timer_start(&resolver->timer, on_timer, DELAY_MS, DELAY_MS);
}

static struct socket_watch *watch_of(struct endpoint_resolver *resolver, ares_socket_t socket)
{
	for (struct socket_watch *watch = resolver->watches; watch != NULL; watch = watch->next)
		if (watch->socket == socket)
			return watch;
	struct socket_watch *watch = calloc(1, sizeof(*watch));
	if (watch == NULL || uv_poll_init(resolver->loop, &watch->poll, socket) != 0) {
		free(watch);
		return NULL;
	}
	watch->resolver = resolver;
	watch->socket = socket;
	watch->next = resolver->watches;
	resolver->watches = watch;
	resolver->open_handles++;
	return watch;
}

static void unwatch(struct endpoint_resolver *resolver, struct socket_watch *watch)
{
	struct socket_watch **at = &resolver->watches;
	while (*at != watch)
		at = &(*at)->next;
	*at = watch->next;
	uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static void on_socket_state(void *data, ares_socket_t socket, int readable, int writable)
{
	struct endpoint_resolver *resolver = data;
	struct socket_watch *watch = watch_of(resolver, socket);
	if (watch == NULL)
		return; /* the query ends at its deadline */
	if (!readable && !writable)
		unwatch(resolver, watch);
	else
		uv_poll_start(&watch->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_readiness);
}

static struct configuration read_configuration(void)
{
	struct stat info = { .st_size = 0 };
	(void)stat("/etc/resolv.conf", &info);
	return (struct configuration){ info.st_dev, info.st_ino, info.st_mtim };
}

static bool is_same(const struct configuration *a, const struct configuration *b)
{
	return a->device == b->device && a->inode == b->inode && a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* What it was asked fails now, and is asked again by those who want it: some name may always be under way. */
static void close_channel(struct endpoint_resolver *resolver)
{
	if (!resolver->has_channel)
		return;
	resolver->is_asking = true;
	ares_destroy(resolver->channel);
	resolver->is_asking = false;
	resolver->has_channel = false;
}

static bool has_option(char *line, const char *option)
{
	char *rest = line, *word = strtok_r(line, " \t\r\n", &rest);
	if (word == NULL || strcmp(word, "options") != 0)
		return false;
	while (word != NULL && strcmp(word, option) != 0)
		word = strtok_r(NULL, " \t\r\n", &rest);
	return word != NULL;
}

/* An option of resolv.conf(5) that c-ares does not know: servers are asked over TCP only. */
static bool wants_tcp(void)
{
	char line[512];
	bool wants = false;
	FILE *file = fopen("/etc/resolv.conf", "re");
	if (file == NULL)
		return false;
	while (!wants && fgets(line, sizeof(line), file) != NULL)
		wants = has_option(line, "use-vc");
	(void)fclose(file);
	return wants;
}

/* Reads the configuration again if the file has changed, as on a laptop that moves, or in a container that gets its servers late. */
static void refresh_channel(struct endpoint_resolver *resolver)
{
	struct configuration now = read_configuration();
	if (resolver->has_channel && is_same(&now, &resolver->configured))
		return;
	close_channel(resolver);
	/* A name with a dot is asked for as it is before it is searched for: search domains whose server is silent would take all the time. */
	struct ares_options options = { .flags = wants_tcp() ? ARES_FLAG_USEVC : 0,
		                        .timeout = 1000,
		                        .tries = 3,
		                        .ndots = 1,
		                        .sock_state_cb = on_socket_state,
		                        .sock_state_cb_data = resolver };
	int result = ares_init_options(&resolver->channel, &options,
	                               ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_SOCK_STATE_CB);
	resolver->has_channel = result == ARES_SUCCESS;
	resolver->configured = now;
	if (!resolver->has_channel)
		log_line(LOG_WARN, NULL, "the resolver cannot be started: %s", ares_strerror(result));
}

struct endpoint_resolver *endpoint_resolver_create(uv_loop_t *loop)
{
	struct endpoint_resolver *resolver = calloc(1, sizeof(*resolver));
	if (resolver == NULL)
		return NULL;
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS || uv_timer_init(loop, &resolver->timer) != 0) {
		free(resolver);
		return NULL;
	}
	resolver->loop = loop;
	resolver->timer.data = resolver;
	resolver->open_handles = 1;
	return resolver;
}

static void on_timer_closed(uv_handle_t *handle)
{
	count_down(handle->data);
}

void endpoint_resolver_free(struct endpoint_resolver *resolver)
{
	if (resolver == NULL)
		return;
	resolver->ends = true;
	for (struct endpoint_resolver_query *query = resolver->queries; query != NULL; query = query->next)
		query->done = NULL;
	if (resolver->has_channel)
		ares_destroy(resolver->channel);
	while (resolver->queries != NULL) {
		struct endpoint_resolver_query *query = resolver->queries;
		resolver->queries = query->next;
		free(query);
	}
	while (resolver->watches != NULL)
		unwatch(resolver, resolver->watches);
	ares_library_cleanup();
	uv_close((uv_handle_t *)&resolver->timer, on_timer_closed);
}

static void take_address(struct part *part, const struct sockaddr *address, uint16_t port)
{
	struct message_addresses *addresses = &part->addresses;
	if (addresses->count == MESSAGE_ADDRESSES_MAX)
		return;
	union wireguard_endpoint *endpoint = &addresses->list[addresses->count];
	if (!endpoint_from(address, endpoint))
		return;
	endpoint_set_port(endpoint, port);
	part->is_routed[addresses->count++] = has_route(endpoint);
}

static void on_answer(void *data, int status, int timeouts, struct ares_addrinfo *info)
{
	struct part *part = data;
	struct endpoint_resolver_query *query = part->query;
	struct endpoint_resolver *resolver = query->resolver;
	(void)timeouts;
	part->is_answered = true;
	for (const struct ares_addrinfo_node *node = status == ARES_SUCCESS ? info->nodes : NULL; node != NULL; node = node->ai_next)
		take_address(part, node->ai_addr, query->port);
	if (info != NULL)
		ares_freeaddrinfo(info);
	if (part->addresses.count > 0)
		query->tell_at = uv_now(resolver->loop) + DELAY_MS;
	/* Delivered by the timer if c-ares answered at once. */
	if (resolver->is_asking && !resolver->ends)
		uv_timer_start(&resolver->timer, on_timer, 0, DELAY_MS);
}

/* A separate query per family, because c-ares answers a joint one only when the slower family is complete. As in the C library, an answer with an
 * address before its CNAME, and a truncated one of a server without TCP, give no address. The tunnel's own resolver reads both, but a second
 * parser here would have to repeat the search list and the hosts file, too. */
static void ask_for(struct endpoint_resolver_query *query, const char *name, size_t family)
{
	/* No sorting, because that opens sockets towards every address. */
	struct ares_addrinfo_hints hints = { .ai_family = families[family], .ai_socktype = SOCK_DGRAM, .ai_flags = ARES_AI_NOSORT };
	struct endpoint_resolver *resolver = query->resolver;
	query->parts[family].query = query;
	query->parts[family].is_answered = !resolver->has_channel;
	if (!resolver->has_channel)
		return;
	resolver->is_asking = true;
	ares_getaddrinfo(resolver->channel, name, NULL, &hints, on_answer, &query->parts[family]);
	resolver->is_asking = false;
}

/* "localhost" and the names below it (RFC 6761, 6.3). */
static bool is_localhost(const char *name)
{
	static const char text[] = "localhost";
	size_t length = strlen(name), size = sizeof(text) - 1;
	if (length > 0 && name[length - 1] == '.')
		length--;
	if (length < size || strncasecmp(name + length - size, text, size) != 0)
		return false;
	return length == size || name[length - size - 1] == '.';
}

/* No server is asked for it, and c-ares, which knows that, leaks 10 bytes each time (1.18). Delivered by the timer. */
static void answer_localhost(struct endpoint_resolver_query *query)
{
	const union wireguard_endpoint loopback[FAMILIES] = {
		{ .v4 = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } } },
		{ .v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT } },
	};
	for (size_t family = 0; family < FAMILIES; family++) {
		take_address(&query->parts[family], &loopback[family].any, query->port);
		query->parts[family].is_answered = true;
	}
	uv_timer_start(&query->resolver->timer, on_timer, 0, DELAY_MS);
}

struct endpoint_resolver_query *endpoint_resolver_ask(struct endpoint_resolver *resolver, const char *name, uint16_t port,
                                                      void (*done)(void *owner, const struct message_addresses *addresses, bool more), void *owner)
{
	assert(done != NULL);
	struct endpoint_resolver_query *query = calloc(1, sizeof(*query));
	if (query == NULL)
		return NULL;
	refresh_channel(resolver);
	*query = (struct endpoint_resolver_query){ .resolver = resolver, .next = resolver->queries, .port = port, .done = done, .owner = owner };
	query->deadline = uv_now(resolver->loop) + ENDPOINT_RESOLVER_DEADLINE_MS;
	resolver->queries = query;
	arm_timer(resolver);
	if (is_localhost(name)) {
		answer_localhost(query);
		return query;
	}
	for (size_t family = 0; family < FAMILIES; family++)
		ask_for(query, name, family);
	return query;
}

void endpoint_resolver_cancel(struct endpoint_resolver_query *query)
{
	if (query != NULL)
		query->done = NULL;
}
