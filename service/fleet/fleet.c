#include "service/fleet/fleet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fleet/etcd/etcd_fill.h"
#include "fleet/etcd/runner.h"
#include "ipc/log.h"
#include "ipc/program_version.h"
#include "service/change/inbox.h"
#include "service/fleet/finder.h"
#include "service/fleet/keeper.h"
#include "service/fleet/roster.h"
#include "service/fleet/publisher.h"
#include "service/fleet/resealer.h"
#include "service/fleet/secrets.h"
#include "service/fleet/token_keeper.h"
#include "service/fleet/token_writer.h"
#include "service/fleet/writer.h"
#include "service/registry/registry.h"
#include "service/store/state_dir.h"
#include "service/store/store.h"

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_LENGTH 36
#define DRAINING_FILE "draining" /* in the state directory: it is there while the node is drained */
#define LEAVE_MS 1000            /* for etcd to take the last word */

struct fleet {
	const struct fleet_options *options; /* borrowed */
	struct etcd_curl curl;
	struct fleet_secrets secrets;
	struct events *events; /* borrowed */
	struct roster *roster;
	char boot_id[BOOT_ID_LENGTH + 1];
	struct fleet_means means;
	struct etcd_runner *runner; /* NULL: it has not started, or pauses */
	struct etcd_store *store;
	struct keeper *keeper;
	struct writer *writer;
	struct finder *finder;
	struct publisher *publisher;
	struct etcd_fill *fill;
	struct resealer *resealer;
	struct token_keeper *token_keeper;
	struct token_writer *token_writer;
	struct inbox *inbox;
	uv_timer_t leaving;
	bool is_begun;            /* `leaving` is a handle of the loop */
	bool is_failing, is_full; /* it was told that etcd cannot be used, and that it is full */
};

/* ---- Before it starts ---- */

bool fleet_check(const struct fleet_options *options, char failure[512])
{
	struct fleet_secrets secrets;
	if (!fleet_secrets_read(&secrets, options, failure))
		return false;
	fleet_secrets_clear(&secrets);
	return true;
}

static bool read_boot_id(char boot_id[BOOT_ID_LENGTH + 1], char failure[512])
{
	int file = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
	bool is_read = file >= 0 && read(file, boot_id, BOOT_ID_LENGTH) == BOOT_ID_LENGTH;
	if (file >= 0)
		close(file);
	if (!is_read)
		snprintf(failure, 512, "--fleet: " BOOT_ID_FILE " cannot be read, which tells one start of the machine from another");
	return is_read;
}

struct fleet *fleet_create(const struct fleet_options *options, struct events *events, char failure[512])
{
	struct fleet *fleet = calloc(1, sizeof(*fleet));
	if (fleet == NULL) {
		snprintf(failure, 512, "out of memory");
		return NULL;
	}
	fleet->options = options;
	fleet->events = events;
	fleet->roster = roster_create(events);
	fleet->inbox = inbox_create();
	if (fleet->roster == NULL || fleet->inbox == NULL)
		snprintf(failure, 512, "out of memory");
	else if (etcd_curl_load(&fleet->curl, failure) && fleet_secrets_read(&fleet->secrets, options, failure) &&
	         read_boot_id(fleet->boot_id, failure))
		return fleet;
	fleet_free(fleet);
	return NULL;
}

/* ---- What the runner and the keeper tell ---- */

static void on_change(void *owner, const struct fleet_change *change)
{
	const struct fleet *fleet = owner;
	keeper_change(fleet->keeper, change);
}

static void on_applied(void *owner, int64_t revision)
{
	const struct fleet *fleet = owner;
	keeper_applied(fleet->keeper, revision);
	token_keeper_look(fleet->token_keeper);
}

static void on_tokens_looked(void *owner)
{
	const struct fleet *fleet = owner;
	token_writer_look(fleet->token_writer);
}

static void on_deadline(void *owner, uint64_t deadline)
{
	struct fleet *fleet = owner;
	if (deadline != 0 && fleet->is_failing) {
		fleet->is_failing = fleet->is_full = false;
		log_line(LOG_INFO, NULL, "fleet: etcd answers again");
	}
	fleet->means.deadline(fleet->means.owner, deadline);
}

static void tell_full(struct fleet *fleet, const char *member)
{
	fleet->is_full = true;
	log_line(
	    LOG_ERROR, NULL,
	    "fleet: the database of etcd at %s is full (NOSPACE), so that no node can say that it is there. Compact it and defragment every member, "
	    "then disarm the alarm (etcdctl alarm disarm); raise --quota-backend-bytes",
	    member);
}

/* Once, until it is better. */
static void on_failed(void *owner, enum fleet_request_kind kind, enum etcd_error error, const char *member)
{
	struct fleet *fleet = owner;
	(void)kind;
	if (error == ETCD_NO_SPACE && !fleet->is_full)
		tell_full(fleet, member);
	if (error == ETCD_OK || fleet->is_failing)
		return;
	fleet->is_failing = true;
	if (error != ETCD_NO_SPACE)
		log_line(LOG_WARN, NULL, "fleet: etcd at %s: %s; what runs goes on", member, etcd_error_name(error));
}

static void on_left(void *owner)
{
	struct fleet *fleet = owner;
	uv_timer_stop(&fleet->leaving);
	fleet->means.left(fleet->means.owner, roster_has_others(fleet->roster));
}

static void on_settled(void *owner, int64_t revision)
{
	const struct fleet *fleet = owner;
	if (fleet->runner != NULL)
		etcd_runner_settled(fleet->runner, revision);
}

static void on_told(void *owner, uint64_t at)
{
	const struct fleet *fleet = owner;
	etcd_runner_told(fleet->runner, at);
}

static void on_fill(void *owner, const struct etcd_fill_level *level)
{
	const struct fleet *fleet = owner;
	roster_take_fill(fleet->roster, level->bytes, level->quota);
}

static void on_silent(void *owner, int64_t revision)
{
	const struct fleet *fleet = owner;
	if (fleet->runner != NULL)
		etcd_runner_silent(fleet->runner, revision);
}

static void on_running(void *owner, int64_t revision)
{
	const struct fleet *fleet = owner;
	if (fleet->runner != NULL)
		etcd_runner_running(fleet->runner, revision);
}

/* ---- Writes ---- */

bool fleet_takes(const struct mutation *mutation)
{
	return writer_takes(mutation) || token_writer_takes(mutation) || mutation->kind == MUTATION_LOOK_UP;
}

static void refuse(struct mutation *mutation, enum problem_code code, const char *detail)
{
	problem_set(&mutation->problem, code, "%s", detail);
	mutation->failed_operation = mutation->operation_count;
	mutation->done(mutation, mutation->owner);
}

void fleet_submit(struct fleet *fleet, struct mutation *mutation)
{
	if (!inbox_put(fleet->inbox, mutation))
		refuse(mutation, PROBLEM_WORKER_UNAVAILABLE, PROBLEM_LEAVING);
}

void fleet_run(struct fleet *fleet)
{
	for (struct mutation *mutation = inbox_take_all(fleet->inbox), *next; mutation != NULL; mutation = next) {
		next = mutation->next;
		if (fleet->writer != NULL && mutation->kind == MUTATION_LOOK_UP)
			finder_begin(fleet->finder, mutation);
		else if (fleet->writer != NULL && token_writer_takes(mutation))
			token_writer_begin(fleet->token_writer, mutation);
		else if (fleet->writer != NULL)
			writer_begin(fleet->writer, mutation);
		else
			refuse(mutation, PROBLEM_FLEET_UNAVAILABLE, "This node has not joined its fleet yet: try again in a moment.");
	}
}

void fleet_end_writes(struct fleet *fleet)
{
	inbox_close(fleet->inbox);
	for (struct mutation *mutation = inbox_take_all(fleet->inbox), *next; mutation != NULL; mutation = next) {
		next = mutation->next;
		refuse(mutation, PROBLEM_WORKER_UNAVAILABLE, PROBLEM_LEAVING);
	}
	if (fleet->writer == NULL)
		return;
	writer_end(fleet->writer);
	finder_end(fleet->finder);
	token_writer_end(fleet->token_writer);
}

/* ---- Life ---- */

/* Of the same boot are processes of which the earlier one is dead: those that had the lock of one state directory, since the machine started. The
 * lock's file says which, because a path may be another one in another container. */
static bool name_boot(const struct fleet *fleet, char boot[FLEET_NAME])
{
	struct stat info;
	if (fstat(fleet->means.state_dir->lock, &info) != 0)
		return false;
	uint64_t place = fleet_hash_mix(fleet_hash_mix((uint64_t)info.st_dev) ^ (uint64_t)info.st_ino);
	snprintf(boot, FLEET_NAME, "%s-%016llx", fleet->boot_id, (unsigned long long)place);
	return true;
}

static struct etcd_client_config etcd_of(const struct fleet *fleet)
{
	const struct fleet_options *options = fleet->options;
	struct etcd_client_config etcd = { .curl = &fleet->curl,
		                           .url_count = options->url_count,
		                           .prefix = options->prefix,
		                           .tls = { options->ca, options->certificate, options->key },
		                           .user = options->user,
		                           .password = options->user == NULL ? NULL : fleet->secrets.password };
	for (size_t i = 0; i < options->url_count; i++)
		etcd.urls[i] = options->urls[i];
	return etcd;
}

/* What speaks to etcd. */
static bool make_node(struct fleet *fleet)
{
	const struct fleet_options *options = fleet->options;
	const struct etcd_client_config etcd = etcd_of(fleet);
	const struct etcd_runner_listener listener = { fleet, on_change, on_applied, on_deadline, on_failed, on_left };
	char boot[FLEET_NAME];
	if (!name_boot(fleet, boot))
		return false;
	const struct fleet_node_config node = { .name = options->node,
		                                .boot = boot,
		                                .address = options->api,
		                                .version = program_version.text,
		                                .capacity = options->capacity,
		                                .labels = options->labels,
		                                .label_count = options->label_count,
		                                .rule = FLEET_RULE_DEFAULT,
		                                .seed = fleet_hash(boot) ^ etcd_runner_now() };
	fleet->runner = etcd_runner_create(fleet->means.loop, &node, &etcd, &listener);
	fleet->store = etcd_store_create(fleet->means.loop, &etcd);
	fleet->fill = etcd_fill_create(fleet->means.loop, &etcd, on_fill, fleet);
	return fleet->runner != NULL && fleet->store != NULL && fleet->fill != NULL;
}

static bool make_token_parts(struct fleet *fleet)
{
	const struct mutation_means *means = mutations_means(fleet->means.mutations);
	const struct token_keeper_means keeping = { .loop = fleet->means.loop,
		                                    .store = fleet->store,
		                                    .ring = &fleet->secrets.ring,
		                                    .node = etcd_runner_node(fleet->runner),
		                                    .tokens = means->tokens,
		                                    .disk = means->store,
		                                    .looked = on_tokens_looked,
		                                    .owner = fleet };
	fleet->token_keeper = token_keeper_create(&keeping);
	const struct token_writer_means writing = {
		.loop = fleet->means.loop, .store = fleet->store, .ring = &fleet->secrets.ring, .tokens = means->tokens, .keeper = fleet->token_keeper
	};
	fleet->token_writer = token_writer_create(&writing);
	const struct resealer_means sealing = {
		.loop = fleet->means.loop, .store = fleet->store, .ring = &fleet->secrets.ring, .node = etcd_runner_node(fleet->runner)
	};
	fleet->resealer = resealer_create(&sealing);
	return fleet->token_keeper != NULL && fleet->token_writer != NULL && fleet->resealer != NULL;
}

static bool make_parts(struct fleet *fleet)
{
	if (!make_node(fleet))
		return false;
	const struct keeper_means keeping = { .loop = fleet->means.loop,
		                              .registry = fleet->means.registry,
		                              .mutations = fleet->means.mutations,
		                              .store = fleet->store,
		                              .ring = &fleet->secrets.ring,
		                              .node = etcd_runner_node(fleet->runner),
		                              .silent = on_silent,
		                              .running = on_running,
		                              .settled = on_settled,
		                              .owner = fleet };
	fleet->keeper = keeper_create(&keeping);
	const struct finder_means finding = { .store = fleet->store, .ring = &fleet->secrets.ring, .node = etcd_runner_node(fleet->runner) };
	fleet->finder = finder_create(&finding);
	const struct writer_means writing = { .loop = fleet->means.loop,
		                              .registry = fleet->means.registry,
		                              .mutations = fleet->means.mutations,
		                              .store = fleet->store,
		                              .keeper = fleet->keeper,
		                              .finder = fleet->finder,
		                              .ring = &fleet->secrets.ring,
		                              .node = etcd_runner_node(fleet->runner) };
	fleet->writer = writer_create(&writing);
	const struct publisher_means publishing = { .loop = fleet->means.loop,
		                                    .registry = fleet->means.registry,
		                                    .store = fleet->store,
		                                    .node = etcd_runner_node(fleet->runner),
		                                    .keeper = fleet->keeper,
		                                    .name = fleet->options->node,
		                                    .told = on_told,
		                                    .owner = fleet };
	fleet->publisher = publisher_create(&publishing);
	return make_token_parts(fleet) && fleet->keeper != NULL && fleet->writer != NULL && fleet->finder != NULL && fleet->publisher != NULL;
}

static bool draining_path(const struct fleet *fleet, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/" DRAINING_FILE, fleet->means.state_dir->path) < PATH_MAX;
}

static bool is_draining(const struct fleet *fleet)
{
	char path[PATH_MAX];
	return draining_path(fleet, path) && access(path, F_OK) == 0;
}

bool fleet_start(struct fleet *fleet, const struct fleet_means *means)
{
	fleet->means = *means;
	if (!fleet->is_begun)
		uv_timer_init(means->loop, &fleet->leaving);
	fleet->is_begun = true;
	fleet->leaving.data = fleet;
	if (!make_parts(fleet)) {
		log_line(LOG_ERROR, NULL, "fleet: out of memory");
		fleet_pause(fleet);
		return false;
	}
	bool is_drained = is_draining(fleet);
	log_line(LOG_INFO, NULL, "fleet: this is node %s%s", fleet->options->node, is_drained ? ", which is drained" : "");
	if (is_drained)
		etcd_runner_drain(fleet->runner, true);
	inbox_reopen(fleet->inbox);
	etcd_runner_start(fleet->runner);
	return true;
}

void fleet_drain(struct fleet *fleet, bool is_draining)
{
	char path[PATH_MAX];
	if (fleet->runner == NULL || !draining_path(fleet, path))
		return;
	int file = is_draining ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
	bool is_kept = is_draining ? file >= 0 : unlink(path) == 0 || errno == ENOENT;
	if (file >= 0)
		close(file);
	if (!is_kept)
		log_line(LOG_WARN, NULL, "fleet: %s: %s; a restart forgets whether this node is drained", path, strerror(errno));
	etcd_runner_drain(fleet->runner, is_draining);
	fleet_tick(fleet);
}

struct roster *fleet_roster(const struct fleet *fleet)
{
	return fleet->roster;
}

void fleet_tick(struct fleet *fleet)
{
	const struct fleet_rule rule = FLEET_RULE_DEFAULT;
	if (fleet->runner != NULL)
		roster_update(fleet->roster, etcd_runner_node(fleet->runner), &rule, etcd_runner_now());
}

void fleet_pause(struct fleet *fleet)
{
	resealer_free(fleet->resealer);
	token_writer_free(fleet->token_writer);
	token_keeper_free(fleet->token_keeper);
	publisher_free(fleet->publisher);
	finder_free(fleet->finder);
	writer_free(fleet->writer);
	keeper_free(fleet->keeper);
	etcd_fill_free(fleet->fill);
	etcd_store_free(fleet->store);
	etcd_runner_free(fleet->runner);
	fleet->token_writer = NULL;
	fleet->token_keeper = NULL;
	fleet->fill = NULL;
	fleet->resealer = NULL;
	fleet->publisher = NULL;
	fleet->finder = NULL;
	fleet->writer = NULL;
	fleet->keeper = NULL;
	fleet->store = NULL;
	fleet->runner = NULL;
}

void fleet_leave(struct fleet *fleet)
{
	if (fleet->runner == NULL)
		return;
	fleet_end_writes(fleet);
	keeper_stop(fleet->keeper);
	etcd_runner_leave(fleet->runner);
}

static void on_too_late(uv_timer_t *timer)
{
	struct fleet *fleet = timer->data;
	log_line(LOG_WARN, NULL, "fleet: etcd did not take this node's last word: others wait for it to be silent");
	fleet->means.left(fleet->means.owner, false);
}

void fleet_say_bye(struct fleet *fleet)
{
	if (fleet->runner == NULL)
		return;
	uv_timer_start(&fleet->leaving, on_too_late, LEAVE_MS, 0);
	etcd_runner_say_bye(fleet->runner);
}

static void on_forgotten(struct store_batch *batch, void *owner)
{
	(void)owner;
	store_batch_free(batch);
}

void fleet_forget(struct registry *registry, struct store *store)
{
	struct store_batch *batch = store_batch_create(registry_count(registry));
	size_t count = 0;
	if (batch == NULL)
		return;
	for (size_t i = 0; i < registry_count(registry); i++) {
		const struct entry *entry = registry_at(registry, i);
		if (entry->snapshot->origin != SNAPSHOT_OF_FLEET)
			continue;
		batch->writes[count].kind = STORE_DELETE;
		memcpy(batch->writes[count++].tunnel.key, entry->key, sizeof(entry->key));
	}
	batch->count = count;
	batch->done = on_forgotten;
	store_submit(store, batch);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void fleet_free(struct fleet *fleet)
{
	if (fleet == NULL)
		return;
	fleet_pause(fleet);
	fleet_secrets_clear(&fleet->secrets);
	roster_free(fleet->roster);
	inbox_free(fleet->inbox);
	if (fleet->is_begun)
		uv_close((uv_handle_t *)&fleet->leaving, on_closed);
	else
		free(fleet);
}
