#include "daemon/reload.h"

#include <string.h>

static void compare(const struct options *now, const struct options *fresh, json_t *restart_needed)
{
	char name[64];
	for (size_t at = 0; options_difference(now, fresh, &at, name) != NULL;)
		if (strcmp(name, "log_level") != 0)
			(void)json_array_append_new(restart_needed, json_string(name));
}

void reload_run(void *owner, struct problem *problem, json_t *reloaded, json_t *restart_needed)
{
	const struct reload_start *start = owner;
	struct options fresh;
	char failure[512] = "";
	if (options_read(&fresh, start->count, start->arguments, failure)) {
		log_set_level(fresh.log_level);
		compare(start->options, &fresh, restart_needed);
		(void)json_array_append_new(reloaded, json_string("configuration"));
	} else {
		problem_add(problem, "/configuration", "invalid_value", "%s", failure);
	}
	options_clear(&fresh);
	if (start->options->tls_cert == NULL)
		return;
	if (api_reload_certificate(failure))
		(void)json_array_append_new(reloaded, json_string("certificate"));
	else
		problem_add(problem, "/tls_cert", "invalid_value", "%s", failure);
}
