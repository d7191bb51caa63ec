#include "fleet/etcd/etcd_fill.h"

#include <stdlib.h>
#include <string.h>

#define PATH "/metrics"
#define SIZE_METRIC "etcd_mvcc_db_total_size_in_bytes "
#define QUOTA_METRIC "etcd_server_quota_backend_bytes "
#define FIRST_MS 2000 /* after the start */

struct etcd_fill {
	struct etcd_transport *transport;
	uv_timer_t timer;
	char *urls[FLEET_URLS_MAX];
	struct etcd_fill_level levels[FLEET_URLS_MAX]; /* as each member told last */
	size_t url_count, member;
	struct etcd_exchange *asked;
	void (*told)(void *owner, const struct etcd_fill_level *level);
	void *owner;
};

/* ---- What a member tells ---- */

/* The value of a line "NAME VALUE", a number as 3.3554432e+07; 0: there is none. */
static uint64_t value_of(const char *text, const char *name)
{
	const char *found = strstr(text, name);
	while (found != NULL && found != text && found[-1] != '\n')
		found = strstr(found + 1, name);
	double value = found == NULL ? 0 : strtod(found + strlen(name), NULL);
	return value > 0 && value < 1e18 ? (uint64_t)value : 0;
}

bool etcd_fill_read(struct etcd_fill_level *level, const char *text, size_t length)
{
	char *copy = strndup(text, length);
	if (copy == NULL)
		return false;
	const struct etcd_fill_level read = { value_of(copy, SIZE_METRIC), value_of(copy, QUOTA_METRIC) };
	free(copy);
	if (read.bytes == 0 || read.quota == 0)
		return false;
	*level = read;
	return true;
}

static struct etcd_fill_level fullest(const struct etcd_fill *fill)
{
	struct etcd_fill_level most = { 0, 0 };
	for (size_t i = 0; i < fill->url_count; i++) {
		const struct etcd_fill_level *level = &fill->levels[i];
		bool is_more =
		    level->quota > 0 && (most.quota == 0 || (double)level->bytes * (double)most.quota > (double)most.bytes * (double)level->quota);
		if (is_more)
			most = *level;
	}
	return most;
}

static void on_done(void *owner, int error, long status, const char *text, size_t length)
{
	struct etcd_fill *fill = owner;
	size_t member = fill->member;
	fill->asked = NULL;
	fill->member = (member + 1) % fill->url_count;
	/* A member that does not answer keeps what it has told: it is elsewhere that this is told. */
	if (error != ETCD_OK || status != 200 || !etcd_fill_read(&fill->levels[member], text, length))
		return;
	const struct etcd_fill_level level = fullest(fill);
	fill->told(fill->owner, &level);
}

static void on_timer(uv_timer_t *timer)
{
	struct etcd_fill *fill = timer->data;
	const struct etcd_listener listener = { .owner = fill, .done = on_done };
	const struct etcd_post post = { .base = fill->urls[fill->member], .path = PATH, .body = "" };
	if (fill->asked == NULL)
		fill->asked = etcd_transport_post(fill->transport, &post, &listener);
}

/* ---- Life ---- */

static void clear(struct etcd_fill *fill)
{
	for (size_t i = 0; i < fill->url_count; i++)
		free(fill->urls[i]);
	free(fill);
}

struct etcd_fill *etcd_fill_create(uv_loop_t *loop, const struct etcd_client_config *config,
                                   void (*told)(void *owner, const struct etcd_fill_level *level), void *owner)
{
	struct etcd_fill *fill = calloc(1, sizeof(*fill));
	if (fill == NULL)
		return NULL;
	fill->told = told;
	fill->owner = owner;
	for (bool is_copied = true; is_copied && fill->url_count < config->url_count; fill->url_count += is_copied) {
		fill->urls[fill->url_count] = strdup(config->urls[fill->url_count]);
		is_copied = fill->urls[fill->url_count] != NULL;
	}
	if (fill->url_count == config->url_count)
		fill->transport = etcd_transport_create(loop, config->curl, &config->tls);
	if (fill->transport == NULL) {
		clear(fill);
		return NULL;
	}
	uv_timer_init(loop, &fill->timer);
	fill->timer.data = fill;
	uv_timer_start(&fill->timer, on_timer, FIRST_MS, ETCD_FILL_ROUND_MS / fill->url_count);
	return fill;
}

static void on_closed(uv_handle_t *handle)
{
	clear(handle->data);
}

void etcd_fill_free(struct etcd_fill *fill)
{
	if (fill == NULL)
		return;
	etcd_transport_close(fill->transport);
	uv_close((uv_handle_t *)&fill->timer, on_closed);
}
