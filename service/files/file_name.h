/* Names of the tunnels directory: which file makes which tunnel or pool. */
#ifndef WARREN_SERVICE_FILES_FILE_NAME_H
#define WARREN_SERVICE_FILES_FILE_NAME_H

#include <stdbool.h>

#include "ipc/object_id.h"
#include "service/registry/object_key.h"

enum file_form { FILE_FORM_WGQUICK, FILE_FORM_JSON };

struct file_name {
	char text[80]; /* the name within the directory */
	enum file_form form;
	enum spec_kind object;
	char id[OBJECT_ID_SIZE]; /* by object_id_from_name */
};

/* False if the name is not for us: it is hidden, or has another ending. The id is empty if the name gives none, or is longer than an id. */
bool file_name_read(struct file_name *name, const char *text);
/* Orders by object and id, and a wg-quick file before a JSON file of the same tunnel. */
int file_name_compare(const void *a, const void *b);

#endif
