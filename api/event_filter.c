#include "api/event_filter.h"

#include <stdlib.h>
#include <string.h>

#include "api/reply.h"

static bool read_type(struct api_request *request, const char *written, unsigned *types)
{
	/* Heartbeats are sent whatever is asked for. */
	if (strcmp(written, "heartbeat") == 0) {
		*types |= 1u << EVENT_TYPE_COUNT;
		return true;
	}
	for (unsigned i = 0; i < EVENT_TYPE_COUNT; i++)
		if (strcmp(event_type_name((enum event_type)i), written) == 0) {
			*types |= 1u << i;
			return true;
		}
	api_reply_failure(request, PROBLEM_INVALID_REQUEST, "The query parameter \"type\" must be the type of an event, such as tunnel.state.");
	return false;
}

static bool read_parameter(struct api_request *request, const struct api_request_target_parameter *parameter, struct api_event_filter *filter)
{
	if (strcmp(parameter->name, "type") == 0)
		return read_type(request, parameter->value, &filter->types);
	bool is_pool = strcmp(parameter->name, "pool") == 0;
	if (is_pool || strcmp(parameter->name, "tunnel") == 0)
		object_key_make(filter->objects[filter->object_count++], is_pool ? SPEC_POOL : SPEC_TUNNEL, parameter->value);
	return true;
}

bool api_event_filter_read(struct api_request *request, struct api_event_filter *filter)
{
	*filter = (struct api_event_filter){ .access = access_reference(request->caller.access) };
	if (!api_request_selectors(request, &filter->selectors, &filter->selector_count)) {
		access_release(filter->access);
		return false;
	}
	filter->objects = calloc(request->target.parameter_count + 1, sizeof(*filter->objects));
	bool is_read = filter->objects != NULL;
	if (!is_read)
		api_reply_out_of_memory(request);
	for (size_t i = 0; is_read && i < request->target.parameter_count; i++)
		is_read = read_parameter(request, &request->target.parameters[i], filter);
	if (!is_read)
		api_event_filter_clear(filter);
	return is_read;
}

void api_event_filter_clear(struct api_event_filter *filter)
{
	free(filter->objects);
	access_release(filter->access);
	selectors_free(filter->selectors, filter->selector_count);
	*filter = (struct api_event_filter){ 0 };
}

static bool is_named(const struct api_event_filter *filter, const json_t *event)
{
	const char *tunnel = json_string_value(json_object_get(event, "tunnel")), *pool = json_string_value(json_object_get(event, "pool"));
	char key[OBJECT_KEY_SIZE];
	if (tunnel == NULL && pool == NULL)
		return false;
	object_key_make(key, tunnel != NULL ? SPEC_TUNNEL : SPEC_POOL, tunnel != NULL ? tunnel : pool);
	for (size_t i = 0; i < filter->object_count; i++)
		if (strcmp(filter->objects[i], key) == 0)
			return true;
	return false;
}

static bool are_accepted(const struct api_event_filter *filter, const struct spec_label *labels, size_t count)
{
	return access_covers(filter->access, labels, count) && selectors_accept(filter->selectors, filter->selector_count, labels, count);
}

/* A tunnel that is gone has its labels in the event itself. */
static bool are_written_accepted(const struct api_event_filter *filter, const json_t *written)
{
	struct spec_label labels[POOL_SPEC_LABELS_MAX];
	size_t count = 0;
	json_t *walked = (json_t *)(uintptr_t)written;
	const char *key;
	json_t *value;
	json_object_foreach (walked, key, value)
		if (count < POOL_SPEC_LABELS_MAX)
			labels[count++] = (struct spec_label){ .key = (char *)(uintptr_t)key, .value = (char *)(uintptr_t)json_string_value(value) };
	return are_accepted(filter, labels, count);
}

static bool is_selected(const struct api_event_filter *filter, struct service *service, const json_t *event)
{
	const json_t *labels = json_object_get(event, "labels");
	const char *tunnel = json_string_value(json_object_get(event, "tunnel")), *pool = json_string_value(json_object_get(event, "pool"));
	if (labels != NULL)
		return are_written_accepted(filter, labels);
	struct snapshot *snapshot = NULL;
	if (tunnel != NULL)
		snapshot = service_find(service, filter->access, tunnel);
	else if (pool != NULL)
		snapshot = service_find_pool(service, filter->access, pool);
	bool is_accepted = snapshot != NULL && are_accepted(filter, snapshot->labels, snapshot->label_count);
	snapshot_release(snapshot);
	return is_accepted;
}

bool api_event_filter_passes(const struct api_event_filter *filter, struct service *service, enum event_type type, const char *json)
{
	bool is_whole = access_is_whole(filter->access);
	if (filter->types != 0 && (filter->types & 1u << type) == 0)
		return false;
	if (filter->object_count == 0 && filter->selector_count == 0 && is_whole)
		return true;
	json_t *event = json_loads(json, 0, NULL);
	if (event == NULL) /* Out of memory: one that is not wanted is better than one that is missing, but not one that may not be seen. */
		return is_whole;
	bool is_meant = filter->object_count == 0 || is_named(filter, event);
	bool passes = is_meant && ((filter->selector_count == 0 && is_whole) || is_selected(filter, service, event));
	json_decref(event);
	return passes;
}
