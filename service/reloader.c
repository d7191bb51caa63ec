#include "service/reloader.h"

#include <stdio.h>
#include <stdlib.h>

#include "service/files/folder.h"
#include "service/spec/json_writer.h"
#include "service/store/line_writer.h"
#include "service/worker/supervisor.h"

#define WAITING_MOST 16

struct waiting {
	struct mutation *mutation;
	void (*done)(void *mutation);
};

struct reloader {
	struct reloader_means means;
	struct waiting list[WAITING_MOST]; /* the first is under way */
	size_t count;
};

struct reloader *reloader_create(const struct reloader_means *means)
{
	struct reloader *reloader = calloc(1, sizeof(*reloader));
	if (reloader != NULL)
		reloader->means = *means;
	return reloader;
}

void reloader_free(struct reloader *reloader)
{
	free(reloader);
}

static void tell_files(struct reloader *reloader, struct mutation *mutation)
{
	json_t *faults = folder_faults(reloader->means.folder);
	for (size_t i = 0; i < json_array_size(faults); i++) {
		const json_t *fault = json_array_get(faults, i);
		char pointer[128];
		snprintf(pointer, sizeof(pointer), "/tunnels_dir/%s", json_string_value(json_object_get(fault, "file")));
		problem_add(&mutation->problem, pointer, "invalid_file", "%s", json_string_value(json_object_get(fault, "detail")));
	}
	json_decref(faults);
}

static void start(struct reloader *reloader);

static void finish(void *owner)
{
	struct reloader *reloader = owner;
	const struct waiting first = reloader->list[0];
	if (reloader->means.folder != NULL)
		tell_files(reloader, first.mutation);
	reloader->count--;
	for (size_t i = 0; i < reloader->count; i++)
		reloader->list[i] = reloader->list[i + 1];
	first.done(first.mutation);
	if (reloader->count > 0)
		start(reloader);
}

/* What is at hand at once; the files take their time. */
static void start(struct reloader *reloader)
{
	const struct reloader_means *means = &reloader->means;
	struct mutation *mutation = reloader->list[0].mutation;
	struct json_writer writer = { .failed = false };
	json_t *reloaded = json_array(), *restart_needed = json_array();
	if (means->reload != NULL)
		means->reload(means->owner, &mutation->problem, reloaded, restart_needed);
	supervisor_tell_log_level(means->supervisor);
	if (means->access_writer != NULL) {
		line_writer_reopen(means->access_writer);
		json_writer_add(&writer, reloaded, json_string("access_log"));
	}
	if (means->folder != NULL)
		json_writer_add(&writer, reloaded, json_string("tunnels_dir"));
	json_t *answer = json_object();
	json_writer_set(&writer, answer, "reloaded", reloaded);
	json_writer_set(&writer, answer, "restart_needed", restart_needed);
	mutation->reloaded = json_writer_end(&writer, answer);
	if (mutation->reloaded == NULL)
		problem_out_of_memory(&mutation->problem);
	if (means->folder == NULL || !folder_reload(means->folder, finish, reloader))
		finish(reloader);
}

void reloader_run(void *owner, struct mutation *mutation, void (*done)(void *mutation))
{
	struct reloader *reloader = owner;
	if (reloader->count == WAITING_MOST) {
		problem_set(&mutation->problem, PROBLEM_TOO_MANY_REQUESTS, "Other reloads are waiting; try again in a moment.");
		done(mutation);
		return;
	}
	reloader->list[reloader->count++] = (struct waiting){ .mutation = mutation, .done = done };
	if (reloader->count == 1)
		start(reloader);
}
