#include "tunnel/proxy/client_private.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "tunnel/address.h"

#define WAIT_STEP (20 * LOOP_MILLISECOND)

/* The clients of pools. A member is chosen for each request. If its tunnel is in this worker, the connection moves there; otherwise the client goes
 * to the other worker with the bytes of its request, is read there once more, and comes back if the member fails it. */

/* Moves into the member's tunnel, unless that takes no more. */
static bool enter(struct client *client, struct tunnel *member)
{
	struct tunnel *front = client_tunnel(client);
	if (health_is_down(member)) {
		health_wanted(member);
		return false;
	}
	connection_move(&client->connection, member);
	if (connection_is_over_limit(&client->connection)) {
		connection_move(&client->connection, front);
		return false;
	}
	client->connection.front = front->counters;
	client->connection.session = client->visit->key;
	return true;
}

/* Back from the member's tunnel to the pool's. */
static void leave(struct client *client)
{
	client->connection.front = NULL;
	client->connection.session = NULL;
	connection_move(&client->connection, client_pool(client)->front);
}

/* The bytes of the request, for another worker; what was used of them is `*kept`. */
static struct block *take_request(struct client *client, uint32_t *kept)
{
	*kept = client->in.kept;
	intake_rewind(&client->in);
	return intake_take(&client->in);
}

static void put_request_back(struct client *client, struct block *bytes, uint32_t kept)
{
	client->in.block = bytes;
	client_watch(client);
	intake_keep(&client->in);
	if (bytes != NULL)
		intake_use(&client->in, kept);
}

/* The client is with another worker, or about to be. */
static void forget_client(struct client *client)
{
	client->poller = NULL;
	client->visit = NULL;
	client->connection.travels = true;
	client_free(client);
}

/* Sends the client to the worker that has the member. */
static bool hand_over(struct client *client)
{
	struct pool_visit *visit = client->visit;
	struct link *link = visit_link(visit);
	uint32_t kept;
	struct block *bytes = link == NULL ? NULL : take_request(client, &kept);
	if (link == NULL)
		return false;
	visit->connection = NULL;
	if (link_hand_over(link, visit, client->poller, bytes, client->listen_index)) {
		forget_client(client);
		return true;
	}
	visit->connection = &client->connection;
	put_request_back(client, bytes, kept);
	return false;
}

/* Returns the client of another worker's pool. */
static bool give_back(struct client *client, enum http_error error)
{
	uint32_t kept;
	struct block *bytes = take_request(client, &kept);
	if (link_give_back(client->visit, client->poller, bytes, error)) {
		forget_client(client);
		return true;
	}
	put_request_back(client, bytes, kept);
	return false;
}

void client_replay(struct client *client)
{
	client->state = CLIENT_GREETING;
	client->replays = true;
	client->search = (struct http_head_search){ 0 };
	intake_keep(&client->in);
	client_watch(client);
	client_parse(client);
}

/* For the member that its key has. */
static void wait_for_member(struct client *client)
{
	struct loop *loop = client_loop(client);
	intake_rewind(&client->in);
	client->state = CLIENT_WAITING;
	client_watch(client);
	poller_set(client->poller, LOOP_LEFT);
	deadline_set(loop, &client->deadline, loop_now(loop) + WAIT_STEP);
}

/* True if the client is now in a member's tunnel; else it was refused, waits, or went to another worker. */
static bool choose_member(struct client *client, const struct target *target)
{
	const struct pool_ask ask = client_ask(client, target);
	struct http_fault fault = client->why;
	connection_admit(&client->connection);
	if (client->visit == NULL)
		client->visit = visit_create(client_pool(client), &client->connection);
	if (client->visit == NULL || visit_is_over_limit(client->visit)) {
		client_refuse(client, client->visit == NULL ? &http_fault_memory : &http_fault_connections);
		return false;
	}
	while (!client->is_lost && (fault = visit_choose(client->visit, &ask)).error == HTTP_ERROR_NONE) {
		bool has_member = client->visit->member != 0;
		struct tunnel *member = visit_tunnel(client->visit);
		if (member != NULL && enter(client, member))
			return true;
		if (has_member && member == NULL && hand_over(client))
			return false;
		if (!has_member || (member == NULL && visit_waits(client->visit, false))) {
			wait_for_member(client);
			return false;
		}
		if (member != NULL)
			visit_skip(client->visit);
	}
	client_refuse(client, client->why.error == HTTP_ERROR_NONE ? &fault : &client->why);
	return false;
}

bool client_find_way(struct client *client, const struct target *target)
{
	static const struct http_fault differs = { .error = HTTP_ERROR_DESTINATION_UNAVAILABLE, .detail = "no_member: the pool has just changed" };
	if (client_pool(client) == NULL)
		return true;
	if (client_is_at_home(client))
		return choose_member(client, target);
	const struct pool_ask ask = client_ask(client, target);
	bool is_allowed = visit_allows(client->visit, &ask);
	client->connection.session = client->visit->key;
	if (is_allowed && !connection_is_over_limit(&client->connection))
		return true;
	const struct http_fault *why = is_allowed ? &http_fault_connections : &differs;
	if (!give_back(client, why->error))
		client_refuse(client, why);
	return false;
}

bool client_try_elsewhere(struct client *client, const struct http_fault *fault)
{
	if (client->visit == NULL)
		return false;
	if (!client_is_at_home(client))
		return give_back(client, fault->error);
	client->why = *fault;
	if (!visit_fail(client->visit, fault->error))
		return false;
	intake_rewind(&client->in);
	leave(client);
	client_replay(client);
	return true;
}

bool client_exchange_fails(void *owner, const struct http_fault *fault)
{
	struct client *client = owner;
	client->why = *fault;
	client->has_failed = client_is_at_home(client) ? visit_fail(client->visit, fault->error) : client->visit->link != NULL;
	return client->has_failed;
}

void client_choose_again(struct client *client)
{
	static const struct http_fault no_home = { .error = HTTP_ERROR_DESTINATION_UNAVAILABLE,
		                                   .detail = "no_member: the worker of the pool was replaced" };
	bool has_failed = client->has_failed;
	client->has_failed = false;
	if (!client_is_at_home(client)) {
		if (!give_back(client, has_failed ? client->why.error : HTTP_ERROR_NONE))
			client_refuse_http(client, has_failed ? &client->why : &no_home, false);
		return;
	}
	leave(client);
	if (has_failed) {
		client_replay(client);
		return;
	}
	visit_end(client->visit);
	client->visit = NULL;
	client->why = (struct http_fault){ 0 };
	client_start_http(client);
}

/* Counts and describes the client of a visit from another worker, or back from one. */
static void add_arrived(struct client *client, struct link_arrival *arrival)
{
	struct pool_visit *visit = arrival->visit;
	struct tunnel *front = visit->pool->front;
	union {
		struct sockaddr_storage any;
		union wireguard_endpoint inet;
	} from = { 0 };
	socklen_t length = sizeof(from);
	(void)getpeername(poller_descriptor(arrival->client), (struct sockaddr *)&from, &length); /* none if it has left */
	connection_add(&client->connection, front != NULL ? front : visit_tunnel(visit), COUNTERS_UNKNOWN, client_end);
	client->connection.source = address_source(&from.inet);
	client->connection.proxy = pool_spec(visit->pool);
	client->connection.pool = visit->pool->number;
	client_init(client, arrival->client, arrival->listen_index, &from.inet);
	client->in.block = arrival->bytes;
	client->visit = visit;
	visit->connection = &client->connection;
}

void client_arrive(struct context *context, struct link_arrival *arrival)
{
	struct client *client = calloc(1, sizeof(*client));
	if (client == NULL) {
		visit_end(arrival->visit);
		poller_free(arrival->client);
		block_pool_give(context->blocks, arrival->bytes);
		return;
	}
	add_arrived(client, arrival);
	bool is_from_home = !client_is_at_home(client);
	if (!is_from_home && arrival->error == HTTP_ERROR_NONE) {
		visit_end(client->visit);
		client->visit = NULL;
		client_start_http(client);
		return;
	}
	client->why = (struct http_fault){ .error = arrival->error, .detail = "the pool's member could not connect" };
	if (arrival->is_bounced && visit_waits(client->visit, true)) {
		wait_for_member(client);
		return;
	}
	if (!is_from_home && !arrival->is_bounced)
		client->is_lost = !visit_fail(client->visit, arrival->error);
	client_replay(client);
}
