#include "service/fleet/token_keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/fleet/token_record.h"

#define FOLDER "k/"
#define RETRY_MS 500

struct token_keeper {
	struct token_keeper_means means;
	uv_timer_t retry;
	struct etcd_job *asked;
	bool must_read;   /* again, when what is under way is done */
	bool is_read;     /* once */
	int64_t seen;     /* revision of p/tokens */
	int64_t revision; /* at which they were read */
	struct database_token *list;
	size_t count, room;
	bool lacks_memory;
};

static void clear_list(struct token_keeper *keeper)
{
	for (size_t i = 0; i < keeper->count; i++)
		database_token_clear(&keeper->list[i]);
	free(keeper->list);
	keeper->list = NULL;
	keeper->count = keeper->room = 0;
	keeper->lacks_memory = false;
}

static bool make_room(struct token_keeper *keeper)
{
	size_t room = keeper->room == 0 ? 16 : 2 * keeper->room;
	if (keeper->count < keeper->room)
		return true;
	struct database_token *more = reallocarray(keeper->list, room, sizeof(*more));
	if (more == NULL)
		return false;
	keeper->list = more;
	keeper->room = room;
	return true;
}

static void on_record(void *owner, const struct fleet_kv *kv)
{
	struct token_keeper *keeper = owner;
	if (keeper->lacks_memory || !make_room(keeper)) {
		keeper->lacks_memory = true;
		return;
	}
	int error = token_record_read(&keeper->list[keeper->count], keeper->means.ring, kv);
	if (error == TOKEN_RECORD_OK)
		keeper->count++;
	else if (error == TOKEN_RECORD_NO_MEMORY)
		keeper->lacks_memory = true;
	else if (error != TOKEN_RECORD_RESERVATION)
		log_line(LOG_ERROR, NULL, "fleet: the token %.40s is not accepted: %s", kv->key + strlen(FOLDER),
		         token_record_explain((enum token_record_error)error));
}

static void try_later(struct token_keeper *keeper);

static void on_read(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct token_keeper *keeper = owner;
	(void)has_succeeded;
	keeper->asked = NULL;
	bool is_taken = error == ETCD_OK && !keeper->lacks_memory &&
	                token_table_take_fleet(keeper->means.tokens, keeper->means.disk, keeper->list, keeper->count);
	if (is_taken)
		keeper->count = 0;
	clear_list(keeper);
	if (is_taken) {
		keeper->is_read = true;
		keeper->revision = revision;
	}
	if (keeper->must_read)
		token_keeper_read(keeper);
	else if (!is_taken)
		try_later(keeper);
	keeper->means.looked(keeper->means.owner);
}

void token_keeper_read(struct token_keeper *keeper)
{
	const struct etcd_store_listener listener = { keeper, on_record, on_read };
	if (keeper->asked != NULL) {
		keeper->must_read = true;
		return;
	}
	keeper->must_read = false;
	keeper->asked = etcd_store_read(keeper->means.store, FOLDER, &listener);
	if (keeper->asked == NULL)
		try_later(keeper);
}

static void on_retry(uv_timer_t *timer)
{
	token_keeper_read(timer->data);
}

static void try_later(struct token_keeper *keeper)
{
	uv_timer_start(&keeper->retry, on_retry, RETRY_MS, 0);
}

void token_keeper_look(struct token_keeper *keeper)
{
	int64_t tokens = fleet_node_view(keeper->means.node)->tokens;
	if (keeper->seen == tokens && (keeper->is_read || keeper->asked != NULL || uv_is_active((uv_handle_t *)&keeper->retry)))
		return;
	keeper->seen = tokens;
	token_keeper_read(keeper);
}

int64_t token_keeper_revision(const struct token_keeper *keeper)
{
	return keeper->revision;
}

struct token_keeper *token_keeper_create(const struct token_keeper_means *means)
{
	struct token_keeper *keeper = calloc(1, sizeof(*keeper));
	if (keeper == NULL)
		return NULL;
	keeper->means = *means;
	uv_timer_init(means->loop, &keeper->retry);
	keeper->retry.data = keeper;
	return keeper;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void token_keeper_free(struct token_keeper *keeper)
{
	if (keeper == NULL)
		return;
	if (keeper->asked != NULL)
		etcd_store_cancel(keeper->asked);
	clear_list(keeper);
	uv_close((uv_handle_t *)&keeper->retry, on_closed);
}
