/* The states of a mutation, what may happen in each, and where that leads. ARCHITECTURE.md, «The life of a change», draws the table. */
#ifndef WARREN_SERVICE_CHANGE_MUTATION_STATE_H
#define WARREN_SERVICE_CHANGE_MUTATION_STATE_H

#include <stdbool.h>

enum mutation_state {
	MUTATION_READING,            /* its documents, in the submitter's thread */
	MUTATION_QUEUED,             /* in the inbox */
	MUTATION_LOCKING,            /* waits for its turn of the tunnels that it is about */
	MUTATION_PLANNING,           /* what each tunnel is to become */
	MUTATION_BINDING,            /* host sockets, slots and addresses for it */
	MUTATION_PREPARING,          /* the workers build it, inactive */
	MUTATION_WAITING_FOR_WORKER, /* one is being replaced; nothing is prepared meanwhile */
	MUTATION_STORING,            /* on its way to the disk */
	MUTATION_COMMITTING,         /* it is stored, so it is so: into the registry, and the workers switch over. Cannot fail */
	MUTATION_FINISHING,          /* the answers are written, what is not needed any more is given back */
	MUTATION_UNDOING,            /* everything is given back */
	MUTATION_SUSPENDED,          /* done, and answered when its tunnel is up */
	MUTATION_RUNNING_PARTS,      /* each operation is a mutation of its own */
	MUTATION_ACTING,             /* the worker reconnects or probes */
	MUTATION_WRITING_TOKEN,
	MUTATION_ANSWERED, /* the end */
	MUTATION_STATE_COUNT
};

enum mutation_event {
	MUTATION_EVENT_NONE, /* of an entry action: it waits for one */
	MUTATION_EVENT_READ,
	MUTATION_EVENT_REFUSED, /* the daemon ends, or there was no memory for the reading */
	/* Its course begins. */
	MUTATION_EVENT_LOCK,
	MUTATION_EVENT_SPLIT,
	MUTATION_EVENT_ACT,
	MUTATION_EVENT_WRITE_TOKEN,
	/* A step is done. */
	MUTATION_EVENT_TURN_CAME,
	MUTATION_EVENT_PLANNED,
	MUTATION_EVENT_BOUND,
	MUTATION_EVENT_UNCHANGED, /* nothing is to be done, or it is a dry run */
	MUTATION_EVENT_PREPARED,
	MUTATION_EVENT_STORED,
	MUTATION_EVENT_COMMITTED,
	MUTATION_EVENT_FINISHED,
	MUTATION_EVENT_UNDONE,
	MUTATION_EVENT_PARTS_DONE,
	MUTATION_EVENT_ACTED,
	MUTATION_EVENT_TOKEN_WRITTEN,
	/* And what comes between. */
	MUTATION_EVENT_FAILED,      /* the problem says why */
	MUTATION_EVENT_WORKER_GONE, /* one that is needed is being replaced */
	MUTATION_EVENT_WORKER_READY,
	MUTATION_EVENT_SUSPENDED,    /* the answer waits for the tunnel to be up */
	MUTATION_EVENT_WAITING_OVER, /* it is up, or will not be in time */
	MUTATION_EVENT_COUNT
};

/* How a mutation goes, by what it asks for. */
enum mutation_course {
	MUTATION_SINGLE,       /* one operation */
	MUTATION_ACTION,       /* one operation that changes nothing: reconnect or probe */
	MUTATION_ATOMIC,       /* all operations or none */
	MUTATION_SEQUENCE,     /* one after the other, each for itself */
	MUTATION_MANY_DELETES, /* side by side, each for itself */
	MUTATION_WHOLE_STATE,  /* all tunnels become what a document says, or none */
	MUTATION_TOKEN,        /* no tunnel is concerned */
	MUTATION_COURSE_COUNT
};

struct mutation_rules {
	enum mutation_event start; /* when it leaves the inbox */
	bool is_exclusive;         /* no other mutation runs meanwhile */
	bool wants_all_faults;     /* of every operation; else the first that fails is the answer */
};

bool mutation_allows(enum mutation_state state, enum mutation_event event);
/* Where it leads; the event is allowed. */
enum mutation_state mutation_next(enum mutation_state state, enum mutation_event event);
const struct mutation_rules *mutation_rules_of(enum mutation_course course);

#endif
