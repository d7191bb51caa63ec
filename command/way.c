#include "command/way.h"

#include <stdlib.h>
#include <string.h>

#include "command/member.h"
#include "command/memory.h"

#define NAMES_MAX 16

struct names {
	char *text; /* NULL: none */
	size_t count;
};

static void add(struct names *names, const char *id, size_t length)
{
	if (names->count++ >= NAMES_MAX)
		return;
	char *longer = memory_print("%s%s%.*s", names->text != NULL ? names->text : "", names->text != NULL ? ", " : "", (int)length, id);
	free(names->text);
	names->text = longer;
}

static char *text_of(struct names *names)
{
	if (names->count <= NAMES_MAX)
		return names->text;
	char *text = memory_print("%s and %zu more", names->text, names->count - NAMES_MAX);
	free(names->text);
	return text;
}

static bool is_among(char *const *ids, const char *id, size_t length)
{
	for (; *ids != NULL; ids++)
		if (strlen(*ids) == length && memcmp(*ids, id, length) == 0)
			return true;
	return false;
}

char *way_lost(const json_t *tunnels, char *const *gone)
{
	struct names names = { .count = 0 };
	size_t index;
	json_t *tunnel;
	json_array_foreach (tunnels, index, tunnel) {
		const char *id = member_text(tunnel, "id"), *via = member_text(tunnel, "spec.interface.via");
		if (is_among(gone, via, strlen(via)) && !is_among(gone, id, strlen(id)))
			add(&names, id, strlen(id));
	}
	return text_of(&names);
}

char *way_lost_of(const char *inside, char *const *gone)
{
	static const char between[] = ", ";
	struct names names = { .count = 0 };
	for (const char *id = inside + strspn(inside, between); *id != '\0'; id += strspn(id, between)) {
		size_t length = strcspn(id, between);
		if (!is_among(gone, id, length))
			add(&names, id, length);
		id += length;
	}
	return text_of(&names);
}
