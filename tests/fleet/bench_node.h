/* One node, asked and answered by hand. */
#ifndef WARREN_TESTS_FLEET_BENCH_NODE_H
#define WARREN_TESTS_FLEET_BENCH_NODE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fleet/node.h"

#define CLUSTER 77
#define LEASE 500

extern struct fleet_node *node;
extern uint64_t now; /* its time; a test moves it */
extern struct fleet_request request;

int begin(void **state); /* a node «me» of the boot «b-1» that has not asked for anything yet */
int end(void **state);
void expect(enum fleet_request_kind kind); /* the next request, left in `request` */
void expect_nothing(void);
void reply(enum fleet_request_kind kind, enum fleet_result result, int64_t revision);
/* The watch tells a whole revision. */
void event_of(const char *key, const char *value, int64_t revision, int64_t lease);
/* … a heartbeat of ours, which was sent at `t`. */
void read_back(uint64_t t, int64_t revision);
/* The workers have carried out all changes. */
void confirm_all(void);
void join(void);
/* Valid since `now`, with nothing under way, at revision 20. */
void become_valid(void);
/* A heartbeat that goes out now and is acknowledged. */
void beat(int64_t revision);

#endif
