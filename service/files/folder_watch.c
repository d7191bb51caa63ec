#include "service/files/folder_watch.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_MS 200    /* after the last event: an editor writes, renames and sets times */
#define SETTLE_MOST 2000 /* after the first */

static void on_settled(uv_timer_t *timer)
{
	struct folder_watch *watch = timer->data;
	watch->first_event = 0;
	watch->changed(watch->owner);
}

static void note(struct folder_watch *watch)
{
	uint64_t now = uv_now(watch->settle.loop);
	if (watch->first_event == 0)
		watch->first_event = now;
	if (now - watch->first_event + SETTLE_MS <= SETTLE_MOST)
		uv_timer_start(&watch->settle, on_settled, SETTLE_MS, 0);
}

static void on_inside(uv_fs_event_t *handle, const char *name, int events, int status)
{
	(void)name;
	(void)events;
	(void)status;
	note(handle->data);
}

/* Only what happens to the directory itself, or to the link that leads to it. */
static void on_around(uv_fs_event_t *handle, const char *name, int events, int status)
{
	struct folder_watch *watch = handle->data;
	(void)events;
	(void)status;
	if (name == NULL || strcmp(name, watch->name) == 0)
		note(watch);
}

void folder_watch_clear(struct folder_watch *watch)
{
	free(watch->folder);
	free(watch->name);
	watch->folder = watch->name = NULL;
}

bool folder_watch_init(struct folder_watch *watch, uv_loop_t *loop, const char *path, void (*changed)(void *owner), void *owner)
{
	*watch = (struct folder_watch){ .path = path, .changed = changed, .owner = owner };
	char *copy = strdup(path), *other = strdup(path);
	if (copy != NULL && other != NULL) {
		watch->folder = strdup(dirname(copy));
		watch->name = strdup(basename(other));
	}
	free(copy);
	free(other);
	if (watch->folder == NULL || watch->name == NULL) {
		folder_watch_clear(watch);
		return false;
	}
	uv_fs_event_init(loop, &watch->inside);
	uv_fs_event_init(loop, &watch->around);
	uv_timer_init(loop, &watch->settle);
	watch->inside.data = watch->around.data = watch->settle.data = watch;
	return true;
}

bool folder_watch_renew(struct folder_watch *watch)
{
	uv_fs_event_stop(&watch->inside);
	uv_fs_event_stop(&watch->around);
	bool sees_around = uv_fs_event_start(&watch->around, on_around, watch->folder, 0) == 0;
	return uv_fs_event_start(&watch->inside, on_inside, watch->path, 0) == 0 && sees_around;
}

void folder_watch_wake(struct folder_watch *watch, uint64_t after_ms)
{
	if (!uv_is_active((uv_handle_t *)&watch->settle) || uv_timer_get_due_in(&watch->settle) > after_ms)
		uv_timer_start(&watch->settle, on_settled, after_ms, 0);
}

void folder_watch_stop(struct folder_watch *watch)
{
	uv_fs_event_stop(&watch->inside);
	uv_fs_event_stop(&watch->around);
	uv_timer_stop(&watch->settle);
}
