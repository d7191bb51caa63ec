/* What a node keeps in files: the fleet's keys, and its password at etcd. */
#ifndef WARREN_SERVICE_FLEET_SECRETS_H
#define WARREN_SERVICE_FLEET_SECRETS_H

#include "fleet/fleet_options.h"
#include "fleet/seal.h"

#define FLEET_PASSWORD_MOST 1024 /* bytes */

struct fleet_secrets {
	struct fleet_keyring ring;
	char password[FLEET_PASSWORD_MOST + 1]; /* "" without a user */
};

/* False with a line for the user; then nothing of them is there. */
bool fleet_secrets_read(struct fleet_secrets *secrets, const struct fleet_options *options, char failure[512]);
void fleet_secrets_clear(struct fleet_secrets *secrets); /* wipes them */

#endif
