/* Files become documents, with their secrets from other files; what is wrong has its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/files/file_document.h"
#include "service/spec/json_reader.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="

static char root[] = "/tmp/warren-document-XXXXXX";
static struct secret_places places = { .credentials = -1 };
static struct problem problem;

static int set_up(void **state)
{
	(void)state;
	json_reader_start();
	assert_non_null(mkdtemp(root));
	places.directory = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return places.directory < 0;
}

static int tear_down(void **state)
{
	char command[64];
	(void)state;
	problem_clear(&problem);
	close(places.directory);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static void write_text(const char *name, const char *text)
{
	int file = openat(places.directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(file >= 0);
	assert_int_equal(write(file, text, strlen(text)), strlen(text));
	close(file);
}

static json_t *read_file(const char *text)
{
	struct file_name name;
	problem_clear(&problem);
	assert_true(file_name_read(&name, text));
	json_t *lines, *document = file_document_read(&places, &name, &lines, &problem);
	json_decref(lines);
	if (problem.code == PROBLEM_NONE)
		return document;
	json_decref(document); /* what of it can be judged */
	return NULL;
}

static const char *text_at(const json_t *document, const char *first, const char *second, const char *third)
{
	return json_string_value(json_object_get(json_object_get(json_object_get(document, first), second), third));
}

static void both_forms_are_read(void **state)
{
	(void)state;
	write_text("a.conf", "[Interface]\nPrivateKey = " KEY "\nAddress = 10.2.0.2\n# warren: label = a=b\n");
	write_text("key", KEY "\n");
	write_text("b.json", "{\"spec\":{\"interface\":{\"private_key_file\":\"key\",\"addresses\":[\"10.2.0.2\"]}}}");
	json_t *conf = read_file("a.conf"), *json = read_file("b.json");
	assert_string_equal(text_at(conf, "spec", "interface", "private_key"), KEY);
	assert_string_equal(text_at(json, "spec", "interface", "private_key"), KEY);
	assert_null(json_object_get(json_object_get(json_object_get(json, "spec"), "interface"), "private_key_file"));
	assert_non_null(json_object_get(conf, "labels"));
	json_decref(conf);
	json_decref(json);
}

static void the_secret_of_an_obfuscation_is_read(void **state)
{
	(void)state;
	write_text("key", KEY);
	write_text("b.json", "{\"spec\":{\"interface\":{\"obfuscation\":{\"header_protection_key_file\":\"key\"}}}}");
	json_t *document = read_file("b.json");
	const json_t *obfuscation = json_object_get(json_object_get(json_object_get(document, "spec"), "interface"), "obfuscation");
	assert_string_equal(json_string_value(json_object_get(obfuscation, "header_protection_key")), KEY);
	assert_null(json_object_get(obfuscation, "header_protection_key_file"));
	json_decref(document);
}

static void secrets_of_peers_and_users_are_read(void **state)
{
	(void)state;
	write_text("key", KEY);
	write_text("b.json", "{\"spec\":{\"peers\":[{},{\"preshared_key_file\":\"key\"}],\"proxy\":{\"users\":[{\"password_file\":\"key\"}]}}}");
	json_t *document = read_file("b.json"), *spec = json_object_get(document, "spec");
	const json_t *peer = json_array_get(json_object_get(spec, "peers"), 1);
	const json_t *user = json_array_get(json_object_get(json_object_get(spec, "proxy"), "users"), 0);
	assert_string_equal(json_string_value(json_object_get(peer, "preshared_key")), KEY);
	assert_string_equal(json_string_value(json_object_get(user, "password")), KEY);
	json_decref(document);
}

static void assert_wrong(const char *name, const char *text, const char *pointer)
{
	if (text != NULL)
		write_text(name, text);
	json_t *document = read_file(name);
	assert_null(document);
	assert_true(problem.fault_count > 0);
	assert_string_equal(problem.faults[0].pointer, pointer);
	assert_null(strstr(problem.faults[0].detail, "secret-word"));
}

static void what_is_wrong_has_its_place(void **state)
{
	(void)state;
	assert_wrong("c.conf", "[Interface]\nFoo = 1\n", "/line/2");
	assert_wrong("c.conf", "[Interface]\n# warren: foo = 1\n", "/line/2");
	/* A parser's message would repeat what is near. */
	assert_wrong("c.json", "{\n\"password\": secret-word}", "/line/2");
	assert_wrong("c.json", "{\"spec\":{\"interface\":{\"private_key_file\":\"/etc/passwd\"}}}", "/spec/interface/private_key_file");
	assert_wrong("c.json", "{\"spec\":{\"interface\":{\"private_key_file\":1}}}", "/spec/interface/private_key_file");
	assert_wrong("c.json", "{\"spec\":{\"interface\":{\"private_key_file\":null}}}", "/spec/interface/private_key_file");
	assert_wrong("c.json", "{\"spec\":{\"interface\":{\"private_key_file\":\"key\",\"private_key\":\"secret-word\"}}}",
	             "/spec/interface/private_key_file");
	assert_wrong("c.json", "{\"spec\":{\"interface\":{\"obfuscation\":{\"header_protection_key_file\":\"none\"}}}}",
	             "/spec/interface/obfuscation/header_protection_key_file");
	assert_wrong("c.json", "{\"spec\":{\"proxy\":{\"users\":[{},{\"password_file\":\"none\"}]}}}", "/spec/proxy/users/1/password_file");
	assert_wrong("--.conf", "", "");
	assert_wrong("missing.conf", NULL, "");
	assert_int_equal(mkdirat(places.directory, "d.conf", 0700), 0);
	assert_wrong("d.conf", NULL, "");
	assert_int_equal(mkfifoat(places.directory, "e.conf", 0600), 0);
	assert_wrong("e.conf", NULL, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_forms_are_read),
		cmocka_unit_test(the_secret_of_an_obfuscation_is_read),
		cmocka_unit_test(secrets_of_peers_and_users_are_read),
		cmocka_unit_test(what_is_wrong_has_its_place),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
