#include "service/resolver.h"

#include <ares.h>
#include <assert.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "service/spec_text.h"
#include "tunnel/log.h"

/* A query lives until c-ares has answered; its asker may have lost interest (done is NULL) before that. */
struct resolver_query {
	struct resolver *resolver;
	struct resolver_query *next;
	uint16_t port;
	uint64_t deadline;
	void (*done)(void *owner, const struct message_addresses *addresses);
	void *owner;
	struct message_addresses addresses;
	bool is_answered;
};

struct socket_watch {
	uv_poll_t poll; /* first: the handle is the watch */
	struct resolver *resolver;
	struct socket_watch *next;
	ares_socket_t socket;
};

struct resolver {
	uv_loop_t *loop;
	uv_timer_t timer;
	ares_channel channel;
	bool has_channel, is_asking, ends;
	unsigned open_handles;
	struct resolver_query *queries;
	struct socket_watch *watches;
	struct timespec configured; /* age of resolv.conf when the channel was made */
};

static void count_down(struct resolver *resolver)
{
	if (--resolver->open_handles == 0)
		free(resolver);
}

static void on_watch_closed(uv_handle_t *handle)
{
	struct socket_watch *watch = (struct socket_watch *)handle;
	struct resolver *resolver = watch->resolver;
	free(watch);
	count_down(resolver);
}

static void arm_timer(struct resolver *resolver);

/* Calls back for all that are answered or overdue. Answers are kept until here, so that no asker is called from within resolver_ask. */
static void deliver(struct resolver *resolver)
{
	uint64_t now = uv_now(resolver->loop);
	for (;;) {
		struct resolver_query *query = resolver->queries;
		while (query != NULL && (query->done == NULL || (!query->is_answered && query->deadline > now)))
			query = query->next;
		if (query == NULL)
			break;
		void (*done)(void *, const struct message_addresses *) = query->done;
		query->done = NULL;
		done(query->owner, &query->addresses);
	}
	for (struct resolver_query **at = &resolver->queries; *at != NULL;) {
		struct resolver_query *query = *at;
		if (query->done == NULL && query->is_answered) {
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
	struct resolver *resolver = watch->resolver;
	bool both = status < 0;
	ares_process_fd(resolver->channel, both || (events & UV_READABLE) ? watch->socket : ARES_SOCKET_BAD,
	                both || (events & UV_WRITABLE) ? watch->socket : ARES_SOCKET_BAD);
	deliver(resolver);
}

static void on_timer(uv_timer_t *timer)
{
	struct resolver *resolver = timer->data;
	if (resolver->has_channel)
		ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	deliver(resolver);
}

static void arm_timer(struct resolver *resolver)
{
	if (resolver->ends)
		return;
	if (resolver->queries == NULL)
		uv_timer_stop(&resolver->timer);
	else if (!uv_is_active((uv_handle_t *)&resolver->timer))
		uv_timer_start(&resolver->timer, on_timer, 100, 100);
}

static struct socket_watch *watch_of(struct resolver *resolver, ares_socket_t socket)
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

static void unwatch(struct resolver *resolver, struct socket_watch *watch)
{
	struct socket_watch **at = &resolver->watches;
	while (*at != watch)
		at = &(*at)->next;
	*at = watch->next;
	uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static void on_socket_state(void *data, ares_socket_t socket, int readable, int writable)
{
	struct resolver *resolver = data;
	struct socket_watch *watch = watch_of(resolver, socket);
	if (watch == NULL)
		return; /* the query ends by its deadline */
	if (!readable && !writable)
		unwatch(resolver, watch);
	else
		uv_poll_start(&watch->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_readiness);
}

/* A laptop that moves, or a container that is given its servers late: the configuration is read anew when the file has changed. */
static void refresh_channel(struct resolver *resolver)
{
	struct stat info = { .st_size = 0 };
	(void)stat("/etc/resolv.conf", &info);
	bool changed = info.st_mtim.tv_sec != resolver->configured.tv_sec || info.st_mtim.tv_nsec != resolver->configured.tv_nsec;
	if (resolver->has_channel && (!changed || resolver->queries != NULL))
		return;
	if (resolver->has_channel)
		ares_destroy(resolver->channel);
	struct ares_options options = { .timeout = 1500, .tries = 3, .sock_state_cb = on_socket_state, .sock_state_cb_data = resolver };
	int result = ares_init_options(&resolver->channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
	resolver->has_channel = result == ARES_SUCCESS;
	resolver->configured = info.st_mtim;
	if (!resolver->has_channel)
		log_line(LOG_WARN, NULL, "names cannot be resolved: %s", ares_strerror(result));
}

struct resolver *resolver_create(uv_loop_t *loop)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
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

void resolver_free(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	resolver->ends = true;
	for (struct resolver_query *query = resolver->queries; query != NULL; query = query->next)
		query->done = NULL;
	if (resolver->has_channel)
		ares_destroy(resolver->channel);
	while (resolver->queries != NULL) {
		struct resolver_query *query = resolver->queries;
		resolver->queries = query->next;
		free(query);
	}
	while (resolver->watches != NULL)
		unwatch(resolver, resolver->watches);
	ares_library_cleanup();
	uv_close((uv_handle_t *)&resolver->timer, on_timer_closed);
}

static void take_address(struct message_addresses *addresses, const struct sockaddr *address, uint16_t port)
{
	if (addresses->count == MESSAGE_ADDRESSES_MAX)
		return;
	union wireguard_endpoint *endpoint = &addresses->list[addresses->count];
	if (!endpoint_from(address, endpoint))
		return;
	endpoint_set_port(endpoint, port);
	addresses->count++;
}

static void on_answer(void *data, int status, int timeouts, struct ares_addrinfo *info)
{
	struct resolver_query *query = data;
	(void)timeouts;
	query->is_answered = true;
	if (status == ARES_SUCCESS) {
		/* IPv4 first, because a host without a way out over IPv6 is more common than one without IPv4; the worker tries the rest. */
		for (int pass = 0; pass < 2; pass++)
			for (const struct ares_addrinfo_node *node = info->nodes; node != NULL; node = node->ai_next)
				if ((node->ai_family == AF_INET) == (pass == 0))
					take_address(&query->addresses, node->ai_addr, query->port);
	}
	if (info != NULL)
		ares_freeaddrinfo(info);
	struct resolver *resolver = query->resolver;
	/* Delivered by the timer when c-ares knew it at once. */
	if (resolver->is_asking && !resolver->ends)
		uv_timer_start(&resolver->timer, on_timer, 0, 100);
}

struct resolver_query *resolver_ask(struct resolver *resolver, const char *name, uint16_t port,
                                    void (*done)(void *owner, const struct message_addresses *addresses), void *owner)
{
	assert(done != NULL);
	struct resolver_query *query = calloc(1, sizeof(*query));
	if (query == NULL)
		return NULL;
	refresh_channel(resolver);
	*query = (struct resolver_query){ .resolver = resolver, .next = resolver->queries, .port = port, .done = done, .owner = owner };
	query->deadline = uv_now(resolver->loop) + RESOLVER_DEADLINE_MS;
	resolver->queries = query;
	arm_timer(resolver);
	if (!resolver->has_channel) {
		query->is_answered = true;
		return query;
	}
	/* No sorting: it opens sockets towards every address. */
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = ARES_AI_NOSORT };
	resolver->is_asking = true;
	ares_getaddrinfo(resolver->channel, name, NULL, &hints, on_answer, query);
	resolver->is_asking = false;
	return query;
}

void resolver_cancel(struct resolver_query *query)
{
	if (query != NULL)
		query->done = NULL;
}
