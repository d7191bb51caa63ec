#include "service/change/precondition.h"

#include <stdio.h>
#include <string.h>

/* A list of entity tags that has the revision's, or a star. A weak tag is never equal in a strong comparison (RFC 9110, 8.8.3.2); for
 * If-None-Match the comparison is weak. */
static bool names(const char *header, uint64_t revision, bool is_weak)
{
	char tag[32];
	size_t length = (size_t)snprintf(tag, sizeof(tag), "\"%llu\"", (unsigned long long)revision);
	while (*header != '\0') {
		header += strspn(header, " \t,");
		bool has_mark = strncmp(header, "W/", 2) == 0;
		if (has_mark)
			header += 2;
		size_t size = strcspn(header, " \t,");
		if (size == 1 && *header == '*' && !has_mark)
			return true;
		if (size == length && memcmp(header, tag, length) == 0 && (!has_mark || is_weak))
			return true;
		header += size;
	}
	return false;
}

bool precondition_holds(const struct operation *operation, const struct snapshot *current)
{
	if (operation->if_match != NULL && (current == NULL || !names(operation->if_match, current->revision, false)))
		return false;
	if (operation->if_none_match == NULL || current == NULL)
		return true;
	/* "*" of a peer's address is about the peer. */
	if (operation->kind == OPERATION_PEER_PUT && strcmp(operation->if_none_match, "*") == 0)
		return spec_peer_find(&current->spec, &operation->peer) == NULL;
	return !names(operation->if_none_match, current->revision, true);
}
