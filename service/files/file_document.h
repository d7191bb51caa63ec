/* A file of the tunnels directory as the document of a PUT, with the secrets that it keeps in other files. */
#ifndef WARREN_SERVICE_FILES_FILE_DOCUMENT_H
#define WARREN_SERVICE_FILES_FILE_DOCUMENT_H

#include <jansson.h>

#include "service/files/file_name.h"
#include "service/files/secret_file.h"
#include "service/spec/problem.h"

#define FILE_DOCUMENT_MOST (4u << 20) /* bytes, as of a request's body */

/* A new reference. With faults, whose pointers are into the document or "/line/N", it is not to be applied, and tells what else is wrong; NULL:
 * nothing of it can be judged. `lines` gets what wgquick_locate needs for later
 * problems, a new reference, or NULL. */
json_t *file_document_read(const struct secret_places *places, const struct file_name *name, json_t **lines, struct problem *problem);

#endif
