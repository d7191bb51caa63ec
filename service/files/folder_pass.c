#include "service/files/folder_pass.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/lower_bound.h"
#include "ipc/wall_clock.h"
#include "service/files/file_document.h"
#include "service/registry/registry.h"
#include "service/registry/status.h"
#include "service/spec/wgquick.h"
#include "service/store/scope.h"

#define FILES_OF_A_TURN 16
#define UNDER_WAY_MOST 64
#define FAULTS_TOLD 3 /* of one file */

void folder_pass_init(struct folder_pass *pass, const struct folder_pass_means *means)
{
	*pass = (struct folder_pass){ .means = *means, .places = { .directory = -1, .credentials = -1 } };
	uv_idle_init(means->loop, &pass->turn);
	pass->turn.data = pass;
}

/* The directory. */

static int compare_files(const void *a, const void *b)
{
	const struct folder_file *first = a, *second = b;
	return file_name_compare(&first->name, &second->name);
}

static struct folder_file *read_entries(DIR *stream, size_t *count)
{
	size_t room = 64;
	struct folder_file *files = calloc(room, sizeof(*files));
	*count = 0;
	errno = files == NULL ? ENOMEM : 0;
	for (const struct dirent *entry; errno == 0 && (entry = readdir(stream)) != NULL;) {
		if (!file_name_read(&files[*count].name, entry->d_name) || ++*count < room)
			continue;
		room = room < FOLDER_FILES_MOST ? 2 * room : FOLDER_FILES_MOST + 1;
		struct folder_file *more = *count > FOLDER_FILES_MOST ? NULL : reallocarray(files, room, sizeof(*files));
		errno = more != NULL ? 0 : *count > FOLDER_FILES_MOST ? E2BIG : ENOMEM;
		files = more != NULL ? more : files;
	}
	return files;
}

struct folder_file *folder_pass_list(int directory, size_t *count)
{
	int again = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = again < 0 ? NULL : fdopendir(again);
	if (stream == NULL) {
		int error = errno;
		if (again >= 0)
			close(again);
		errno = error;
		return NULL;
	}
	struct folder_file *files = read_entries(stream, count);
	int error = errno;
	closedir(stream);
	if (error == 0) {
		qsort(files, *count, sizeof(*files), compare_files);
		return files;
	}
	free(files);
	errno = error;
	return NULL;
}

const char *folder_pass_fault(int error)
{
	return error == E2BIG ? "it has more than 16384 files" : strerror(error);
}

bool folder_pass_is_second(const struct folder_file *files, size_t index)
{
	const struct file_name *name = &files[index].name;
	return index > 0 && name->id[0] != '\0' && files[index - 1].name.object == name->object && strcmp(files[index - 1].name.id, name->id) == 0;
}

static int compare_name(const void *name, const void *element)
{
	const struct folder_file *file = element;
	return file_name_compare(name, &file->name);
}

size_t folder_pass_find(const struct folder_file *files, size_t count, enum spec_kind object, const char *id)
{
	struct folder_file wanted = { .name = { .object = object, .form = FILE_FORM_WGQUICK } };
	snprintf(wanted.name.id, sizeof(wanted.name.id), "%s", id);
	size_t at = lower_bound(&wanted.name, files, count, sizeof(*files), compare_name);
	return at < count && files[at].name.object == object && strcmp(files[at].name.id, wanted.name.id) == 0 ? at : count;
}

/* What is wrong. */

void folder_pass_describe(const struct problem *problem, char *text, size_t size)
{
	size_t length = 0;
	if (problem->fault_count == 0) {
		snprintf(text, size, "%s", problem->detail);
		return;
	}
	for (size_t i = 0; i < problem->fault_count && i < FAULTS_TOLD && length < size; i++) {
		const struct problem_fault *fault = &problem->faults[i];
		length += (size_t)snprintf(text + length, size - length, "%s%s%s%s", i == 0 ? "" : " ", fault->pointer,
		                           fault->pointer[0] == '\0' ? "" : ": ", fault->detail);
	}
	if (problem->fault_count > FAULTS_TOLD && length < size)
		snprintf(text + length, size - length, " (and %zu more)", problem->fault_count - FAULTS_TOLD);
}

static void make_key(const struct file_name *name, char key[OBJECT_KEY_SIZE])
{
	object_key_make(key, name->object, name->id);
}

/* To the object that the file makes, if there is one. */
static void set_condition(struct folder_pass *pass, const struct file_name *name, const char *detail, int64_t at)
{
	char key[OBJECT_KEY_SIZE];
	make_key(name, key);
	struct entry *entry = registry_entry(pass->means.registry, key);
	if (entry != NULL && entry->snapshot->origin == SNAPSHOT_OF_FILE)
		status_set_source_fault(entry->status, detail, at);
}

static void tell(struct folder_pass *pass, const struct file_name *name, const struct problem *problem, bool is_second)
{
	char detail[STATUS_SOURCE_FAULT_SIZE];
	int64_t now = wall_clock_ms();
	folder_pass_describe(problem, detail, sizeof(detail));
	int64_t at = fault_list_add(pass->means.faults, name->text, detail, now);
	if (at == now)
		log_line(LOG_ERROR, name->id[0] == '\0' ? NULL : name->id, "file %s is not applied: %s", name->text, detail);
	pass->may_pass_by |= problem->code != PROBLEM_VALIDATION_FAILED;
	if (!is_second)
		set_condition(pass, name, detail, at);
}

static void tell_unreadable(struct folder_pass *pass, int error)
{
	char detail[256];
	int64_t now = wall_clock_ms();
	snprintf(detail, sizeof(detail), "The directory cannot be read (%s); what runs goes on.", folder_pass_fault(error));
	pass->is_unreadable = true;
	if (fault_list_add(pass->means.faults, "", detail, now) == now)
		log_line(LOG_ERROR, NULL, "the tunnels directory %.200s: %s", pass->means.path, detail);
}

/* The work. */

static void end(struct folder_pass *pass)
{
	uv_idle_stop(&pass->turn);
	if (pass->places.directory >= 0)
		close(pass->places.directory);
	if (pass->places.credentials >= 0)
		close(pass->places.credentials);
	pass->places = (struct secret_places){ .directory = -1, .credentials = -1 };
	free(pass->files);
	free(pass->removed);
	pass->files = NULL;
	pass->removed = NULL;
	pass->round = 0;
	pass->has_put_off = false;
	pass->count = pass->cursor = pass->removed_count = pass->removed_cursor = 0;
	pass->is_running = false;
}

static void go_on(struct folder_pass *pass);

static void submit(struct folder_pass *pass, struct mutation *mutation, void (*done)(struct mutation *mutation, void *owner), void *owner)
{
	mutation->operations[0].origin = SNAPSHOT_OF_FILE;
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->done = done;
	mutation->owner = owner;
	pass->under_way++;
	mutations_submit(pass->means.mutations, mutation);
}

static struct problem *problem_of(struct mutation *mutation)
{
	struct problem *problem = &mutation->operations[0].problem;
	return problem->code != PROBLEM_NONE ? problem : &mutation->problem;
}

/* What the tunnels of other files are may be the reason. */
static bool may_put_off(const struct folder_pass *pass, const struct problem *problem)
{
	return pass->round < SPEC_VIA_MOST && problem->fault_count == 1 && strcmp(problem->faults[0].pointer, "/spec/interface/via") == 0;
}

/* The file's fault is that a tunnel is not there, which may come through the API. */
static void await_outer(struct folder_pass *pass, const struct operation *operation, const struct problem *problem)
{
	if (problem->fault_count != 1 || strcmp(problem->faults[0].code, "unknown_tunnel") != 0)
		return;
	const char *via = json_string_value(json_object_get(json_object_get(json_object_get(operation->document, "spec"), "interface"), "via"));
	char key[OBJECT_KEY_SIZE];
	object_key_make(key, SPEC_TUNNEL, via);
	void *more = reallocarray(pass->awaited, pass->awaited_count + 1, sizeof(*pass->awaited));
	/* It may have come since that was judged. */
	pass->may_pass_by |= more == NULL || registry_entry(pass->means.registry, key) != NULL;
	if (more == NULL)
		return;
	pass->awaited = more;
	snprintf(pass->awaited[pass->awaited_count++], SPEC_VIA_SIZE, "%s", via);
}

bool folder_pass_awaits(const struct folder_pass *pass, const char *id)
{
	for (size_t i = 0; i < pass->awaited_count; i++)
		if (strcmp(pass->awaited[i], id) == 0)
			return true;
	return false;
}

static void on_put(struct mutation *mutation, void *owner)
{
	struct folder_file *file = owner;
	struct folder_pass *pass = file->pass;
	struct problem *problem = problem_of(mutation);
	pass->under_way--;
	file->is_put_off = may_put_off(pass, problem);
	wgquick_locate(file->lines, problem);
	json_decref(file->lines);
	file->lines = NULL;
	pass->has_put_off |= file->is_put_off;
	if (problem->code != PROBLEM_NONE && !file->is_put_off) {
		await_outer(pass, &mutation->operations[0], problem);
		tell(pass, &file->name, problem, false);
	} else if (problem->code == PROBLEM_NONE) {
		bool is_change = mutation->operations[0].applied != APPLIED_UNCHANGED;
		pass->changed += is_change;
		if (is_change)
			log_line(LOG_INFO, file->name.id, "file %s is applied", file->name.text);
		set_condition(pass, &file->name, "", 0);
	}
	mutation_free(mutation);
	go_on(pass);
}

static void put(struct folder_pass *pass, size_t index)
{
	struct folder_file *file = &pass->files[index];
	struct problem problem;
	problem_init(&problem);
	bool is_second = folder_pass_is_second(pass->files, index);
	file->pass = pass;
	file->lines = NULL;
	if (is_second)
		problem_add(&problem, "", "duplicate", "%s makes the same %s; this file is ignored.", pass->files[index - 1].name.text,
		            spec_kind_name(file->name.object));
	json_t *document = is_second ? NULL : file_document_read(&pass->places, &file->name, &file->lines, &problem);
	struct mutation *mutation = document == NULL ? NULL : mutation_create(MUTATION_OPERATIONS, 1);
	if (mutation == NULL) {
		json_decref(document);
		json_decref(file->lines);
		file->lines = NULL;
		if (problem.code == PROBLEM_NONE)
			problem_out_of_memory(&problem);
		tell(pass, &file->name, &problem, is_second);
	} else {
		struct operation *operation = &mutation->operations[0];
		operation->kind = OPERATION_PUT;
		operation->object = file->name.object;
		operation->document = document;
		operation->faults = problem;
		problem_init(&problem);
		snprintf(operation->id, sizeof(operation->id), "%s", file->name.id);
		submit(pass, mutation, on_put, file);
	}
	problem_clear(&problem);
}

static void on_removed(struct mutation *mutation, void *owner)
{
	struct folder_pass *pass = owner;
	const struct problem *problem = problem_of(mutation);
	pass->under_way--;
	const char *id = mutation->operations[0].id;
	if (problem->code == PROBLEM_NONE) {
		pass->changed++;
		log_line(LOG_INFO, id, "its file is gone: deleted");
	} else if (problem->code != PROBLEM_NOT_FOUND) {
		log_line(LOG_ERROR, id, "its file is gone, but it is not deleted: %s", problem->detail);
		pass->may_pass_by = true;
	}
	mutation_free(mutation);
	go_on(pass);
}

static void remove_object(struct folder_pass *pass, const char *key)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	if (mutation == NULL) {
		pass->may_pass_by = true;
		return;
	}
	operation_delete(&mutation->operations[0], object_key_kind(key), object_key_id(key));
	submit(pass, mutation, on_removed, pass);
}

static bool has_more(const struct folder_pass *pass)
{
	return pass->removed_cursor < pass->removed_count || pass->cursor < pass->count;
}

/* Deletes come first, and are done before the first file is put: they set ports free. */
static bool can_go_on(const struct folder_pass *pass)
{
	bool removes = pass->removed_cursor < pass->removed_count;
	bool may_put = pass->cursor > 0 || pass->under_way == 0;
	return pass->under_way < UNDER_WAY_MOST && (removes || (pass->cursor < pass->count && may_put));
}

static void do_one(struct folder_pass *pass)
{
	if (pass->removed_cursor < pass->removed_count)
		remove_object(pass, pass->removed[pass->removed_cursor++]);
	else if (pass->round == 0 || pass->files[pass->cursor].is_put_off)
		put(pass, pass->cursor++);
	else
		pass->cursor++;
}

static void on_turn(uv_idle_t *turn)
{
	struct folder_pass *pass = turn->data;
	pass->is_in_turn = true;
	for (unsigned i = 0; i < FILES_OF_A_TURN && can_go_on(pass); i++)
		do_one(pass);
	mutations_run(pass->means.mutations);
	pass->is_in_turn = false;
	uv_idle_stop(turn);
	go_on(pass);
}

static void go_on(struct folder_pass *pass)
{
	if (pass->is_in_turn)
		return;
	if (can_go_on(pass)) {
		uv_idle_start(&pass->turn, on_turn);
		return;
	}
	if (has_more(pass) || pass->under_way > 0 || !pass->is_running)
		return;
	if (pass->has_put_off) {
		pass->has_put_off = false;
		pass->cursor = 0;
		pass->round++;
		uv_idle_start(&pass->turn, on_turn);
		return;
	}
	end(pass);
	fault_list_end(pass->means.faults);
	pass->means.finished(pass->means.owner);
}

static bool has_file(const struct folder_pass *pass, const char *key)
{
	return folder_pass_find(pass->files, pass->count, object_key_kind(key), object_key_id(key)) < pass->count;
}

static bool find_removed(struct folder_pass *pass)
{
	size_t count = registry_count(pass->means.registry);
	pass->removed = calloc(count + 1, sizeof(*pass->removed));
	for (size_t i = 0; pass->removed != NULL && i < count; i++) {
		const struct entry *entry = registry_at(pass->means.registry, i);
		if (entry->snapshot->origin == SNAPSHOT_OF_FILE && !has_file(pass, entry->key))
			memcpy(pass->removed[pass->removed_count++], entry->key, OBJECT_KEY_SIZE);
	}
	return pass->removed != NULL;
}

static void forget_awaited(struct folder_pass *pass)
{
	free(pass->awaited);
	pass->awaited = NULL;
	pass->awaited_count = 0;
}

void folder_pass_start(struct folder_pass *pass)
{
	pass->is_running = true;
	pass->changed = 0;
	pass->may_pass_by = pass->is_unreadable = false;
	forget_awaited(pass);
	fault_list_begin(pass->means.faults);
	pass->places.directory = open(pass->means.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pass->means.credentials != NULL)
		pass->places.credentials = open(pass->means.credentials, O_PATH | O_DIRECTORY | O_CLOEXEC);
	pass->files = pass->places.directory < 0 ? NULL : folder_pass_list(pass->places.directory, &pass->count);
	if (pass->files == NULL) {
		tell_unreadable(pass, errno);
	} else if (!find_removed(pass)) {
		pass->count = 0;
		tell_unreadable(pass, ENOMEM);
	}
	uv_idle_start(&pass->turn, on_turn);
}

void folder_pass_stop(struct folder_pass *pass)
{
	pass->cursor = pass->count;
	pass->round = SPEC_VIA_MOST;
	pass->has_put_off = false;
	pass->removed_cursor = pass->removed_count;
}

void folder_pass_clear(struct folder_pass *pass)
{
	end(pass);
	forget_awaited(pass);
}
