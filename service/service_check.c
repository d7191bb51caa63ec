#include "service/service_check.h"

#include <stdio.h>
#include <stdlib.h>

#include "service/change/policy.h"
#include "service/files/folder_check.h"
#include "service/fleet/fleet.h"
#include "service/registry/registry.h"
#include "service/socket/socket_path.h"
#include "service/store/database.h"
#include "service/store/line_writer.h"
#include "service/store/state_dir.h"
#include "service/worker/protection.h"

/* The operator's policy, as the service has it; the API's sockets are not open, so that they are not protected. */
static void check_files(const struct service_options *options, void (*tell)(void *owner, const char *fault), void *owner)
{
	char own[4200];
	struct lock_queue *locks = lock_queue_create();
	struct registry *registry = locks == NULL ? NULL : registry_create(locks);
	struct protection *protection = registry == NULL ? NULL : protection_create(registry);
	char **list = calloc(options->allow_socket_count + 1, sizeof(char *));
	for (size_t i = 0; list != NULL && i < options->allow_socket_count; i++)
		list[i] = options->allow_socket[i];
	snprintf(own, sizeof(own), "%s/sockets", options->state_dir);
	if (list != NULL)
		list[options->allow_socket_count] = own;
	const struct socket_roots roots = { .list = list, .count = options->allow_socket_count + 1 };
	const struct policy policy = { .protection = protection, .roots = &roots, .allow_remote = options->allow_remote };
	const char *credentials = options->credentials_dir[0] == '\0' ? NULL : options->credentials_dir;
	if (protection == NULL || list == NULL)
		tell(owner, "out of memory");
	else
		folder_check(options->tunnels_dir, credentials, &policy, tell, owner);
	free(list);
	if (protection != NULL)
		protection_free(protection);
	if (registry != NULL)
		registry_free(registry);
	if (locks != NULL)
		lock_queue_free(locks);
}

void service_check(const struct service_options *options, void (*tell)(void *owner, const char *fault), void *owner)
{
	char failure[512];
	if (!state_dir_check(options->state_dir, failure))
		tell(owner, failure);
	else if (!database_check(options->state_dir, failure))
		tell(owner, failure);
	if (options->access_log[0] != '\0' && !line_writer_check(options->access_log, failure))
		tell(owner, failure);
	if (options->fleet != NULL && !fleet_check(options->fleet, failure))
		tell(owner, failure);
	if (options->tunnels_dir[0] != '\0')
		check_files(options, tell, owner);
}
