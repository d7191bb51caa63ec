#include "daemon/check.h"

#include <stdio.h>
#include <string.h>

#include "service/service_check.h"

static void tell(void *owner, const char *fault)
{
	unsigned *count = owner;
	fprintf(stderr, "warrend: %s\n", fault);
	(*count)++;
}

unsigned check_run(const struct options *options, const char *failure)
{
	unsigned count = 0;
	char why[512] = "";
	for (size_t i = 0; i < options->fault_count; i++)
		tell(&count, options->faults[i]);
	bool is_told = options->fault_count > 0 && strcmp(options->faults[options->fault_count - 1], failure) == 0;
	if (failure[0] != '\0' && !is_told)
		tell(&count, failure);
	/* What could be read is checked, even if other options are wrong. */
	gid_t group;
	if (options->socket_group != NULL && !api_socket_group_enter(options->socket_group, &group, why))
		tell(&count, why);
	if (!api_check_options(&options->api, why))
		tell(&count, why);
	if (!api_check_socket(&options->api, why))
		tell(&count, why);
	if (!api_check_certificate(&options->api, why))
		tell(&count, why);
	if (options->service.state_dir[0] != '\0')
		service_check(&options->service, tell, &count);
	return count;
}
