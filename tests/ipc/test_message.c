#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/message.h"

static void fill(struct spec *spec)
{
	spec_init(spec);
	spec->has_private_key = true;
	memset(spec->private_key.bytes, 7, 32);
	spec->addresses[0] = (struct wireguard_network){ .family = AF_INET, .prefix = 32, .bytes = { 10, 2, 0, 2 } };
	spec->addresses[1] = (struct wireguard_network){ .family = AF_INET6, .prefix = 128, .bytes = { 0xfd, [15] = 2 } };
	spec->address_count = 2;
	spec->dns = calloc(1, sizeof(*spec->dns));
	spec->dns[0] = (struct wireguard_network){ .family = AF_INET, .prefix = 32, .bytes = { 10, 2, 0, 1 } };
	spec->dns_count = 1;
	spec->peers = calloc(1, sizeof(*spec->peers));
	spec->peer_count = 1;
	memset(spec->peers[0].public_key.bytes, 9, 32);
	spec->peers[0].endpoint = (struct spec_place){ .kind = SPEC_PLACE_INET, .host = strdup("vpn.example"), .port = 51820 };
	spec->peers[0].allowed_ips = calloc(1, sizeof(struct wireguard_network));
	spec->peers[0].allowed_ips[0].family = AF_INET;
	spec->peers[0].allowed_ip_count = 1;
	spec->listen = calloc(1, sizeof(*spec->listen));
	spec->listen[0] = (struct spec_place){ .kind = SPEC_PLACE_INET, .host = strdup("127.0.0.1"), .port = 0 };
	spec->listen_count = 1;
	spec->users = calloc(1, sizeof(*spec->users));
	spec->users[0] = (struct spec_user){ .username = strdup("u"), .password = strdup("p") };
	spec->user_count = 1;
	spec->forwards = calloc(1, sizeof(*spec->forwards));
	spec->forwards[0] = (struct spec_forward){ .name = strdup("web"), .direction = SPEC_INBOUND };
	spec->forwards[0].listen = (struct spec_place){ .kind = SPEC_PLACE_INET, .host = strdup("10.2.0.2"), .port = 80 };
	spec->forwards[0].target = (struct spec_place){ .kind = SPEC_PLACE_UNIX, .host = strdup("/run/web.sock") };
	spec->forward_count = 1;
	spec->limits.total_bytes = 1ull << 40;
	spec->via = strdup("outer");
	spec->probe = (struct spec_probe){ .type = SPEC_PROBE_PING, .target = strdup("10.2.0.1"), .interval = 5 };
}

static void test_spec_survives_the_wire(void **state)
{
	(void)state;
	struct spec spec, copy;
	fill(&spec);
	assert_true(spec_copy(&copy, &spec));
	assert_true(spec_equal(&spec, &copy));
	assert_string_equal(copy.peers[0].endpoint.host, "vpn.example");
	assert_int_equal(copy.forwards[0].target.kind, SPEC_PLACE_UNIX);
	copy.users[0].password[0] = 'q';
	assert_false(spec_equal(&spec, &copy));
	assert_false(spec_needs_restart(&spec, &copy));
	copy.mtu = 1280;
	assert_true(spec_needs_restart(&spec, &copy));
	copy.mtu = spec.mtu;
	assert_true(spec_has_via(&copy, "outer") && !spec_has_via(&copy, "other") && !spec_has_via(&copy, NULL));
	copy.via[0] = 'O';
	assert_true(spec_needs_restart(&spec, &copy) && !spec_equal(&spec, &copy));
	free(copy.via);
	copy.via = NULL;
	assert_true(spec_needs_restart(&spec, &copy) && spec_needs_restart(&copy, &spec) && spec_has_via(&copy, NULL));
	spec_clear(&spec);
	spec_clear(&copy);
}

static void encode(struct message_writer *writer)
{
	struct message_addresses addresses = { .count = 1 };
	addresses.list[0].v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = 5 };
	struct message_socket sockets[2] = { { .id = 3, .kind = MESSAGE_SOCKET_UDP, .fresh = true }, { .id = 4, .kind = MESSAGE_SOCKET_PROXY } };
	uint32_t slots[1] = { 77 };
	struct message_prepare message = { .request = 1,
		                           .slot = 2,
		                           .generation = 3,
		                           .id = "ams-1",
		                           .endpoints = &addresses,
		                           .sockets = sockets,
		                           .socket_count = 2,
		                           .peer_slots = slots };
	fill(&message.spec);
	struct message_writer spec;
	message_writer_init(writer);
	message_writer_init(&spec);
	spec_encode(&spec, &message.spec);
	message_encode_prepare(writer, &message, &spec);
	message_writer_clear(&spec);
	spec_clear(&message.spec);
	assert_false(writer->failed);
}

static void test_prepare_survives_the_wire(void **state)
{
	(void)state;
	struct message_writer writer;
	encode(&writer);
	struct message_prepare message;
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_true(message_decode_prepare(&reader, &message));
	assert_string_equal(message.id, "ams-1");
	assert_int_equal(message.peer_slots[0], 77);
	assert_int_equal(message.endpoints[0].list[0].v4.sin_port, 5);
	assert_int_equal(message.sockets[1].id, 4);
	assert_true(message.sockets[0].fresh);
	message_prepare_clear(&message);
	message_writer_clear(&writer);
}

/* No worker's message is trusted: a cut or longer one is refused at every length. */
static void test_prepare_of_every_other_length_is_refused(void **state)
{
	(void)state;
	struct message_writer writer;
	encode(&writer);
	message_put_u8(&writer, 0);
	for (size_t length = 0; length <= writer.length; length++) {
		if (length == writer.length - 1)
			continue;
		struct message_prepare message;
		struct message_reader reader = { .bytes = writer.bytes, .left = length };
		assert_false(message_decode_prepare(&reader, &message));
	}
	message_writer_clear(&writer);
}

static void test_probed_refuses_what_is_no_number(void **state)
{
	(void)state;
	struct message_probed message = { .request = 1, .ok = true, .rtt_min_ms = 1.5, .failures = 7, .detail = "fine" }, back;
	assert_true(network_parse_address("2001:db8::1", &message.exit_ip));
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_probed(&writer, &message);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_true(message_decode_probed(&reader, &back));
	assert_string_equal(back.detail, "fine");
	assert_true(back.rtt_min_ms == 1.5);
	assert_int_equal(back.failures, 7);
	assert_memory_equal(&back.exit_ip, &message.exit_ip, sizeof(back.exit_ip));
	memset(writer.bytes + 29, 0xff, 8);
	reader = (struct message_reader){ .bytes = writer.bytes, .left = writer.length };
	assert_false(message_decode_probed(&reader, &back));
	message_writer_clear(&writer);
}

static void test_a_health_that_is_none_is_refused(void **state)
{
	(void)state;
	for (uint8_t health = 0; health <= TUNNEL_HEALTH_COUNT; health++) {
		struct message_health message = { .slot = 3, .generation = 4, .health = health }, back;
		struct message_writer writer;
		message_writer_init(&writer);
		message_encode_health(&writer, &message);
		struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
		assert_int_equal(message_decode_health(&reader, &back), health < TUNNEL_HEALTH_COUNT);
		assert_true(back.slot == 3 && back.generation == 4 && back.health == health);
		message_writer_clear(&writer);
	}
}

static void test_a_log_level_that_is_none_is_refused(void **state)
{
	(void)state;
	for (uint8_t byte = 0; byte <= LOG_DEBUG + 1; byte++) {
		struct message_reader reader = { .bytes = &byte, .left = 1 };
		enum log_level level;
		assert_int_equal(message_decode_log_level(&reader, &level), byte <= LOG_DEBUG);
		assert_int_equal(level, byte <= LOG_DEBUG ? byte : LOG_DEBUG);
	}
}

static void test_strings_with_a_zero_inside_are_refused(void **state)
{
	(void)state;
	struct message_writer writer;
	message_writer_init(&writer);
	message_put_u32(&writer, 3);
	message_put_bytes(&writer, "a\0b", 3);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_null(message_get_string(&reader, 10));
	assert_true(reader.failed);
	message_writer_clear(&writer);
}

static void test_a_condition_survives_the_wire(void **state)
{
	(void)state;
	struct message_condition message = { .slot = 7, .generation = 1ull << 40, .type = MESSAGE_CONDITION_MTU, .value = 1380 }, read;
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_condition(&writer, &message);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_true(message_decode_condition(&reader, &read));
	assert_int_equal(read.slot, 7);
	assert_int_equal(read.generation, 1ull << 40);
	assert_int_equal(read.type, MESSAGE_CONDITION_MTU);
	assert_int_equal(read.value, 1380);
	for (size_t length = 0; length < writer.length; length++) {
		reader = (struct message_reader){ .bytes = writer.bytes, .left = length };
		assert_false(message_decode_condition(&reader, &read));
	}
	message_writer_clear(&writer);
	message.type = MESSAGE_CONDITIONS;
	message_writer_init(&writer);
	message_encode_condition(&writer, &message);
	reader = (struct message_reader){ .bytes = writer.bytes, .left = writer.length };
	assert_false(message_decode_condition(&reader, &read));
	message_writer_clear(&writer);
}

static void test_a_condition_names_itself_and_its_value(void **state)
{
	(void)state;
	char detail[160];
	message_condition_detail(MESSAGE_CONDITION_MTU, 1420 << 16 | 1280, detail);
	assert_non_null(strstr(detail, "of 1420 bytes do not arrive, those of 1280 do"));
	assert_non_null(strstr(detail, "interface.mtu to 1280 or lower."));
	message_condition_detail(MESSAGE_CONDITION_MTU, 1280 << 16 | 1200, detail);
	assert_non_null(strstr(detail, "interface.mtu to 1200 or lower (an IPv6 address needs 1280)."));
	message_condition_detail(MESSAGE_CONDITION_MTU, UINT32_MAX, detail);
	assert_int_equal(detail[strlen(detail) - 1], '.');
	message_condition_detail(MESSAGE_CONDITION_KEY, 1, detail);
	assert_non_null(strstr(detail, "private key"));
	for (int i = 0; i < MESSAGE_CONDITIONS; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(message_condition_name((enum message_condition_type)i),
			                        message_condition_name((enum message_condition_type)j));
}

/* What workers of protocol 2, which are still kept, were built with. */
static_assert(MESSAGE_QUERY == 10 && MESSAGE_POOL_COUNT == 17 && MESSAGE_HAND_OVER == 18, "the numbers of messages stay");
static_assert(MESSAGE_READY == 64 && MESSAGE_ENDED == 79 && MESSAGE_LINK_BROKEN == 84, "the numbers of messages stay");

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spec_survives_the_wire),
		cmocka_unit_test(test_prepare_survives_the_wire),
		cmocka_unit_test(test_prepare_of_every_other_length_is_refused),
		cmocka_unit_test(test_probed_refuses_what_is_no_number),
		cmocka_unit_test(test_a_health_that_is_none_is_refused),
		cmocka_unit_test(test_a_log_level_that_is_none_is_refused),
		cmocka_unit_test(test_strings_with_a_zero_inside_are_refused),
		cmocka_unit_test(test_a_condition_survives_the_wire),
		cmocka_unit_test(test_a_condition_names_itself_and_its_value),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
