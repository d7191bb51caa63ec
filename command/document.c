#include "command/document.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/memory.h"
#include "ipc/object_id.h"

#define FILE_MAX ((size_t)64 << 20) /* what the API takes at most */
#define PIECE ((size_t)4096)

static bool read_all(struct document *document, FILE *file)
{
	size_t room = 0;
	/* Not until fread() returns 0: it would read a terminal again after its end. */
	do {
		document->text = memory_grow(document->text, document->length, PIECE + 1, &room);
		document->length += fread(document->text + document->length, 1, room - document->length - 1, file);
		if (document->length > FILE_MAX) {
			errno = EFBIG;
			return false;
		}
	} while (!feof(file) && !ferror(file));
	document->text[document->length] = '\0';
	return ferror(file) == 0;
}

char *document_id_of(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
	static const char *const endings[] = { ".conf", ".pool.json", ".json" };
	size_t length = strlen(name);
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		if (length > strlen(endings[i]) && strcmp(name + length - strlen(endings[i]), endings[i]) == 0) {
			length -= strlen(endings[i]);
			break;
		}
	char *id = memory_take(OBJECT_ID_SIZE);
	if (object_id_from_name(id, name, length))
		return id;
	free(id);
	return NULL;
}

static bool parse(struct document *document, const char *path, char failure[DOCUMENT_FAILURE_MAX])
{
	static const char mark[] = "\xef\xbb\xbf"; /* a byte order mark, as some editors write it */
	size_t skip = strncmp(document->text, mark, 3) == 0 ? 3 : 0;
	json_error_t error;
	if (document->text[skip + strspn(document->text + skip, " \t\r\n")] != '{')
		return true;
	document->json = json_loadb(document->text + skip, document->length - skip, JSON_REJECT_DUPLICATES, &error);
	if (document->json == NULL) {
		snprintf(failure, DOCUMENT_FAILURE_MAX, "%s: line %d: %s", path, error.line, error.text);
		return false;
	}
	const char *id = json_string_value(json_object_get(document->json, "id"));
	if (id != NULL)
		document->id = memory_copy(id);
	return true;
}

bool document_read(struct document *document, const char *path, char failure[DOCUMENT_FAILURE_MAX])
{
	*document = (struct document){ 0 };
	bool is_stdin = strcmp(path, "-") == 0;
	FILE *file = is_stdin ? stdin : fopen(path, "re");
	bool is_read = file != NULL && read_all(document, file);
	int error = errno;
	if (file != NULL && !is_stdin)
		fclose(file);
	if (!is_read)
		snprintf(failure, DOCUMENT_FAILURE_MAX, "%s cannot be read: %s", path, strerror(error));
	if (!is_read || !parse(document, path, failure)) {
		document_clear(document);
		return false;
	}
	if (document->id == NULL && !is_stdin)
		document->id = document_id_of(path);
	return true;
}

void document_clear(struct document *document)
{
	memory_discard(document->text);
	json_decref(document->json);
	free(document->id);
	*document = (struct document){ 0 };
}
