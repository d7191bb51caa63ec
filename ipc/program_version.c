#include "ipc/program_version.h"

#include "ipc/handover.h"
#include "ipc/message.h"

const struct program_version program_version = {
	.text = WARREN_VERSION,
	.handover = HANDOVER_VERSION,
	.handover_oldest = HANDOVER_OLDEST,
	.messages = MESSAGE_PROTOCOL,
	.messages_oldest = MESSAGE_PROTOCOL_OLDEST,
};
