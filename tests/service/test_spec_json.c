/* A spec as JSON, by the letter (openapi.yaml, TunnelSpec). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "service/spec/json_writer.h"
#include "service/spec/spec_json.h"

#define KEY_OF_4 "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ="
#define KEY_OF_8 "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg="

static void expect(json_t *json, const char *text)
{
	char *written = json_writer_text(json);
	assert_string_equal(written, text);
	free(written);
	json_decref(json);
}

static void fill(struct spec *spec)
{
	spec_init(spec);
	spec->has_private_key = true;
	memset(&spec->private_key, 4, sizeof(spec->private_key));
	assert_true(network_parse("10.0.0.2/24", true, &spec->addresses[0]) && network_parse("fd00::2", true, &spec->addresses[1]));
	spec->address_count = 2;
	spec->dns = calloc(1, sizeof(*spec->dns));
	assert_true(network_parse_address("10.0.0.1", &spec->dns[0]));
	spec->dns_count = 1;
	spec->mtu = 1380;
	spec->listen_port = 51820;
	spec->peers = calloc(2, sizeof(*spec->peers));
	spec->peer_count = 2;
	memset(&spec->peers[0].public_key, 8, sizeof(spec->peers[0].public_key));
	memset(&spec->peers[0].preshared_key, 4, sizeof(spec->peers[0].preshared_key));
	spec->peers[0].has_preshared_key = true;
	assert_true(place_parse("[2001:DB8::1]:51820", &spec->peers[0].endpoint));
	spec->peers[0].allowed_ips = calloc(1, sizeof(*spec->peers[0].allowed_ips));
	spec->peers[0].allowed_ips[0].family = AF_INET;
	spec->peers[0].allowed_ip_count = 1;
	spec->peers[0].persistent_keepalive = 25;
	memset(&spec->peers[1].public_key, 4, sizeof(spec->peers[1].public_key));
	spec->users = calloc(1, sizeof(*spec->users));
	spec->users[0] = (struct spec_user){ .username = strdup("ann"), .password = strdup("secret") };
	spec->user_count = 1;
	spec->listen = calloc(2, sizeof(*spec->listen));
	assert_true(place_parse("127.0.0.1:0", &spec->listen[0]) && place_parse("unix:/run/p.sock", &spec->listen[1]));
	spec->listen_count = 2;
	spec->protocols = SPEC_HTTP | SPEC_SOCKS4;
	spec->connect_timeout = 5;
	spec->idle_timeout = 0;
	spec->allow_private_targets = false;
	spec->forwards = calloc(2, sizeof(*spec->forwards));
	spec->forward_count = 2;
	spec->forwards[0] = (struct spec_forward){ .name = strdup("web"), .direction = SPEC_INBOUND, .transport = SPEC_TCP };
	spec->forwards[1] = (struct spec_forward){ .name = strdup("dns"), .direction = SPEC_OUTBOUND, .transport = SPEC_UDP };
	assert_true(place_parse("10.0.0.2:80", &spec->forwards[0].listen) && place_parse("unix:/run/w.sock", &spec->forwards[0].target));
	assert_true(place_parse("127.0.0.1:53", &spec->forwards[1].listen) && place_parse("dns.example:53", &spec->forwards[1].target));
	spec->limits =
	    (struct spec_limits){ .connections = 7, .rx_bits_per_second = 1ull << 40, .tx_bits_per_second = 2, .total_bytes = 9007199254740991 };
	spec->probe =
	    (struct spec_probe){ .type = SPEC_PROBE_TCP, .target = strdup("10.0.0.1:443"), .interval = 30, .timeout = 6, .unhealthy_after = 2 };
}

#define HEAD(key)                                                                                                                                    \
	"{\"enabled\":true,\"interface\":{" key "\"addresses\":[\"10.0.0.2/24\",\"fd00::2/128\"],\"dns\":[\"10.0.0.1\"],\"mtu\":1380,"               \
	"\"listen_port\":51820},"
#define PEERS(psk, no_psk)                                                                                                                           \
	"\"peers\":[{\"public_key\":\"" KEY_OF_8 "\"," psk "\"endpoint\":\"[2001:db8::1]:51820\",\"allowed_ips\":[\"0.0.0.0/0\"],"                   \
	"\"persistent_keepalive\":25},{\"public_key\":\"" KEY_OF_4 "\"," no_psk "\"allowed_ips\":[],\"persistent_keepalive\":0}],"
#define TAIL(password)                                                                                                                               \
	"\"proxy\":{\"listen\":[\"127.0.0.1:0\",\"unix:/run/"                                                                                        \
	"p.sock\"],\"protocols\":[\"http\",\"socks4\"],\"users\":[{\"username\":\"ann\"," password                                                   \
	"}],\"connect_timeout\":5,\"idle_timeout\":0,\"allow_private_targets\":false},"                                                              \
	"\"forwards\":[{\"name\":\"web\",\"direction\":\"inbound\",\"protocol\":\"tcp\",\"listen\":\"10.0.0.2:80\",\"target\":\"unix:/run/"          \
	"w.sock\"},"                                                                                                                                 \
	"{\"name\":\"dns\",\"direction\":\"outbound\",\"protocol\":\"udp\",\"listen\":\"127.0.0.1:53\",\"target\":\"dns.example:53\"}],"             \
	"\"limits\":{\"connections\":7,\"rx_bits_per_second\":1099511627776,\"tx_bits_per_second\":2,\"total_bytes\":9007199254740991},"             \
	"\"probe\":{\"type\":\"tcp\",\"target\":\"10.0.0.1:443\",\"interval\":30,\"timeout\":6,\"unhealthy_after\":2}}"

/* P8: what is secret is told to be set, and nothing more, unless it is asked for. */
static void with_and_without_secrets(void **state)
{
	struct spec spec;
	(void)state;
	fill(&spec);
	expect(spec_to_json(&spec, false),
	       HEAD("") PEERS("\"preshared_key_set\":true,", "\"preshared_key_set\":false,") TAIL("\"password_set\":true"));
	expect(spec_to_json(&spec, true),
	       HEAD("\"private_key\":\"" KEY_OF_4 "\",") PEERS("\"preshared_key\":\"" KEY_OF_4 "\",", "") TAIL("\"password\":\"secret\""));
	spec_clear(&spec);
}

static void what_is_absent_is_left_out(void **state)
{
	struct spec spec;
	(void)state;
	spec_init(&spec);
	json_t *json = spec_to_json(&spec, true);
	assert_null(json_object_get(json, "probe"));
	assert_null(json_object_get(json_object_get(json, "interface"), "private_key"));
	assert_int_equal(json_array_size(json_object_get(json, "peers")), 0);
	json_decref(json);
	spec_clear(&spec);
	struct spec_peer peer = { .persistent_keepalive = 1 };
	expect(spec_peer_to_json(&peer, true),
	       "{\"public_key\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"allowed_ips\":[],\"persistent_keepalive\":1}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_and_without_secrets),
		cmocka_unit_test(what_is_absent_is_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
