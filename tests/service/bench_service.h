/* A whole service in its own directory, with fake workers, driven from the test's thread as by the API. */
#ifndef WARREN_TESTS_SERVICE_BENCH_SERVICE_H
#define WARREN_TESTS_SERVICE_BENCH_SERVICE_H

#include <pthread.h>

#include "ipc/log.h"
#include "service/service.h"
#include "tests/service/quoted_json.h"

struct bench {
	struct service *service;
	struct service_options options;
	char directory[64];
	char failure[512];
	pthread_t thread;
	size_t stack_size; /* of the service's thread; 0: the default */
};

/* The service's log level; to be set before it is opened. */
extern enum log_level bench_log_level;

/* Stops the service; the directory stays for bench_start. */
void bench_stop(struct bench *bench);
bool bench_start(struct bench *bench); /* false with the failure */
void bench_wait_ready(struct bench *bench);

/* The bench of a test program, open while a test runs. */
extern struct bench own_bench;
int bench_set_up(void **state);
int bench_tear_down(void **state);

/* Submits and waits; the change is the caller's again. */
void bench_do(struct bench *bench, struct mutation *mutation);
/* One operation; the document is parsed from the text ('…' for "…"), or NULL. The change with its answer, to be freed. */
struct mutation *bench_edit(struct bench *bench, enum operation_kind kind, const char *id, const char *json);
/* The same, but returns only the code of its problem. */
enum problem_code bench_code(struct bench *bench, enum operation_kind kind, const char *id, const char *json);
/* The tunnel, referenced; it must exist. */
struct snapshot *bench_find(struct bench *bench, const char *id);
unsigned bench_port(struct bench *bench, const char *id); /* of its first listener */
int64_t bench_now_ms(void);
/* A document with one IPv4 address, one peer and the proxy listener (NULL: any port), for bench_edit. A static buffer. */
const char *bench_document(const char *listen);
/* A port of 127.0.0.1 that was free a moment ago. */
unsigned bench_free_port(void);
/* Whether a process listens there. */
bool bench_answers(unsigned port);
const char *bench_key(unsigned n); /* a valid public key, always the same for n; a static buffer */

#endif
