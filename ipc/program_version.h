/* Of the program that runs: what people call it, and what it understands of the programs before it. In an object of its own, so that a test can
 * link a program that differs in nothing else. */
#ifndef WARREN_IPC_PROGRAM_VERSION_H
#define WARREN_IPC_PROGRAM_VERSION_H

#include <stdint.h>

#define PROGRAM_VERSION_SIZE 32 /* of the text where it is stored, NUL included */

struct program_version {
	const char *text;
	uint32_t handover, handover_oldest; /* HANDOVER_VERSION (ipc/handover.h), and the first that is read */
	uint32_t messages, messages_oldest; /* MESSAGE_PROTOCOL (ipc/message.h), and the first of workers that are kept */
};

extern const struct program_version program_version;

#endif
