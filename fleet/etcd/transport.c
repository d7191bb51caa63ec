#include "fleet/etcd/transport.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fleet/etcd/received.h"

#define URL_SIZE 512
#define KEEPALIVE_S 10 /* a stream says nothing for hours */

struct etcd_exchange {
	CURL *easy;
	struct curl_slist *headers;
	struct etcd_listener listener;
	struct etcd_received received;
	bool is_stream, is_finished;
	int error;
	long status;
};

struct etcd_transport {
	uv_loop_t *loop;              /* borrowed */
	const struct etcd_curl *curl; /* borrowed */
	CURLM *multi;
	uv_timer_t timer;
	char *ca, *certificate, *key;
	struct etcd_exchange *exchanges[ETCD_EXCHANGES];
	struct etcd_exchange *told; /* whose listener is being called; NULL: it was cancelled meanwhile */
};

struct socket_watcher {
	uv_poll_t poll;
	struct etcd_transport *transport;
	curl_socket_t descriptor;
};

/* ---- What libcurl reports. Listeners are not called from within it, because they may start and cancel exchanges ---- */

static size_t take_bytes(char *bytes, size_t size, size_t count, void *owner)
{
	struct etcd_exchange *exchange = owner;
	if (exchange->error == ETCD_OK)
		exchange->error = etcd_received_add(&exchange->received, bytes, size * count);
	return exchange->error == ETCD_OK ? size * count : 0;
}

static int error_of(CURLcode code)
{
	switch ((int)code) {
	case CURLE_OK: return ETCD_OK;
	case CURLE_OPERATION_TIMEDOUT: return ETCD_TIMED_OUT;
	case CURLE_OUT_OF_MEMORY: return ETCD_NO_MEMORY;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR: return ETCD_UNTRUSTED;
	default: return ETCD_UNREACHABLE;
	}
}

static void note_finished(struct etcd_transport *transport)
{
	int left;
	for (CURLMsg *message; (message = transport->curl->multi_info_read(transport->multi, &left)) != NULL;) {
		struct etcd_exchange *exchange = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		transport->curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange);
		transport->curl->easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &exchange->status);
		exchange->is_finished = true;
		if (exchange->error == ETCD_OK)
			exchange->error = error_of(message->data.result);
	}
}

static void exchange_free(struct etcd_transport *transport, struct etcd_exchange *exchange)
{
	if (exchange->easy != NULL) {
		transport->curl->multi_remove_handle(transport->multi, exchange->easy);
		transport->curl->easy_cleanup(exchange->easy);
	}
	for (struct curl_slist *header = exchange->headers; header != NULL; header = header->next)
		sodium_memzero(header->data, strlen(header->data)); /* one is the token */
	transport->curl->slist_free_all(exchange->headers);
	etcd_received_clear(&exchange->received);
	free(exchange);
}

static void finish(struct etcd_transport *transport, size_t place)
{
	struct etcd_exchange *exchange = transport->exchanges[place];
	size_t length;
	const char *text = etcd_received_rest(&exchange->received, &length);
	transport->exchanges[place] = NULL;
	exchange->listener.done(exchange->listener.owner, exchange->error, exchange->status, text, length);
	exchange_free(transport, exchange);
}

static void tell_lines(struct etcd_transport *transport)
{
	struct etcd_exchange *exchange = transport->told;
	const char *line;
	size_t length;
	while (exchange->is_stream && (line = etcd_received_line(&exchange->received, &length)) != NULL) {
		exchange->listener.line(exchange->listener.owner, line, length);
		if (transport->told == NULL)
			return;
	}
}

static void tell(struct etcd_transport *transport)
{
	for (size_t i = 0; i < ETCD_EXCHANGES; i++) {
		transport->told = transport->exchanges[i];
		if (transport->told == NULL)
			continue;
		tell_lines(transport);
		if (transport->told != NULL && transport->told->is_finished)
			finish(transport, i);
	}
	transport->told = NULL;
}

/* ---- libcurl's sockets and timer on the loop ---- */

static void act(struct etcd_transport *transport, curl_socket_t descriptor, int events)
{
	int running;
	transport->curl->multi_socket_action(transport->multi, descriptor, events, &running);
	note_finished(transport);
	tell(transport);
}

static void on_socket_event(uv_poll_t *poll, int status, int events)
{
	const struct socket_watcher *watcher = poll->data;
	int told = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
	act(watcher->transport, watcher->descriptor, status < 0 ? CURL_CSELECT_ERR : told);
}

static void on_watcher_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static struct socket_watcher *watcher_create(struct etcd_transport *transport, curl_socket_t descriptor)
{
	struct socket_watcher *watcher = malloc(sizeof(*watcher));
	if (watcher == NULL)
		return NULL;
	*watcher = (struct socket_watcher){ .transport = transport, .descriptor = descriptor };
	if (uv_poll_init_socket(transport->loop, &watcher->poll, descriptor) != 0) {
		free(watcher);
		return NULL;
	}
	watcher->poll.data = watcher;
	transport->curl->multi_assign(transport->multi, descriptor, watcher);
	return watcher;
}

/* Never an error: libcurl would fail every exchange from then on. One whose socket is not watched runs into its limit of time. */
static int watch_socket(CURL *easy, curl_socket_t descriptor, int what, void *owner, void *known)
{
	struct etcd_transport *transport = owner;
	struct socket_watcher *watcher = known;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (watcher == NULL)
			return 0;
		transport->curl->multi_assign(transport->multi, descriptor, NULL);
		uv_close((uv_handle_t *)&watcher->poll, on_watcher_closed);
		return 0;
	}
	if (watcher == NULL)
		watcher = watcher_create(transport, descriptor);
	if (watcher == NULL)
		return 0;
	int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
	uv_poll_start(&watcher->poll, events, on_socket_event);
	return 0;
}

static void on_timer(uv_timer_t *timer)
{
	act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long ms, void *owner)
{
	struct etcd_transport *transport = owner;
	(void)multi;
	if (ms < 0)
		uv_timer_stop(&transport->timer);
	else
		uv_timer_start(&transport->timer, on_timer, (uint64_t)ms, 0);
	return 0;
}

/* ---- An exchange ---- */

static bool add_header(const struct etcd_transport *transport, struct etcd_exchange *exchange, const char *text)
{
	struct curl_slist *more = transport->curl->slist_append(exchange->headers, text);
	if (more == NULL)
		return false;
	exchange->headers = more;
	return true;
}

/* The token comes without "Bearer". A member that has lost its leader ends a stream that asks for one, and is silent otherwise. */
static bool add_headers(const struct etcd_transport *transport, struct etcd_exchange *exchange, const struct etcd_post *post)
{
	char text[1024];
	bool is_added = add_header(transport, exchange, "Expect:") && add_header(transport, exchange, "Content-Type: application/json");
	if (is_added && post->is_stream)
		is_added = add_header(transport, exchange, "Grpc-Metadata-hasleader: true");
	if (is_added && post->token != NULL) {
		int length = snprintf(text, sizeof(text), "Authorization: %s", post->token);
		is_added = length < (int)sizeof(text) && add_header(transport, exchange, text);
		sodium_memzero(text, sizeof(text));
	}
	return is_added;
}

static bool set_tls(const struct etcd_transport *transport, CURL *easy)
{
	CURLcode error = CURLE_OK;
	if (transport->ca != NULL) {
		error |= transport->curl->easy_setopt(easy, CURLOPT_CAINFO, transport->ca);
		error |= transport->curl->easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	if (transport->certificate != NULL)
		error |= transport->curl->easy_setopt(easy, CURLOPT_SSLCERT, transport->certificate);
	if (transport->key != NULL)
		error |= transport->curl->easy_setopt(easy, CURLOPT_SSLKEY, transport->key);
	return error == CURLE_OK;
}

/* No worker, and no program that takes this one's place, gets a connection of ours. */
static curl_socket_t open_socket(void *owner, curlsocktype purpose, struct curl_sockaddr *address)
{
	(void)owner;
	(void)purpose;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool set_limits(const struct etcd_transport *transport, CURL *easy, bool is_stream)
{
	CURLcode error = transport->curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	error |= transport->curl->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)ETCD_CONNECT_MS);
	if (!is_stream)
		error |= transport->curl->easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)ETCD_REQUEST_MS);
	error |= transport->curl->easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	error |= transport->curl->easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_S);
	error |= transport->curl->easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_S);
	return error == CURLE_OK;
}

static bool set_request(const struct etcd_transport *transport, struct etcd_exchange *exchange, const struct etcd_post *post)
{
	char url[URL_SIZE];
	if (snprintf(url, sizeof(url), "%s%s", post->base, post->path) >= (int)sizeof(url) || !add_headers(transport, exchange, post))
		return false;
	CURLcode error = transport->curl->easy_setopt(exchange->easy, CURLOPT_URL, url);
	error |= transport->curl->easy_setopt(exchange->easy, CURLOPT_POSTFIELDS, post->body);
	error |= transport->curl->easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, exchange->headers);
	error |= transport->curl->easy_setopt(exchange->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	error |= transport->curl->easy_setopt(exchange->easy, CURLOPT_PROXY, ""); /* whatever the environment says */
	error |= transport->curl->easy_setopt(exchange->easy, CURLOPT_WRITEFUNCTION, take_bytes);
	error |= transport->curl->easy_setopt(exchange->easy, CURLOPT_WRITEDATA, exchange);
	error |= transport->curl->easy_setopt(exchange->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	error |= transport->curl->easy_setopt(exchange->easy, CURLOPT_PRIVATE, exchange);
	return error == CURLE_OK;
}

struct etcd_exchange *etcd_transport_post(struct etcd_transport *transport, const struct etcd_post *post, const struct etcd_listener *listener)
{
	size_t place = 0;
	while (place < ETCD_EXCHANGES && transport->exchanges[place] != NULL)
		place++;
	assert(place < ETCD_EXCHANGES);
	struct etcd_exchange *exchange = malloc(sizeof(*exchange));
	if (exchange == NULL)
		return NULL;
	*exchange = (struct etcd_exchange){ .listener = *listener, .is_stream = post->is_stream, .easy = transport->curl->easy_init() };
	if (exchange->easy == NULL || !set_request(transport, exchange, post) || !set_limits(transport, exchange->easy, post->is_stream) ||
	    !set_tls(transport, exchange->easy) || transport->curl->multi_add_handle(transport->multi, exchange->easy) != CURLM_OK) {
		exchange_free(transport, exchange);
		return NULL;
	}
	transport->exchanges[place] = exchange;
	return exchange;
}

void etcd_transport_cancel(struct etcd_transport *transport, struct etcd_exchange *exchange)
{
	for (size_t i = 0; i < ETCD_EXCHANGES; i++)
		if (transport->exchanges[i] == exchange)
			transport->exchanges[i] = NULL;
	if (transport->told == exchange)
		transport->told = NULL;
	exchange_free(transport, exchange);
}

/* ---- The transport ---- */

static void clear(struct etcd_transport *transport)
{
	transport->curl->multi_cleanup(transport->multi); /* closes its connections, and with them their handles */
	transport->curl->global_cleanup();
	free(transport->ca);
	free(transport->certificate);
	free(transport->key);
}

static bool copy(char **to, const char *text)
{
	*to = text == NULL ? NULL : strdup(text);
	return (*to == NULL) == (text == NULL);
}

struct etcd_transport *etcd_transport_create(uv_loop_t *loop, const struct etcd_curl *curl, const struct etcd_tls *tls)
{
	struct etcd_transport *transport = calloc(1, sizeof(*transport));
	if (transport == NULL)
		return NULL;
	transport->curl = curl;
	if (curl->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(transport);
		return NULL;
	}
	transport->loop = loop;
	transport->multi = transport->curl->multi_init();
	if (transport->multi == NULL || !copy(&transport->ca, tls->ca) || !copy(&transport->certificate, tls->certificate) ||
	    !copy(&transport->key, tls->key)) {
		clear(transport);
		free(transport);
		return NULL;
	}
	transport->curl->multi_setopt(transport->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	transport->curl->multi_setopt(transport->multi, CURLMOPT_SOCKETDATA, transport);
	transport->curl->multi_setopt(transport->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	transport->curl->multi_setopt(transport->multi, CURLMOPT_TIMERDATA, transport);
	uv_timer_init(loop, &transport->timer);
	transport->timer.data = transport;
	return transport;
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void etcd_transport_close(struct etcd_transport *transport)
{
	for (size_t i = 0; i < ETCD_EXCHANGES; i++)
		if (transport->exchanges[i] != NULL)
			etcd_transport_cancel(transport, transport->exchanges[i]);
	clear(transport);
	uv_close((uv_handle_t *)&transport->timer, on_timer_closed);
}
