/* What a broken worker could write to the control process, and what a tunnel's spec looks like on the wire. The first byte chooses. */
#include <stddef.h>
#include <stdint.h>

#include "ipc/message.h"

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
	else
		message_decode_condition(reader, &condition);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct message_reader reader = { .bytes = data + 1, .left = size - 1 };
	struct message_prepare prepare;
	if (data[0] % 11 != 0)
		decode_small(data[0] % 11, &reader);
	else if (message_decode_prepare(&reader, &prepare))
		message_prepare_clear(&prepare);
	return 0;
}
