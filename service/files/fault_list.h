/* What is wrong with files of the tunnels directory, as the last pass over it found. Written by the service's thread, read by any. */
#ifndef WARREN_SERVICE_FILES_FAULT_LIST_H
#define WARREN_SERVICE_FILES_FAULT_LIST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct fault_list;

struct fault_list *fault_list_create(void); /* NULL when out of memory */
void fault_list_free(struct fault_list *list);
/* A pass begins, whose faults take the place of those before when it ends. */
void fault_list_begin(struct fault_list *list);
/* Returns since when the file has this fault (UNIX time in ms): now, or longer if the pass before found the same. */
int64_t fault_list_add(struct fault_list *list, const char *file, const char *detail, int64_t now_ms);
void fault_list_end(struct fault_list *list);
size_t fault_list_count(struct fault_list *list);
/* [{"file", "detail", "at"}], a new reference; NULL when out of memory. */
json_t *fault_list_to_json(struct fault_list *list);

#endif
