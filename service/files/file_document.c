#include "service/files/file_document.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/spec/json_reader.h"
#include "service/spec/json_writer.h"
#include "service/spec/wgquick.h"

struct content {
	char *text; /* ends with NUL; wiped */
	size_t length;
};

static void content_clear(struct content *content)
{
	if (content->text != NULL)
		sodium_memzero(content->text, content->length);
	free(content->text);
}

/* 0, or errno; EFBIG when it is too large. */
static int read_all(int file, struct content *content)
{
	struct stat info;
	if (fstat(file, &info) != 0)
		return errno;
	if (!S_ISREG(info.st_mode))
		return EISDIR;
	if (info.st_size > (off_t)FILE_DOCUMENT_MOST)
		return EFBIG;
	size_t size = (size_t)info.st_size;
	ssize_t got = 1;
	content->text = malloc(size + 1);
	if (content->text == NULL)
		return ENOMEM;
	while (content->length < size && (got = read(file, content->text + content->length, size - content->length)) > 0)
		content->length += (size_t)got;
	content->text[content->length] = '\0';
	return got < 0 ? errno : 0;
}

static bool read_content(int directory, const char *name, struct content *content, struct problem *problem)
{
	int file = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int error = file < 0 ? errno : read_all(file, content);
	if (file >= 0)
		close(file);
	if (error == ENOMEM)
		problem_out_of_memory(problem);
	else if (error == EFBIG)
		problem_add(problem, "", "too_large", "The file is larger than 4 MiB.");
	else if (error == EISDIR)
		problem_add(problem, "", "unreadable", "This is not a regular file.");
	else if (error != 0)
		problem_add(problem, "", "unreadable", "The file cannot be read: %s.", strerror(error));
	return error == 0;
}

/* Stands for a secret that cannot be read, so that it is not told to be missing, too. What has it is not applied. */
#define UNREAD "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

/* Replaces the member NAME_file by NAME, which the file has. */
static void read_secret(struct json_reader *reader, const struct secret_places *places, json_t *object, const char *name)
{
	char member[32], text[SECRET_FILE_MOST + 1];
	struct json_writer writer = { .failed = false };
	snprintf(member, sizeof(member), "%s_file", name);
	if (json_object_get(object, member) == NULL)
		return;
	const char *path = json_reader_string(reader, object, member);
	const char *fault = path == NULL ? NULL : secret_file_read(places, path, text);
	if (path == NULL && json_reader_is_null(object, member))
		fault = "This must be the path of a file.";
	if (json_object_get(object, name) != NULL)
		fault = "The secret itself is given, too: give one of both.";
	if (fault != NULL)
		json_reader_fault_at(reader, member, "invalid_secret_file", fault);
	if (fault != NULL || path == NULL)
		snprintf(text, sizeof(text), "%s", UNREAD);
	if (json_object_get(object, name) == NULL)
		json_writer_set(&writer, object, name, json_string(text));
	sodium_memzero(text, sizeof(text));
	if (writer.failed)
		problem_out_of_memory(reader->problem);
	(void)json_object_del(object, member);
}

static void read_list_secrets(struct json_reader *reader, const struct secret_places *places, json_t *list, const char *name)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		size_t mark = json_reader_enter_index(reader, i);
		read_secret(reader, places, json_array_get(list, i), name);
		json_reader_leave(reader, mark);
	}
}

static void read_secrets(const struct secret_places *places, json_t *document, struct problem *problem)
{
	struct json_reader reader;
	json_reader_init(&reader, "", problem);
	json_t *spec = json_object_get(document, "spec");
	size_t top = json_reader_enter(&reader, "spec");
	size_t mark = json_reader_enter(&reader, "interface");
	json_t *interface = json_object_get(spec, "interface");
	read_secret(&reader, places, interface, "private_key");
	(void)json_reader_enter(&reader, "obfuscation");
	read_secret(&reader, places, json_object_get(interface, "obfuscation"), "header_protection_key");
	json_reader_leave(&reader, mark);
	mark = json_reader_enter(&reader, "peers");
	read_list_secrets(&reader, places, json_object_get(spec, "peers"), "preshared_key");
	json_reader_leave(&reader, mark);
	(void)json_reader_enter(&reader, "proxy");
	(void)json_reader_enter(&reader, "users");
	read_list_secrets(&reader, places, json_object_get(json_object_get(spec, "proxy"), "users"), "password");
	json_reader_leave(&reader, top);
}

static json_t *read_json(const struct secret_places *places, const struct content *content, struct problem *problem)
{
	json_error_t error;
	bool lacks_memory;
	json_t *document = json_reader_load(content->text, content->length, &error, &lacks_memory);
	char pointer[32];
	if (lacks_memory)
		problem_out_of_memory(problem);
	else if (document == NULL) {
		snprintf(pointer, sizeof(pointer), "/line/%d", error.line);
		/* The library's text repeats what is near, which may be a secret. */
		problem_add(problem, pointer, "invalid_json", "This is not JSON, at column %d.", error.column);
	} else {
		read_secrets(places, document, problem);
	}
	return document;
}

static json_t *read_wgquick(const struct content *content, json_t **lines, struct problem *problem)
{
	json_t *warnings;
	json_t *document = wgquick_to_document(content->text, content->length, &warnings, lines, problem);
	json_decref(warnings);
	return document;
}

json_t *file_document_read(const struct secret_places *places, const struct file_name *name, json_t **lines, struct problem *problem)
{
	struct content content = { .text = NULL };
	json_t *document = NULL;
	*lines = NULL;
	if (name->id[0] == '\0')
		problem_add(problem, "", "invalid_id",
		            "The name before the ending makes the id, so it has a letter (a-z) or digit, and at most 63 characters.");
	else if (read_content(places->directory, name->text, &content, problem))
		document = name->form == FILE_FORM_WGQUICK ? read_wgquick(&content, lines, problem) : read_json(places, &content, problem);
	content_clear(&content);
	return document;
}
