#include "service/files/folder_check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service/files/file_document.h"
#include "service/files/folder_pass.h"
#include "service/spec/candidate.h"
#include "service/spec/wgquick.h"
#include "service/store/scope.h"

struct check {
	const char *path;
	const struct policy *policy;
	struct secret_places places;
	struct folder_file *files; /* sorted */
	size_t count;
	char (*vias)[SPEC_VIA_SIZE]; /* what each file's tunnel goes through, or empty */
	void (*tell)(void *owner, const char *fault);
	void *owner;
};

static void tell(struct check *check, size_t index, const char *detail)
{
	char line[1200];
	snprintf(line, sizeof(line), "%.250s/%s: %s", check->path, check->files[index].name.text, detail);
	check->tell(check->owner, line);
}

static void check_document(struct check *check, size_t index, const json_t *document, struct problem *problem)
{
	const struct file_name *name = &check->files[index].name;
	struct candidate candidate;
	candidate_init(&candidate, name->object);
	problem_add_all(&candidate.problem, "", problem);
	problem_clear(problem);
	candidate_read(&candidate, document, "");
	candidate_complete(&candidate, NULL);
	if (candidate.id[0] != '\0' && strcmp(candidate.id, name->id) != 0)
		problem_add(&candidate.problem, "/id", "mismatch", "The id differs from the name of the file.");
	policy_check(check->policy, &candidate.spec, NULL, scope_with_included(SCOPE_ADMIN), "", &candidate.problem);
	if (candidate.spec.via != NULL)
		snprintf(check->vias[index], SPEC_VIA_SIZE, "%s", candidate.spec.via);
	*problem = candidate.problem;
	problem_init(&candidate.problem);
	candidate_clear(&candidate);
}

static void check_file(struct check *check, size_t index, struct problem *problem)
{
	const struct file_name *name = &check->files[index].name;
	if (folder_pass_is_second(check->files, index)) {
		problem_add(problem, "", "duplicate", "%s makes the same %s.", check->files[index - 1].name.text, spec_kind_name(name->object));
		return;
	}
	json_t *lines;
	json_t *document = file_document_read(&check->places, name, &lines, problem);
	if (document != NULL) {
		check_document(check, index, document, problem);
		wgquick_locate(lines, problem);
	}
	json_decref(lines);
	json_decref(document);
}

static void tell_faults(struct check *check, size_t index, const struct problem *problem)
{
	char detail[768];
	if (problem->code != PROBLEM_NONE && (problem->fault_count == 0 || problem->fault_count == PROBLEM_FAULT_MAX))
		tell(check, index, problem->detail);
	for (size_t i = 0; i < problem->fault_count; i++) {
		const struct problem_fault *fault = &problem->faults[i];
		snprintf(detail, sizeof(detail), "%s%s%s", fault->pointer, fault->pointer[0] == '\0' ? "" : ": ", fault->detail);
		tell(check, index, detail);
	}
}

static void check_each(struct check *check)
{
	for (size_t i = 0; i < check->count; i++) {
		struct problem problem;
		problem_init(&problem);
		check_file(check, i, &problem);
		tell_faults(check, i, &problem);
		problem_clear(&problem);
	}
}

/* The file of the tunnel that this one's goes through, or the number of files: none, or not of this directory. */
static size_t outer_of(const struct check *check, size_t index)
{
	return check->vias[index][0] == '\0' ? check->count : folder_pass_find(check->files, check->count, SPEC_TUNNEL, check->vias[index]);
}

/* A tunnel of the API may be an outer one, and is not known here: only what the files say of each other is judged. */
static void check_chain(struct check *check, size_t index)
{
	char detail[512];
	size_t length = 0, at = outer_of(check, index);
	int size = snprintf(detail, sizeof(detail), "The way through other tunnels leads back to this one: %s", check->files[index].name.id);
	for (; at < check->count && at != index && length < SPEC_VIA_MOST; length++, at = outer_of(check, at))
		size += snprintf(detail + size, sizeof(detail) - (size_t)size, ", %s", check->files[at].name.id);
	if (at == index)
		tell(check, index, detail);
	else if (at < check->count)
		tell(check, index, "At most four tunnels can go through each other.");
}

void folder_check(const char *path, const char *credentials, const struct policy *policy, void (*tell_line)(void *owner, const char *fault),
                  void *owner)
{
	struct check check = { .path = path, .policy = policy, .places = { .credentials = -1 }, .tell = tell_line, .owner = owner };
	check.places.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check.files = check.places.directory < 0 ? NULL : folder_pass_list(check.places.directory, &check.count);
	check.vias = check.files == NULL ? NULL : calloc(check.count + 1, sizeof(*check.vias));
	if (check.vias == NULL) {
		char line[512];
		snprintf(line, sizeof(line), "--tunnels-dir '%.200s' cannot be read: %s", path, folder_pass_fault(errno));
		tell_line(owner, line);
		check.count = 0;
	} else if (credentials != NULL) {
		check.places.credentials = open(credentials, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	check_each(&check);
	for (size_t i = 0; i < check.count; i++)
		check_chain(&check, i);
	free(check.vias);
	free(check.files);
	if (check.places.directory >= 0)
		close(check.places.directory);
	if (check.places.credentials >= 0)
		close(check.places.credentials);
}
