/* The input changes the state that a device gives of its peer, as a compromised worker may; another device takes it and goes on. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz_wireguard_world.h"
#include "tests/wireguard/config.h"
#include "tunnel/wireguard/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { BEFORE, FAR, AFTER, NODES };

static struct world_node nodes[NODES];
static uint64_t now;

static void send_packets(struct world_node *node, unsigned to, unsigned count)
{
	uint8_t packet[20] = { 0x45, [3] = 20, [12] = 10, [15] = node->inner, [16] = 10, [19] = (uint8_t)to };
	struct iovec part = { packet, sizeof(packet) };

	for (unsigned i = 0; i < count; i++)
		world_must(wireguard_device_send(node->device, &part, 1, sizeof(packet), now) <= 0);
}

static void carry_last(struct world_node *from, struct world_node *to)
{
	const struct world_datagram *datagram = world_sent(from, 0);

	if (datagram != NULL)
		world_receive(to, &from->address, datagram->bytes, datagram->length, now);
}

static void make_nodes(void)
{
	static const uint8_t numbers[NODES] = { 1, 2, 1 };

	now = 1000 * SECOND;
	for (unsigned i = 0; i < NODES; i++) {
		world_create(&nodes[i], numbers[i]);
		nodes[i].now = now;
	}
	world_add(&nodes[BEFORE], &nodes[FAR].device->public_key, &nodes[FAR].address, nodes[FAR].inner, NULL);
	world_add(&nodes[FAR], &nodes[BEFORE].device->public_key, &nodes[BEFORE].address, nodes[BEFORE].inner, NULL);
	world_add(&nodes[AFTER], &nodes[FAR].device->public_key, &nodes[FAR].address, nodes[FAR].inner, NULL);
	wireguard_peer_initiate(nodes[BEFORE].device->first, now);
	carry_last(&nodes[BEFORE], &nodes[FAR]);
	carry_last(&nodes[FAR], &nodes[BEFORE]);
	carry_last(&nodes[BEFORE], &nodes[FAR]);
	world_must(nodes[BEFORE].device->first->sessions.current != NULL && nodes[FAR].device->first->sessions.current != NULL);
}

/* With `has_ring` the form is the long one. */
static void receive_some(bool has_ring)
{
	for (unsigned i = 0; has_ring && i < 70; i++) {
		send_packets(&nodes[FAR], nodes[BEFORE].inner, 1);
		carry_last(&nodes[FAR], &nodes[BEFORE]);
	}
}

/* Places and what is done to them, then where it is cut. */
static void change(struct cursor *cursor, struct message_writer *writer)
{
	for (unsigned changes = cursor_byte(cursor) & 15; changes > 0; changes--) {
		size_t place = cursor_word(cursor) % writer->length;
		writer->bytes[place] ^= cursor_byte(cursor);
	}
	uint8_t cut = cursor_byte(cursor);
	if (cut != 0)
		writer->length -= cut % writer->length;
}

static void take(const struct message_writer *writer)
{
	uint8_t *copy = malloc(writer->length);
	struct message_reader reader = { .bytes = copy, .left = writer->length };

	world_must(copy != NULL);
	memcpy(copy, writer->bytes, writer->length);
	int result = wireguard_transfer_take(nodes[AFTER].device, &reader, now, NULL);
	free(copy);
	world_must(result == WIREGUARD_OK || result == WIREGUARD_NO_PEER || result == WIREGUARD_BAD_STATE);
	world_must(result == WIREGUARD_OK || nodes[AFTER].device->indices.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct cursor cursor = { bytes, length };
	struct message_writer writer;

	world_start();
	make_nodes();
	receive_some((cursor_byte(&cursor) & 1) != 0);
	message_writer_init(&writer);
	wireguard_transfer_give(nodes[BEFORE].device->first, &writer);
	world_must(!writer.failed && writer.length <= WIREGUARD_TRANSFER_MOST && nodes[BEFORE].device->indices.used == 0);
	change(&cursor, &writer);
	take(&writer);
	message_writer_clear(&writer);
	for (unsigned steps = 0; steps < 20; steps++) {
		world_tick(&nodes[AFTER], now);
		send_packets(&nodes[AFTER], nodes[FAR].inner, 3);
		send_packets(&nodes[FAR], nodes[AFTER].inner, 1);
		carry_last(&nodes[FAR], &nodes[AFTER]);
		carry_last(&nodes[AFTER], &nodes[FAR]);
		now += (1 + cursor_byte(&cursor)) * (SECOND / 10);
	}
	for (unsigned i = 0; i < NODES; i++) {
		config_forget(nodes[i].device);
		wireguard_device_free(nodes[i].device);
	}
	world_must(wireguard_arena_used() == 0);
	return 0;
}
