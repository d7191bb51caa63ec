#include "ipc/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/counters.h"
#include "ipc/program_version.h"

#define MAGIC 0x4f525257u /* "WRRO" */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static bool note(struct handover *handover, int descriptor)
{
	if (handover->count == handover->capacity) {
		size_t capacity = handover->capacity == 0 ? 64 : 2 * handover->capacity;
		int *grown = realloc(handover->descriptors, capacity * sizeof(*grown));
		if (grown == NULL)
			return false;
		handover->descriptors = grown;
		handover->capacity = capacity;
	}
	handover->descriptors[handover->count++] = descriptor;
	return true;
}

void handover_begin(struct handover *handover)
{
	*handover = (struct handover){ .memory = -1 };
	message_writer_init(&handover->writer);
	message_put_u32(&handover->writer, MAGIC);
	message_put_u32(&handover->writer, program_version.handover);
}

void handover_put_descriptor(struct handover *handover, int descriptor)
{
	if (!note(handover, descriptor))
		handover->writer.failed = true;
	message_put_u32(&handover->writer, (uint32_t)descriptor);
}

void handover_keep(struct handover *handover, bool on)
{
	if (handover->memory >= 0)
		(void)fcntl(handover->memory, F_SETFD, on ? 0 : FD_CLOEXEC);
	for (size_t i = 0; i < handover->count; i++)
		(void)fcntl(handover->descriptors[i], F_SETFD, on ? 0 : FD_CLOEXEC);
}

static bool write_all(int descriptor, const uint8_t *bytes, size_t length)
{
	for (size_t at = 0; at < length;) {
		ssize_t written = write(descriptor, bytes + at, length - at);
		if (written < 0 && errno != EINTR)
			return false;
		at += written > 0 ? (size_t)written : 0;
	}
	return true;
}

int handover_seal(struct handover *handover)
{
	const struct message_writer *writer = &handover->writer;
	if (writer->failed) {
		errno = ENOMEM;
		return -1;
	}
	handover->memory = memfd_create("warren-handover", counters_memory_flags());
	if (handover->memory < 0)
		return -1;
	if (!write_all(handover->memory, writer->bytes, writer->length) || fcntl(handover->memory, F_ADD_SEALS, SEALS) != 0) {
		int error = errno;
		close(handover->memory);
		handover->memory = -1;
		errno = error;
		return -1;
	}
	handover_keep(handover, true);
	return handover->memory;
}

static bool map(struct handover *handover)
{
	struct stat info;
	if (fstat(handover->memory, &info) != 0 || info.st_size <= 0)
		return false;
	handover->bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, handover->memory, 0);
	if (handover->bytes == MAP_FAILED)
		handover->bytes = NULL;
	handover->length = handover->bytes == NULL ? 0 : (size_t)info.st_size;
	handover->reader = (struct message_reader){ .bytes = handover->bytes, .left = handover->length };
	return handover->bytes != NULL;
}

bool handover_open(struct handover *handover, int memory, char failure[512])
{
	*handover = (struct handover){ .memory = memory };
	if (fcntl(memory, F_SETFD, FD_CLOEXEC) != 0 || !map(handover) || message_get_u32(&handover->reader) != MAGIC) {
		snprintf(failure, 512, "what the program before handed over cannot be read");
		return false;
	}
	uint32_t version = message_get_u32(&handover->reader);
	if (version >= program_version.handover_oldest && version <= program_version.handover && !handover->reader.failed)
		return true;
	snprintf(failure, 512, "the program before handed over version %u, and this one reads %u to %u: restart the daemon", version,
	         program_version.handover_oldest, program_version.handover);
	return false;
}

int handover_get_descriptor(struct handover *handover)
{
	int descriptor = (int)message_get_u32(&handover->reader);
	bool is_open = !handover->reader.failed && descriptor > 2 && fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0;
	if (is_open && note(handover, descriptor))
		return descriptor;
	handover->reader.failed = true;
	return -1;
}

void handover_end(struct handover *handover)
{
	message_writer_clear(&handover->writer);
	if (handover->bytes != NULL)
		munmap(handover->bytes, handover->length);
	if (handover->memory >= 0)
		close(handover->memory);
	free(handover->descriptors);
	*handover = (struct handover){ .memory = -1 };
}
