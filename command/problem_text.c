#include "command/problem_text.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "command/api_client.h"
#include "command/member.h"
#include "command/terminal_text.h"

static void write_faults(FILE *to, const json_t *faults)
{
	size_t index;
	json_t *fault;
	json_array_foreach (faults, index, fault) {
		const char *pointer = member_text(fault, "pointer");
		bool is_line = strncmp(pointer, "/line/", 6) == 0;
		terminal_text_line(to, "  %s%s: %s", is_line ? "line " : "", pointer + (is_line ? 6 : 0), member_text(fault, "detail"));
	}
}

/* The id of the object that a path names, escaped as it is there, and its length; 0: the path names none. A 404 is then about the path itself. */
static size_t object_of(const char *path, const char **id)
{
	if (strncmp(path, "/v1/", 4) != 0 || strncmp(path, "/v1/actions/", 12) == 0)
		return 0;
	const char *slash = strchr(path + 4, '/');
	*id = slash != NULL ? slash + 1 : path;
	return slash != NULL ? strcspn(slash + 1, "/?") : 0;
}

static void write_advice(FILE *to, const struct api_client_request *request, long status, const char *code)
{
	const char *id;
	if (status == 405 || (status == 404 && object_of(request->path, &id) == 0))
		fprintf(to, "This warrend cannot do that (%s %.*s); \"warren version\" shows its version and that of this command.\n",
		        request->method != NULL ? request->method : "GET", (int)strcspn(request->path, "?"), request->path);
	else if (status == 401)
		fputs("Over TCP a token is needed: --token-file FILE (warrend writes the first one to admin.token in its state directory).\n", to);
	else if (strcmp(code, "tunnel_exists") == 0)
		fputs("Give another --id; or \"warren apply FILE\" makes it what the file says, and \"warren set\" changes members.\n", to);
	else if (strcmp(code, "pool_exists") == 0)
		fputs("Give another --id; or \"warren apply NAME.pool.json\" makes it what the file says, and \"warren pool set\" changes members.\n",
		      to);
	else if (status == 412)
		fputs("It was changed by someone else at the same time. Look at it, and try again.\n", to);
}

/* Of a URL: scheme and address. */
static size_t base_length(const char *url)
{
	const char *address = strstr(url, "://");
	return address == NULL ? strlen(url) : (size_t)(address - url) + 3 + strcspn(address + 3, "/");
}

void problem_text_write(FILE *to, const struct api_client_request *request, const struct api_client_answer *answer)
{
	const char *id = "";
	int length = (int)object_of(request->path, &id);
	if (answer->location != NULL) {
		terminal_text_line(to, "warren: %.*s%sanother node answers for it; ask that one, with --url %.*s", length, id, length > 0 ? ": " : "",
		                   (int)base_length(answer->location), answer->location);
		return;
	}
	json_t *problem = json_loadb(answer->body, answer->length, 0, NULL);
	const char *detail = member_text(problem, "detail"), *title = member_text(problem, "title");
	if (*detail != '\0' || *title != '\0')
		terminal_text_line(to, "warren: %.*s%s%s", length, id, length > 0 ? ": " : "", *detail != '\0' ? detail : title);
	else
		terminal_text_line(to, "warren: the reply is HTTP %ld and no problem document: is this warrend's address?", answer->status);
	write_faults(to, json_object_get(problem, "errors"));
	write_advice(to, request, answer->status, member_text(problem, "code"));
	json_decref(problem);
}
