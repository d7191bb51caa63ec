/* What a broken worker could write to the control process, and what a tunnel's spec looks like on the wire. The first byte chooses. */
#include <stddef.h>
#include <stdint.h>

#include "ipc/pool_message.h"
#include "ipc/query.h"

static void decode_query(unsigned which, struct message_reader *reader)
{
	struct query query;
	struct queried answer;
	struct query_connection connection;
	if (which == 0)
		query_decode(reader, &query);
	else if (which == 1)
		query_are_connections(*reader);
	else if (query_decode_answer(reader, &answer))
		while (answer.items.left > 0 && query_decode_connection(&answer.items, &connection))
			continue;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_small(unsigned which, struct message_reader *reader)
{
	struct message_ack ack;
	struct message_prepared prepared;
	struct message_resolved resolved;
	struct message_probe probe;
	struct message_probed probed;
	struct message_state state;
	struct message_handshake handshake;
	struct message_endpoint endpoint;
	struct message_condition condition;
	struct message_want want;
	struct message_health health;
	enum log_level level;
	if (which == 1)
		message_decode_ack(reader, &ack);
	else if (which == 2)
		message_decode_prepared(reader, &prepared);
	else if (which == 3)
		message_decode_resolved(reader, &resolved);
	else if (which == 4)
		message_decode_probe(reader, &probe);
	else if (which == 5)
		message_decode_probed(reader, &probed);
	else if (which == 6)
		message_decode_state(reader, &state);
	else if (which == 7)
		message_decode_handshake(reader, &handshake);
	else if (which == 8)
		message_decode_endpoint(reader, &endpoint);
	else if (which == 9)
		message_decode_want(reader, &want);
	else if (which == 10)
		message_decode_health(reader, &health);
	else if (which == 11)
		message_decode_log_level(reader, &level);
	else
		message_decode_condition(reader, &condition);
}

static void decode_pool(unsigned which, struct message_reader *reader)
{
	struct pool_sessions sessions;
	struct pool_forgotten forgotten;
	struct pool_forget forget;
	struct pool_open open;
	static struct pool_count count;
	struct pool_counted counted;
	struct peer_link link;
	struct pool_elsewhere elsewhere;
	struct pool_members members;
	if (which == 0)
		pool_sessions_decode(reader, &sessions);
	else if (which == 1)
		pool_forgotten_decode(reader, &forgotten);
	else if (which == 2)
		pool_open_decode(reader, &open);
	else if (which == 3)
		peer_link_decode(reader, &link);
	else if (which == 4)
		pool_forget_decode(reader, &forget);
	else if (which == 5 && pool_elsewhere_decode(reader, &elsewhere))
		spec_clear(&elsewhere.spec);
	else if (which == 7)
		pool_count_decode(reader, &count);
	else if (which == 8)
		pool_counted_decode(reader, &counted);
	else if (which == 6 && pool_members_decode(reader, &members))
		pool_members_clear(&members);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct message_reader reader = { .bytes = data + 1, .left = size - 1 };
	struct message_prepare prepare;
	struct message_transfer transfer;
	if (data[0] >= 0xf0)
		decode_pool(data[0] - 0xf0u, &reader);
	else if (data[0] >= 0xe0)
		decode_query(data[0] - 0xe0u, &reader);
	else if (data[0] == 0xdf)
		(void)message_decode_transfer(&reader, &transfer);
	else if (data[0] % 13 != 0)
		decode_small(data[0] % 13, &reader);
	else if (message_decode_prepare(&reader, &prepare))
		message_prepare_clear(&prepare);
	return 0;
}
