#include "service/files/folder.h"

#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/files/folder_pass.h"
#include "service/files/folder_watch.h"

#define RETRY_MS 10000   /* of files whose fault may pass by */
#define BLIND_MS 5000    /* between two passes while the directory cannot be watched */
#define AGAIN_AT_ONCE 3u /* passes, when one file waited for what another gave up */

struct folder {
	struct folder_watch watch;
	struct folder_pass pass;
	struct fault_list *faults;
	char *path, *credentials;
	bool is_started, is_stopping;
	bool is_again; /* a change came during a pass */
	bool is_watched;
	unsigned at_once;
	size_t faults_told;
	_Atomic bool is_done;
	void (*reloaded)(void *owner); /* NULL: nobody waits */
	void *reload_owner;
};

static void begin(struct folder *folder)
{
	folder->is_again = false;
	/* Before the directory is read, so that no change falls between. */
	bool is_watched = folder_watch_renew(&folder->watch);
	if (!is_watched && folder->is_watched)
		log_line(LOG_WARN, NULL, "the tunnels directory cannot be watched: it is read every 5 s instead");
	folder->is_watched = is_watched;
	folder_pass_start(&folder->pass);
}

static void on_changed(void *owner)
{
	struct folder *folder = owner;
	if (folder->is_stopping)
		return;
	if (folder->pass.is_running)
		folder->is_again = true;
	else
		begin(folder);
}

static void answer(struct folder *folder)
{
	void (*reloaded)(void *owner) = folder->reloaded;
	folder->reloaded = NULL;
	if (reloaded != NULL)
		reloaded(folder->reload_owner);
}

static void on_finished(void *owner)
{
	struct folder *folder = owner;
	const struct folder_pass *pass = &folder->pass;
	if (folder->is_stopping) {
		answer(folder);
		return;
	}
	bool may_help = pass->may_pass_by && pass->changed > 0 && folder->at_once < AGAIN_AT_ONCE;
	folder->at_once = may_help ? folder->at_once + 1 : 0;
	if (folder->is_again || may_help) {
		begin(folder);
		return;
	}
	size_t faults = fault_list_count(folder->faults);
	if (!folder->is_done || faults != folder->faults_told)
		log_line(LOG_INFO, NULL, "the tunnels directory is read; objects that changed: %zu, faulty files: %zu", pass->changed, faults);
	folder->faults_told = faults;
	folder->is_done = true;
	if (!folder->is_watched || pass->is_unreadable)
		folder_watch_wake(&folder->watch, BLIND_MS);
	else if (pass->may_pass_by)
		folder_watch_wake(&folder->watch, RETRY_MS);
	answer(folder);
}

static void on_entry(void *owner, struct entry *entry)
{
	struct folder *folder = owner;
	if (entry->snapshot->spec.kind == SPEC_TUNNEL && folder_pass_awaits(&folder->pass, entry->id))
		folder_watch_wake(&folder->watch, 0);
}

struct folder *folder_create(const struct folder_means *means)
{
	struct folder *folder = calloc(1, sizeof(*folder));
	if (folder == NULL)
		return NULL;
	folder->path = strdup(means->path);
	folder->credentials = means->credentials == NULL ? NULL : strdup(means->credentials);
	folder->faults = fault_list_create();
	folder->is_watched = true;
	const struct folder_pass_means pass = { .loop = means->loop,
		                                .registry = means->registry,
		                                .mutations = means->mutations,
		                                .faults = folder->faults,
		                                .path = folder->path,
		                                .credentials = folder->credentials,
		                                .finished = on_finished,
		                                .owner = folder };
	bool has_memory = folder->path != NULL && folder->faults != NULL && (means->credentials == NULL || folder->credentials != NULL);
	if (!has_memory || !folder_watch_init(&folder->watch, means->loop, folder->path, on_changed, folder)) {
		fault_list_free(folder->faults);
		free(folder->path);
		free(folder->credentials);
		free(folder);
		return NULL;
	}
	folder_pass_init(&folder->pass, &pass);
	registry_watch(means->registry, &(struct registry_watcher){ .changed = on_entry, .owner = folder });
	return folder;
}

void folder_free(struct folder *folder)
{
	if (folder == NULL)
		return;
	folder_watch_clear(&folder->watch);
	folder_pass_clear(&folder->pass);
	fault_list_free(folder->faults);
	free(folder->path);
	free(folder->credentials);
	free(folder);
}

void folder_start(struct folder *folder)
{
	if (folder->is_started || folder->is_stopping)
		return;
	folder->is_started = true;
	begin(folder);
}

bool folder_reload(struct folder *folder, void (*done)(void *owner), void *owner)
{
	if (folder->reloaded != NULL)
		return false;
	folder->reloaded = done;
	folder->reload_owner = owner;
	if (folder->is_stopping || !folder->is_started)
		answer(folder);
	else
		on_changed(folder);
	return true;
}

void folder_stop(struct folder *folder)
{
	folder->is_stopping = true;
	registry_unwatch(folder->pass.means.registry, folder);
	folder_watch_stop(&folder->watch);
	folder_pass_stop(&folder->pass);
}

bool folder_is_done(const struct folder *folder)
{
	return folder->is_done;
}

json_t *folder_faults(struct folder *folder)
{
	return fault_list_to_json(folder->faults);
}

size_t folder_fault_count(struct folder *folder)
{
	return fault_list_count(folder->faults);
}
