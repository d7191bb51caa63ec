#include "fleet/fleet_options.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/fleet_placement.h"
#include "ipc/object_id.h"
#include "ipc/place.h"
#include "service/spec/labels.h"

#define PREFIX "/warren/v1/"

__attribute__((format(printf, 2, 3))) static bool fail(char failure[512], const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(failure, 512, format, arguments);
	va_end(arguments);
	return false;
}

static bool keep(char **to, const char *text, char failure[512])
{
	free(*to);
	*to = strdup(text);
	return *to != NULL || fail(failure, "out of memory");
}

/* ---- Values ---- */

/* SCHEME://HOST:PORT without a path: which requests are made is ours to say. */
static bool url_is_valid(const char *text)
{
	struct spec_place place;
	const char *rest = strncmp(text, "https://", 8) == 0 ? text + 8 : strncmp(text, "http://", 7) == 0 ? text + 7 : NULL;
	if (rest == NULL || strlen(text) > FLEET_URL_MAX || strncmp(rest, "unix:", 5) == 0 || !place_parse(rest, &place))
		return false;
	bool is_valid = place.kind == SPEC_PLACE_INET && place.port != 0;
	place_clear(&place);
	return is_valid;
}

static bool set_url(struct fleet_options *options, const char *value, char failure[512])
{
	if (!url_is_valid(value))
		return fail(failure, "\"%.200s\" is no URL of etcd; write https://HOST:PORT, without a path", value);
	if (options->url_count == FLEET_URLS_MAX)
		return fail(failure, "there can be at most %d members of etcd", FLEET_URLS_MAX);
	return keep(&options->urls[options->url_count++], value, failure);
}

static bool set_api(struct fleet_options *options, const char *value, char failure[512])
{
	if (!url_is_valid(value))
		return fail(failure, "\"%.200s\" is no URL of an API; write https://HOST:PORT, without a path", value);
	return keep(&options->api, value, failure);
}

/* A slash at the end is added, so that no prefix is the beginning of another. */
static bool set_prefix(struct fleet_options *options, const char *value, char failure[512])
{
	char text[FLEET_PREFIX_MAX];
	size_t length = strlen(value);
	bool has_end = length > 0 && value[length - 1] == '/';
	for (const char *c = value; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~')
			length = 0;
	if (length < 2 || value[0] != '/' || strstr(value, "//") != NULL || length + 2 > sizeof(text))
		return fail(failure, "\"%.200s\" is no prefix of keys; write one like /warren/v1, of at most %d bytes", value, FLEET_PREFIX_MAX - 2);
	snprintf(text, sizeof(text), "%s%s", value, has_end ? "" : "/");
	return keep(&options->prefix, text, failure);
}

static bool set_seal_key(struct fleet_options *options, const char *value, char failure[512])
{
	if (options->seal_key_count == FLEET_SEAL_KEYS)
		return fail(failure, "there can be at most %d files of keys", FLEET_SEAL_KEYS);
	return keep(&options->seal_keys[options->seal_key_count++], value, failure);
}

static bool set_node(struct fleet_options *options, const char *value, char failure[512])
{
	if (!object_id_is_valid(value) || strlen(value) >= FLEET_NAME)
		return fail(failure, "\"%.200s\" is no id of a node; use a-z, 0-9, dots, hyphens and underscores, at most %d of them", value,
		            FLEET_NAME - 1);
	return keep(&options->node, value, failure);
}

static bool set_label(struct fleet_options *options, const char *value, char failure[512])
{
	size_t length = labels_key_length(value);
	char key[64];
	if (length == 0 || value[length] != '=')
		return fail(failure, "\"%.200s\" is no label; write KEY=VALUE", value);
	memcpy(key, value, length);
	key[length] = '\0';
	if (options->given_labels == NULL)
		options->given_labels = json_object();
	if (json_object_get(options->given_labels, key) != NULL)
		return fail(failure, "the label %s is given twice", key);
	if (json_object_set_new(options->given_labels, key, json_string(value + length + 1)) != 0)
		return fail(failure, "the value of the label %s is not text in UTF-8", key);
	return true;
}

static bool set_capacity(struct fleet_options *options, const char *value, char failure[512])
{
	size_t digits = strspn(value, "0123456789");
	unsigned long capacity = strtoul(value, NULL, 10);
	if (digits == 0 || value[digits] != '\0' || digits > 6 || capacity == 0 || capacity > FLEET_CAPACITY_MAX)
		return fail(failure, "\"%.200s\" is no number of tunnels; write 1 to %u", value, FLEET_CAPACITY_MAX);
	options->capacity = (uint32_t)capacity;
	return true;
}

static bool set_user(struct fleet_options *options, const char *value, char failure[512])
{
	return value[0] != '\0' ? keep(&options->user, value, failure) : fail(failure, "the user of etcd needs a name");
}

static bool set_ca(struct fleet_options *options, const char *value, char failure[512])
{
	return keep(&options->ca, value, failure);
}

static bool set_certificate(struct fleet_options *options, const char *value, char failure[512])
{
	return keep(&options->certificate, value, failure);
}

static bool set_key(struct fleet_options *options, const char *value, char failure[512])
{
	return keep(&options->key, value, failure);
}

static bool set_password_file(struct fleet_options *options, const char *value, char failure[512])
{
	return keep(&options->password_file, value, failure);
}

/* ---- All of them ---- */

const char *const fleet_options_names[] = { "fleet",      "fleet-prefix",        "fleet-key-file", "fleet-ca",   "fleet-cert",    "fleet-key",
	                                    "fleet-user", "fleet-password-file", "node",           "node-label", "node-capacity", "node-api",
	                                    NULL };

static bool (*const setters[])(struct fleet_options *options, const char *value, char failure[512]) = {
	set_url, set_prefix, set_seal_key, set_ca, set_certificate, set_key, set_user, set_password_file, set_node, set_label, set_capacity, set_api,
};
static_assert(sizeof(setters) / sizeof(setters[0]) + 1 == sizeof(fleet_options_names) / sizeof(fleet_options_names[0]), "each has a setter");

bool fleet_options_set(struct fleet_options *options, const char *name, const char *value, char failure[512])
{
	size_t i = 0;
	while (fleet_options_names[i] != NULL && strcmp(fleet_options_names[i], name) != 0)
		i++;
	assert(fleet_options_names[i] != NULL);
	return setters[i](options, value, failure);
}

static bool check_alone(const struct fleet_options *options, char failure[512])
{
	bool is_said = options->prefix != NULL || options->seal_key_count > 0 || options->ca != NULL || options->certificate != NULL ||
	               options->key != NULL || options->user != NULL || options->password_file != NULL || options->node != NULL ||
	               options->api != NULL || options->capacity != 0 || options->given_labels != NULL;
	return !is_said || fail(failure, "a daemon is in a fleet only with --fleet, the URL of etcd");
}

static bool has_plain_url(const struct fleet_options *options)
{
	for (size_t i = 0; i < options->url_count; i++)
		if (strncmp(options->urls[i], "http://", 7) == 0)
			return true;
	return false;
}

static bool check_together(const struct fleet_options *options, char failure[512])
{
	if (options->node == NULL)
		return fail(failure, "--fleet needs --node, the id of this node");
	if (options->api == NULL)
		return fail(failure, "--fleet needs --node-api, the URL at which the other nodes reach this one's API");
	if (options->seal_key_count == 0)
		return fail(failure, "--fleet needs --fleet-key-file, a file of 32 random bytes: head -c 32 /dev/urandom");
	if ((options->certificate == NULL) != (options->key == NULL))
		return fail(failure, "--fleet-cert and --fleet-key belong together");
	if ((options->user == NULL) != (options->password_file == NULL))
		return fail(failure, "--fleet-user and --fleet-password-file belong together");
	if ((options->ca != NULL || options->certificate != NULL) && has_plain_url(options))
		return fail(failure, "--fleet-ca and --fleet-cert need URLs with https:// in --fleet");
	return true;
}

static bool read_labels(struct fleet_options *options, char failure[512])
{
	struct problem problem;
	struct json_reader reader;
	json_t *document = json_pack("{sO*}", "labels", options->given_labels);
	if (document == NULL)
		return fail(failure, "out of memory");
	problem_init(&problem);
	json_reader_init(&reader, "", &problem);
	options->label_count = labels_read(&reader, document, &options->labels);
	bool is_read = problem.code == PROBLEM_NONE;
	if (!is_read)
		fail(failure, "--node-label: %s", problem.fault_count > 0 ? problem.faults[0].detail : "out of memory");
	problem_clear(&problem);
	json_decref(document);
	return is_read;
}

/* A node tells its labels in each heartbeat. */
static bool check_heartbeat(const struct fleet_options *options, char failure[512])
{
	static const struct fleet_heartbeat longest = {
		.t = FLEET_TIME_MAX - 1, .applied = FLEET_TIME_MAX - 1, .wall = FLEET_TIME_MAX - 1, .drain = true, .bye = true
	};
	struct fleet_heartbeat heartbeat = longest;
	char text[FLEET_VALUE_TEXT];
	memset(heartbeat.boot, 'x', sizeof(heartbeat.boot) - 1);
	memset(heartbeat.version, 'x', sizeof(heartbeat.version) - 1);
	heartbeat.capacity = options->capacity;
	heartbeat.labels = options->labels;
	heartbeat.label_count = options->label_count;
	snprintf(heartbeat.address, sizeof(heartbeat.address), "%s", options->api);
	return fleet_heartbeat_write(&heartbeat, text) == FLEET_RECORD_OK ||
	       fail(failure, "the labels of --node-label are too long: all of them must fit into a heartbeat of %d bytes", FLEET_VALUE_TEXT - 1);
}

bool fleet_options_check(struct fleet_options *options, char failure[512])
{
	if (options->url_count == 0)
		return check_alone(options, failure);
	if (!check_together(options, failure) || !read_labels(options, failure))
		return false;
	if (options->capacity == 0)
		options->capacity = FLEET_CAPACITY;
	if (!check_heartbeat(options, failure))
		return false;
	return options->prefix != NULL || keep(&options->prefix, PREFIX, failure);
}

void fleet_options_clear(struct fleet_options *options)
{
	for (size_t i = 0; i < options->url_count; i++)
		free(options->urls[i]);
	for (size_t i = 0; i < options->seal_key_count; i++)
		free(options->seal_keys[i]);
	char *const texts[] = { options->prefix,        options->ca,   options->certificate, options->key, options->user,
		                options->password_file, options->node, options->api };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
	spec_labels_free(options->labels, options->label_count);
	json_decref(options->given_labels);
	*options = (struct fleet_options){ 0 };
}
