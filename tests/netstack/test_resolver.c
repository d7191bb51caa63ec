/* Name resolution with a scripted server on the other stack. The first label of a name tells the server what to do. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netstack/packet/packet.h"

#include "tests/netstack/link.h"

#define A 1
#define CNAME 5
#define SOA 6
#define AAAA 28

struct server {
	struct link *link;
	struct netstack_flow *flow;
	struct netstack_listener *listener;
	struct netstack_stream *stream;
	uint8_t reply[2 + 4096];
	size_t length;
	unsigned queries, tcp_queries, plain_queries;
	bool is_silent_by_tcp;
	bool is_of_all; /* it knows every name */
	uint16_t ids[256], ports[256];
};

/* --- the server --- */

static size_t put_record(uint8_t *at, uint16_t type, uint32_t ttl, const void *data, size_t length)
{
	packet_write16(at, 0xc00c); /* the question's name */
	packet_write16(at + 2, type);
	packet_write16(at + 4, 1);
	packet_write32(at + 6, ttl);
	packet_write16(at + 10, (uint16_t)length);
	memcpy(at + 12, data, length);
	return 12 + length;
}

static bool does(const uint8_t *query, const char *what)
{
	return query[12] == strlen(what) && memcmp(query + 13, what, strlen(what)) == 0;
}

static uint16_t type_asked(const uint8_t *query)
{
	size_t at = 12;

	while (query[at] != 0)
		at += query[at] + 1u;
	return packet_read16(query + at + 1);
}

/* Of a.<the name that follows>: the name with this letter for its first label. */
static size_t put_letter(uint8_t *at, char letter)
{
	at[0] = 1;
	at[1] = (uint8_t)letter;
	at[2] = 0;
	return 3;
}

/* A record of the name `owner` (0: the question's), which is an alias of `target` or, without one, has an address. */
static size_t put_link(uint8_t *at, char owner, char target, uint16_t type)
{
	static const uint8_t four[] = { 192, 0, 2, 7 }, six[16] = { 0x20, 1, 0xd, 0xb8, [15] = 7 };
	uint8_t data[16];
	size_t length = target != 0 ? put_letter(data, target) : type == A ? 4 : 16, name = 2;

	if (target == 0)
		memcpy(data, type == A ? four : six, length);
	packet_write16(at, 0xc00c);
	if (owner != 0)
		name = put_letter(at, owner);
	packet_write16(at + name, target != 0 ? CNAME : type);
	packet_write16(at + name + 2, 1);
	packet_write32(at + name + 4, 60);
	packet_write16(at + name + 8, (uint16_t)length);
	memcpy(at + name + 10, data, length);
	return name + 10 + length;
}

/* Aliases in the order that the name gives: "turned-ab-b-0a" has the records a→b, b's address, the question→a. */
static size_t put_links(const uint8_t *query, uint8_t *reply, size_t end, uint16_t type)
{
	char text[64];
	uint16_t count = 0;

	snprintf(text, sizeof(text), "%.*s", query[12], (const char *)query + 13);
	for (char *rest = strchr(text, '-'); rest != NULL; rest = strchr(rest, '-'), count++) {
		char owner = *++rest == '0' ? 0 : *rest, target = rest[1] == '-' || rest[1] == '\0' ? 0 : rest[1];
		end += put_link(reply + end, owner, target, type);
	}
	packet_write16(reply + 6, count);
	return end;
}

static bool has_edns(const uint8_t *query)
{
	return query[11] != 0;
}

/* What a server that knows no EDNS says; 0: this one is none. */
static size_t refuse_edns(const uint8_t *query, uint8_t *reply, size_t end)
{
	if (does(query, "formerr") || does(query, "notimp")) {
		reply[3] = does(query, "notimp") ? 0x84 : 0x81;
		return end;
	}
	if (does(query, "bare")) {
		memset(reply + 4, 0, 8);
		reply[3] = 0x81;
		return 12;
	}
	if (does(query, "refused") || does(query, "servfail")) {
		reply[3] = does(query, "refused") ? 0x85 : 0x82;
		return end;
	}
	if (!does(query, "badvers"))
		return 0;
	static const uint8_t option[11] = { 0, 0, 41, 4, 0xd0, 1 }; /* BADVERS is 16: the upper bits are 1 */
	memcpy(reply + end, option, sizeof(option));
	packet_write16(reply + 10, 1);
	return end + sizeof(option);
}

/* The negative answer of a zone whose minimum is 60 s (RFC 2308, 5). */
static size_t put_negative(const uint8_t *query, uint8_t *reply, size_t end)
{
	uint8_t soa[22] = { 0 };
	packet_write32(soa + 18, 60);
	reply[3] = does(query, "nx") ? 0x83 : 0x80;
	packet_write16(reply + 8, 1);
	return end + put_record(reply + end, SOA, 300, soa, sizeof(soa));
}

static const uint8_t four[] = { 192, 0, 2, 1 }, other[] = { 192, 0, 2, 2 }, six[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };

static size_t put_alias(uint8_t *reply, size_t end, uint16_t type)
{
	static const uint8_t target[] = { 4, 'r', 'e', 'a', 'l', 0 };
	end += put_record(reply + end, CNAME, 100, target, sizeof(target));
	size_t name = end - sizeof(target);
	size_t record = type == A ? put_record(reply + end, A, 200, four, 4) : put_record(reply + end, AAAA, 200, six, 16);
	packet_write16(reply + end, (uint16_t)(0xc000 | name));
	packet_write16(reply + 6, 2);
	return end + record;
}

static size_t put_addresses(uint8_t *reply, size_t end, uint16_t type)
{
	packet_write16(reply + 6, type == A ? 2 : 1);
	if (type != A)
		return end + put_record(reply + end, AAAA, 30, six, 16);
	end += put_record(reply + end, A, 30, four, 4);
	return end + put_record(reply + end, A, 90, other, 4);
}

/* What a server does that gives no address of its own: fails, is lame, or cuts its answer short. 0: it does none of these. */
static size_t put_failure(const struct server *server, const uint8_t *query, uint8_t *reply, size_t end, bool by_tcp)
{
	if (does(query, "fail") || (does(query, "once") && server->queries <= 2))
		reply[3] = 0x82;
	else if (does(query, "lame") && !server->is_of_all)
		reply[3] = 0;
	else if (does(query, "long") && !by_tcp)
		reply[2] |= 0x02;
	else
		return 0;
	return end;
}

/* Behind the question, which is copied with what follows cut off. */
static size_t answer(struct server *server, const uint8_t *query, uint8_t *reply, bool by_tcp)
{
	size_t end = 12;

	while (query[end] != 0)
		end += query[end] + 1u;
	end += 5;
	uint16_t type = packet_read16(query + end - 4);
	memcpy(reply, query, end);
	reply[2] = 0x81;
	reply[3] = 0x80;
	memset(reply + 6, 0, 6);
	if (does(query, "nx") || (type == AAAA && does(query, "four")))
		return put_negative(query, reply, end);
	size_t refusal = has_edns(query) ? refuse_edns(query, reply, end) : 0;
	if (refusal != 0)
		return refusal;
	if (query[13] == 't' && query[14] == 'u')
		return put_links(query, reply, end, type);
	if (does(query, "cut")) { /* with what fits */
		reply[2] |= 0x02;
		return put_links((const uint8_t *)"            \3x-0", reply, end, type);
	}
	size_t failure = put_failure(server, query, reply, end, by_tcp);
	if (failure != 0)
		return failure;
	return does(query, "alias") ? put_alias(reply, end, type) : put_addresses(reply, end, type);
}

static void on_query(void *owner, const struct netstack_endpoint *from, const uint8_t *query, size_t length)
{
	struct server *server = owner;
	uint8_t reply[512];

	assert_in_range(length, 17, 512);
	if (server->queries < 256) {
		server->ids[server->queries] = packet_read16(query);
		server->ports[server->queries] = from->port;
	}
	server->queries++;
	server->plain_queries += !has_edns(query);
	if (does(query, "silent") || (does(query, "slow") && type_asked(query) == AAAA) || (does(query, "six") && type_asked(query) == A) ||
	    (does(query, "drops") && has_edns(query)))
		return;
	size_t size = answer(server, query, reply, false);
	if (does(query, "forged")) { /* three that must not be believed, then the true one */
		uint8_t forged[512];
		memcpy(forged, reply, size);
		forged[1] ^= 1;
		forged[size - 1] = 66;
		assert_int_equal(netstack_flow_send(server->flow, from, forged, size, link_now(server->link)), 0);
		forged[1] ^= 1;
		forged[14] ^= 1;
		assert_int_equal(netstack_flow_send(server->flow, from, forged, size, link_now(server->link)), 0);
		forged[14] ^= 1;
		forged[2] = 0x01;
		assert_int_equal(netstack_flow_send(server->flow, from, forged, size, link_now(server->link)), 0);
	}
	assert_int_equal(netstack_flow_send(server->flow, from, reply, size, link_now(server->link)), 0);
}

static void ignore(void *owner)
{
	(void)owner;
}

static void ignore_bytes(void *owner, size_t bytes)
{
	(void)owner;
	(void)bytes;
}

static void ignore_end(void *owner, enum netstack_error why)
{
	(void)why;
	((struct server *)owner)->stream = NULL;
}

static void on_bytes(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct server *server = owner;

	assert_int_equal(count, 1);
	netstack_stream_consumed(server->stream, length, link_now(server->link));
	server->tcp_queries++;
	if (server->is_silent_by_tcp)
		return;
	size_t size = answer(server, (const uint8_t *)parts[0].iov_base + 2, server->reply + 2, true);
	packet_write16(server->reply, (uint16_t)size);
	assert_int_equal(netstack_stream_write(server->stream, server->reply, 2 + size, link_now(server->link)), 2 + size);
}

static void accept_query(void *owner, struct netstack_stream *stream)
{
	static const struct netstack_stream_events events = { ignore, on_bytes, ignore, ignore_bytes, ignore_end };
	struct server *server = owner;

	server->stream = stream;
	netstack_stream_set_owner(stream, &events, server);
}

/* --- the client --- */

struct asker {
	unsigned count;
	enum netstack_name_error error;
	struct netstack_endpoint addresses[16];
	size_t address_count;
	bool more;
	uint64_t at;
	struct link *link;
};

static void on_answer(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count, bool more)
{
	struct asker *asker = owner;

	asker->count++;
	asker->error = error;
	asker->address_count = count;
	asker->more = more;
	asker->at = link_now(asker->link);
	for (size_t i = 0; i < count; i++)
		asker->addresses[i] = addresses[i];
}

struct scene {
	struct link *link;
	struct server server;
	struct netstack_resolver *resolver;
	struct asker asker;
	struct netstack_query *query;
};

static void open_scene(struct scene *scene)
{
	static const struct link_profile good = { .rate = 100e6, .delay = 5 * MS, .queue = 50 * MS };
	struct netstack_endpoint at = link_address(1, AF_INET, 53);

	*scene = (struct scene){ .link = link_create(1, 64 << 20) };
	link_set(scene->link, &good);
	scene->server.link = scene->asker.link = scene->link;
	struct netstack *there = link_side(scene->link, 1)->stack;
	assert_int_equal(netstack_flow_open(there, &at, on_query, &scene->server, &scene->server.flow), 0);
	assert_int_equal(netstack_listen(there, &at, accept_query, &scene->server, &scene->server.listener), 0);
	assert_int_equal(netstack_resolver_create(&scene->resolver, link_side(scene->link, 0)->stack, &at, 1), 0);
}

static void close_scene(struct scene *scene)
{
	netstack_resolver_free(scene->resolver);
	link_free(scene->link);
}

static void ask(struct scene *scene, const char *name)
{
	scene->asker.count = 0;
	netstack_resolve(scene->resolver, name, on_answer, &scene->asker, link_now(scene->link), &scene->query);
}

static void pass(struct scene *scene, uint64_t time)
{
	link_run(scene->link, link_now(scene->link) + time, NULL, NULL);
}

static void takes_the_families_in_turn(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	ask(&scene, "Both.Example.");
	assert_int_equal(scene.asker.count, 0);
	assert_non_null(scene.query);
	pass(&scene, SECOND);
	assert_in_range(scene.asker.count, 1, 2);
	assert_int_equal(scene.asker.error, NETSTACK_NAME_OK);
	assert_false(scene.asker.more);
	ask(&scene, "both.example"); /* from the cache, all at once */
	assert_int_equal(scene.asker.count, 1);
	assert_null(scene.query);
	assert_int_equal(scene.asker.address_count, 3);
	assert_int_equal(scene.asker.addresses[0].family, AF_INET6);
	assert_int_equal(scene.asker.addresses[1].family, AF_INET);
	assert_int_equal(scene.asker.addresses[2].family, AF_INET);
	assert_int_equal(scene.server.queries, 2);
	pass(&scene, 31 * SECOND); /* the least TTL has passed */
	ask(&scene, "both.example");
	assert_int_equal(scene.asker.count, 0);
	pass(&scene, SECOND);
	assert_int_equal(scene.server.queries, 4);
	ask(&scene, "both.example");
	assert_int_equal(scene.server.queries, 4);
	netstack_resolve_anew(scene.resolver, "both.example", on_answer, &scene.asker, link_now(scene.link), &scene.query);
	pass(&scene, SECOND);
	assert_int_equal(scene.server.queries, 6);
	assert_int_equal(netstack_deadline(link_side(scene.link, 0)->stack), NETSTACK_NEVER);
	close_scene(&scene);
}

static void does_not_wait_long_for_the_second_family(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	uint64_t begin = link_now(scene.link);
	ask(&scene, "slow.example");
	pass(&scene, 100 * MS);
	assert_int_equal(scene.asker.count, 1);
	assert_true(scene.asker.more);
	assert_int_equal(scene.asker.address_count, 2);
	assert_in_range(scene.asker.at - begin, 60 * MS, 62 * MS);
	pass(&scene, 11 * SECOND);
	assert_int_equal(scene.asker.count, 2);
	assert_false(scene.asker.more);
	assert_int_equal(scene.asker.address_count, 0);
	close_scene(&scene);
}

static void remembers_what_is_not_there(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	ask(&scene, "nx.example");
	pass(&scene, SECOND);
	assert_int_equal(scene.asker.count, 1);
	assert_int_equal(scene.asker.error, NETSTACK_NAME_NOT_FOUND);
	ask(&scene, "nx.example");
	assert_int_equal(scene.asker.count, 1);
	assert_int_equal(scene.server.queries, 2);
	pass(&scene, 61 * SECOND); /* the SOA's minimum */
	ask(&scene, "nx.example");
	pass(&scene, SECOND);
	assert_int_equal(scene.server.queries, 4);
	ask(&scene, "four.example");
	pass(&scene, SECOND);
	assert_int_equal(scene.asker.error, NETSTACK_NAME_OK);
	assert_int_equal(scene.asker.address_count, 2);
	close_scene(&scene);
}

static void follows_an_alias(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	ask(&scene, "alias.example");
	pass(&scene, SECOND);
	ask(&scene, "alias.example");
	assert_int_equal(scene.asker.error, NETSTACK_NAME_OK);
	assert_int_equal(scene.asker.address_count, 2);
	assert_int_equal(scene.asker.addresses[1].bytes[3], 1);
	close_scene(&scene);
}

static void asks_again_by_tcp(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	ask(&scene, "long.example");
	size_t most = 0;
	for (int i = 0; i < 2000; i++) {
		pass(&scene, MS);
		most = netstack_memory_used() > most ? netstack_memory_used() : most;
	}
	assert_int_equal(scene.asker.error, NETSTACK_NAME_OK);
	assert_in_range(scene.server.tcp_queries, 2, 2);
	assert_in_range(most, 65537, SIZE_MAX); /* the room for a long answer is the budget's (P6) */
	assert_int_equal(netstack_memory_used(), 0);
	assert_int_equal(netstack_stream_count(link_side(scene.link, 0)->stack), 0);
	close_scene(&scene);
}

static void believes_no_stranger(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	ask(&scene, "forged.example");
	pass(&scene, SECOND);
	ask(&scene, "forged.example");
	assert_int_equal(scene.asker.address_count, 3);
	assert_int_equal(scene.asker.addresses[1].bytes[3], 1);
	assert_int_equal(scene.asker.addresses[2].bytes[3], 2);
	close_scene(&scene);
}

static void gives_up_in_time(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	uint64_t begin = link_now(scene.link);
	ask(&scene, "silent.example");
	pass(&scene, 20 * SECOND);
	assert_int_equal(scene.asker.count, 1);
	assert_int_equal(scene.asker.error, NETSTACK_NAME_TIMED_OUT);
	assert_in_range(scene.asker.at - begin, 9 * SECOND, 11 * SECOND);
	ask(&scene, "fail.example");
	pass(&scene, 20 * SECOND);
	assert_int_equal(scene.asker.error, NETSTACK_NAME_FAILED);
	close_scene(&scene);
}

static void goes_to_the_next_server(void **state)
{
	struct scene scene;
	struct netstack_endpoint servers[2];

	(void)state;
	open_scene(&scene);
	servers[0] = link_address(1, AF_INET, 54); /* nobody: an ICMP error says so at once */
	servers[1] = link_address(1, AF_INET, 0);  /* port 53 is understood */
	struct netstack_servers others;
	assert_int_equal(netstack_servers_copy(&others, servers, 2), 0);
	netstack_resolver_swap_servers(scene.resolver, &others);
	free(others.list);
	ask(&scene, "both.example");
	pass(&scene, 100 * MS);
	assert_int_equal(scene.asker.error, NETSTACK_NAME_OK);
	assert_int_equal(netstack_servers_copy(&others, NULL, 0), 0);
	netstack_resolver_swap_servers(scene.resolver, &others);
	free(others.list);
	ask(&scene, "both.example");
	assert_int_equal(scene.asker.error, NETSTACK_NAME_NO_SERVER);
	close_scene(&scene);
}

static void use_servers(struct scene *scene, const struct netstack_endpoint *servers, size_t count)
{
	struct netstack_servers others;

	assert_int_equal(netstack_servers_copy(&others, servers, count), 0);
	netstack_resolver_swap_servers(scene->resolver, &others);
	free(others.list);
}

/* A server that no packet can be sent to costs no time, and without another one the lookup ends at once. */
static void skips_a_server_that_cannot_be_reached(void **state)
{
	struct scene scene;
	struct netstack_endpoint servers[2];

	(void)state;
	open_scene(&scene);
	servers[0] = link_address(1, AF_INET, 99);
	servers[1] = link_address(1, AF_INET, 53);
	link_side(scene.link, 0)->unreached_port = 99;
	use_servers(&scene, servers, 2);
	ask(&scene, "both.example");
	pass(&scene, 100 * MS);
	assert_int_equal(scene.asker.error, NETSTACK_NAME_OK);
	use_servers(&scene, servers, 1);
	ask(&scene, "other.example");
	assert_int_equal(scene.asker.count, 1);
	assert_int_equal(scene.asker.error, NETSTACK_NAME_NO_SERVER);
	/* It may be reached later: a peer was heard from. */
	link_side(scene.link, 0)->unreached_port = 0;
	servers[0].port = 53;
	use_servers(&scene, servers, 1);
	ask(&scene, "other.example");
	pass(&scene, 100 * MS);
	assert_int_equal(scene.asker.error, NETSTACK_NAME_OK);
	close_scene(&scene);
}

static void on_lost_query(void *owner, const struct netstack_endpoint *from, const uint8_t *query, size_t length)
{
	(void)from;
	(void)query;
	(void)length;
	++*(unsigned *)owner;
}

/* Servers that never answer, and the good one behind them. */
static void put_dead_before_good(struct scene *scene, unsigned *lost, size_t dead_count)
{
	struct netstack_endpoint servers[8];
	struct netstack_flow *flow;

	for (size_t i = 0; i < dead_count; i++) {
		servers[i] = link_address(1, AF_INET, (uint16_t)(5300 + i));
		assert_int_equal(netstack_flow_open(link_side(scene->link, 1)->stack, &servers[i], on_lost_query, lost, &flow), 0);
	}
	servers[dead_count] = link_address(1, AF_INET, 53);
	use_servers(scene, servers, dead_count + 1);
}

static uint64_t time_to_answer(struct scene *scene, const char *name)
{
	uint64_t begin = link_now(scene->link);

	ask(scene, name);
	pass(scene, 12 * SECOND);
	assert_int_equal(scene->asker.error, NETSTACK_NAME_OK);
	return scene->asker.at - begin;
}

static void the_family_that_came_is_used_at_once(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	ask(&scene, "six.example");
	pass(&scene, 15 * MS);
	assert_int_equal(scene.asker.count, 1);
	assert_int_equal(scene.asker.addresses[0].family, AF_INET6);
	close_scene(&scene);
}

static void remembers_which_family_works(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	time_to_answer(&scene, "both.example");
	netstack_resolver_prefer(scene.resolver, AF_INET, link_now(scene.link));
	ask(&scene, "both.example");
	assert_int_equal(scene.asker.addresses[0].family, AF_INET);
	assert_int_equal(scene.asker.addresses[1].family, AF_INET6);
	/* And is not made to wait for the other. */
	ask(&scene, "slow.example");
	pass(&scene, 15 * MS);
	assert_int_equal(scene.asker.count, 1);
	netstack_query_cancel(scene.query);
	netstack_resolver_prefer(scene.resolver, AF_INET6, link_now(scene.link));
	ask(&scene, "both.example");
	assert_int_equal(scene.asker.addresses[0].family, AF_INET6);
	netstack_resolver_prefer(scene.resolver, AF_INET, link_now(scene.link));
	pass(&scene, 601 * SECOND);
	time_to_answer(&scene, "both.example");
	ask(&scene, "both.example");
	assert_int_equal(scene.asker.addresses[0].family, AF_INET6);
	close_scene(&scene);
}

static void remembers_which_server_answers(void **state)
{
	struct scene scene;
	unsigned lost = 0;

	(void)state;
	open_scene(&scene);
	put_dead_before_good(&scene, &lost, 2);
	assert_in_range(time_to_answer(&scene, "a.example"), SECOND, 1100 * MS);
	assert_int_equal(lost, 4);
	assert_in_range(time_to_answer(&scene, "b.example"), 0, 70 * MS);
	assert_int_equal(lost, 4);
	pass(&scene, 601 * SECOND); /* then those before it get their chance again */
	assert_in_range(time_to_answer(&scene, "c.example"), SECOND, 1100 * MS);
	close_scene(&scene);
	open_scene(&scene);
	put_dead_before_good(&scene, &lost, 7); /* as many as a tunnel can have */
	assert_in_range(time_to_answer(&scene, "a.example"), 3500 * MS, 3600 * MS);
	close_scene(&scene);
}

/* What was known of the servers before is not believed of the new ones, and what those answer late is not kept. */
static void other_servers_are_strangers(void **state)
{
	struct scene scene;
	struct netstack_endpoint good = link_address(1, AF_INET, 53);
	unsigned lost = 0;

	(void)state;
	open_scene(&scene);
	put_dead_before_good(&scene, &lost, 1);
	time_to_answer(&scene, "formerr.example");
	ask(&scene, "late.example");
	use_servers(&scene, &good, 1);
	unsigned plain = scene.server.plain_queries;
	pass(&scene, 2 * SECOND);
	assert_int_equal(scene.asker.error, NETSTACK_NAME_OK);
	unsigned before = scene.server.queries;
	time_to_answer(&scene, "late.example");
	assert_int_equal(scene.server.queries, before + 2);
	assert_int_equal(scene.server.plain_queries, plain + 2); /* of the one that ran with the old ones */
	close_scene(&scene);
}

static void servers_without_edns_are_asked_without(void **state)
{
	static const char *const names[] = { "formerr.example", "bare.example",     "notimp.example", "badvers.example",
		                             "refused.example", "servfail.example", "drops.example" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct scene scene;
		open_scene(&scene);
		uint64_t took = time_to_answer(&scene, names[i]);
		assert_in_range(took, 0, i < 6 ? 100 * MS : 1100 * MS);
		assert_int_equal(scene.server.queries, 4);
		assert_int_equal(scene.server.plain_queries, 2);
		/* Remembered: */
		assert_in_range(time_to_answer(&scene, "other.example"), 0, 70 * MS);
		assert_int_equal(scene.server.queries, 6);
		assert_int_equal(scene.server.plain_queries, 4);
		pass(&scene, 601 * SECOND);
		time_to_answer(&scene, "third.example");
		assert_int_equal(scene.server.plain_queries, 4);
		close_scene(&scene);
	}
}

/* As the C library does: a failure may be of the moment. */
static void a_server_that_fails_is_asked_again(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	assert_in_range(time_to_answer(&scene, "once.example"), 0, 100 * MS);
	assert_int_equal(scene.server.queries, 4);
	uint64_t begin = link_now(scene.link);
	ask(&scene, "fail.example");
	pass(&scene, 12 * SECOND);
	assert_int_equal(scene.asker.error, NETSTACK_NAME_FAILED);
	assert_in_range(scene.asker.at - begin, 0, 100 * MS);
	assert_int_equal(scene.server.queries, 8);
	close_scene(&scene);
}

/* It says neither that the name is missing nor that it would look: the next one may know. */
static void a_lame_server_does_not_hide_the_next(void **state)
{
	struct scene scene;
	struct server second = { 0 };
	struct netstack_endpoint servers[2];

	(void)state;
	open_scene(&scene);
	servers[0] = link_address(1, AF_INET, 53);
	servers[1] = link_address(1, AF_INET, 54);
	second.link = scene.link;
	second.is_of_all = true;
	assert_int_equal(netstack_flow_open(link_side(scene.link, 1)->stack, &servers[1], on_query, &second, &second.flow), 0);
	use_servers(&scene, servers, 2);
	assert_in_range(time_to_answer(&scene, "lame.example"), 0, 100 * MS);
	assert_true(second.queries > 0);
	close_scene(&scene);
}

static void aliases_come_in_any_order(void **state)
{
	static const struct {
		const char *name;
		enum netstack_name_error error;
	} cases[] = {
		{ "turned-0a-a.example", NETSTACK_NAME_OK },
		{ "turned-a-0a.example", NETSTACK_NAME_OK },
		{ "turned-c-bc-ab-0a.example", NETSTACK_NAME_OK },
		{ "turned-bc-0a-c-ab.example", NETSTACK_NAME_OK },
		{ "turned-x-0a-a.example", NETSTACK_NAME_OK }, /* a stranger's address is not taken */
		{ "turned-x.example", NETSTACK_NAME_NOT_FOUND },
		{ "turned-0a.example", NETSTACK_NAME_NOT_FOUND },    /* leads to a name that has none */
		{ "turned-0a-a0.example", NETSTACK_NAME_NOT_FOUND }, /* "0" is a name here */
		{ "turned-0a-ab-ba.example", NETSTACK_NAME_FAILED }, /* a circle */
		{ "turned-aa-0a.example", NETSTACK_NAME_FAILED },
		{ "turned-0a-ab-bc-cd-de-ef-fg-gh-h.example", NETSTACK_NAME_OK },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scene scene;
		open_scene(&scene);
		ask(&scene, cases[i].name);
		pass(&scene, SECOND);
		assert_int_equal(scene.asker.error, cases[i].error);
		for (size_t k = 0; k < scene.asker.address_count; k++)
			assert_int_equal(scene.asker.addresses[k].bytes[scene.asker.addresses[k].family == AF_INET ? 3 : 15], 7);
		close_scene(&scene);
	}
}

/* Eight of each family are tried, as the answer lists them; the rest would come too late to be of use. */
static void many_addresses_are_cut_to_eight(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	ask(&scene, "turned-0-0-0-0-0-0-0-0-0-0-0-0.example");
	pass(&scene, SECOND);
	ask(&scene, "turned-0-0-0-0-0-0-0-0-0-0-0-0.example");
	assert_int_equal(scene.asker.error, NETSTACK_NAME_OK);
	assert_int_equal(scene.asker.address_count, 16);
	close_scene(&scene);
}

static void a_slow_server_is_waited_for(void **state)
{
	static const uint64_t delays[] = { 2500, 4500, 9500 };

	(void)state;
	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		struct link_profile slow = { .rate = 100e6, .delay = delays[i] * MS / 2, .queue = 50 * MS };
		struct scene scene;
		open_scene(&scene);
		link_set(scene.link, &slow);
		assert_in_range(time_to_answer(&scene, "both.example"), delays[i] * MS, (delays[i] + 100) * MS);
		assert_in_range(scene.server.queries, 2, 8);
		close_scene(&scene);
	}
}

static void an_answer_cut_short_is_better_than_none(void **state)
{
	struct scene scene;
	uint64_t begin;

	(void)state;
	open_scene(&scene);
	netstack_listener_free(scene.server.listener);
	assert_in_range(time_to_answer(&scene, "cut.example"), 0, 100 * MS);
	assert_int_equal(scene.server.queries, 2);
	time_to_answer(&scene, "cut.example"); /* not kept */
	assert_int_equal(scene.server.queries, 4);
	begin = link_now(scene.link);
	ask(&scene, "long.example"); /* with nothing in it: the reason is the server's */
	pass(&scene, 12 * SECOND);
	assert_int_equal(scene.asker.error, NETSTACK_NAME_CUT_SHORT);
	assert_in_range(scene.asker.at - begin, 0, 100 * MS);
	assert_int_equal(scene.server.queries, 6);
	close_scene(&scene);
}

/* It takes the connection and says nothing: what came over UDP is used after two seconds, and when that is nothing, the reason is told. */
static void a_server_may_be_silent_over_tcp(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	scene.server.is_silent_by_tcp = true;
	assert_in_range(time_to_answer(&scene, "cut.example"), 2 * SECOND, 2 * SECOND + 100 * MS);
	assert_int_equal(scene.server.tcp_queries, 2);
	uint64_t begin = link_now(scene.link);
	unsigned queries = scene.server.queries;
	ask(&scene, "long.example");
	pass(&scene, 20 * SECOND);
	assert_int_equal(scene.asker.error, NETSTACK_NAME_CUT_SHORT);
	assert_in_range(scene.asker.at - begin, 0, 10 * SECOND + 100 * MS);
	assert_in_range(scene.server.queries - queries, 2, 16);
	assert_int_equal(scene.server.tcp_queries, 4);
	assert_int_equal(netstack_deadline(link_side(scene.link, 0)->stack), NETSTACK_NEVER);
	close_scene(&scene);
}

/* The next one is asked by TCP, too. */
static void a_server_that_is_silent_over_tcp_keeps_nobody_from_the_next(void **state)
{
	struct scene scene;
	struct server first;
	struct netstack_endpoint servers[] = { link_address(1, AF_INET, 54), link_address(1, AF_INET, 53) };

	(void)state;
	open_scene(&scene);
	struct netstack *there = link_side(scene.link, 1)->stack;
	first = (struct server){ .link = scene.link, .is_silent_by_tcp = true };
	assert_int_equal(netstack_flow_open(there, &servers[0], on_query, &first, &first.flow), 0);
	assert_int_equal(netstack_listen(there, &servers[0], accept_query, &first, &first.listener), 0);
	use_servers(&scene, servers, 2);
	assert_in_range(time_to_answer(&scene, "long.example"), 2 * SECOND, 3 * SECOND);
	assert_in_range(scene.server.tcp_queries, 1, 2);
	close_scene(&scene);
}

static void questions_are_bounded(void **state)
{
	static const char *const names[] = { "fail.example", "silent.example", "long.example", "turned-0a-ab-ba.example" };
	static const unsigned most[] = { 4, 8, 2, 4 };
	static const enum netstack_name_error errors[] = { NETSTACK_NAME_FAILED, NETSTACK_NAME_TIMED_OUT, NETSTACK_NAME_CUT_SHORT,
		                                           NETSTACK_NAME_FAILED };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct scene scene;
		open_scene(&scene);
		netstack_listener_free(scene.server.listener);
		ask(&scene, names[i]);
		pass(&scene, 20 * SECOND);
		assert_int_equal(scene.asker.error, errors[i]);
		assert_int_equal(scene.server.queries, most[i]);
		assert_int_equal(netstack_deadline(link_side(scene.link, 0)->stack), NETSTACK_NEVER);
		close_scene(&scene);
	}
}

static void refuses_what_is_no_name(void **state)
{
	static const char *const bad[] = { "",
		                           ".",
		                           "a..b",
		                           ".a",
		                           "a b",
		                           "a\\b",
		                           "b\303\274cher",
		                           "a/b",
		                           "a\nb",
		                           "0123456789012345678901234567890123456789012345678901234567890123.example" };
	struct scene scene;
	char name[300];

	(void)state;
	open_scene(&scene);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ask(&scene, bad[i]);
		assert_int_equal(scene.asker.count, 1);
		assert_int_equal(scene.asker.error, NETSTACK_NAME_BAD);
	}
	for (size_t length = 252; length < 257; length++) {
		memset(name, 'a', length);
		name[length] = '\0';
		for (size_t i = 50; i < length - 1; i += 50)
			name[i] = '.';
		ask(&scene, name);
		assert_int_equal(scene.asker.count, length > 253);
		netstack_query_cancel(length > 253 ? NULL : scene.query);
	}
	ask(&scene, "192.0.2.77");
	assert_int_equal(scene.asker.addresses[0].bytes[3], 77);
	ask(&scene, "2001:db8::77");
	assert_int_equal(scene.asker.addresses[0].family, AF_INET6);
	close_scene(&scene);
}

/* I4 */
static void ids_and_ports_cannot_be_guessed(void **state)
{
	struct scene scene;
	char name[] = "n000.example";
	unsigned near = 0;

	(void)state;
	open_scene(&scene);
	for (unsigned i = 0; i < 100; i++) {
		name[2] = (char)('0' + i / 10);
		name[3] = (char)('0' + i % 10);
		ask(&scene, name);
		pass(&scene, 200 * MS);
		assert_int_equal(scene.asker.error, NETSTACK_NAME_OK);
	}
	assert_int_equal(scene.server.queries, 200);
	for (unsigned i = 1; i < 200; i++)
		near += (uint16_t)(scene.server.ids[i] - scene.server.ids[i - 1]) < 16 ||
		        (uint16_t)(scene.server.ports[i] - scene.server.ports[i - 1]) < 16;
	assert_in_range(near, 0, 3);
	close_scene(&scene);
}

static void asks_once_for_many(void **state)
{
	struct asker askers[20] = { { 0 } };
	struct scene scene;

	(void)state;
	open_scene(&scene);
	for (int i = 0; i < 20; i++) {
		struct netstack_query *query;
		askers[i].link = scene.link;
		netstack_resolve(scene.resolver, "both.example", on_answer, &askers[i], link_now(scene.link), &query);
		if (i % 5 == 4)
			netstack_query_cancel(query);
	}
	pass(&scene, SECOND);
	assert_int_equal(scene.server.queries, 2);
	for (int i = 0; i < 20; i++)
		assert_in_range(askers[i].count, i % 5 == 4 ? 0 : 1, i % 5 == 4 ? 0 : 2);
	ask(&scene, "silent.example"); /* and ends with its stack, whichever goes first */
	link_remove(scene.link, 0);
	assert_int_equal(scene.asker.count, 0);
	netstack_query_cancel(scene.query);
	close_scene(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_the_families_in_turn),
		cmocka_unit_test(does_not_wait_long_for_the_second_family),
		cmocka_unit_test(remembers_what_is_not_there),
		cmocka_unit_test(follows_an_alias),
		cmocka_unit_test(asks_again_by_tcp),
		cmocka_unit_test(a_server_may_be_silent_over_tcp),
		cmocka_unit_test(a_server_that_is_silent_over_tcp_keeps_nobody_from_the_next),
		cmocka_unit_test(believes_no_stranger),
		cmocka_unit_test(gives_up_in_time),
		cmocka_unit_test(skips_a_server_that_cannot_be_reached),
		cmocka_unit_test(a_server_that_fails_is_asked_again),
		cmocka_unit_test(a_lame_server_does_not_hide_the_next),
		cmocka_unit_test(goes_to_the_next_server),
		cmocka_unit_test(the_family_that_came_is_used_at_once),
		cmocka_unit_test(remembers_which_family_works),
		cmocka_unit_test(remembers_which_server_answers),
		cmocka_unit_test(other_servers_are_strangers),
		cmocka_unit_test(servers_without_edns_are_asked_without),
		cmocka_unit_test(aliases_come_in_any_order),
		cmocka_unit_test(many_addresses_are_cut_to_eight),
		cmocka_unit_test(a_slow_server_is_waited_for),
		cmocka_unit_test(an_answer_cut_short_is_better_than_none),
		cmocka_unit_test(questions_are_bounded),
		cmocka_unit_test(refuses_what_is_no_name),
		cmocka_unit_test(ids_and_ports_cannot_be_guessed),
		cmocka_unit_test(asks_once_for_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
