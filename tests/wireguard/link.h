/* Devices on an in-process link, with one fake clock. The link loses, delays, duplicates and reorders as configured; all randomness comes from a
 * fixed seed. */
#ifndef WARREN_TESTS_WIREGUARD_LINK_H
#define WARREN_TESTS_WIREGUARD_LINK_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <stdbool.h>

#include "tests/wireguard/config.h"
#include "tunnel/wireguard/device.h"
#include "tunnel/wireguard/device_private.h"

#define SECOND UINT64_C(1000000000)
#define MILLISECOND UINT64_C(1000000)
#define LINK_NODES 8
#define LINK_EVENTS (WIREGUARD_SESSION_EXPIRED + 1)

struct link;

struct link_datagram {
	struct link_datagram *next;
	uint64_t arrives;
	union wireguard_endpoint from, to;
	size_t length;
	uint8_t bytes[];
};

struct link_node {
	struct link *link;
	struct wireguard_device *device;
	struct wireguard_key private_key;
	unsigned number; /* the inner address is 10.0.0.(number + 1) */
	union wireguard_endpoint address;
	int64_t wall_offset; /* offset of this node's wall clock from the link's, in nanoseconds */
	bool is_full;        /* no room for any datagram */
	unsigned events[LINK_EVENTS];
	unsigned sent[5];    /* datagrams by message type */
	uint64_t sent_at[5]; /* when the last one was */
	size_t sent_bytes, largest;
	unsigned random_calls; /* to the env */
	unsigned delivered;    /* inner packets */
	size_t delivered_bytes;
	uint8_t packet[2048]; /* the last one */
	size_t packet_length;
	bool does_echo; /* answers each packet from within deliver */
	size_t reserved;
	union wireguard_endpoint reserved_to;
	uint8_t room[65536];
};

struct link {
	uint64_t now;
	uint64_t random;
	uint64_t delay;
	unsigned loss, duplicate, reorder; /* per thousand */
	bool is_cut;
	/* Sees every datagram before the link does; false drops it. */
	bool (*filter)(struct link *link, struct link_node *from, uint8_t *bytes, size_t length);
	struct link_datagram *first;
	struct link_node nodes[LINK_NODES];
	unsigned count;
};

/* A link with `count` devices without peers. */
struct link *link_create(unsigned count);
void link_free(struct link *link);
uint64_t link_random(struct link *link);

/* Makes two nodes peers of each other, each allowed its inner address (and fd00::n). */
void link_join(struct link *link, unsigned a, unsigned b);
struct wireguard_peer *link_peer(struct link *link, unsigned of, unsigned to);
void link_config(struct link *link, unsigned to, struct wireguard_peer_config *config, struct wireguard_network networks[2]);

/* Sends an IPv4 packet of this length from node to node; returns what the device does. */
int link_send(struct link *link, unsigned from, unsigned to, size_t length);
/* Advances the clock and does everything that is due meanwhile. */
void link_run(struct link *link, uint64_t duration);
/* Delivers a datagram now. */
void link_inject(struct link *link, unsigned to, const union wireguard_endpoint *from, const void *bytes, size_t length);
/* Completes a handshake with a packet from a to b, which arrives. */
void link_handshake(struct link *link, unsigned a, unsigned b);
/* Takes the first datagram in flight off the link; freed by the caller. */
struct link_datagram *link_take(struct link *link);
union wireguard_endpoint link_ipv4(uint32_t address, uint16_t port);
union wireguard_endpoint link_ipv6(uint64_t prefix, uint64_t host, uint16_t port);
uint64_t link_drops(struct link *link, unsigned node);

/* For cmocka: the library is started and stopped around each test. */
/* A data message, sealed and opened by itself. */
void link_seal(struct wireguard_session *session, uint8_t *message, size_t length);
bool link_open(const struct wireguard_session *session, uint8_t *message, size_t length);
int link_setup(void **state);
int link_teardown(void **state);
#define link_test(test) cmocka_unit_test_setup_teardown(test, link_setup, link_teardown)

#endif
