/* Writes problems. Their texts come from the service and the API and contain no secrets. */
#include "api/problem_json.h"

static void write_faults(struct text *text, const struct problem *problem)
{
	text_put(text, ",\"errors\":[");
	for (size_t i = 0; i < problem->fault_count; i++) {
		const struct problem_fault *fault = &problem->faults[i];
		text_put(text, i > 0 ? ",{\"pointer\":" : "{\"pointer\":");
		text_put_json(text, fault->pointer != NULL ? fault->pointer : "");
		text_put(text, ",\"code\":");
		text_put_json(text, fault->code != NULL ? fault->code : "invalid");
		text_put(text, ",\"detail\":");
		text_put_json(text, fault->detail != NULL ? fault->detail : "");
		text_put_char(text, '}');
	}
	text_put_char(text, ']');
}

void api_problem_write(struct text *text, const struct problem *problem, unsigned status, const char *request_id, const char *members)
{
	const char *code = problem_code_name(problem->code), *title = problem_code_title(problem->code);
	text_printf(text, "{\"type\":\"urn:warren:problem:%s\",\"title\":", code);
	text_put_json(text, title);
	text_printf(text, ",\"status\":%u,\"detail\":", status);
	text_put_json(text, problem->detail[0] ? problem->detail : title);
	text_printf(text, ",\"code\":\"%s\"", code);
	if (request_id != NULL) {
		text_put(text, ",\"request_id\":");
		text_put_json(text, request_id);
	}
	if (problem->fault_count > 0)
		write_faults(text, problem);
	if (members != NULL)
		text_put(text, members);
	text_put_char(text, '}');
}
