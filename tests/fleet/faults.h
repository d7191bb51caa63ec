/* Random faults of a world, one after the other, each followed by rest. */
#ifndef WARREN_TESTS_FLEET_FAULTS_H
#define WARREN_TESTS_FLEET_FAULTS_H

#include "tests/fleet/world.h"

enum fault {
	FAULT_KILL,           /* a node, and start it again later */
	FAULT_RESTART,        /* at once */
	FAULT_FREEZE,         /* SIGSTOP of a node */
	FAULT_FREEZE_CONTROL, /* of its control process alone */
	FAULT_FREEZE_WORKER,  /* of its worker alone */
	FAULT_LEAVE,          /* SIGTERM, and start it again later */
	FAULT_DRAIN,          /* and end of it */
	FAULT_CUT,            /* a node from etcd */
	FAULT_DEAFEN,         /* what it sends arrives, and nothing comes back */
	FAULT_STALL,          /* its watches stand still, its requests do not */
	FAULT_MEMBER_KILL,    /* a member of etcd */
	FAULT_MEMBER_STOP,    /* SIGSTOP of one */
	FAULT_MEMBER_CUT,     /* one from its peers */
	FAULT_LEADER_WAKES,   /* a stopped leader wakes and revokes most leases */
	FAULT_QUORUM,         /* two members are lost */
	FAULT_REVOKE,         /* all leases, at once */
	FAULT_COMPACT,        /* while a node is cut off */
	FAULT_FULL,           /* NOSPACE */
	FAULT_SLOW,           /* the network takes up to 1.5 s a way, sometimes 5 */
	FAULT_COPY,           /* another machine starts with the name of a node whose key has vanished */
	FAULT_STORM,          /* several of these, one into the other */
	FAULTS
};

const char *fault_name(enum fault fault);
/* Lets it happen to a random node or member and for a random time, heals it, and runs until all is served and at rest. A fleet that does not come to
 * rest is a violation. */
void fault_happen(struct world *world, enum fault fault);

#endif
