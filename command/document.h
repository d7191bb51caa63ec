/* A file that describes a tunnel or a pool: a wg-quick file, or the JSON that POST takes. */
#ifndef WARREN_COMMAND_DOCUMENT_H
#define WARREN_COMMAND_DOCUMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct document {
	char *text; /* as it was read; holds secrets */
	size_t length;
	json_t *json; /* NULL: a wg-quick file */
	char *id;     /* of the document, else from the file's name; NULL: none */
};

#define DOCUMENT_FAILURE_MAX 512

/* Reads a file, `-` is stdin. By content: JSON begins with a brace. False with the failure. */
bool document_read(struct document *document, const char *path, char failure[DOCUMENT_FAILURE_MAX]);
void document_clear(struct document *document);

/* The id that a file's name gives: "/etc/My VPN.conf" is "my-vpn". NULL if nothing is left of it. Free it. */
char *document_id_of(const char *path);

#endif
