#include "tests/vectors.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

json_t *vectors_load(const char *name)
{
	char path[512];
	snprintf(path, sizeof(path), "../shared/vectors/%s", name);
	if (access(path, F_OK) != 0 && errno == ENOENT) {
		print_message("skipped: ../shared/vectors/%s is not beside this checkout\n", name);
		skip();
	}
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);
	if (root == NULL)
		fail_msg("%s:%d: %s", path, error.line, error.text);
	return root;
}
