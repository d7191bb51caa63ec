/* What a control process hands to the program that takes its place by execve: values in a sealed memory file, and open descriptors, which are
 * named in it by their numbers and keep them. Read in the order in which it was written. A program reads its own version and those before it
 * down to HANDOVER_OLDEST; the check before the change (daemon/succession.h) finds out whether it can. Main thread only. */
#ifndef WARREN_IPC_HANDOVER_H
#define WARREN_IPC_HANDOVER_H

#include "ipc/message.h"

/* To be raised with whatever changes what is written, the values of the enums in it included, and what the check is given. The oldest that is read is
 * its own, unless the code knows an earlier one. */
#define HANDOVER_VERSION 5u
#define HANDOVER_OLDEST HANDOVER_VERSION

struct handover {
	struct message_writer writer;
	struct message_reader reader; /* sticky: `failed` is looked at once, at the end */
	int *descriptors;             /* borrowed from their owners */
	size_t count, capacity;
	int memory; /* -1: not sealed, or not opened */
	void *bytes;
	size_t length;
};

void handover_begin(struct handover *handover);
void handover_put_descriptor(struct handover *handover, int descriptor);
/* Makes the memory file and lets it and the descriptors outlive execve. -1 and an errno: nothing has changed. */
int handover_seal(struct handover *handover);
/* Reads a sealed file, whose descriptor is taken. False with one line: it is none, or of another version. */
bool handover_open(struct handover *handover, int memory, char failure[512]);
/* The caller's from now on, and closed by execve; -1 when the number is no open descriptor. */
int handover_get_descriptor(struct handover *handover);
/* Lets all of them outlive execve (or not), those already taken included. */
void handover_keep(struct handover *handover, bool on);
/* Closes the memory file. The descriptors stay with their owners. */
void handover_end(struct handover *handover);

#endif
