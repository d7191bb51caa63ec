/* Counters and gauges in memory that a worker shares with the control process: one sealed memfd per worker. The control process assigns the
 * slots; the worker is the only writer of a slot in use. All members are relaxed atomics, so there is no lock that a dead writer could hold.
 * When a worker is replaced, counters continue and gauges (from `gauges` on) are reset to zero. */
#ifndef WARREN_IPC_COUNTERS_H
#define WARREN_IPC_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/drop.h"
#include "ipc/endpoint.h"
#include "ipc/key.h"
#include "ipc/message.h"

#define COUNTERS_TUNNELS 16384u
#define COUNTERS_PEERS 65536u
#define COUNTERS_BUCKETS 14 /* of the connect histogram, the last is +Inf */

typedef _Atomic uint64_t counter;

enum counters_protocol { COUNTERS_HTTP, COUNTERS_CONNECT, COUNTERS_SOCKS5, COUNTERS_SOCKS4, COUNTERS_FORWARD, COUNTERS_UNKNOWN, COUNTERS_PROTOCOLS };

/* Why a proxied connection failed; the names are in counters_failure_name. */
enum counters_failure {
	COUNTERS_FAILED_BAD_REQUEST,
	COUNTERS_FAILED_AUTHENTICATION,
	COUNTERS_FAILED_POLICY,
	COUNTERS_FAILED_LOOP,
	COUNTERS_FAILED_LIMIT,
	COUNTERS_FAILED_TUNNEL_DOWN,
	COUNTERS_FAILED_NAME,
	COUNTERS_FAILED_REFUSED,
	COUNTERS_FAILED_UNREACHABLE,
	COUNTERS_FAILED_TIMEOUT,
	COUNTERS_FAILED_RESET,
	COUNTERS_FAILED_MEMORY,
	COUNTERS_FAILED_CLIENT_GONE,
	COUNTERS_FAILURES
};

/* Dropped packets: WireGuard's reasons first, then the netstack side's. */
enum counters_drop {
	COUNTERS_DROP_NO_PEER = WIREGUARD_DROP_COUNT, /* no allowed IP covers it */
	COUNTERS_DROP_NO_ENDPOINT,
	COUNTERS_DROP_SEND,     /* the kernel refused the datagram for good */
	COUNTERS_DROP_NOT_PEER, /* a destination that is no peer's endpoint: never sent */
	/* datagrams of SOCKS associations and forwards */
	COUNTERS_DROP_STRANGER, /* to or from an address other than the client's */
	COUNTERS_DROP_REFUSED,  /* malformed, or to a forbidden or unreachable target */
	COUNTERS_DROP_OVERFLOW, /* a queue was full, or a limit was reached */
	COUNTERS_DROPS
};

struct counters_tunnel {
	counter bytes_sent, bytes_received; /* payload through the proxy and forwards */
	counter wire_bytes_sent, wire_bytes_received;
	counter packets_sent, packets_received;
	counter handshakes, handshake_failures;
	counter dropped[COUNTERS_DROPS];
	counter connections_ok[COUNTERS_PROTOCOLS];
	counter connections_failed_by_protocol[COUNTERS_PROTOCOLS];
	counter connections_failed[COUNTERS_FAILURES];
	counter healed[MESSAGE_HEALINGS];
	counter probes_ok, probes_failed;
	counter total_bytes_used; /* of limits.total_bytes */
	/* gauges */
	counter connections_open[COUNTERS_PROTOCOLS];
	counter throughput_sent, throughput_received; /* bit/s of payload over the last seconds */
	counter state;                                /* enum tunnel_state */
	counter state_since;                          /* UNIX time in ms */
	counter health;                               /* enum tunnel_health */
	counter health_since;                         /* UNIX time in ms, 0: not assessed yet */
	counter generation;                           /* of the active runtime */
	counter started_at;                           /* UNIX time in ms of the first activation, 0 when disabled */
	counter conditions[MESSAGE_CONDITIONS];       /* the values of struct message_condition, 0: it does not hold */
};

struct counters_peer {
	counter bytes_sent, bytes_received;
	counter last_handshake_at; /* UNIX time in ms, 0: never */
	counter round_trip_us;     /* of the last handshake that was begun here, 0: none was */
	counter endpoint_version;  /* odd while being written: read counters_endpoint */
	counter endpoint[4];
	counter initiation_seconds, initiation_nanoseconds; /* TAI64N of the newest initiation answered: for the worker's successor */
};

struct counters_worker {
	counter heartbeat;                         /* goes up at least once a second */
	counter connect_buckets[COUNTERS_BUCKETS]; /* not cumulative; bounds in counters_bucket_bounds */
	counter connect_count, connect_sum_us;
	counter cpu_us;             /* of all processes that were this worker */
	counter resident_bytes;     /* 0: not known */
	counter memory_used;        /* bytes of the data path's budget in use */
	counter access_log_dropped; /* connections that ended and could not be told */
};

struct counters {
	struct counters_worker worker;
	struct counters_tunnel tunnels[COUNTERS_TUNNELS];
	struct counters_peer peers[COUNTERS_PEERS];
	/* Until when the worker may send for tunnels that are silent in isolation (docs/fleet.md): CLOCK_BOOTTIME in ns; UINT64_MAX: for ever; 0: not
	 * at all. The control process is its writer. It is in what was left of the last page: memory that a program before MESSAGE_PROTOCOL 7 made
	 * ends before it. */
	counter deadline;
};

extern const double counters_bucket_bounds[COUNTERS_BUCKETS - 1]; /* seconds */
const char *counters_failure_name(enum counters_failure failure);
const char *counters_drop_name(unsigned drop); /* below COUNTERS_DROPS */
const char *tunnel_state_name(enum tunnel_state state);

/* Creates a sealed memfd and maps it; -1 on failure. Pages take no memory until they are used. */
int counters_create(struct counters **counters);
/* The memfd's flags: not executable, where the kernel supports that. */
unsigned counters_memory_flags(void);
struct counters *counters_map(int descriptor); /* NULL on failure */
void counters_unmap(struct counters *counters);
void counters_zero_gauges(struct counters_tunnel *tunnel);
void counters_clear_tunnel(struct counters_tunnel *tunnel);
void counters_clear_peer(struct counters_peer *peer);
/* Copies a slot whose writer is gone into one that has no writer yet. */
void counters_copy_tunnel(struct counters_tunnel *to, const struct counters_tunnel *from);
void counters_copy_peer(struct counters_peer *to, const struct counters_peer *from);
void counters_set_endpoint(struct counters_peer *peer, const union wireguard_endpoint *endpoint);
bool counters_endpoint(const struct counters_peer *peer,
                       union wireguard_endpoint *endpoint); /* false if none was ever set, or a writer died while writing it */
/* A TAI64N label, all zeros if none was set. A writer that died while writing leaves a later label, never an earlier one. */
void counters_set_initiation(struct counters_peer *peer, const uint8_t tai64n[12]);
void counters_initiation(const struct counters_peer *peer, uint8_t tai64n[12]);

static inline uint64_t counter_read(const counter *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

/* Of all protocols. */
static inline uint64_t counters_open_connections(const struct counters_tunnel *tunnel)
{
	uint64_t open = 0;
	for (size_t i = 0; i < COUNTERS_PROTOCOLS; i++)
		open += counter_read(&tunnel->connections_open[i]);
	return open;
}

/* For the only writer: a plain load and store, no locked instruction. */
static inline void counter_add(counter *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void counter_set(counter *c, uint64_t n)
{
	atomic_store_explicit(c, n, memory_order_relaxed);
}

#endif
