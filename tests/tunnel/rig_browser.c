#include "tests/tunnel/rig_browser.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct rig_browser rig_browser;

static void on_ended(void *owner)
{
	struct rig_browser *mine = owner;
	mine->ended++;
	mine->exchange = NULL;
	connection_remove(&mine->connection);
}

static void on_handed_back(void *owner, struct poller *poller, struct block *in)
{
	struct rig_browser *mine = owner;
	mine->handed_back++;
	mine->exchange = NULL;
	snprintf(mine->back, sizeof(mine->back), "%.*s", (int)(in->end - in->start), (const char *)in->bytes + in->start);
	block_pool_give(rig.context.blocks, in);
	poller_free(poller);
	connection_remove(&mine->connection);
}

void rig_end_browser(struct connection *connection)
{
	struct rig_browser *mine = (struct rig_browser *)connection;
	exchange_abort(mine->exchange);
	mine->exchange = NULL;
	connection_remove(connection);
}

static const struct exchange_events events = { .ended = on_ended, .handed_back = on_handed_back };

void rig_browse(const char *first)
{
	rig_browser = (struct rig_browser){ 0 };
	connection_add_waiting(&rig_browser.connection, &rig.tunnel, 1, rig_end_browser);
	connection_set_protocol(&rig_browser.connection, COUNTERS_HTTP);
	struct poller *poller = rig_client(&rig_browser.client);
	struct block *in = block_pool_take(rig.context.blocks, false);
	memcpy(in->bytes, first, strlen(first));
	in->end = (uint32_t)strlen(first);
	rig_browser.exchange = exchange_create(&rig_browser.connection, poller, in, &events, &rig_browser);
	assert_non_null(rig_browser.exchange);
	assert_int_equal(rig_browser.ended, 0);
	rig_turn();
}

void rig_leave(void)
{
	close(rig_browser.client);
	rig_turn();
}

void rig_use_once(void)
{
	rig_browse(GET);
	rig_connected(rig_stream());
	rig_stream_read(rig_stream());
	rig_stream_write(rig_stream(), OK2);
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
}

void rig_expect_failure(const char *status, bool kept)
{
	const char *seen = rig_read(rig_browser.client);
	assert_int_equal(strncmp(seen, status, strlen(status)), 0);
	assert_non_null(strstr(seen, "Proxy-Status: warren; error="));
	assert_non_null(strstr(seen, kept ? "Connection: keep-alive\r\n" : "Connection: close\r\n"));
	assert_int_equal(rig_browser.ended, kept ? 0 : 1);
	assert_true(kept || rig_is_at_end(rig_browser.client));
}
