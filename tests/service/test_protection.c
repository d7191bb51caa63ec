/* What a tunnel may not be pointed at: the API's addresses and sockets, and other tunnels' listeners (P1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/endpoint.h"
#include "service/worker/protection.h"

static struct lock_queue *locks;
static struct registry *registry;
static struct protection *protection;
static char folder[] = "/tmp/warren-protection-XXXXXX";

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/warren-protection-XXXXXX");
	locks = lock_queue_create();
	registry = registry_create(locks);
	protection = protection_create(registry);
	return protection == NULL || mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	char command[80];
	(void)state;
	protection_free(protection);
	registry_free(registry);
	lock_queue_free(locks);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static struct sockaddr_storage at(const char *host, uint16_t port)
{
	struct sockaddr_storage address = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
	} else {
		assert_int_equal(inet_pton(AF_INET6, host, &v6->sin6_addr), 1);
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
	}
	return address;
}

static bool is_protected(const char *host, uint16_t port)
{
	struct sockaddr_storage address = at(host, port);
	union wireguard_endpoint endpoint;
	assert_true(endpoint_from((struct sockaddr *)&address, &endpoint));
	return protection_has_address(protection, &endpoint);
}

static void protect(const char *host, uint16_t port)
{
	struct sockaddr_storage address = at(host, port);
	protection_add_address(protection, (struct sockaddr *)&address);
}

static void an_address_and_what_leads_to_it(void **state)
{
	(void)state;
	assert_false(is_protected("127.0.0.1", 8470));
	protect("127.0.0.1", 8470);
	assert_true(is_protected("127.0.0.1", 8470));
	assert_false(is_protected("127.0.0.1", 8471));
	assert_false(is_protected("127.0.0.2", 8470));
	/* A target of 0.0.0.0 reaches the loopback. */
	assert_true(is_protected("0.0.0.0", 8470));
	assert_false(is_protected("192.0.2.1", 8470));
}

static void a_socket_for_any_address_is_on_each_of_this_host(void **state)
{
	(void)state;
	protect("0.0.0.0", 8470);
	assert_true(is_protected("127.0.0.1", 8470));
	assert_true(is_protected("127.9.9.9", 8470));
	assert_false(is_protected("192.0.2.1", 8470));
	assert_false(is_protected("127.0.0.1", 8471));
}

static void a_path_by_its_name_and_by_its_file(void **state)
{
	char own[80], hard[80], other[80];
	(void)state;
	snprintf(own, sizeof(own), "%s/own", folder);
	snprintf(hard, sizeof(hard), "%s/hard", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	protection_add_path(protection, own);
	assert_true(protection_has_path(protection, own)); /* though nothing lies there */
	close(open(own, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(link(own, hard), 0);
	assert_true(protection_has_path(protection, hard));
	assert_false(protection_has_path(protection, other));
	int file = open(hard, O_PATH | O_CLOEXEC);
	assert_true(protection_has_file(protection, file));
	close(file);
	file = open(other, O_PATH | O_CLOEXEC);
	assert_false(protection_has_file(protection, file));
	close(file);
	/* What cannot be looked at is not let through. */
	assert_true(protection_has_file(protection, -1));
}

static void what_is_no_address_is_not_taken(void **state)
{
	struct sockaddr_storage address = { .ss_family = AF_UNIX };
	(void)state;
	assert_false(protection_add_address(protection, (struct sockaddr *)&address));
	protect("::1", 8470);
	assert_true(is_protected("::1", 8470));
	/* :: reaches the loopback too. */
	assert_true(is_protected("::", 8470));
	assert_false(is_protected("::", 8471));
}

/* A tunnel that listens on a unix socket. */
static void add_listener(const char *path)
{
	char copy[80], *root = folder;
	const struct socket_roots roots = { .list = &root, .count = 1 };
	struct problem problem;
	struct socket_pool none = { .count = 0 };
	snprintf(copy, sizeof(copy), "%s", path);
	struct spec_place *listen = calloc(1, sizeof(*listen));
	*listen = (struct spec_place){ .kind = SPEC_PLACE_UNIX, .host = strdup(copy) };
	struct entry *entry = entry_create("a");
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	*snapshot = (struct snapshot){ .references = 1, .id = "a" };
	snapshot->spec.listen = listen;
	snapshot->spec.listen_count = 1;
	entry->snapshot = snapshot;
	const struct socket_request request = { .spec = &snapshot->spec, .roots = &roots, .next_id = &entry->next_socket_id, .pointer = "" };
	problem_init(&problem);
	assert_true(socket_list_want(&entry->sockets, &snapshot->spec));
	assert_true(socket_list_open(&entry->sockets, &request, &none, &problem));
	assert_true(registry_reserve(registry, 1));
	registry_add(registry, entry);
	registry_unreserve(registry, 1);
}

/* X7: a tunnel's listener is no target of another, by whatever name. */
static void a_listener_of_a_tunnel_by_its_name_and_by_its_file(void **state)
{
	char path[80], other[80];
	(void)state;
	snprintf(path, sizeof(path), "%s/listener", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	add_listener(path);
	assert_true(protection_has_listener_path(protection, path));
	assert_false(protection_has_listener_path(protection, other));
	assert_int_equal(symlink(path, other), 0);
	assert_true(protection_has_listener_path(protection, other));
	int file = open(other, O_PATH | O_CLOEXEC);
	assert_true(protection_has_file(protection, file));
	close(file);
	/* Its file is gone, and its name still its own. */
	assert_int_equal(unlink(path), 0);
	assert_true(protection_has_listener_path(protection, path));
	assert_false(is_protected("127.0.0.1", 8470));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_address_and_what_leads_to_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_socket_for_any_address_is_on_each_of_this_host, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_path_by_its_name_and_by_its_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_address_is_not_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_listener_of_a_tunnel_by_its_name_and_by_its_file, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
