/* Linked into programs that are warrend under another version. The linker takes this object, and leaves that of the library alone. */
#include "ipc/handover.h"
#include "ipc/message.h"
#include "ipc/program_version.h"

const struct program_version program_version = {
	.text = OTHER_TEXT,
	.handover = HANDOVER_VERSION + MORE_HANDOVER,
	.handover_oldest = HANDOVER_OLDEST,
	.messages = MESSAGE_PROTOCOL + MORE_MESSAGES,
	.messages_oldest = KEEPS_EARLIER ? MESSAGE_PROTOCOL_OLDEST : MESSAGE_PROTOCOL + MORE_MESSAGES,
};
