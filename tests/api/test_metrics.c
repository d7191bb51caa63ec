/* /metrics: every line follows Prometheus' text format, families are contiguous, and no published metric is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_fixture.h"

static struct fixture fixture;

static int set_up(void **state)
{
	(void)state;
	fixture_start(&fixture, false);
	fake_service_add(fixture.service, "ams-1", "eu", 2, 2);
	fake_service_add(fixture.service, "ams-2", "eu", 1, 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_stop(&fixture);
	return 0;
}

static char *scrape(void)
{
	struct reply reply = fixture_ask_as(&fixture, FAKE_METRICS_TOKEN, "GET", "/metrics", "", "");
	assert_int_equal(reply.status, 200);
	assert_true(reply_has_header(&reply, "Content-Type: text/plain; version=0.0.4; charset=utf-8"));
	free(reply.head);
	return reply.body;
}

/* Figures of the first tunnel, whose first peer had a handshake. */
static void count(void)
{
	struct counters_tunnel *counters = fake_service_counters(fixture.service, "ams-1");
	struct counters_peer *peer = fake_service_peer_counters(fixture.service, "ams-1", 0);
	counter_set(&peer->bytes_sent, 148);
	counter_set(&peer->last_handshake_at, 1700000000250);
	counter_set(&counters->dropped[WIREGUARD_DROP_REPLAY], 3);
	counter_set(&counters->connections_ok[COUNTERS_SOCKS5], 5);
	counter_set(&counters->connections_open[COUNTERS_HTTP], 2);
	counter_set(&counters->bytes_received, 9);
	counter_set(&counters->handshake_failures, 4);
	counter_set(&counters->conditions[MESSAGE_CONDITION_MTU], 1);
	counter_set(&counters->healed[MESSAGE_HEALING_FAMILY], 6);
	counter_set(&counters->health, TUNNEL_HEALTHY);
}

static void the_contracts_names_are_there(void **state)
{
	(void)state;
	count();
	char *page = scrape();
	static const char *const wanted[] = {
		"\nwireguard_sent_bytes_total{interface=\"ams-1\",public_key=\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD8=\","
		"allowed_ips=\"10.0.0.0/32,10.0.0.1/32\"} 148\n",
		"\nwireguard_latest_handshake_seconds{interface=\"ams-1\",public_key=\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD8=\","
		"allowed_ips=\"10.0.0.0/32,10.0.0.1/32\"} 1700000000.25\n",
		"\nwarren_build_info{version=\"",
		"\nwarren_tunnels{state=\"up\"} 2\n",
		"\nwarren_tunnel_condition{tunnel=\"ams-1\",type=\"mtu_too_large\"} 1\n",
		"\nwarren_tunnel_up{tunnel=\"ams-1\"} 1\n",
		"\nwarren_tunnel_healthy{tunnel=\"ams-1\"} 1\n",
		"\nwarren_tunnel_labels{tunnel=\"ams-2\",label_pool=\"eu\"} 1\n",
		"\n# TYPE warren_probe_rtt_seconds gauge\n",
		"\nwarren_tunnel_info{tunnel=\"ams-1\",listen=\"127.0.0.1:40123\",endpoint=\"\"} 1\n",
		"\nwarren_proxy_connections{tunnel=\"ams-1\",protocol=\"http\"} 2\n",
		"\nwarren_proxy_connections_total{tunnel=\"ams-1\",protocol=\"socks5\",result=\"ok\"} 5\n",
		"\nwarren_proxy_bytes_total{tunnel=\"ams-1\",direction=\"received\"} 9\n",
		"\nwarren_proxy_connect_duration_seconds_bucket{le=\"+Inf\"} 3\n",
		"\nwarren_handshakes_total{tunnel=\"ams-1\",result=\"failed\"} 4\n",
		"\nwarren_dropped_packets_total{tunnel=\"ams-1\",reason=\"replay\"} 3\n",
		"\nwarren_heals_total{tunnel=\"ams-1\",remedy=\"family\"} 6\n",
		"\nwarren_worker_restarts_total 2\n",
		"\nwarren_worker_cpu_seconds_total{worker=\"0\"} 1.500000\n",
		"\nwarren_worker_resident_bytes{worker=\"0\"} 4096\n",
		"\nwarren_store_writable 1\n",
		"\nwarren_fleet_connected 1\n",
		"\nwarren_fleet_lease_seconds 9.500\n",
		"\nwarren_fleet_etcd_bytes 1700000000\n",
		"\nwarren_fleet_etcd_quota_bytes 2147483648\n",
		"\nwarren_fleet_tunnels{state=\"ready\"} 7\n",
		"\nwarren_fleet_tunnels{state=\"unplaced\"} 1\n",
		"\nwarren_api_request_duration_seconds_count ",
		"\nprocess_resident_memory_bytes ",
		"\nprocess_open_fds ",
		"\nprocess_cpu_seconds_total ",
		"\nprocess_start_time_seconds ",
	};
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (strstr(page, wanted[i]) == NULL)
			fail_msg("missing: %s", wanted[i]);
	free(page);
}

static void of_what_is_unknown_there_is_no_sample(void **state)
{
	(void)state;
	count();
	char *page = scrape();
	assert_null(strstr(page, "\nwarren_tunnel_healthy{tunnel=\"ams-2\""));
	/* One peer of three had a handshake; one that never had has no sample. */
	const char *first = strstr(page, "\nwireguard_latest_handshake_seconds{");
	assert_non_null(first);
	assert_null(strstr(first + 1, "\nwireguard_latest_handshake_seconds{"));
	free(page);
}

static void an_endpoint_is_a_label_of_the_info_series_alone(void **state)
{
	(void)state;
	char *page = scrape();
	const char *at = strstr(page, "endpoint=\"");
	assert_non_null(at);
	for (; at != NULL; at = strstr(at + 1, "endpoint=\"")) {
		const char *line = at;
		while (line[-1] != '\n')
			line--;
		assert_memory_equal(line, "warren_tunnel_info{", 19);
	}
	free(page);
}

static void the_next_scrape_counts_this_one(void **state)
{
	(void)state;
	free(scrape());
	char *page = scrape();
	assert_non_null(strstr(page, "\nwarren_api_requests_total{method=\"GET\",route=\"/metrics\",code=\"200\"} 1\n"));
	free(page);
}

static size_t name_length(const char *line)
{
	size_t length = 0;
	while (isalnum((unsigned char)line[length]) || line[length] == '_')
		length++;
	return length;
}

/* name{label="value",…} number */
static bool is_sample(const char *line)
{
	const char *at = line + name_length(line);
	if (*at == '{') {
		do {
			at++;
			at += name_length(at);
			if (at[0] != '=' || at[1] != '"')
				return false;
			for (at += 2; *at != '"'; at++)
				if (*at == '\n' || (*at == '\\' && strchr("\\\"n", *++at) == NULL))
					return false;
			at++;
		} while (*at == ',');
		if (*at++ != '}')
			return false;
	}
	char *end;
	if (*at != ' ')
		return false;
	strtod(at + 1, &end);
	return end > at + 1 && *end == '\0';
}

static void lines_are_well_formed_and_families_stand_together(void **state)
{
	(void)state;
	char *page = scrape(), *save, family[128] = "", seen[8192] = "";
	for (char *line = strtok_r(page, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char name[128];
		if (strncmp(line, "# HELP ", 7) == 0)
			continue;
		if (strncmp(line, "# TYPE ", 7) == 0) {
			char wanted[140];
			snprintf(family, sizeof(family), "%.*s", (int)name_length(line + 7), line + 7);
			snprintf(wanted, sizeof(wanted), " %s ", family);
			assert_null(strstr(seen, wanted));
			strcat(seen, wanted);
			continue;
		}
		if (!is_sample(line))
			fail_msg("no sample: %s", line);
		snprintf(name, sizeof(name), "%.*s", (int)name_length(line), line);
		if (strncmp(name, family, strlen(family)) != 0)
			fail_msg("%s stands among %s", name, family);
	}
	free(page);
}

/* The dashboard and the alerts ask for nothing that is not there. */
static size_t names_known(const char *path)
{
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	static char text[1 << 17];
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	char *page = scrape();
	static const char *const prefixes[] = { "warren_", "wireguard_", "process_" };
	size_t found = 0;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		for (const char *at = strstr(text, prefixes[i]); at != NULL; at = strstr(at + 1, prefixes[i])) {
			char name[128];
			snprintf(name, sizeof(name), "%.*s", (int)name_length(at), at);
			if (strstr(page, name) == NULL)
				fail_msg("%s asks for %s", path, name);
			found++;
		}
	free(page);
	return found;
}

static void the_dashboard_knows_these_names(void **state)
{
	(void)state;
	assert_true(names_known("openapi/grafana-dashboard.json") > 20);
	assert_true(names_known("openapi/prometheus-alerts.yaml") > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_contracts_names_are_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(of_what_is_unknown_there_is_no_sample, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_endpoint_is_a_label_of_the_info_series_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_next_scrape_counts_this_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_dashboard_knows_these_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lines_are_well_formed_and_families_stand_together, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
