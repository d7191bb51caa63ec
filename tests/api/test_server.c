/* The API over real sockets on loopback, against the fake service: the checks before a handler, and the routes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/route.h"
#include "api_fixture.h"

static struct fixture fixture;

static int set_up(void **state)
{
	(void)state;
	fixture_start(&fixture, false);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_stop(&fixture);
	return 0;
}

static void expect(struct reply reply, int status, const char *in_body)
{
	if (reply.status != status || (in_body != NULL && strstr(reply.body, in_body) == NULL))
		fail_msg("wanted %d with %s, got %d: %s", status, in_body ? in_body : "anything", reply.status, reply.body ? reply.body : "");
	reply_clear(&reply);
}

static const char minimal[] = "{\"id\":\"a\",\"labels\":{\"pool\":\"eu\"},\"spec\":{\"interface\":{\"private_key\":\"" FAKE_PRIVATE_KEY
			      "\"},\"peers\":[{\"public_key\":\"" FAKE_PEER_KEY "\"}]}}";

/* The path of a route with something in place of its parameters. */
static void fill_path(const char *path, char out[128])
{
	size_t at = 0;
	for (const char *c = path; *c; c++) {
		if (*c == '{') {
			c = strchr(c, '}');
			out[at++] = 'x';
		} else {
			out[at++] = *c;
		}
	}
	out[at] = '\0';
}

static void a1_every_route_wants_a_token_of_its_scope(void **state)
{
	(void)state;
	char longest[300];
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	const char *const wrong[] = { NULL, "", "short", "token-of-nobody-000000000000000000000000000", longest };
	for (size_t i = 0; i < api_route_count(); i++) {
		const struct api_route *route = api_route_at(i);
		char path[128];
		fill_path(route->path, path);
		for (size_t w = 0; w < 5 && route->scope != SCOPE_NONE; w++)
			expect(fixture_ask_as(&fixture, wrong[w], route->method, path, JSON, "{}"), 401, "The first one is in admin.token");
		bool depends = strcmp(path, "/readyz") == 0 || strstr(path, "/pac") != NULL || strcmp(route->path, "/page/{file}") == 0;
		if (route->scope == SCOPE_NONE && !depends)
			expect(fixture_ask_as(&fixture, NULL, route->method, path, "", ""), 200, NULL);
		if (route->scope == SCOPE_ADMIN)
			expect(fixture_ask_as(&fixture, FAKE_WRITE_TOKEN, route->method, path, JSON, "{}"), 403, "\"code\":\"forbidden\"");
		if (route->scope == SCOPE_WRITE)
			expect(fixture_ask_as(&fixture, FAKE_READ_TOKEN, route->method, path, JSON, "{}"), 403, "\"code\":\"forbidden\"");
		if (route->scope == SCOPE_READ)
			expect(fixture_ask_as(&fixture, FAKE_METRICS_TOKEN, route->method, path, "", ""), 403, "\"code\":\"forbidden\"");
	}
	expect(fixture_ask_as(&fixture, NULL, "GET", "/page/main.js", "", ""), 200, "import");
	expect(fixture_ask_as(&fixture, NULL, "GET", "/page/none.js", "", ""), 404, NULL);
	/* Only the file of a pool without users is public, and whether there is a pool is not. */
	expect(fixture_ask_as(&fixture, NULL, "GET", "/v1/pools/p/pac", "", ""), 401, "public only if");
	expect(fixture_ask_as(&fixture, FAKE_METRICS_TOKEN, "GET", "/v1/pools/p/pac", "", ""), 403, "public only if");
	expect(fixture_ask_as(&fixture, FAKE_READ_TOKEN, "GET", "/v1/pools/p/pac", "", ""), 404, "no pool");
	struct reply reply = fixture_ask_as(&fixture, NULL, "GET", "/v1/tunnels", "", "");
	assert_true(reply_has_header(&reply, "WWW-Authenticate: Bearer realm=\"warren\""));
	reply_clear(&reply);
	expect(fixture_ask_as(&fixture, FAKE_METRICS_TOKEN, "GET", "/metrics", "", ""), 200, "warren_build_info");
}

static void a_node_is_drained_by_itself(void **state)
{
	static const char *const self = "{\"id\":\"ams-1\",\"labels\":{\"region\":\"eu\"},\"capacity\":100,\"tunnels\":7,\"state\":\"ready\","
					"\"api\":\"https://ams-1:8470\",\"version\":\"0.1.0\",\"lease_expires_in\":13.5,\"is_self\":true}";
	(void)state;
	expect(fixture_ask(&fixture, "GET", "/v1/nodes", "", ""), 200, "\"id\":\"ams-2\"");
	expect(fixture_ask(&fixture, "GET", "/v1/nodes/ams-1", "", ""), 200, self);
	expect(fixture_ask(&fixture, "GET", "/v1/nodes/ams-9", "", ""), 404, "no such node");
	expect(fixture_ask(&fixture, "PATCH", "/v1/nodes/ams-1", JSON, "{\"draining\":true}"), 200, "\"state\":\"draining\"");
	expect(fixture_ask(&fixture, "PATCH", "/v1/nodes/ams-1", JSON, "{\"draining\":1}"), 422, "/draining");
	expect(fixture_ask(&fixture, "PATCH", "/v1/nodes/ams-1", JSON, "{}"), 422, "required");
	expect(fixture_ask(&fixture, "PATCH", "/v1/nodes/ams-2", JSON, "{\"draining\":true}"), 503, "lost");
	struct reply reply = fixture_ask(&fixture, "PATCH", "/v1/nodes/ams-3?x=1", JSON, "{\"draining\":true}");
	assert_int_equal(reply.status, 400);
	reply_clear(&reply);
	reply = fixture_ask(&fixture, "PATCH", "/v1/nodes/ams-3", JSON, "{\"draining\":true}");
	assert_int_equal(reply.status, 307);
	assert_true(reply_has_header(&reply, "Location: https://ams-3:8470/v1/nodes/ams-3"));
	reply_clear(&reply);
}

static void a1_secrets_need_admin(void **state)
{
	(void)state;
	fake_service_add(fixture.service, "a", "eu", 1, 1);
	expect(fixture_ask_as(&fixture, FAKE_READ_TOKEN, "DELETE", "/v1/tunnels/a", "", ""), 403, "needs the scope write; the token has read.");
	expect(fixture_ask(&fixture, "PATCH", "/v1/tunnels", JSON, "{}"), 405, "supports GET, HEAD, POST, DELETE only.");
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels?label=x", "Content-Type: text/plain\r\n", "[Interface]\n"), 400, "form label=KEY=VALUE");
	expect(fixture_ask_as(&fixture, FAKE_WRITE_TOKEN, "GET", "/v1/state?include_secrets=true", "", ""), 403, NULL);
	expect(fixture_ask_as(&fixture, FAKE_WRITE_TOKEN, "GET", "/v1/tunnels/a/config?include_secrets=true", "", ""), 403, NULL);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels/a/config?include_secrets=true", "", ""), 200, FAKE_PRIVATE_KEY);
	expect(fixture_ask(&fixture, "GET", "/v1/state?include_secrets=true", "", ""), 200, FAKE_PRIVATE_KEY);
}

static void a1_token_file_is_the_owners_alone(void **state)
{
	(void)state;
	char path[128];
	struct stat at;
	snprintf(path, sizeof(path), "%s/admin.token", fixture.state_dir);
	assert_int_equal(stat(path, &at), 0);
	assert_int_equal(at.st_mode & 0777, 0600);
	snprintf(path, sizeof(path), "%s/api.sock", fixture.state_dir);
	assert_int_equal(stat(path, &at), 0);
	assert_int_equal(at.st_mode & 0777, 0600);
}

static void a2_foreign_hosts_and_origins_are_refused(void **state)
{
	(void)state;
	static const char rebound[] = "GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n";
	expect(fixture_raw(&fixture, rebound, sizeof(rebound) - 1), 421, "\"code\":\"misdirected\"");
	static const char absolute[] = "GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
	expect(fixture_raw(&fixture, absolute, sizeof(absolute) - 1), 421, NULL);
	static const char local[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
	expect(fixture_raw(&fixture, local, sizeof(local) - 1), 200, NULL);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels", "Origin: https://evil.example\r\n", ""), 403, "\"code\":\"forbidden\"");
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels", "Origin: null\r\n", ""), 403, NULL);
	char own[64];
	snprintf(own, sizeof(own), "Origin: http://127.0.0.1:%u\r\n", fixture.port);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels", own, ""), 200, NULL);
	struct reply preflight =
	    fixture_ask(&fixture, "OPTIONS", "/v1/tunnels", "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n", "");
	assert_int_equal(preflight.status, 403);
	assert_null(strcasestr(preflight.head, "Access-Control-Allow"));
	reply_clear(&preflight);
}

static void a2_only_known_media_types(void **state)
{
	(void)state;
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels", "", minimal), 415, "\"code\":\"unsupported_media_type\"");
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels", "Content-Type: application/x-www-form-urlencoded\r\n", minimal), 415, NULL);
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels", "Content-Type: application/jsonp\r\n", minimal), 415, NULL);
	expect(fixture_ask(&fixture, "POST", "/v1/batch", "Content-Type: text/plain\r\n", "{}"), 415, NULL);
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels", "Content-Type: application/JSON; charset=utf-8\r\n", minimal), 201, NULL);
}

static void a3_bad_json_is_400(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"{",
		"nul",
		"{\"a\":1,\"a\":2}",
		"{\"a\":1e999}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":\"\\u0000\"}",
		"{\"a\":\"\xff\"}",
		"{}x",
		"{\"a\":99999999999999999999}",
		"{\"" FAKE_PRIVATE_KEY "\":}",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct reply reply = fixture_ask(&fixture, "POST", "/v1/tunnels", JSON, bad[i]);
		assert_null(strstr(reply.body, FAKE_PRIVATE_KEY));
		expect(reply, 400, "\"code\":\"invalid_json\"");
	}
	char deep[4001];
	memset(deep, '[', 2000);
	memset(deep + 2000, ']', 2000);
	deep[4000] = '\0';
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels", JSON, deep), 400, "\"code\":\"invalid_json\"");
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels", JSON, "[]"), 422, "wrong_type");
}

static void a3_large_bodies_are_413(void **state)
{
	(void)state;
	size_t length = 5u << 20;
	char *body = malloc(length + 1);
	memset(body, ' ', length);
	body[length] = '\0';
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels", JSON, body), 413, "\"code\":\"body_too_large\"");
	/* Without a length it is counted as it comes. */
	int descriptor = fixture_connect(&fixture);
	char head[512];
	int head_length =
	    snprintf(head, sizeof(head),
	             "POST /v1/tunnels HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n" JSON "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
	             fixture.admin_token, length);
	fixture_write(descriptor, head, (size_t)head_length);
	fixture_write(descriptor, body, length);
	fixture_write(descriptor, "\r\n0\r\n\r\n", 7);
	expect(fixture_read(descriptor, false), 413, "\"code\":\"body_too_large\"");
	close(descriptor);
	/* One that says so before it writes is told before it writes. */
	head_length = snprintf(head, sizeof(head),
	                       "PUT /v1/state HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n" JSON
	                       "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
	                       fixture.admin_token);
	expect(fixture_raw(&fixture, head, (size_t)head_length), 413, NULL);
	free(body);
}

static void a4_faults_come_with_their_pointer(void **state)
{
	(void)state;
	struct reply reply = fixture_ask(&fixture, "POST", "/v1/tunnels", JSON, "{\"spec\":{\"nonsense\":1}}");
	assert_int_equal(reply.status, 422);
	assert_true(reply_has_header(&reply, "Content-Type: application/problem+json"));
	assert_non_null(strstr(reply.body, "{\"pointer\":\"/spec/interface/private_key\",\"code\":\"required\""));
	assert_non_null(strstr(reply.body, "{\"pointer\":\"/spec/nonsense\",\"code\":\"unknown_member\""));
	const char *id = strcasestr(reply.head, "X-Request-Id: ");
	assert_non_null(id);
	char wanted[64];
	snprintf(wanted, sizeof(wanted), "\"request_id\":\"%.16s\"", id + 14);
	assert_non_null(strstr(reply.body, wanted));
	reply_clear(&reply);
	expect(fixture_ask(&fixture, "PUT", "/v1/tunnels/b", JSON, minimal), 422, "\"pointer\":\"/id\"");
	expect(fixture_ask(&fixture, "POST", "/v1/keys", JSON, "{\"preshared\":1,\"more\":2}"), 422, "/preshared");
	expect(fixture_ask(&fixture, "POST", "/v1/tokens", JSON, "{\"scopes\":[\"read\",\"root\"]}"), 422, "/scopes/1");
	expect(fixture_ask(&fixture, "POST", "/v1/batch", JSON, "{\"operations\":[{\"method\":\"GET\",\"path\":\"/v1/tunnels\"}]}"), 422,
	       "/operations/0/path");
}

static void a5_doubtful_framing_is_400_and_the_end(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
		"POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
		"GET /livez HTTP/1.1\r\n\r\n",
		"POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: +2\r\n\r\n{}",
		"POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x2\r\n\r\n{}",
		"POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
		"POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551616\r\n\r\n{}",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int descriptor = fixture_connect(&fixture);
		fixture_write(descriptor, bad[i], strlen(bad[i]));
		struct reply reply = fixture_read(descriptor, false);
		if (reply.status != 400 && reply.status != 413)
			fail_msg("%s: %d", bad[i], reply.status);
		/* The library writes the head of its own refusals twice; what counts is that the connection ends. */
		char rest[512];
		ssize_t got;
		do
			got = recv(descriptor, rest, sizeof(rest), 0);
		while (got > 0);
		assert_true(got == 0 || errno == ECONNRESET);
		reply_clear(&reply);
		close(descriptor);
	}
}

static void a5_paths_are_decoded_by_segment(void **state)
{
	(void)state;
	fake_service_add(fixture.service, "a", "eu", 1, 1);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels/a", "", ""), 200, NULL);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels/%61", "", ""), 200, NULL);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels/a%00b", "", ""), 400, NULL);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels%2Fa", "", ""), 404, NULL);
	expect(fixture_ask(&fixture, "DELETE", "/v1/tunnels/", "", ""), 404, NULL);
	expect(fixture_ask(&fixture, "DELETE", "/v1//tunnels", "", ""), 404, NULL);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels/../tunnels", "", ""), 404, NULL);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels/a", "", ""), 200, NULL);
}

static void a5_large_heads_are_431(void **state)
{
	(void)state;
	static const size_t sizes[] = { 17000, 40000 };
	for (size_t i = 0; i < 2; i++) {
		char *headers = malloc(sizes[i] + 16);
		strcpy(headers, "X-Filler: ");
		memset(headers + 10, 'x', sizes[i]);
		strcpy(headers + 10 + sizes[i], "\r\n");
		expect(fixture_ask(&fixture, "GET", "/livez", headers, ""), 431, i == 0 ? "\"status\":431" : NULL);
		free(headers);
	}
}

static void a6_keys_never_come_back(void **state)
{
	(void)state;
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels", JSON, minimal), 201, NULL);
	static const char *const paths[] = { "/v1/tunnels?view=full",
		                             "/v1/tunnels/a",
		                             "/v1/tunnels/a/status",
		                             "/v1/tunnels/a/stats",
		                             "/v1/tunnels/a/history",
		                             "/v1/tunnels/a/peers",
		                             "/v1/tunnels/a/config",
		                             "/v1/state",
		                             "/v1/stats",
		                             "/metrics",
		                             "/v1/tokens",
		                             "/v1/version" };
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct reply reply = fixture_ask(&fixture, "GET", paths[i], "", "");
		assert_int_equal(reply.status, 200);
		assert_null(strstr(reply.body, FAKE_PRIVATE_KEY));
		assert_null(strstr(reply.body, fixture.admin_token));
		assert_true(reply_has_header(&reply, "Cache-Control: no-store"));
		reply_clear(&reply);
	}
	struct reply twice = fixture_ask(&fixture, "POST", "/v1/tunnels", JSON, minimal);
	assert_null(strstr(twice.body, FAKE_PRIVATE_KEY));
	expect(twice, 409, "\"code\":\"tunnel_exists\"");
}

static void a_history_is_lists_of_the_same_length(void **state)
{
	(void)state;
	fake_service_add(fixture.service, "a", "eu", 1, 1);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels/a/history", "", ""), 200,
	       "{\"step\":10,\"since\":null,\"until\":null,\"throughput_sent\":[],\"throughput_received\":[],\"connections_open\":[],\"rtt_ms\":[]}");
	counter_set(&fake_service_counters(fixture.service, "a")->bytes_sent, 1);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels/a/history", "", ""), 200,
	       "{\"step\":10,\"since\":\"2023-11-14T22:13:20.000Z\",\"until\":\"2023-11-14T22:13:40.000Z\",\"throughput_sent\":[1000,0],"
	       "\"throughput_received\":[8000,0],\"connections_open\":[3,0],\"rtt_ms\":[null,12.345]}");
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels/b/history", "", ""), 404, NULL);
}

static void a8_lists_are_complete(void **state)
{
	(void)state;
	for (size_t i = 0; i < 250; i++) {
		char id[16];
		snprintf(id, sizeof(id), "t-%03zu", i);
		fake_service_add(fixture.service, id, i % 2 ? "eu" : "us", 1, 1);
	}
	fake_service_add(fixture.service, "wide", "eu", 255, 257);
	char path[160] = "/v1/tunnels?page_size=100", token[100] = "";
	size_t seen = 0, pages = 0;
	do {
		struct reply reply = fixture_ask(&fixture, "GET", path, "", "");
		assert_int_equal(reply.status, 200);
		for (const char *at = strstr(reply.body, "\"etag\""); at != NULL; at = strstr(at + 1, "\"etag\""))
			seen++;
		const char *next = strstr(reply.body, "\"next_page_token\":\"");
		assert_non_null(next);
		snprintf(token, sizeof(token), "%.*s", (int)strcspn(next + 19, "\""), next + 19);
		snprintf(path, sizeof(path), "/v1/tunnels?page_size=100&page_token=%s", token);
		reply_clear(&reply);
		pages++;
	} while (token[0]);
	assert_int_equal(seen, 251);
	assert_int_equal(pages, 3);
	struct reply reply = fixture_ask(&fixture, "GET", "/metrics", "", "");
	assert_non_null(strstr(reply.body, "10.0.1.0/32\"}")); /* the 257th allowed IP, last in its label */
	size_t peers = 0;
	for (const char *at = strstr(reply.body, "wireguard_sent_bytes_total{interface=\"wide\""); at != NULL;
	     at = strstr(at + 1, "wireguard_sent_bytes_total{interface=\"wide\""))
		peers++;
	assert_int_equal(peers, 255);
	reply_clear(&reply);
	expect(fixture_ask(&fixture, "DELETE", "/v1/tunnels?label=pool=us", "", ""), 200, "{\"deleted\":125}");
	expect(fixture_ask(&fixture, "DELETE", "/v1/tunnels?lable=pool=us", "", ""), 400, "\"code\":\"invalid_request\"");
	expect(fixture_ask(&fixture, "DELETE", "/v1/tunnels?label=pool!x", "", ""), 400, NULL);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels?page_size=1001", "", ""), 400, NULL);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels?state=upp", "", ""), 400, NULL);
	expect(fixture_ask(&fixture, "DELETE", "/v1/tunnels", "", ""), 200, "{\"deleted\":126}");
}

static void a9_health_answers_over_the_limit(void **state)
{
	(void)state;
	int crowd[256];
	for (size_t i = 0; i < 256; i++)
		crowd[i] = fixture_connect(&fixture);
	/* A reply to the last one means that all were accepted. */
	static const char live[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
	for (size_t i = 0; i < 256; i++) {
		fixture_write(crowd[i], live, sizeof(live) - 1);
		expect(fixture_read(crowd[i], false), 200, NULL);
	}
	struct reply health = fixture_raw(&fixture, live, sizeof(live) - 1);
	assert_true(reply_has_header(&health, "Connection: close"));
	expect(health, 200, "\"ok\"");
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels", "", ""), 429, "\"code\":\"too_many_requests\"");
	int operator= fixture_connect_unix(&fixture);
	static const char list[] = "GET /v1/tunnels HTTP/1.1\r\nHost: localhost\r\n\r\n";
	fixture_write(operator, list, sizeof(list) - 1);
	expect(fixture_read(operator, false), 200, "\"tunnels\":[]");
	close(operator);
	for (size_t i = 0; i < 256; i++)
		close(crowd[i]);
}

/* The control process itself, by a target that leads to the socket, or a worker: they would be the operator, without a token (P1). */
static void the_daemon_is_no_client_of_its_own(void **state)
{
	(void)state;
	static const char list[] = "GET /v1/tunnels HTTP/1.1\r\nHost: localhost\r\n\r\n";
	char byte;
	fake_service_own_everyone(fixture.service);
	int within = fixture_connect_unix(&fixture);
	fixture_write(within, list, sizeof(list) - 1);
	assert_true(read(within, &byte, 1) <= 0);
	close(within);
	/* TCP needs a token. */
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels", "", ""), 200, "\"tunnels\":[]");
}

static void routes_answer_as_the_contract_says(void **state)
{
	(void)state;
	struct reply reply = fixture_ask(&fixture, "POST", "/v1/tunnels", JSON, minimal);
	assert_int_equal(reply.status, 201);
	assert_true(reply_has_header(&reply, "Location: /v1/tunnels/a"));
	assert_true(reply_has_header(&reply, "ETag: \"1\""));
	assert_non_null(strstr(reply.body, "\"etag\":\"\\\"1\\\"\""));
	assert_non_null(strstr(reply.body, "\"applied\":\"created\""));
	assert_non_null(strstr(reply.body, "\"status\":{\"observed_generation\":1,\"state\":\"up\""));
	reply_clear(&reply);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels/b", "", ""), 404, "\"code\":\"not_found\"");
	reply = fixture_ask(&fixture, "HEAD", "/v1/tunnels/a", "", "");
	assert_int_equal(reply.status, 200);
	assert_true(reply_has_header(&reply, "ETag: \"1\""));
	reply_clear(&reply);
	expect(fixture_ask(&fixture, "PUT", "/v1/tunnels/c", JSON "If-None-Match: *\r\n", "{\"spec\":{}}"), 422, NULL);
	expect(fixture_ask(&fixture, "DELETE", "/v1/tunnels/a", "If-Match: \"9\"\r\n", ""), 412, "\"code\":\"precondition_failed\"");
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels/a/actions/reconnect", "", ""), 200, "\"id\":\"a\"");
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels/a/actions/probe", JSON, "{\"type\":\"ping\",\"target\":\"10.2.0.1\"}"), 200,
	       "{\"ok\":true,\"type\":\"ping\",\"target\":\"10.2.0.1\",\"sent\":3,\"received\":3,\"rtt_ms\":{\"min\":1.5,\"avg\":2.25,\"max\":3},");
	expect(fixture_ask(&fixture, "GET", "/v1/state", "", ""), 200, "{\"tunnels\":[{\"id\":\"a\",\"labels\":{\"pool\":\"eu\"},\"spec\":{");
	expect(fixture_ask(&fixture, "PUT", "/v1/state", JSON, "{\"tunnels\":[]}"), 200,
	       "{\"created\":0,\"changed\":0,\"unchanged\":0,\"deleted\":0}");
	reply = fixture_ask(&fixture, "PATCH", "/v1/tunnels", JSON, "{}");
	assert_int_equal(reply.status, 405);
	assert_true(reply_has_header(&reply, "Allow: GET, HEAD, POST, DELETE"));
	reply_clear(&reply);
	reply = fixture_ask(&fixture, "DELETE", "/v1/tunnels/a", "If-Match: \"1\"\r\n", "");
	assert_int_equal(reply.status, 204);
	reply_clear(&reply);
	expect(fixture_ask(&fixture, "DELETE", "/v1/tunnels/a", "", ""), 404, NULL);
}

static void peers_are_resources(void **state)
{
	(void)state;
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels", JSON, minimal), 201, NULL);
	static const char path[] = "/v1/tunnels/a/peers/xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg";
	struct reply reply = fixture_ask(&fixture, "PUT", path, JSON, "{\"bytes_sent\":7,\"last_handshake_at\":null}");
	assert_int_equal(reply.status, 201);
	assert_true(reply_has_header(&reply, "Location: /v1/tunnels/a/peers/xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg"));
	reply_clear(&reply);
	expect(fixture_ask(&fixture, "GET", path, "", ""), 200, "\"public_key\":\"" FAKE_PEER_KEY "\"");
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels/a/peers", "", ""), 200,
	       "\"last_handshake_at\":null,\"last_handshake_age\":null,\"bytes_sent\":0");
	expect(fixture_ask(&fixture, "PUT", path, JSON, "{}"), 200, "\"applied\":\"in_place\"");
	expect(fixture_ask(&fixture, "DELETE", path, "", ""), 204, NULL);
	expect(fixture_ask(&fixture, "GET", "/v1/tunnels/a/peers/short", "", ""), 404, NULL);
	expect(fixture_ask(&fixture, "PUT", "/v1/tunnels/a/peers/short", JSON, "{}"), 422, "/public_key");
}

static void wgquick_files_are_bodies(void **state)
{
	(void)state;
	static const char file[] = "[Interface]\nPrivateKey = x\nPostUp = y\n";
	struct reply reply = fixture_ask(&fixture, "POST", "/v1/tunnels?id=q&listen=127.0.0.1:0&label=pool=eu&wait=up&timeout=5",
	                                 "Content-Type: text/plain\r\n", file);
	assert_int_equal(reply.status, 201);
	assert_non_null(strstr(reply.body, "\"id\":\"q\",\"labels\":{\"pool\":\"eu\"}"));
	assert_non_null(strstr(reply.body, "\"warnings\":[{\"line\": 3") ? reply.body : strstr(reply.body, "\"warnings\":[{\"line\":3"));
	reply_clear(&reply);
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels", "Content-Type: text/plain\r\n", "nothing"), 422, "/line/1");
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels?id=x", JSON, minimal), 400, NULL);
	expect(fixture_ask(&fixture, "POST", "/v1/tunnels?wait=down", JSON, minimal), 400, NULL);
}

static void a_handshake_that_does_not_come_keeps_the_tunnel(void **state)
{
	(void)state;
	struct reply reply = fixture_ask(&fixture, "POST", "/v1/tunnels?wait=up&timeout=1", JSON,
	                                 "{\"id\":\"lone\",\"spec\":{\"interface\":{\"private_key\":\"" FAKE_PRIVATE_KEY "\"}}}");
	assert_int_equal(reply.status, 504);
	assert_non_null(strstr(reply.body, "\"code\":\"handshake_timeout\""));
	assert_non_null(strstr(reply.body, "\"tunnel\":{\"id\":\"lone\""));
	reply_clear(&reply);
}

static void batches_run_in_order(void **state)
{
	(void)state;
	char body[2048];
	snprintf(body, sizeof(body),
	         "{\"operations\":[{\"method\":\"POST\",\"path\":\"/v1/tunnels\",\"body\":%s},{\"method\":\"DELETE\",\"path\":\"/v1/tunnels/none\"},"
	         "{\"method\":\"DELETE\",\"path\":\"/v1/tunnels/a\",\"if_match\":\"\\\"1\\\"\"}]}",
	         minimal);
	struct reply reply = fixture_ask(&fixture, "POST", "/v1/batch", JSON, body);
	assert_int_equal(reply.status, 200);
	assert_non_null(strstr(reply.body, "{\"results\":[{\"status\":201,\"body\":{\"id\":\"a\""));
	assert_non_null(strstr(reply.body, "{\"status\":404,\"body\":{\"type\":\"urn:warren:problem:not_found\""));
	assert_non_null(strstr(reply.body, "{\"status\":204,\"body\":null}]}"));
	reply_clear(&reply);
	expect(fixture_ask(&fixture, "POST", "/v1/batch", JSON,
	                   "{\"atomic\":true,\"operations\":[{\"method\":\"DELETE\",\"path\":\"/v1/tunnels/none\"}]}"),
	       404, "\"operation\":0");
}

static void health_tells_life_from_readiness(void **state)
{
	(void)state;
	expect(fixture_ask_as(&fixture, NULL, "GET", "/readyz", "", ""), 200, "ready");
	fake_service_set_ready(fixture.service, false);
	expect(fixture_ask_as(&fixture, NULL, "GET", "/readyz", "", ""), 503, "\"code\":\"worker_unavailable\"");
	expect(fixture_ask_as(&fixture, NULL, "GET", "/livez", "", ""), 200, "ok");
}

static void keys_are_fresh_and_clamped(void **state)
{
	(void)state;
	struct reply one = fixture_ask(&fixture, "POST", "/v1/keys", "", ""),
		     two = fixture_ask(&fixture, "POST", "/v1/keys", JSON, "{\"preshared\":true}");
	assert_int_equal(one.status, 200);
	assert_int_equal(two.status, 200);
	assert_string_not_equal(one.body, two.body);
	assert_null(strstr(one.body, "preshared_key"));
	assert_non_null(strstr(two.body, "\"preshared_key\":\""));
	reply_clear(&one);
	reply_clear(&two);
}

static void a_stop_answers_those_who_wait(void **state)
{
	(void)state;
	struct fixture own;
	fixture_start(&own, false);
	fake_service_hold(own.service, true);
	int descriptor = fixture_connect(&own);
	char request[512];
	int length =
	    snprintf(request, sizeof(request), "DELETE /v1/tunnels HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", own.admin_token);
	fixture_write(descriptor, request, (size_t)length);
	while (fake_service_waiting(own.service) == 0)
		usleep(1000);
	/* The service never answers: the request is cut loose, and its answer, when it comes in the end, is nobody's. */
	fixture_stop(&own);
	expect(fixture_read(descriptor, false), 503, "\"code\":\"worker_unavailable\"");
	close(descriptor);
}

int main(void)
{
#define LIVE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		LIVE(a1_every_route_wants_a_token_of_its_scope),
		LIVE(a_node_is_drained_by_itself),
		LIVE(a1_secrets_need_admin),
		LIVE(a1_token_file_is_the_owners_alone),
		LIVE(a2_foreign_hosts_and_origins_are_refused),
		LIVE(a2_only_known_media_types),
		LIVE(a3_bad_json_is_400),
		LIVE(a3_large_bodies_are_413),
		LIVE(a4_faults_come_with_their_pointer),
		LIVE(a5_doubtful_framing_is_400_and_the_end),
		LIVE(a5_paths_are_decoded_by_segment),
		LIVE(a5_large_heads_are_431),
		LIVE(a6_keys_never_come_back),
		LIVE(a_history_is_lists_of_the_same_length),
		LIVE(a8_lists_are_complete),
		LIVE(a9_health_answers_over_the_limit),
		LIVE(the_daemon_is_no_client_of_its_own),
		LIVE(routes_answer_as_the_contract_says),
		LIVE(peers_are_resources),
		LIVE(wgquick_files_are_bodies),
		LIVE(a_handshake_that_does_not_come_keeps_the_tunnel),
		LIVE(batches_run_in_order),
		LIVE(health_tells_life_from_readiness),
		LIVE(keys_are_fresh_and_clamped),
		cmocka_unit_test(a_stop_answers_those_who_wait),
	};
	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
