/* Values of a wg-quick file, and how each becomes a member of the document. What wg(8), wg-quick(8) and awg(8) take is taken: wg removes every blank
 * from its values, wg-quick separates its lists by blanks and commas. */
#ifndef WARREN_SERVICE_SPEC_WGQUICK_VALUE_H
#define WARREN_SERVICE_SPEC_WGQUICK_VALUE_H

#include <jansson.h>
#include <stddef.h>

#include "ipc/obfuscation.h"
#include "service/spec/json_writer.h"
#include "service/spec/problem.h"

#define WGQUICK_BLANKS " \t\n\v\f\r"

/* Where the reader is, and where it reports to. The pointers are borrowed. */
struct wgquick_reading {
	struct problem *problem;
	struct json_writer writer;
	json_t *warnings;
	size_t line;
	const char *key; /* of the line, or NULL */
};

/* At the line, with the key's name. */
void wgquick_fault(struct wgquick_reading *reading, const char *code, const char *detail);
void wgquick_warn(struct wgquick_reading *reading, const char *code, const char *detail);

/* Trims white space around it, in place. */
char *wgquick_trim(char *text);
/* Removes all white space from it, in place. */
char *wgquick_squeeze(char *text);

/* The object's member, a list that is made if it is missing. */
json_t *wgquick_value_list(struct wgquick_reading *reading, json_t *object, const char *member);
/* Each reads a value, which it changes in place, to the object's member; what it cannot take is a fault. */
void wgquick_value_key(struct wgquick_reading *reading, json_t *object, const char *member, char *value);
void wgquick_value_addresses(struct wgquick_reading *reading, json_t *object, const char *member, char *value);
void wgquick_value_dns(struct wgquick_reading *reading, json_t *object, const char *member, char *value);
void wgquick_value_allowed_ips(struct wgquick_reading *reading, json_t *object, const char *member, char *value);
void wgquick_value_endpoint(struct wgquick_reading *reading, json_t *object, const char *member, char *value);
void wgquick_value_mtu(struct wgquick_reading *reading, json_t *object, const char *member, char *value);
void wgquick_value_port(struct wgquick_reading *reading, json_t *object, const char *member, char *value);
void wgquick_value_reserved(struct wgquick_reading *reading, json_t *object, const char *member, char *value);
void wgquick_value_keepalive(struct wgquick_reading *reading, json_t *object, const char *member, char *value);
void wgquick_value_obfuscation(struct wgquick_reading *reading, json_t *object, const struct obfuscation_field *field, char *value);

#endif
