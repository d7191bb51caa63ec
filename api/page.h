/* The files embedded in the program: the web page and the OpenAPI document. Generated at build time by embed.cmake. */
#ifndef WARREN_API_PAGE_H
#define WARREN_API_PAGE_H

#include <stddef.h>

struct api_file {
	const char *path; /* of the request */
	const char *type;
	const unsigned char *bytes;
	size_t length;
};

extern const struct api_file api_files[];
extern const size_t api_file_count;

const struct api_file *api_page_find(const char *path);

#endif
