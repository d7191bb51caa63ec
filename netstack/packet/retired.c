#include "netstack/packet/retired.h"

#include <stdlib.h>

#include "netstack/packet/budget.h"

void retired_add(struct retired *retired, struct retired_buffer *buffer)
{
	if (buffer == NULL)
		return;
	buffer->next = retired->first;
	retired->first = buffer;
}

void retired_free_all(struct retired *retired)
{
	while (retired->first != NULL) {
		struct retired_buffer *buffer = retired->first;
		retired->first = buffer->next;
		budget_release(retired->budget, buffer->charged);
		free(buffer);
	}
}
