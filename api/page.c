/* Serves the embedded files. The page's content security policy permits nothing from other hosts, and no framing. */
#include "api/page.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"

static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
			     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const struct api_file *api_page_find(const char *path)
{
	for (size_t i = 0; i < api_file_count; i++)
		if (strcmp(api_files[i].path, path) == 0)
			return &api_files[i];
	return NULL;
}

void api_page_get(struct api_request *request)
{
	char path[64]; /* longer than that of any file */
	if (request->parameters[0] != NULL)
		snprintf(path, sizeof(path), "/page/%s", request->parameters[0]);
	else
		snprintf(path, sizeof(path), "%s", request->route->path);
	const struct api_file *file = api_page_find(path);
	if (file == NULL) {
		api_reply_failure(request, PROBLEM_NOT_FOUND, "There is no resource at this path.");
		return;
	}
	struct MHD_Response *response = MHD_create_response_from_buffer(file->length, (void *)(uintptr_t)file->bytes, MHD_RESPMEM_PERSISTENT);
	api_reply_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, file->type);
	api_reply_header(response, "Content-Security-Policy", policy);
	api_reply_header(response, "X-Frame-Options", "DENY");
	api_reply_header(response, "Referrer-Policy", "no-referrer");
	api_reply_send(request, MHD_HTTP_OK, response);
}
