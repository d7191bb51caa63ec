#include "fleet/etcd/gateway.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/etcd_body.h"

struct etcd_gateway {
	struct etcd_transport *transport;
	char *urls[FLEET_URLS_MAX];
	size_t url_count, member;
	char *prefix, *user, *password, *token;
	struct etcd_call *calls, **last; /* under way, in the order of their asking */
	struct etcd_exchange *login;
	char *login_body;
	size_t login_member;
};

static void wipe(char **text)
{
	if (*text != NULL)
		sodium_memzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

/* Others may have left the member already. */
static void leave_member(struct etcd_gateway *gateway, size_t member)
{
	if (gateway->member == member)
		gateway->member = (member + 1) % gateway->url_count;
}

/* ---- The end of a call ---- */

void etcd_gateway_cancel(struct etcd_call *call)
{
	if (call->gateway == NULL)
		return;
	if (call->exchange != NULL)
		etcd_transport_cancel(call->gateway->transport, call->exchange);
	*call->before = call->next;
	if (call->next != NULL)
		call->next->before = call->before;
	else
		call->gateway->last = call->before;
	wipe(&call->body);
	call->exchange = NULL;
	call->gateway = NULL;
}

static void end(struct etcd_call *call, enum etcd_error error, const struct etcd_answer *answer)
{
	static const struct etcd_answer none;
	const struct etcd_call_listener listener = call->listener;
	if (etcd_error_is_of_member(error))
		leave_member(call->gateway, call->member);
	etcd_gateway_cancel(call);
	listener.done(listener.owner, error, answer == NULL ? &none : answer);
}

/* ---- Sending, after a login if there is a user ---- */

static void on_line(void *owner, const char *text, size_t length);
static void on_done(void *owner, int error, long status, const char *text, size_t length);

static bool send_call(struct etcd_call *call)
{
	struct etcd_gateway *gateway = call->gateway;
	assert(gateway != NULL); /* one that has ended is no longer among the calls */
	call->member = gateway->member;
	const struct etcd_post post = {
		.base = gateway->urls[call->member],
		.path = call->path,
		.body = call->body,
		.token = gateway->token,
		.is_stream = call->is_stream,
	};
	const struct etcd_listener listener = { call, on_line, on_done };
	call->exchange = etcd_transport_post(gateway->transport, &post, &listener);
	return call->exchange != NULL;
}

/* The next one that waited when the login ended. Listeners ask again: their calls are of a later round. */
static struct etcd_call *next_waiting(const struct etcd_gateway *gateway)
{
	struct etcd_call *call = gateway->calls;
	while (call != NULL && (call->exchange != NULL || call->is_settled))
		call = call->next;
	return call;
}

/* Calls that wait are sent, or fail. */
static void settle_waiting(struct etcd_gateway *gateway, enum etcd_error error)
{
	for (struct etcd_call *call = gateway->calls; call != NULL; call = call->next)
		call->is_settled = false;
	for (struct etcd_call *call; (call = next_waiting(gateway)) != NULL;) {
		call->is_settled = true;
		call->member = gateway->login_member;
		if (error != ETCD_OK)
			end(call, error, NULL);
		else if (!send_call(call))
			end(call, ETCD_NO_MEMORY, NULL);
	}
}

static int take_token(struct etcd_gateway *gateway, long status, const char *text, size_t length)
{
	struct etcd_answer answer;
	int error = etcd_answer_read(&answer, status, text, length);
	if (error != ETCD_OK)
		return error;
	if (answer.token == NULL)
		error = ETCD_MALFORMED;
	else if ((gateway->token = strdup(answer.token)) == NULL)
		error = ETCD_NO_MEMORY;
	etcd_answer_clear(&answer);
	return error;
}

static void on_login(void *owner, int error, long status, const char *text, size_t length)
{
	struct etcd_gateway *gateway = owner;
	gateway->login = NULL;
	wipe(&gateway->login_body);
	if (error == ETCD_OK)
		error = take_token(gateway, status, text, length);
	if (etcd_error_is_of_member(error))
		leave_member(gateway, gateway->login_member);
	settle_waiting(gateway, error);
}

static bool log_in(struct etcd_gateway *gateway)
{
	if (gateway->login != NULL)
		return true;
	wipe(&gateway->token);
	gateway->login_member = gateway->member;
	gateway->login_body = etcd_body_login(gateway->user, gateway->password);
	if (gateway->login_body == NULL)
		return false;
	const struct etcd_post post = {
		.base = gateway->urls[gateway->member],
		.path = "/v3/auth/authenticate",
		.body = gateway->login_body,
	};
	const struct etcd_listener listener = { gateway, NULL, on_login };
	gateway->login = etcd_transport_post(gateway->transport, &post, &listener);
	if (gateway->login == NULL)
		wipe(&gateway->login_body);
	return gateway->login != NULL;
}

static bool start(struct etcd_call *call)
{
	struct etcd_gateway *gateway = call->gateway;
	return gateway->user != NULL && gateway->token == NULL ? log_in(gateway) : send_call(call);
}

/* ---- What comes back ---- */

/* Every answer of etcd's has a header. Without it, what says nothing would be a refusal, or a lease that is gone. */
static int check_header(const struct etcd_answer *answer)
{
	return answer->cluster == 0 || answer->revision <= 0 ? ETCD_MALFORMED : ETCD_OK;
}

static void on_done(void *owner, int error, long status, const char *text, size_t length)
{
	struct etcd_call *call = owner;
	struct etcd_answer answer = { 0 };
	call->exchange = NULL;
	/* A stream is told by its lines; one that ends without an error was closed by the member. */
	if (error == ETCD_OK && call->is_stream && status == 200 && length == 0)
		error = ETCD_UNREACHABLE;
	if (error == ETCD_OK)
		error = etcd_answer_read(&answer, status, text, length);
	if (error == ETCD_NO_LOGIN && call->gateway->user != NULL && !call->has_logged_in) {
		call->has_logged_in = true;
		if (!log_in(call->gateway))
			end(call, ETCD_NO_MEMORY, NULL);
		return;
	}
	if (error == ETCD_OK)
		error = check_header(&answer);
	if (error == ETCD_OK && call->is_stream)
		error = ETCD_UNREACHABLE;
	end(call, error, error == ETCD_OK ? &answer : NULL);
	etcd_answer_clear(&answer);
}

static void on_line(void *owner, const char *text, size_t length)
{
	struct etcd_call *call = owner;
	struct etcd_answer answer;
	int error = etcd_answer_read(&answer, 200, text, length);
	if (error == ETCD_NO_LOGIN)
		wipe(&call->gateway->token);
	if (error == ETCD_OK) {
		call->listener.message(call->listener.owner, &answer);
		etcd_answer_clear(&answer);
	} else {
		end(call, error, NULL);
	}
}

/* ---- What is asked ---- */

bool etcd_gateway_post(struct etcd_gateway *gateway, struct etcd_call *call, const char *path, char *body, bool is_stream,
                       const struct etcd_call_listener *listener)
{
	assert(call->gateway == NULL);
	*call = (struct etcd_call){
		.gateway = gateway,
		.listener = *listener,
		.path = path,
		.body = body,
		.is_stream = is_stream,
		.is_settled = true,
		.member = gateway->member,
		.before = gateway->last,
	};
	*gateway->last = call;
	gateway->last = &call->next;
	if (body != NULL && start(call))
		return true;
	etcd_gateway_cancel(call);
	return false;
}

const char *etcd_gateway_member(const struct etcd_gateway *gateway, const struct etcd_call *call)
{
	return gateway->urls[call->member];
}

void etcd_gateway_leave(struct etcd_gateway *gateway, const struct etcd_call *call)
{
	leave_member(gateway, call->member);
}

void etcd_gateway_forget_login(struct etcd_gateway *gateway)
{
	wipe(&gateway->token);
}

/* ---- The gateway ---- */

const char *etcd_gateway_prefix(const struct etcd_gateway *gateway)
{
	return gateway->prefix;
}

static bool copy(char **to, const char *text)
{
	*to = text == NULL ? NULL : strdup(text);
	return (*to == NULL) == (text == NULL);
}

struct etcd_gateway *etcd_gateway_create(uv_loop_t *loop, const struct etcd_client_config *config)
{
	struct etcd_gateway *gateway = calloc(1, sizeof(*gateway));
	assert(config->url_count > 0 && config->url_count <= FLEET_URLS_MAX && strlen(config->prefix) < FLEET_PREFIX_MAX);
	if (gateway == NULL)
		return NULL;
	gateway->last = &gateway->calls;
	gateway->transport = etcd_transport_create(loop, config->curl, &config->tls);
	bool is_copied = copy(&gateway->prefix, config->prefix) && copy(&gateway->user, config->user) && copy(&gateway->password, config->password);
	for (size_t i = 0; i < config->url_count; i++)
		is_copied &= copy(&gateway->urls[gateway->url_count++], config->urls[i]);
	if (is_copied && gateway->transport != NULL)
		return gateway;
	etcd_gateway_free(gateway);
	return NULL;
}

void etcd_gateway_free(struct etcd_gateway *gateway)
{
	if (gateway == NULL)
		return;
	while (gateway->calls != NULL)
		etcd_gateway_cancel(gateway->calls);
	if (gateway->transport != NULL)
		etcd_transport_close(gateway->transport);
	for (size_t i = 0; i < gateway->url_count; i++)
		free(gateway->urls[i]);
	wipe(&gateway->login_body);
	wipe(&gateway->password);
	wipe(&gateway->token);
	free(gateway->prefix);
	free(gateway->user);
	free(gateway);
}
