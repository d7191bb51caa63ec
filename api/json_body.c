/* jansson accepts 2,048 levels and keeps the last of two equal keys, so the depth is counted before it sees the text and duplicates
 * are refused. Its own error text quotes the input and is never used. */
#include "api/json_body.h"

#include <stdbool.h>

#include "service/spec/json_reader.h"

static bool is_too_deep(const char *bytes, size_t length)
{
	unsigned depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < length; i++) {
		char c = bytes[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > DOCUMENT_DEPTH_MAX)
				return true;
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
	}
	return false;
}

static const char *mistake_name(enum json_error_code code)
{
	switch (code) {
	case json_error_out_of_memory: return "out of memory";
	case json_error_stack_overflow: return "it is nested too deeply";
	case json_error_invalid_utf8: return "it is not UTF-8";
	case json_error_premature_end_of_input: return "it ends too early";
	case json_error_end_of_input_expected: return "there is data after its end";
	case json_error_null_character:
	case json_error_null_byte_in_key: return "a string contains NUL";
	case json_error_duplicate_key: return "an object has the same member twice";
	case json_error_numeric_overflow: return "a number is too large";
	case json_error_invalid_syntax:
	case json_error_unknown:
	case json_error_cannot_open_file:
	case json_error_invalid_argument:
	case json_error_invalid_format:
	case json_error_wrong_type:
	case json_error_null_value:
	case json_error_item_not_found:
	case json_error_index_out_of_range: return "syntax error";
	}
	return "syntax error";
}

json_t *api_json_body_parse(const char *bytes, size_t length, struct problem *problem)
{
	if (length == 0) {
		problem_set(problem, PROBLEM_INVALID_JSON, "The body is empty; a JSON document is required.");
		return NULL;
	}
	if (is_too_deep(bytes, length)) {
		problem_set(problem, PROBLEM_INVALID_JSON, "The body is nested deeper than %d levels.", DOCUMENT_DEPTH_MAX);
		return NULL;
	}
	json_error_t error;
	bool lacks_memory;
	json_t *document = json_reader_load(bytes, length, &error, &lacks_memory);
	if (document != NULL)
		return document;
	if (lacks_memory)
		problem_out_of_memory(problem);
	else
		problem_set(problem, PROBLEM_INVALID_JSON, "The body is not valid JSON: %s (line %d, column %d).",
		            mistake_name(json_error_code(&error)), error.line, error.column);
	return NULL;
}

void api_json_body_check_members(json_t *object, const char *pointer, const char *const *known, struct problem *problem)
{
	struct json_reader reader;
	json_reader_init(&reader, pointer, problem);
	json_reader_known(&reader, object, known, NULL);
}
