/* One program takes the place of another in the same process: execve, with what is open handed over (ipc/handover.h). Main thread only. */
#ifndef WARREN_DAEMON_SUCCESSION_H
#define WARREN_DAEMON_SUCCESSION_H

#include <signal.h>

#include "ipc/handover.h"
#include "sandbox/control_sandbox.h"

#define SUCCESSION_CHECK "upgrade-check" /* the command that the program before runs */

struct succession {
	char program[4096]; /* where the next version is looked for: this one's path */
	char **arguments;   /* of main, borrowed */
	const char **check; /* the command of the check, for service_options */
	char numbers[3][24];
	char rules[SANDBOX_RULES_SIZE];
	uint64_t edition; /* of the sandbox, and how often one was entered */
	unsigned layers;
	int origin; /* this program's own file, for a successor that fails; -1: none */
	int before; /* that of the program before; -1: none */
	struct handover handover;
	bool is_successor, is_confined, was_returned; /* returned: the one that was to follow could not take over */
};

/* At the start: finds out whether another program hands over. False with one line: it does, and what it hands over cannot be read. */
bool succession_begin(struct succession *succession, int count, char **arguments, char failure[512]);
void succession_settle(struct succession *succession); /* it has taken over: the program before is not needed any more */
void succession_end(struct succession *succession);
/* `upgrade-check VERSION EDITION LAYERS RULES OPTIONS…`: false with one line when this program cannot take over. The options are the caller's to
 * read. */
#define SUCCESSION_CHECK_WORDS 5
bool succession_check(int count, char **arguments, char failure[512]);
/* The daemon's own part, the first; the others follow. */
void succession_save(struct succession *succession, struct handover *handover);
/* Signals wait, but for SIGSYS, until the next program has its handlers: without one SIGUSR2 ends a process, and what a handler of this program noted
 * would be lost. */
void succession_hold_signals(sigset_t *before);
/* With signals held: starts the program at the path. Returns only when that fails, with why; everything is as before. */
void succession_go(const struct succession *succession, struct handover *handover, char why[512]);
/* The successor cannot take over: the program before does. Returns only when that fails, too, or when there is none. */
void succession_return(struct succession *succession, const char *why);

#endif
