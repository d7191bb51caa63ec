#include "service/files/file_name.h"

#include <stdio.h>
#include <string.h>

#include "ipc/object_id.h"

struct ending {
	const char *text;
	enum file_form form;
	enum spec_kind object;
};

/* The longer ending first. */
static const struct ending endings[] = {
	{ ".pool.json", FILE_FORM_JSON, SPEC_POOL },
	{ ".json", FILE_FORM_JSON, SPEC_TUNNEL },
	{ ".conf", FILE_FORM_WGQUICK, SPEC_TUNNEL },
};

bool file_name_read(struct file_name *name, const char *text)
{
	size_t length = strlen(text);
	for (size_t i = 0; text[0] != '.' && i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t stem = length - strlen(endings[i].text);
		if (length <= strlen(endings[i].text) || strcmp(text + stem, endings[i].text) != 0)
			continue;
		*name = (struct file_name){ .form = endings[i].form, .object = endings[i].object };
		snprintf(name->text, sizeof(name->text), "%s", text);
		if (stem < sizeof(name->id))
			object_id_from_name(name->id, text, stem);
		return true;
	}
	return false;
}

int file_name_compare(const void *a, const void *b)
{
	const struct file_name *first = a, *second = b;
	if (first->object != second->object)
		return first->object < second->object ? -1 : 1;
	int order = strcmp(first->id, second->id);
	if (order == 0)
		order = (first->form > second->form) - (first->form < second->form);
	return order != 0 ? order : strcmp(first->text, second->text);
}
