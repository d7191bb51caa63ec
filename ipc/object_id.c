#include "ipc/object_id.h"

#include <string.h>

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static char lower(char c)
{
	if (c >= 'A' && c <= 'Z')
		c = (char)(c - 'A' + 'a');
	return c;
}

bool object_id_is_valid(const char *id)
{
	size_t length = strlen(id);
	if (length == 0 || length >= OBJECT_ID_SIZE || strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789._-") != length)
		return false;
	return strchr("._-", id[0]) == NULL;
}

bool object_id_from_name(char id[OBJECT_ID_SIZE], const char *name, size_t length)
{
	size_t count = 0;
	for (size_t i = 0; i < length && count < OBJECT_ID_SIZE - 1; i++) {
		char c = lower(name[i]);
		bool is_fine = is_word(c) || c == '.' || c == '_' || c == '-';
		if (count == 0 && !is_word(c))
			continue;
		if (!is_fine && id[count - 1] == '-')
			continue;
		if (!is_fine)
			c = '-';
		id[count++] = c;
	}
	id[count] = '\0';
	return count > 0;
}
