#include "daemon/succession.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/program_version.h"

#define HANDED_OVER "WARREND_HANDED_OVER" /* the number of the memory file */
#define RETURNED "WARREND_RETURNED"       /* why the successor could not take over */
#define BEFORE "WARREND_BEFORE"           /* that of the file of the program before */

/* The path of a program that was replaced ends in this. */
static void cut_deleted(char *path)
{
	static const char mark[] = " (deleted)";
	size_t length = strlen(path), more = sizeof(mark) - 1;
	if (length > more && strcmp(path + length - more, mark) == 0)
		path[length - more] = '\0';
}

static bool make_check(struct succession *succession, int count)
{
	succession->check = calloc((size_t)count + SUCCESSION_CHECK_WORDS + 2, sizeof(*succession->check));
	if (succession->check == NULL)
		return false;
	snprintf(succession->numbers[0], 24, "%u", program_version.handover);
	snprintf(succession->numbers[1], 24, "%llu", (unsigned long long)succession->edition);
	snprintf(succession->numbers[2], 24, "%u", succession->layers);
	sandbox_control_rules(succession->rules);
	const char **at = succession->check;
	*at++ = succession->program;
	*at++ = SUCCESSION_CHECK;
	for (int i = 0; i < 3; i++)
		*at++ = succession->numbers[i];
	*at++ = succession->rules;
	for (int i = 1; i < count; i++)
		*at++ = succession->arguments[i];
	return true;
}

static bool receive(struct succession *succession, int memory, char failure[512])
{
	struct handover *handover = &succession->handover;
	if (!handover_open(handover, memory, failure))
		return false;
	message_get_text(&handover->reader, succession->program, sizeof(succession->program));
	uint64_t edition = message_get_u64(&handover->reader);
	succession->is_confined = edition == succession->edition;
	succession->layers = message_get_u32(&handover->reader) + !succession->is_confined;
	/* The lists that apply already say no to the end of a process that does not expect it. */
	sandbox_resume_control();
	if (handover->reader.failed)
		snprintf(failure, 512, "what the program before handed over is not whole");
	return !handover->reader.failed;
}

/* -1: there is none. */
static int number_in(const char *name)
{
	const char *text = getenv(name);
	return text == NULL ? -1 : (int)strtol(text, NULL, 10);
}

bool succession_begin(struct succession *succession, int count, char **arguments, char failure[512])
{
	int given = number_in(HANDED_OVER);
	const char *returned = getenv(RETURNED);
	*succession = (struct succession){ .arguments = arguments, .edition = sandbox_control_edition(), .origin = -1, .before = number_in(BEFORE) };
	if (succession->before >= 0)
		(void)fcntl(succession->before, F_SETFD, FD_CLOEXEC);
	succession->handover.memory = -1;
	succession->is_successor = given >= 0;
	succession->was_returned = returned != NULL;
	ssize_t length = readlink("/proc/self/exe", succession->program, sizeof(succession->program) - 1);
	succession->program[length > 0 ? length : 0] = '\0';
	cut_deleted(succession->program);
	succession->origin = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	succession->layers = 1;
	bool is_received = given < 0 || receive(succession, given, failure);
	/* What could not take over may have entered its own. */
	succession->layers += succession->was_returned;
	if (returned != NULL)
		log_line(LOG_ERROR, NULL, "upgrade: the new version could not take over, and this one goes on: %s", returned);
	unsetenv(HANDED_OVER);
	unsetenv(BEFORE);
	unsetenv(RETURNED);
	if (!is_received || make_check(succession, count))
		return is_received;
	snprintf(failure, 512, "out of memory");
	return false;
}

void succession_settle(struct succession *succession)
{
	handover_end(&succession->handover);
	if (succession->before >= 0)
		close(succession->before);
	succession->before = -1;
	succession->is_successor = succession->was_returned = false;
}

void succession_end(struct succession *succession)
{
	succession_settle(succession);
	free(succession->check);
	succession->check = NULL;
}

bool succession_check(int count, char **arguments, char failure[512])
{
	unsigned long version = count > 2 ? strtoul(arguments[2], NULL, 10) : 0;
	uint64_t edition = count > 3 ? strtoull(arguments[3], NULL, 10) : 0;
	unsigned long layers = count > 4 ? strtoul(arguments[4], NULL, 10) : 0;
	if (version < program_version.handover_oldest || version > program_version.handover) {
		snprintf(failure, 512, "version %s cannot take over from the one that runs: restart the daemon", program_version.text);
		return false;
	}
	unsigned lacking = sandbox_control_lacks(count > 5 ? arguments[5] : "");
	if (lacking > 0) {
		snprintf(
		    failure, 512,
		    "version %s needs what the sandbox of the one that runs refuses (rules: %u), and a sandbox is never widened: restart the daemon",
		    program_version.text, lacking);
		return false;
	}
	if (edition != sandbox_control_edition() && layers >= SANDBOX_LAYERS_MOST) {
		snprintf(failure, 512, "the sandbox has %lu layers, and the kernel has no room for more: restart the daemon", layers);
		return false;
	}
	return true;
}

void succession_save(struct succession *succession, struct handover *handover)
{
	message_put_text(&handover->writer, succession->program, sizeof(succession->program));
	message_put_u64(&handover->writer, succession->edition);
	message_put_u32(&handover->writer, succession->layers);
}

void succession_hold_signals(sigset_t *before)
{
	sigset_t all;
	sigfillset(&all);
	sigdelset(&all, SIGSYS);
	sigprocmask(SIG_SETMASK, &all, before);
}

static void set_number(const char *name, int number)
{
	char text[16];
	snprintf(text, sizeof(text), "%d", number);
	setenv(name, text, 1);
}

void succession_go(const struct succession *succession, struct handover *handover, char why[512])
{
	int memory = handover_seal(handover);
	if (memory < 0) {
		snprintf(why, 512, "what is to be handed over cannot be written: %s", strerror(errno));
		return;
	}
	set_number(HANDED_OVER, memory);
	set_number(BEFORE, succession->origin);
	(void)fcntl(succession->origin, F_SETFD, 0);
	execv(succession->program, succession->arguments);
	int error = errno;
	unsetenv(HANDED_OVER);
	unsetenv(BEFORE);
	(void)fcntl(succession->origin, F_SETFD, FD_CLOEXEC);
	handover_keep(handover, false);
	snprintf(why, 512, "%.300s cannot be started: %s", succession->program, strerror(error));
}

void succession_return(struct succession *succession, const char *why)
{
	char path[32];
	sigset_t before;
	if (!succession->is_successor || succession->was_returned || succession->before < 0)
		return;
	succession_hold_signals(&before);
	handover_keep(&succession->handover, true);
	set_number(HANDED_OVER, succession->handover.memory);
	setenv(RETURNED, why, 1);
	log_line(LOG_ERROR, NULL, "upgrade: this version cannot take over, and gives back: %s", why);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", succession->before);
	execv(path, succession->arguments);
}
