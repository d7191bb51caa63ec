#include "fleet/etcd/etcd_client.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/etcd_answer.h"
#include "fleet/etcd/etcd_body.h"

#define LISTED_FOLDER "p/"
#define PAGES_MAX 1024 /* of a list: what a view can hold are 265 */

/* A request of one kind; there is one of each. */
struct asked {
	struct etcd_client *client;
	enum fleet_request_kind kind;
	struct etcd_call call;
	uint64_t number;  /* differs from that of each one before */
	bool reads;       /* its transaction reads a key when it is refused */
	int64_t lease;    /* KEEPALIVE */
	int64_t revision; /* LIST: of all pages; WATCH: of the last event */
	uint64_t cluster; /* LIST */
	size_t pages;
	char last[FLEET_KEY_TEXT]; /* LIST: the last key of a page */
};

struct etcd_client {
	struct etcd_gateway *gateway;
	struct etcd_client_listener listener;
	struct asked asked[FLEET_REQUEST_KINDS];
	uint64_t number;           /* requests so far */
	struct etcd_record record; /* being told */
};

static const char *const paths[] = {
	[FLEET_GRANT] = "/v3/lease/grant", [FLEET_JOIN] = "/v3/kv/txn", [FLEET_HEARTBEAT] = "/v3/kv/txn", [FLEET_KEEPALIVE] = "/v3/lease/keepalive",
	[FLEET_LIST] = "/v3/kv/range",     [FLEET_WATCH] = "/v3/watch", [FLEET_LEAD] = "/v3/kv/txn",      [FLEET_PLACE] = "/v3/kv/txn",
};
static_assert(sizeof(paths) / sizeof(paths[0]) == FLEET_REQUEST_KINDS, "every kind has a path");

/* ---- The end of a request ---- */

static void end_watch(struct asked *asked, bool is_compacted, enum etcd_error error)
{
	const struct etcd_client *client = asked->client;
	etcd_gateway_cancel(&asked->call);
	client->listener.watch_ended(client->listener.owner, is_compacted, error, etcd_gateway_member(client->gateway, &asked->call));
}

static void reply(struct asked *asked, struct fleet_reply *told, enum etcd_error error)
{
	const struct etcd_client *client = asked->client;
	told->kind = asked->kind;
	client->listener.reply(client->listener.owner, told, error, etcd_gateway_member(client->gateway, &asked->call));
}

static void fail(struct asked *asked, enum etcd_error error)
{
	struct fleet_reply told = { .result = error == ETCD_NOT_FOUND ? FLEET_NO_LEASE : FLEET_UNKNOWN, .lease = asked->lease };
	reply(asked, &told, error);
}

/* What is an answer by its form, and says nothing. */
static void fail_member(struct asked *asked)
{
	etcd_gateway_leave(asked->client->gateway, &asked->call);
	fail(asked, ETCD_MALFORMED);
}

/* ---- What comes back ---- */

static bool post(struct asked *asked, char *body);

static void answer_list(struct asked *asked, const struct etcd_answer *answer)
{
	struct etcd_client *client = asked->client;
	bool is_first = asked->pages++ == 0;
	char before[FLEET_KEY_TEXT];
	memcpy(before, asked->last, sizeof(before));
	if (is_first) {
		asked->revision = answer->revision;
		asked->cluster = answer->cluster;
	}
	for (size_t i = 0; i < answer->record_count; i++) {
		if (!etcd_answer_record(answer, i, etcd_gateway_prefix(client->gateway), &client->record))
			continue;
		memcpy(asked->last, client->record.key, sizeof(asked->last));
		client->listener.listed(client->listener.owner, &client->record.kv);
	}
	if (!answer->has_more) {
		struct fleet_reply told = { .result = FLEET_DONE, .revision = asked->revision, .cluster = asked->cluster };
		reply(asked, &told, ETCD_OK);
		return;
	}
	/* A page that leads no further would be read for ever. */
	if (strcmp(asked->last, before) <= 0 || asked->pages == PAGES_MAX)
		fail_member(asked);
	else if (!post(asked, etcd_body_range(etcd_gateway_prefix(client->gateway), LISTED_FOLDER, asked->last, asked->revision, ETCD_PAGE)))
		fail(asked, ETCD_NO_MEMORY);
}

static void answer_txn(struct asked *asked, const struct etcd_answer *answer)
{
	struct etcd_client *client = asked->client;
	struct fleet_reply told = { .result = answer->has_succeeded ? FLEET_DONE : FLEET_REFUSED,
		                    .revision = answer->revision,
		                    .cluster = answer->cluster };
	if (!answer->has_succeeded && asked->reads && answer->record_count > 0 &&
	    etcd_answer_record(answer, 0, etcd_gateway_prefix(client->gateway), &client->record))
		told.found = client->record.kv;
	reply(asked, &told, ETCD_OK);
}

static void answer_lease(struct asked *asked, const struct etcd_answer *answer)
{
	struct fleet_reply told = { .result = FLEET_DONE, .lease = answer->lease, .revision = answer->revision, .cluster = answer->cluster };
	/* A keepalive of a lease that is gone is answered, without a TTL. */
	if (asked->kind == FLEET_KEEPALIVE) {
		told.lease = asked->lease;
		told.result = answer->ttl > 0 ? FLEET_DONE : FLEET_NO_LEASE;
	} else if (answer->lease == 0) {
		fail_member(asked);
		return;
	}
	reply(asked, &told, ETCD_OK);
}

static void on_done(void *owner, enum etcd_error error, const struct etcd_answer *answer)
{
	struct asked *asked = owner;
	if (asked->kind == FLEET_WATCH) {
		end_watch(asked, error == ETCD_COMPACTED, error);
		return;
	}
	if (error != ETCD_OK) {
		fail(asked, error);
		return;
	}
	switch (asked->kind) {
	case FLEET_GRANT:
	case FLEET_KEEPALIVE: answer_lease(asked, answer); break;
	case FLEET_LIST: answer_list(asked, answer); break;
	case FLEET_JOIN:
	case FLEET_HEARTBEAT:
	case FLEET_LEAD:
	case FLEET_PLACE: answer_txn(asked, answer); break;
	case FLEET_WATCH:
	case FLEET_REQUEST_KINDS: break;
	}
}

/* ---- The watch ---- */

static void tell_events(struct asked *asked, const struct etcd_answer *answer)
{
	struct etcd_client *client = asked->client;
	uint64_t number = asked->number;
	for (size_t i = 0; i < answer->record_count; i++) {
		if (!etcd_answer_record(answer, i, etcd_gateway_prefix(client->gateway), &client->record))
			continue;
		asked->revision = client->record.kv.revision;
		client->listener.watch_event(client->listener.owner, &client->record.kv);
		if (asked->number != number) /* another watch took its place */
			return;
	}
	if (asked->revision > 0 && answer->record_count > 0 && !answer->is_fragment)
		client->listener.watch_progress(client->listener.owner, asked->revision);
}

static void on_message(void *owner, const struct etcd_answer *answer)
{
	struct asked *asked = owner;
	struct etcd_client *client = asked->client;
	if (answer->is_canceled) {
		/* A watch that a user may not open is cancelled too, and its token may be the reason. */
		if (!answer->is_compacted)
			etcd_gateway_forget_login(client->gateway);
		end_watch(asked, answer->is_compacted, answer->is_compacted ? ETCD_COMPACTED : ETCD_DENIED);
	} else if (answer->is_created) {
		client->listener.watch_created(client->listener.owner, answer->revision, answer->cluster);
	} else {
		tell_events(asked, answer);
	}
}

/* ---- What is asked ---- */

static bool post(struct asked *asked, char *body)
{
	const struct etcd_call_listener listener = { asked, on_message, on_done };
	return etcd_gateway_post(asked->client->gateway, &asked->call, paths[asked->kind], body, asked->kind == FLEET_WATCH, &listener);
}

static char *body_of(const char *prefix, const struct fleet_request *request)
{
	switch (request->kind) {
	case FLEET_GRANT: return etcd_body_grant(request->ttl);
	case FLEET_KEEPALIVE: return etcd_body_keepalive(request->lease);
	case FLEET_LIST: return etcd_body_range(prefix, LISTED_FOLDER, NULL, 0, ETCD_PAGE);
	case FLEET_WATCH: return etcd_body_watch(prefix, LISTED_FOLDER, request->revision);
	case FLEET_JOIN:
	case FLEET_HEARTBEAT:
	case FLEET_LEAD:
	case FLEET_PLACE: return etcd_body_txn(prefix, request->txn);
	case FLEET_REQUEST_KINDS: break;
	}
	return NULL;
}

bool etcd_client_ask(struct etcd_client *client, const struct fleet_request *request)
{
	assert(request->kind < FLEET_REQUEST_KINDS);
	struct asked *asked = &client->asked[request->kind];
	assert(asked->call.gateway == NULL || request->kind == FLEET_WATCH);
	if (request->is_elsewhere)
		etcd_gateway_leave(client->gateway, &asked->call);
	etcd_gateway_cancel(&asked->call);
	*asked = (struct asked){
		.client = client,
		.kind = request->kind,
		.number = ++client->number,
		.reads = request->txn != NULL && request->txn->read != NULL,
		.lease = request->lease,
	};
	return post(asked, body_of(etcd_gateway_prefix(client->gateway), request));
}

/* ---- The client ---- */

struct etcd_client *etcd_client_create(uv_loop_t *loop, const struct etcd_client_config *config, const struct etcd_client_listener *listener)
{
	struct etcd_client *client = calloc(1, sizeof(*client));
	if (client == NULL)
		return NULL;
	client->listener = *listener;
	client->gateway = etcd_gateway_create(loop, config);
	if (client->gateway != NULL)
		return client;
	free(client);
	return NULL;
}

void etcd_client_free(struct etcd_client *client)
{
	if (client == NULL)
		return;
	etcd_gateway_free(client->gateway);
	free(client);
}
