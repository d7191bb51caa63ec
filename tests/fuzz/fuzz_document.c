/* Tunnels as strangers write them: a JSON document, or a wg-quick file when the first byte is no brace. What is taken without a fault must read
 * back the same from what is written of it, in both forms. */
#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "service/service.h"
#include "service/spec/candidate.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void demand(bool holds)
{
	if (!holds)
		abort();
}

static void read_candidate(struct candidate *candidate, const json_t *document)
{
	candidate_init(candidate, SPEC_TUNNEL);
	candidate_read(candidate, document, "");
	candidate_complete(candidate, NULL);
}

static void check_json(const struct spec *spec)
{
	struct candidate again;
	json_t *document = json_pack("{s:o}", "spec", spec_to_json(spec, true));
	read_candidate(&again, document);
	demand(again.problem.code == PROBLEM_NONE && spec_equal(spec, &again.spec));
	candidate_clear(&again);
	json_decref(document);
}

/* What a wg-quick file has no word for is lost in it. */
static void check_file(const struct spec *spec)
{
	struct candidate again;
	struct problem problem;
	json_t *warnings = NULL, *lines = NULL;
	char *file = spec_to_wgquick(spec, NULL, 0, true);
	problem_init(&problem);
	json_t *document = wgquick_to_document(file, strlen(file), &warnings, &lines, &problem);
	demand(document != NULL && json_array_size(warnings) == 0);
	read_candidate(&again, document);
	demand(again.problem.code == PROBLEM_NONE && again.spec.peer_count == spec->peer_count && again.spec.address_count == spec->address_count);
	demand(again.spec.user_count == spec->user_count && (spec->listen_count == 0 || again.spec.listen_count == spec->listen_count));
	demand(again.spec.dns_count == spec->dns_count && again.spec.mtu == spec->mtu && again.spec.listen_port == spec->listen_port);
	candidate_clear(&again);
	json_decref(document);
	json_decref(lines);
	json_decref(warnings);
	problem_clear(&problem);
	free(file);
}

static json_t *read_input(const char *text, size_t length)
{
	if (length > 0 && text[0] == '{')
		return json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
	struct problem problem;
	json_t *warnings = NULL, *lines = NULL;
	problem_init(&problem);
	json_t *document = wgquick_to_document(text, length, &warnings, &lines, &problem);
	demand(document != NULL || problem.code != PROBLEM_NONE);
	json_decref(lines);
	json_decref(warnings);
	problem_clear(&problem);
	return document;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct candidate candidate;
	demand(sodium_init() >= 0);
	json_t *document = read_input((const char *)bytes, length);
	if (document == NULL)
		return 0;
	read_candidate(&candidate, document);
	if (candidate.problem.code == PROBLEM_NONE) {
		check_json(&candidate.spec);
		check_file(&candidate.spec);
	} else {
		demand(candidate.problem.fault_count > 0 || candidate.problem.code != PROBLEM_VALIDATION_FAILED);
	}
	candidate_clear(&candidate);
	json_decref(document);
	return 0;
}
