/* Drives the client of etcd for the end-to-end tests: requests come as lines of standard input, and what is told goes out as lines of JSON.
 *
 *     etcd_driver PREFIX URL…          ETCD_CA, ETCD_CERTIFICATE, ETCD_KEY, ETCD_USER, ETCD_PASSWORD
 *     grant TTL | keepalive LEASE | list | watch REVISION [elsewhere]
 *     starve N REQUEST                 of its allocations one fails, after N
 *     join|heartbeat|lead|place [mod KEY N | lease KEY N | put KEY LEASE VALUE | delete KEY | read KEY]…
 *     store_write [as above]…
 *     store_read KEY; with a number before it, it is cancelled after so many records */
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "fleet/etcd/etcd_client.h"
#include "fleet/etcd/etcd_store.h"
#include "service/spec/json_reader.h"
#include "tests/failing_heap.h"

static const char *const kinds[] = { "grant", "join", "heartbeat", "keepalive", "list", "watch", "lead", "place" };
static const char *const results[] = { "done", "refused", "no_lease", "unknown" };

static struct fleet_txn txn;

static void say(json_t *told)
{
	json_dumpf(told, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(told);
}

static json_t *record_of(const struct fleet_kv *kv)
{
	return json_pack("{ss ss# sI sI sb}", "key", kv->key, "value", kv->value, (int)kv->length, "revision", (json_int_t)kv->revision, "lease",
	                 (json_int_t)kv->lease, "deleted", kv->is_deleted);
}

static void on_reply(void *owner, const struct fleet_reply *reply, enum etcd_error error, const char *member)
{
	(void)owner;
	heap_works();
	json_t *told = json_pack("{ss ss ss ss sI sI sI si}", "reply", kinds[reply->kind], "result", results[reply->result], "error",
	                         etcd_error_name(error), "member", member, "lease", (json_int_t)reply->lease, "revision", (json_int_t)reply->revision,
	                         "cluster", (json_int_t)reply->cluster, "starved", (int)heap_refused());
	if (reply->found.key != NULL)
		json_object_set_new(told, "found", record_of(&reply->found));
	say(told);
}

static void on_listed(void *owner, const struct fleet_kv *kv)
{
	(void)owner;
	say(json_pack("{so}", "listed", record_of(kv)));
}

static void on_created(void *owner, int64_t revision, uint64_t cluster)
{
	(void)owner;
	say(json_pack("{sI sI}", "created", (json_int_t)revision, "cluster", (json_int_t)cluster));
}

static void on_event(void *owner, const struct fleet_kv *kv)
{
	(void)owner;
	say(json_pack("{so}", "event", record_of(kv)));
}

static void on_progress(void *owner, int64_t revision)
{
	(void)owner;
	say(json_pack("{sI}", "progress", (json_int_t)revision));
}

static void on_ended(void *owner, bool is_compacted, enum etcd_error error, const char *member)
{
	(void)owner;
	say(json_pack("{ss sb ss}", "ended", etcd_error_name(error), "compacted", is_compacted, "member", member));
}

/* ---- The store ---- */

static struct etcd_store *store;

struct reading {
	struct etcd_job *job;
	unsigned left; /* records until it is cancelled; 0: it is not */
};

static void on_record(void *owner, const struct fleet_kv *kv)
{
	struct reading *reading = owner;
	heap_works();
	say(json_pack("{so}", "record", record_of(kv)));
	if (reading->left == 0 || --reading->left > 0)
		return;
	etcd_store_cancel(reading->job);
	free(reading);
	say(json_pack("{sb}", "cancelled", true));
}

static void on_stored(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	heap_works();
	free(owner);
	say(json_pack("{ss sb sI sb si}", "stored", etcd_error_name(error), "succeeded", has_succeeded, "revision", (json_int_t)revision, "refusal",
	              etcd_error_is_refusal(error), "starved", (int)heap_refused()));
}

static char *word(char **rest)
{
	char *found = strsep(rest, " ");
	assert(found != NULL);
	return found;
}

static void read_txn(char *rest)
{
	fleet_txn_clear(&txn);
	while (rest != NULL) {
		const char *verb = word(&rest), *key = word(&rest);
		if (strcmp(verb, "read") == 0) {
			txn.read = key;
		} else if (strcmp(verb, "delete") == 0) {
			fleet_txn_delete(&txn, key);
		} else if (strcmp(verb, "put") == 0) {
			int64_t lease = atoll(word(&rest));
			fleet_txn_put(&txn, key, word(&rest), lease);
		} else {
			fleet_txn_compare(&txn, key, strcmp(verb, "mod") == 0 ? FLEET_MOD_REVISION : FLEET_LEASE, atoll(word(&rest)));
		}
	}
}

static bool ask_store(const char *kind, char *line)
{
	struct reading *reading = calloc(1, sizeof(*reading));
	const struct etcd_store_listener listener = { reading, on_record, on_stored };
	if (reading == NULL)
		return false;
	if (strcmp(kind, "store_write") == 0) {
		reading->job = etcd_store_write(store, &txn, &listener);
	} else {
		const char *key = word(&line);
		reading->left = line == NULL ? 0 : (unsigned)atoi(key);
		reading->job = etcd_store_read(store, line == NULL ? key : line, &listener);
	}
	bool is_asked = reading->job != NULL;
	if (!is_asked)
		free(reading);
	return is_asked;
}

static void ask(struct etcd_client *client, char *line)
{
	struct fleet_request request = { .kind = 0 };
	const char *kind = word(&line), *starved = NULL;
	bool is_for_store = strncmp(kind, "store_", 6) == 0;
	if (strcmp(kind, "starve") == 0) {
		starved = word(&line);
		kind = word(&line);
		is_for_store = strncmp(kind, "store_", 6) == 0;
	}
	request.kind = is_for_store ? FLEET_LIST : 0; /* has nothing to read */
	while (!is_for_store && strcmp(kinds[request.kind], kind) != 0)
		request.kind++;
	if (request.kind == FLEET_GRANT) {
		request.ttl = strtoull(word(&line), NULL, 10);
	} else if (request.kind == FLEET_KEEPALIVE) {
		request.lease = atoll(word(&line));
	} else if (request.kind == FLEET_WATCH) {
		request.revision = atoll(word(&line));
		request.is_elsewhere = line != NULL;
	} else if (strcmp(kind, "store_write") == 0 || (!is_for_store && request.kind != FLEET_LIST)) {
		read_txn(line);
		request.txn = &txn;
	}
	if (starved != NULL)
		heap_fails_once_after((unsigned)atoi(starved));
	if (is_for_store ? ask_store(kind, line) : etcd_client_ask(client, &request))
		return;
	assert(starved != NULL);
	heap_works();
	say(json_pack("{ss}", "not_asked", kind));
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	static char bytes[65536];
	(void)handle;
	(void)suggested;
	*buffer = uv_buf_init(bytes, sizeof(bytes) - 1);
}

/* The test writes a line at a time and waits for what it brings. */
static void on_input(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer)
{
	if (length < 0) {
		uv_close((uv_handle_t *)stream, NULL);
		etcd_client_free(stream->data);
		etcd_store_free(store);
		return;
	}
	buffer->base[length] = '\0';
	for (char *line, *rest = buffer->base; (line = strsep(&rest, "\n")) != NULL;)
		if (*line != '\0')
			ask(stream->data, line);
}

int main(int count, char **words)
{
	static const struct etcd_client_listener listener = { NULL, on_reply, on_listed, on_created, on_event, on_progress, on_ended };
	struct etcd_curl curl;
	char failure[512];
	struct etcd_client_config config = {
		.curl = &curl,
		.prefix = words[1],
		.tls = { getenv("ETCD_CA"), getenv("ETCD_CERTIFICATE"), getenv("ETCD_KEY") },
		.user = getenv("ETCD_USER"),
		.password = getenv("ETCD_PASSWORD"),
	};
	uv_pipe_t input;
	json_reader_start();
	if (!etcd_curl_load(&curl, failure)) {
		fprintf(stderr, "%s\n", failure);
		return 1;
	}
	for (int i = 2; i < count; i++)
		config.urls[config.url_count++] = words[i];
	uv_pipe_init(uv_default_loop(), &input, 0);
	uv_pipe_open(&input, 0);
	input.data = etcd_client_create(uv_default_loop(), &config, &listener);
	store = etcd_store_create(uv_default_loop(), &config);
	assert(input.data != NULL && store != NULL);
	uv_read_start((uv_stream_t *)&input, on_allocate, on_input);
	uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	return uv_loop_close(uv_default_loop());
}
