/* A node of a fleet on a real etcd, for the end-to-end tests. It serves its shards by writing their epochs into a file that all nodes share, which is
 * the referee: an epoch below one that has been written is a violation.
 *
 *     etcd_node NAME BOOT REFEREE TTL MARGIN URL…          SIGTERM: it leaves */
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <uv.h>

#include "fleet/etcd/runner.h"
#include "service/spec/json_reader.h"

#define SHARDS 4096
#define ACT_MS 20

/* Of the class "any". Read by the test (harness/etcd.py). */
struct referee {
	_Atomic int64_t violations;
	struct {
		_Atomic int64_t epoch;
		_Atomic int64_t at; /* CLOCK_BOOTTIME in ms */
	} acts[SHARDS];
};

static struct referee *referee;
static struct etcd_runner *runner;
static int64_t epochs[SHARDS]; /* of the shards that are ours */
static uint64_t deadline;
static uv_timer_t worker;
static uv_signal_t terminated;

static void serve(uint32_t shard)
{
	int64_t before = atomic_load(&referee->acts[shard].epoch);
	while (before < epochs[shard] && !atomic_compare_exchange_weak(&referee->acts[shard].epoch, &before, epochs[shard]))
		;
	if (before > epochs[shard])
		atomic_fetch_add(&referee->violations, 1);
	else
		atomic_store(&referee->acts[shard].at, (int64_t)etcd_runner_now());
}

static void on_work(uv_timer_t *timer)
{
	(void)timer;
	for (uint32_t shard = 0; shard < SHARDS; shard++)
		if (epochs[shard] != 0 && etcd_runner_now() < deadline)
			serve(shard);
}

static void on_change(void *owner, const struct fleet_change *change)
{
	(void)owner;
	assert(strcmp(change->class, "any") == 0);
	epochs[change->shard] = change->epoch;
}

static void on_applied(void *owner, int64_t revision)
{
	(void)owner;
	etcd_runner_silent(runner, revision);
	etcd_runner_running(runner, revision);
}

static void on_deadline(void *owner, uint64_t until)
{
	(void)owner;
	deadline = until;
}

static void on_failed(void *owner, enum fleet_request_kind kind, enum etcd_error error, const char *member)
{
	(void)owner;
	fprintf(stderr, "%llu request %d: %s at %s\n", (unsigned long long)etcd_runner_now(), (int)kind, etcd_error_name(error), member);
}

static void on_left(void *owner)
{
	(void)owner;
	uv_stop(uv_default_loop());
}

static void on_terminated(uv_signal_t *handle, int number)
{
	(void)handle;
	(void)number;
	etcd_runner_leave(runner);
	etcd_runner_say_bye(runner);
}

int main(int count, char **words)
{
	static const struct etcd_runner_listener listener = { NULL, on_change, on_applied, on_deadline, on_failed, on_left };
	struct etcd_curl curl;
	char failure[512];
	struct etcd_client_config etcd = { .curl = &curl, .prefix = "/w/" };
	assert(count > 6);
	const struct fleet_node_config node = {
		.name = words[1],
		.boot = words[2],
		.address = "https://192.0.2.1:8443",
		.capacity = 1000,
		.rule = { .ttl = strtoull(words[4], NULL, 10), .margin = strtoull(words[5], NULL, 10) },
		.seed = (uint64_t)getpid(),
	};
	for (int i = 6; i < count; i++)
		etcd.urls[etcd.url_count++] = words[i];
	int file = open(words[3], O_RDWR);
	referee = mmap(NULL, sizeof(*referee), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	assert(referee != MAP_FAILED);
	json_reader_start();
	if (!etcd_curl_load(&curl, failure)) {
		fprintf(stderr, "%s\n", failure);
		return 1;
	}
	runner = etcd_runner_create(uv_default_loop(), &node, &etcd, &listener);
	assert(runner != NULL);
	uv_timer_init(uv_default_loop(), &worker);
	uv_timer_start(&worker, on_work, ACT_MS, ACT_MS);
	uv_signal_init(uv_default_loop(), &terminated);
	uv_signal_start(&terminated, on_terminated, SIGTERM);
	etcd_runner_start(runner);
	uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	etcd_runner_free(runner);
	uv_close((uv_handle_t *)&worker, NULL);
	uv_close((uv_handle_t *)&terminated, NULL);
	uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	return uv_loop_close(uv_default_loop());
}
