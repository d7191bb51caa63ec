#include "service/files/fault_list.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "service/spec/json_writer.h"

#define FAULTS_MOST 256 /* that are kept; all are logged */

struct fault {
	char *file, *detail;
	int64_t at;
};

struct faults {
	struct fault list[FAULTS_MOST];
	size_t count;
};

struct fault_list {
	pthread_mutex_t lock;
	struct faults *last, *next; /* of the last pass that has ended, and of the one that goes on */
};

static void clear(struct faults *faults)
{
	for (size_t i = 0; i < faults->count; i++) {
		free(faults->list[i].file);
		free(faults->list[i].detail);
	}
	faults->count = 0;
}

struct fault_list *fault_list_create(void)
{
	struct fault_list *list = calloc(1, sizeof(*list));
	if (list == NULL)
		return NULL;
	pthread_mutex_init(&list->lock, NULL);
	list->last = calloc(1, sizeof(*list->last));
	list->next = calloc(1, sizeof(*list->next));
	if (list->last != NULL && list->next != NULL)
		return list;
	free(list->last);
	free(list->next);
	free(list);
	return NULL;
}

void fault_list_free(struct fault_list *list)
{
	if (list == NULL)
		return;
	clear(list->last);
	clear(list->next);
	free(list->last);
	free(list->next);
	pthread_mutex_destroy(&list->lock);
	free(list);
}

void fault_list_begin(struct fault_list *list)
{
	clear(list->next);
}

/* Of the pass before; only the service's thread changes it. */
static const struct fault *find(const struct fault_list *list, const char *file, const char *detail)
{
	for (size_t i = 0; i < list->last->count; i++)
		if (strcmp(list->last->list[i].file, file) == 0 && strcmp(list->last->list[i].detail, detail) == 0)
			return &list->last->list[i];
	return NULL;
}

int64_t fault_list_add(struct fault_list *list, const char *file, const char *detail, int64_t now_ms)
{
	const struct fault *known = find(list, file, detail);
	struct fault fault = { .file = strdup(file), .detail = strdup(detail), .at = known == NULL ? now_ms : known->at };
	if (fault.file != NULL && fault.detail != NULL && list->next->count < FAULTS_MOST) {
		list->next->list[list->next->count++] = fault;
	} else {
		free(fault.file);
		free(fault.detail);
	}
	return fault.at;
}

void fault_list_end(struct fault_list *list)
{
	pthread_mutex_lock(&list->lock);
	struct faults *old = list->last;
	list->last = list->next;
	list->next = old;
	pthread_mutex_unlock(&list->lock);
	clear(list->next);
}

size_t fault_list_count(struct fault_list *list)
{
	pthread_mutex_lock(&list->lock);
	size_t count = list->last->count;
	pthread_mutex_unlock(&list->lock);
	return count;
}

json_t *fault_list_to_json(struct fault_list *list)
{
	struct json_writer writer = { .failed = false };
	json_t *array = json_array();
	pthread_mutex_lock(&list->lock);
	for (size_t i = 0; i < list->last->count; i++) {
		const struct fault *fault = &list->last->list[i];
		json_writer_add(&writer, array,
		                json_pack("{s:s, s:s, s:I}", "file", fault->file, "detail", fault->detail, "at", (json_int_t)fault->at));
	}
	pthread_mutex_unlock(&list->lock);
	return json_writer_end(&writer, array);
}
