#include "tests/service/bench_service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ipc/log.h"

enum log_level bench_log_level = LOG_ERROR;

struct waiting {
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool is_done;
};

static void *run_service(void *argument)
{
	struct bench *bench = argument;
	service_run(bench->service);
	return NULL;
}

bool bench_start(struct bench *bench)
{
	bench->service = service_create(&bench->options, bench->failure);
	if (bench->service == NULL)
		return false;
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	if (bench->stack_size != 0)
		assert_int_equal(pthread_attr_setstacksize(&attributes, bench->stack_size), 0);
	assert_int_equal(pthread_create(&bench->thread, &attributes, run_service, bench), 0);
	pthread_attr_destroy(&attributes);
	return true;
}

void bench_wait_ready(struct bench *bench)
{
	struct timespec pause = { .tv_nsec = 2000000 };
	for (int i = 0; i < 5000 && !service_is_ready(bench->service); i++)
		nanosleep(&pause, NULL);
	assert_true(service_is_ready(bench->service));
	/* The turn in which the last worker became ready, and was linked to the others, is over when something is done in another one. */
	struct mutation *mutation = mutation_create(MUTATION_CONNECTIONS, 0);
	mutation->listing = calloc(1, sizeof(*mutation->listing));
	assert_non_null(mutation->listing);
	mutation->listing->matches_none = true;
	bench_do(bench, mutation);
	mutation_free(mutation);
}

/* A fresh directory; started. */
static void bench_open(struct bench *bench)
{
	*bench = (struct bench){ .service = NULL };
	log_start(getenv("TEST_LOG") != NULL ? LOG_DEBUG : bench_log_level, false, "control");
	snprintf(bench->directory, sizeof(bench->directory), "%s/warren-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(bench->directory));
	snprintf(bench->options.state_dir, sizeof(bench->options.state_dir), "%s", bench->directory);
	bench->options.workers = 2;
	if (!bench_start(bench))
		fail_msg("%s", bench->failure);
	bench_wait_ready(bench);
}

void bench_stop(struct bench *bench)
{
	if (bench->service == NULL)
		return;
	service_stop(bench->service);
	pthread_join(bench->thread, NULL);
	service_free(bench->service);
	bench->service = NULL;
}

/* Stops when it runs, and removes the directory. */
static void bench_close(struct bench *bench)
{
	char command[128];
	bench_stop(bench);
	snprintf(command, sizeof(command), "rm -rf %s", bench->directory);
	assert_int_equal(system(command), 0);
}

static void on_done(struct mutation *mutation, void *owner)
{
	struct waiting *waiting = owner;
	(void)mutation;
	pthread_mutex_lock(&waiting->lock);
	waiting->is_done = true;
	pthread_cond_signal(&waiting->done);
	pthread_mutex_unlock(&waiting->lock);
}

void bench_do(struct bench *bench, struct mutation *mutation)
{
	struct waiting waiting = { .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER };
	mutation->done = on_done;
	mutation->owner = &waiting;
	service_submit(bench->service, access_whole(), mutation);
	pthread_mutex_lock(&waiting.lock);
	while (!waiting.is_done)
		pthread_cond_wait(&waiting.done, &waiting.lock);
	pthread_mutex_unlock(&waiting.lock);
}

struct mutation *bench_edit(struct bench *bench, enum operation_kind kind, const char *id, const char *json)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	assert_non_null(mutation);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->operations[0].kind = kind;
	snprintf(mutation->operations[0].id, sizeof(mutation->operations[0].id), "%s", id);
	mutation->operations[0].document = json == NULL ? NULL : quoted_json(json);
	bench_do(bench, mutation);
	return mutation;
}

enum problem_code bench_code(struct bench *bench, enum operation_kind kind, const char *id, const char *json)
{
	struct mutation *mutation = bench_edit(bench, kind, id, json);
	enum problem_code code = mutation->problem.code != PROBLEM_NONE ? mutation->problem.code : mutation->operations[0].problem.code;
	if (getenv("TEST_LOG") != NULL)
		for (size_t i = 0; i < mutation->operations[0].problem.fault_count; i++)
			fprintf(stderr, "  %s: %s\n", mutation->operations[0].problem.faults[i].pointer,
			        mutation->operations[0].problem.faults[i].detail);
	mutation_free(mutation);
	return code;
}

const char *bench_key(unsigned n)
{
	static char text[64];
	uint8_t key[32];
	crypto_generichash(key, sizeof(key), (const uint8_t *)&n, sizeof(n), NULL, 0);
	sodium_bin2base64(text, sizeof(text), key, sizeof(key), sodium_base64_VARIANT_ORIGINAL);
	return text;
}

const char *bench_document(const char *listen)
{
	static char text[1024];
	snprintf(
	    text, sizeof(text),
	    "{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']},"
	    "'peers':[{'public_key':'%s','endpoint':'192.0.2.1:51820','allowed_ips':['0.0.0.0/0'],'preshared_key':'%s'}],"
	    "'proxy':{'listen':['%s']}}}",
	    "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak=", listen == NULL ? "127.0.0.1:0" : listen);
	return text;
}

static bool is_free(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
	int descriptor = socket(AF_INET, SOCK_STREAM, 0);
	bool free = bind(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(descriptor);
	return free;
}

/* Below the range that the kernel gives to port 0, so that no other program gets it meanwhile; another one at each call. */
unsigned bench_free_port(void)
{
	static unsigned count;
	for (;;) {
		unsigned port = 10000 + ((unsigned)getpid() * 64 + count++) % 20000;
		if (is_free(port))
			return port;
	}
}

bool bench_answers(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	bool connected = connect(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0;
	if (!connected) {
		fd_set set;
		int error = 1;
		socklen_t length = sizeof(error);
		struct timeval limit = { .tv_sec = 1 };
		FD_ZERO(&set);
		FD_SET(descriptor, &set);
		select(descriptor + 1, NULL, &set, NULL, &limit);
		getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length);
		connected = error == 0;
	}
	close(descriptor);
	return connected;
}

struct snapshot *bench_find(struct bench *bench, const char *id)
{
	struct snapshot *snapshot = service_find(bench->service, access_whole(), id);
	assert_non_null(snapshot);
	return snapshot;
}

unsigned bench_port(struct bench *bench, const char *id)
{
	struct snapshot *snapshot = bench_find(bench, id);
	unsigned port = (unsigned)strtoul(strrchr(snapshot->listen[0], ':') + 1, NULL, 10);
	snapshot_release(snapshot);
	return port;
}

int64_t bench_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct bench own_bench;

int bench_set_up(void **state)
{
	(void)state;
	bench_open(&own_bench);
	return 0;
}

int bench_tear_down(void **state)
{
	(void)state;
	bench_close(&own_bench);
	return 0;
}
