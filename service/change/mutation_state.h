/* The states of a mutation, the events allowed in each, and the next states. ARCHITECTURE.md, «The life of a change», draws the table. */
#ifndef WARREN_SERVICE_CHANGE_MUTATION_STATE_H
#define WARREN_SERVICE_CHANGE_MUTATION_STATE_H

#include <stdbool.h>

enum mutation_state {
	MUTATION_READING,            /* reads its documents, in the submitter's thread */
	MUTATION_QUEUED,             /* in the inbox */
	MUTATION_LOCKING,            /* waits for its turn at its tunnels */
	MUTATION_PLANNING,           /* plans the new version of each tunnel */
	MUTATION_BINDING,            /* acquires host sockets, slots and addresses */
	MUTATION_PREPARING,          /* the workers build it, inactive */
	MUTATION_WAITING_FOR_WORKER, /* a worker is being replaced; nothing is prepared meanwhile */
	MUTATION_STORING,            /* is being written to the disk */
	MUTATION_COMMITTING,         /* is stored: enters the registry, and the workers switch over. Cannot fail */
	MUTATION_FINISHING,          /* answers are written, and resources no longer needed are released */
	MUTATION_UNDOING,            /* everything is released */
	MUTATION_SUSPENDED,          /* done, but answered only when its tunnel is up */
	MUTATION_RUNNING_PARTS,      /* each operation is a separate mutation */
	MUTATION_ACTING,             /* the worker reconnects or probes, or workers list or end connections */
	MUTATION_WRITING_TOKEN,
	MUTATION_ANSWERED, /* the end */
	MUTATION_STATE_COUNT
};

enum mutation_event {
	MUTATION_EVENT_NONE, /* returned by an entry action that waits for an event */
	MUTATION_EVENT_MORE, /* the state's work goes on in the loop's next turn */
	MUTATION_EVENT_READ,
	MUTATION_EVENT_REFUSED, /* the daemon is stopping, or reading ran out of memory */
	/* The first event, by kind. */
	MUTATION_EVENT_LOCK,
	MUTATION_EVENT_SPLIT,
	MUTATION_EVENT_ACT,
	MUTATION_EVENT_WRITE_TOKEN,
	/* Completed steps. */
	MUTATION_EVENT_TURN_CAME,
	MUTATION_EVENT_PLANNED,
	MUTATION_EVENT_BOUND,
	MUTATION_EVENT_UNCHANGED, /* nothing to do, or a dry run */
	MUTATION_EVENT_PREPARED,
	MUTATION_EVENT_STORED,
	MUTATION_EVENT_COMMITTED,
	MUTATION_EVENT_FINISHED,
	MUTATION_EVENT_UNDONE,
	MUTATION_EVENT_PARTS_DONE,
	MUTATION_EVENT_ACTED,
	MUTATION_EVENT_TOKEN_WRITTEN,
	/* Interruptions. */
	MUTATION_EVENT_FAILED,      /* the problem says why */
	MUTATION_EVENT_WORKER_GONE, /* a required worker is being replaced */
	MUTATION_EVENT_WORKER_READY,
	MUTATION_EVENT_SUSPENDED,    /* the answer waits for the tunnel to be up */
	MUTATION_EVENT_WAITING_OVER, /* it is up, or was not in time */
	MUTATION_EVENT_COUNT
};

/* The course of a mutation, by its kind. */
enum mutation_course {
	MUTATION_SINGLE,       /* one operation */
	MUTATION_ACTION,       /* changes no tunnel: reconnect, probe or connections */
	MUTATION_ATOMIC,       /* all operations or none */
	MUTATION_SEQUENCE,     /* one by one, independently */
	MUTATION_MANY_DELETES, /* in parallel, independently */
	MUTATION_WHOLE_STATE,  /* all tunnels become as the document says, or none */
	MUTATION_TOKEN,        /* concerns no tunnel */
	MUTATION_COURSE_COUNT
};

struct mutation_rules {
	enum mutation_event start; /* when it leaves the inbox */
	bool is_exclusive;         /* no other mutation runs meanwhile */
	bool wants_all_faults;     /* of every operation; otherwise the first failure is the answer */
};

bool mutation_allows(enum mutation_state state, enum mutation_event event);
/* The next state; the event must be allowed. */
enum mutation_state mutation_next(enum mutation_state state, enum mutation_event event);
const struct mutation_rules *mutation_rules_of(enum mutation_course course);

#endif
