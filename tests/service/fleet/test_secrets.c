/* What a node keeps in files: read whole, or refused in words that say which file and what to do. */
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

#include "service/fleet/secrets.h"

static char directory[] = "/tmp/warren-secrets-XXXXXX", key_path[64], password_path[64], failure[512];
static struct fleet_options options;

static void write_file(const char *path, const char *text, size_t length, mode_t mode)
{
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	assert_true(file >= 0);
	assert_int_equal(fchmod(file, mode), 0);
	assert_int_equal(write(file, text, length), (ssize_t)length);
	close(file);
}

static void refused(const char *why)
{
	static const struct fleet_secrets none;
	struct fleet_secrets secrets;
	assert_false(fleet_secrets_read(&secrets, &options, failure));
	if (strstr(failure, why) == NULL)
		fail_msg("no \"%s\" in \"%s\"", why, failure);
	assert_memory_equal(&secrets, &none, sizeof(none));
}

static int begin(void **state)
{
	(void)state;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(key_path, sizeof(key_path), "%s/key", directory);
	snprintf(password_path, sizeof(password_path), "%s/password", directory);
	options = (struct fleet_options){ .seal_keys = { key_path }, .seal_key_count = 1 };
	return 0;
}

static int end(void **state)
{
	(void)state;
	unlink(key_path);
	unlink(password_path);
	return rmdir(directory);
}

static void a_key_is_for_its_owner_alone_and_has_32_bytes(void **state)
{
	struct fleet_secrets secrets;
	(void)state;
	refused("/key': No such file or directory");
	write_file(key_path, "0123456789abcdef0123456789abcdef", 32, 0640);
	refused("chmod 600");
	write_file(key_path, "0123456789abcdef0123456789abcde", 31, 0600);
	refused("head -c 32 /dev/urandom");
	write_file(key_path, "0123456789abcdef0123456789abcdef", 32, 0600);
	assert_true(fleet_secrets_read(&secrets, &options, failure));
	assert_int_equal(secrets.ring.count, 1);
	assert_string_equal(secrets.password, "");
	fleet_secrets_clear(&secrets);
}

static void a_password_is_the_first_line(void **state)
{
	struct fleet_secrets secrets;
	char user[] = "warren", longest[FLEET_PASSWORD_MOST + 1];
	(void)state;
	options.user = user;
	options.password_file = password_path;
	refused("/password': No such file or directory");
	for (size_t i = 0; i < 2; i++) {
		write_file(password_path, "\nsecret", i == 0 ? 0 : 7, 0600);
		refused("its first line must be the password");
	}
	memset(longest, 'x', sizeof(longest));
	write_file(password_path, longest, sizeof(longest), 0600);
	refused("its first line must be the password");
	write_file(password_path, longest, sizeof(longest) - 1, 0600);
	assert_true(fleet_secrets_read(&secrets, &options, failure));
	assert_int_equal(strlen(secrets.password), FLEET_PASSWORD_MOST);
	write_file(password_path, "s e c\r\nmore", 11, 0600);
	assert_true(fleet_secrets_read(&secrets, &options, failure));
	assert_string_equal(secrets.password, "s e c");
	fleet_secrets_clear(&secrets);
	assert_string_equal(secrets.password, "");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_for_its_owner_alone_and_has_32_bytes),
		cmocka_unit_test(a_password_is_the_first_line),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
