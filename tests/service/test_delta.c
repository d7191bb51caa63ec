/* Operations on top of each other, as a batch has them: what the tunnel becomes, how it was applied, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>

#include "ipc/key.h"
#include "service/change/delta.h"
#include "service/socket/socket_path.h"
#include "service/store/scope.h"
#include "service/worker/protection.h"
#include "tests/service/quoted_json.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define OWN "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=" /* of KEY */
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define OTHER "/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak="

static const char whole[] = "{'labels':{'a':'b'},'spec':{'interface':{'private_key':'" KEY "','addresses':['10.2.0.2']},"
			    "'peers':[{'public_key':'" PEER "','endpoint':'192.0.2.1:1','allowed_ips':['0.0.0.0/0'],'preshared_key':'" OTHER "'}],"
			    "'proxy':{'users':[{'username':'u','password':'p'}]}}}";

static struct lock_queue *locks;
static struct registry *registry;
static const struct socket_roots roots = { .count = 0 };
static struct policy policy;
static struct delta delta;
static struct operation operation;
static enum snapshot_origin origin; /* of who asks */
static struct operation_stamp stamp;

static int set_up(void **state)
{
	(void)state;
	locks = lock_queue_create();
	registry = registry_create(locks);
	policy = (struct policy){ .protection = protection_create(registry), .roots = &roots };
	delta = (struct delta){ .key = "t" };
	origin = SNAPSHOT_OF_API;
	stamp = (struct operation_stamp){ 0 };
	return sodium_init() < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	delta_clear(&delta);
	protection_free((struct protection *)(uintptr_t)policy.protection);
	registry_free(registry);
	lock_queue_free(locks);
	return 0;
}

/* Read without knowing what is there, so that the delta reads it again where that matters. Gives the code of the problem. */
static enum problem_code apply(enum operation_kind kind, const char *peer, const char *text)
{
	struct candidate candidate;
	operation = (struct operation){ .kind = kind, .origin = origin, .stamp = stamp, .document = text == NULL ? NULL : quoted_json(text) };
	if (peer != NULL)
		assert_true(key_parse(peer, &operation.peer));
	problem_init(&operation.problem);
	delta_read(&operation, &candidate, NULL);
	delta_apply(&delta, &policy, &operation, &candidate, scope_with_included(SCOPE_ADMIN));
	candidate_clear(&candidate);
	json_decref(operation.document);
	enum problem_code code = operation.problem.code;
	problem_clear(&operation.problem);
	return code;
}

static void what_is_equal_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(apply(OPERATION_CREATE, NULL, whole), PROBLEM_NONE);
	assert_int_equal(operation.applied, APPLIED_CREATED);
	assert_true(delta.is_created && delta_changes(&delta));
	const struct snapshot *made = delta.after;
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_NONE);
	assert_int_equal(operation.applied, APPLIED_UNCHANGED);
	assert_int_equal(apply(OPERATION_PATCH, NULL, "{}"), PROBLEM_NONE);
	assert_int_equal(apply(OPERATION_PATCH, NULL, "{'labels':{'a':'b','c':null},'spec':{'enabled':true}}"), PROBLEM_NONE);
	assert_int_equal(operation.applied, APPLIED_UNCHANGED);
	assert_ptr_equal(delta.after, made);
}

static void a_patch_is_merged_and_keeps_what_it_does_not_say(void **state)
{
	(void)state;
	assert_int_equal(apply(OPERATION_CREATE, NULL, whole), PROBLEM_NONE);
	assert_int_equal(apply(OPERATION_PATCH, NULL, "{'labels':{'a':null,'n':'1'},'spec':{'interface':{'mtu':1300}}}"), PROBLEM_NONE);
	assert_int_equal(operation.applied, APPLIED_IN_PLACE);
	assert_int_equal(delta.after->spec.mtu, 1300);
	assert_string_equal(delta.after->labels_json, "{\"n\":\"1\"}");
	assert_true(delta.after->spec.peers[0].has_preshared_key);
	assert_string_equal(delta.after->spec.users[0].password, "p");
	/* A key that a patch takes away is not taken over from before. */
	assert_int_equal(apply(OPERATION_PATCH, NULL, "{'spec':{'interface':{'private_key':null}}}"), PROBLEM_VALIDATION_FAILED);
	assert_int_equal(delta.after->spec.mtu, 1300);
}

/* Secrets are left out of what a client reads, and come back when it writes that. */
static void a_put_without_secrets_keeps_them(void **state)
{
	(void)state;
	assert_int_equal(apply(OPERATION_CREATE, NULL, whole), PROBLEM_NONE);
	assert_int_equal(apply(OPERATION_PUT, NULL,
	                       "{'spec':{'interface':{'addresses':['10.2.0.2']},'peers':[{'public_key':'" PEER
	                       "','allowed_ips':['0.0.0.0/0']}],'proxy':{'users':[{'username':'u'}]}}}"),
	                 PROBLEM_NONE);
	assert_true(delta.after->spec.has_private_key && delta.after->spec.peers[0].has_preshared_key);
	assert_string_equal(delta.after->spec.users[0].password, "p");
	assert_int_equal(delta.after->label_count, 0);
}

static void a_tunnel_can_go_and_come_in_one_batch(void **state)
{
	(void)state;
	assert_int_equal(apply(OPERATION_DELETE, NULL, NULL), PROBLEM_NOT_FOUND);
	assert_int_equal(apply(OPERATION_CREATE, NULL, whole), PROBLEM_NONE);
	assert_int_equal(apply(OPERATION_CREATE, NULL, whole), PROBLEM_TUNNEL_EXISTS);
	assert_int_equal(apply(OPERATION_DELETE, NULL, NULL), PROBLEM_NONE);
	assert_null(delta.after);
	assert_false(delta_changes(&delta));
	assert_int_equal(apply(OPERATION_PATCH, NULL, "{}"), PROBLEM_NOT_FOUND);
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_NONE);
	assert_int_equal(operation.applied, APPLIED_CREATED);
}

static void what_is_no_part_of_a_batch_is_refused(void **state)
{
	(void)state;
	assert_int_equal(apply(OPERATION_CREATE, NULL, whole), PROBLEM_NONE);
	assert_int_equal(apply(OPERATION_RECONNECT, NULL, NULL), PROBLEM_INVALID_REQUEST);
	assert_int_equal(apply(OPERATION_PROBE, NULL, NULL), PROBLEM_INVALID_REQUEST);
	assert_int_equal(apply(OPERATION_PUT, NULL, "{'id':'other','spec':{'interface':{'private_key':'" KEY "','addresses':['10.2.0.2']}}}"),
	                 PROBLEM_VALIDATION_FAILED);
}

static void peers_come_change_and_go(void **state)
{
	(void)state;
	assert_int_equal(apply(OPERATION_CREATE, NULL, whole), PROBLEM_NONE);
	assert_int_equal(apply(OPERATION_PEER_PUT, OTHER, "{'allowed_ips':['10.0.0.0/8']}"), PROBLEM_NONE);
	assert_int_equal(operation.applied, APPLIED_CREATED);
	assert_int_equal(delta.after->spec.peer_count, 2);
	assert_int_equal(apply(OPERATION_PEER_PATCH, PEER, "{'persistent_keepalive':25}"), PROBLEM_NONE);
	assert_int_equal(operation.applied, APPLIED_IN_PLACE);
	assert_int_equal(delta.after->spec.peers[0].persistent_keepalive, 25);
	assert_true(delta.after->spec.peers[0].has_preshared_key);
	/* Null takes a secret away, which leaving it out does not. */
	assert_int_equal(apply(OPERATION_PEER_PATCH, PEER, "{'preshared_key':null}"), PROBLEM_NONE);
	assert_false(delta.after->spec.peers[0].has_preshared_key);
	assert_int_equal(apply(OPERATION_PEER_DELETE, PEER, NULL), PROBLEM_NONE);
	assert_int_equal(delta.after->spec.peer_count, 1);
	assert_int_equal(apply(OPERATION_PEER_DELETE, PEER, NULL), PROBLEM_NOT_FOUND);
	assert_int_equal(apply(OPERATION_PEER_PATCH, PEER, "{}"), PROBLEM_NOT_FOUND);
}

static void a_peer_is_who_its_address_says_and_not_the_tunnel_itself(void **state)
{
	(void)state;
	assert_int_equal(apply(OPERATION_CREATE, NULL, whole), PROBLEM_NONE);
	assert_int_equal(apply(OPERATION_PEER_PUT, OTHER, "{'public_key':'" PEER "','allowed_ips':[]}"), PROBLEM_VALIDATION_FAILED);
	assert_int_equal(apply(OPERATION_PEER_PUT, OWN, "{'allowed_ips':['10.0.0.0/8']}"), PROBLEM_VALIDATION_FAILED);
	assert_int_equal(apply(OPERATION_PEER_PUT, OTHER, "[]"), PROBLEM_VALIDATION_FAILED);
	assert_int_equal(delta.after->spec.peer_count, 1);
}

static void what_is_of_a_file_is_changed_by_its_file_alone(void **state)
{
	(void)state;
	policy.has_files = true;
	origin = SNAPSHOT_OF_FILE;
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_NONE);
	assert_int_equal(delta.after->origin, SNAPSHOT_OF_FILE);
	origin = SNAPSHOT_OF_API;
	assert_int_equal(apply(OPERATION_CREATE, NULL, whole), PROBLEM_MANAGED_BY_FILE);
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_MANAGED_BY_FILE);
	assert_int_equal(apply(OPERATION_PATCH, NULL, "{'spec':{'enabled':false}}"), PROBLEM_MANAGED_BY_FILE);
	assert_int_equal(apply(OPERATION_DELETE, NULL, NULL), PROBLEM_MANAGED_BY_FILE);
	assert_int_equal(apply(OPERATION_PEER_PUT, OTHER, "{'allowed_ips':[]}"), PROBLEM_MANAGED_BY_FILE);
	assert_int_equal(apply(OPERATION_PEER_DELETE, PEER, NULL), PROBLEM_MANAGED_BY_FILE);
	origin = SNAPSHOT_OF_FILE;
	assert_int_equal(apply(OPERATION_DELETE, NULL, NULL), PROBLEM_NONE);
	assert_null(delta.after);
}

static void a_file_does_not_take_what_is_of_the_api(void **state)
{
	(void)state;
	policy.has_files = true;
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_NONE);
	origin = SNAPSHOT_OF_FILE;
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_TUNNEL_EXISTS);
	assert_int_equal(apply(OPERATION_DELETE, NULL, NULL), PROBLEM_TUNNEL_EXISTS);
	assert_int_equal(delta.after->origin, SNAPSHOT_OF_API);
}

static void a_file_has_its_secrets_itself(void **state)
{
	(void)state;
	origin = SNAPSHOT_OF_FILE;
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_NONE);
	assert_int_equal(apply(OPERATION_PUT, NULL, "{'spec':{'interface':{'addresses':['10.2.0.2']}}}"), PROBLEM_VALIDATION_FAILED);
	assert_int_equal(apply(OPERATION_PUT, NULL, "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.2.0.2']}}}"), PROBLEM_NONE);
	struct wireguard_key key = delta.after->public_key;
	assert_int_equal(apply(OPERATION_PUT, NULL, "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.2.0.3']}}}"), PROBLEM_NONE);
	assert_memory_equal(&delta.after->public_key, &key, sizeof(key));
}

static void without_files_what_came_from_one_can_be_written(void **state)
{
	(void)state;
	origin = SNAPSHOT_OF_FILE;
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_NONE);
	origin = SNAPSHOT_OF_API;
	assert_int_equal(apply(OPERATION_PATCH, NULL, "{'spec':{'enabled':false}}"), PROBLEM_NONE);
	assert_int_equal(delta.after->origin, SNAPSHOT_OF_API);
}

static void a_record_of_the_fleet_brings_its_revision_and_times(void **state)
{
	(void)state;
	origin = SNAPSHOT_OF_FLEET;
	stamp = (struct operation_stamp){ .revision = 900, .generation = 5, .created_at = 1000, .updated_at = 2000 };
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_NONE);
	const struct snapshot *made = delta.after;
	assert_true(delta.is_stamped);
	assert_int_equal(made->origin, SNAPSHOT_OF_FLEET);
	assert_int_equal(made->revision, 900);
	assert_int_equal(made->generation, 5);
	assert_true(made->created_at == 1000 && made->updated_at == 2000);
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_NONE);
	assert_int_equal(operation.applied, APPLIED_UNCHANGED);
	/* Changed and changed back: another record, whose ETag clients have. */
	stamp.revision = 901;
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_NONE);
	assert_int_equal(operation.applied, APPLIED_IN_PLACE);
	assert_int_equal(delta.after->revision, 901);
	assert_int_equal(apply(OPERATION_DELETE, NULL, NULL), PROBLEM_NONE);
}

/* It was deleted and made again before this node looked: a worker must not take a message about the first one for one about the second. */
static void a_generation_is_never_lower_than_one_that_ran_here(void **state)
{
	(void)state;
	origin = SNAPSHOT_OF_FLEET;
	stamp = (struct operation_stamp){ .revision = 900, .generation = 5 };
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_NONE);
	delta.before = snapshot_reference(delta.after);
	stamp = (struct operation_stamp){ .revision = 950, .generation = 1 };
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_NONE);
	assert_int_equal(delta.after->revision, 950);
	assert_int_equal(delta.after->generation, 6);
}

static void the_fleet_does_not_take_what_is_of_this_node(void **state)
{
	(void)state;
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_NONE);
	origin = SNAPSHOT_OF_FLEET;
	assert_int_equal(apply(OPERATION_PUT, NULL, whole), PROBLEM_TUNNEL_EXISTS);
	assert_int_equal(apply(OPERATION_DELETE, NULL, NULL), PROBLEM_TUNNEL_EXISTS);
	assert_int_equal(delta.after->origin, SNAPSHOT_OF_API);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_equal_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_patch_is_merged_and_keeps_what_it_does_not_say, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_put_without_secrets_keeps_them, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_tunnel_can_go_and_come_in_one_batch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_part_of_a_batch_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(peers_come_change_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_peer_is_who_its_address_says_and_not_the_tunnel_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_of_a_file_is_changed_by_its_file_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_does_not_take_what_is_of_the_api, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_has_its_secrets_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_record_of_the_fleet_brings_its_revision_and_times, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_generation_is_never_lower_than_one_that_ran_here, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_fleet_does_not_take_what_is_of_this_node, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_files_what_came_from_one_can_be_written, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
