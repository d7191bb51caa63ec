#include "daemon/options.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char options_help[] = "warrend: many WireGuard tunnels in one daemon, each with a proxy on a local port\n"
			    "\n"
			    "  --config FILE            read options from a JSON object (keys state_dir, listen …)\n"
			    "  --state-dir DIR          store tunnels and tokens in DIR (default: $STATE_DIRECTORY, /var/lib/warren for\n"
			    "                           root, $XDG_STATE_HOME/warren or ~/.local/state/warren)\n"
			    "  --listen HOST:PORT       address of the API; repeatable (default: 127.0.0.1:8470; port 0: any free port)\n"
			    "  --unix-socket PATH       unix socket of the API (default: STATE_DIR/api.sock)\n"
			    "  --workers N              number of processes that carry traffic (default: 0, one per CPU)\n"
			    "  --allow-remote           permit addresses other than loopback\n"
			    "  --allowed-host NAME      Host header to accept besides the API's addresses; repeatable\n"
			    "  --allow-socket DIR       permit unix sockets of tunnels below DIR; repeatable\n"
			    "  --tls-cert FILE, --tls-key FILE\n"
			    "                           serve the API over TLS (PEM files)\n"
			    "  --no-auth                require no token; for loopback addresses only\n"
			    "  --no-gso                 do not use UDP segmentation and receive offload\n"
			    "  --log-level error|warn|info|debug\n"
			    "  --log-format text|json\n"
			    "  --version, --help\n"
			    "\n"
			    "Each option is also an environment variable (WARREN_STATE_DIR …), in which lists are separated by commas.\n";

/* Where a value comes from. A later source overrides an earlier one. */
enum source { SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_COMMAND_LINE, SOURCE_COUNT };
static const char *const source_names[SOURCE_COUNT] = { "configuration file", "environment", "command line" };

enum kind { KIND_TEXT, KIND_FLAG, KIND_LIST };

struct option {
	const char *name;
	enum kind kind;
	bool (*set)(struct options *options, const char *value, char failure[512]);
};

static bool refuse(char failure[512], const char *what, const char *value, const char *remedy)
{
	snprintf(failure, 512, "%s '%.200s': %s", what, value, remedy);
	return false;
}

static bool copy_text(char *to, size_t size, const char *value, const char *what, char failure[512])
{
	if (*value == '\0' || strlen(value) >= size)
		return refuse(failure, what, value, "must be a path; it is empty or too long");
	snprintf(to, size, "%s", value);
	return true;
}

static bool set_state_dir(struct options *options, const char *value, char failure[512])
{
	return copy_text(options->service.state_dir, sizeof(options->service.state_dir), value, "--state-dir", failure);
}

static bool set_unix_socket(struct options *options, const char *value, char failure[512])
{
	return copy_text(options->api.unix_socket, sizeof(options->api.unix_socket), value, "--unix-socket", failure);
}

static bool set_workers(struct options *options, const char *value, char failure[512])
{
	char *end;
	errno = 0;
	unsigned long number = strtoul(value, &end, 10);
	if (errno != 0 || !isdigit((unsigned char)value[0]) || *end != '\0' || number > 256)
		return refuse(failure, "--workers", value, "must be a number from 1 to 256, or 0 for one per CPU");
	options->service.workers = (unsigned)number;
	return true;
}

static bool append(char ***list, size_t *count, const char *value, char failure[512])
{
	char **longer = realloc(*list, (*count + 1) * sizeof(*longer));
	if (longer != NULL)
		*list = longer;
	char *copy = strdup(value);
	if (longer == NULL || copy == NULL) {
		free(copy);
		snprintf(failure, 512, "out of memory");
		return false;
	}
	longer[(*count)++] = copy;
	return true;
}

static bool set_listen(struct options *options, const char *value, char failure[512])
{
	if (strrchr(value, ':') == NULL)
		return refuse(failure, "--listen", value, "must be HOST:PORT, for example 127.0.0.1:8470 or [::1]:8470");
	return append(&options->listen, &options->listen_count, value, failure);
}

static bool set_allowed_host(struct options *options, const char *value, char failure[512])
{
	return append(&options->allowed_host, &options->allowed_host_count, value, failure);
}

static bool set_allow_socket(struct options *options, const char *value, char failure[512])
{
	if (value[0] != '/')
		return refuse(failure, "--allow-socket", value, "must be the absolute path of a directory");
	return append(&options->allow_socket, &options->allow_socket_count, value, failure);
}

static bool set_allow_remote(struct options *options, const char *value, char failure[512])
{
	(void)failure;
	options->service.allow_remote = options->api.allow_remote = strcmp(value, "true") == 0;
	return true;
}

static bool set_no_auth(struct options *options, const char *value, char failure[512])
{
	(void)failure;
	options->api.no_auth = strcmp(value, "true") == 0;
	return true;
}

static bool set_no_gso(struct options *options, const char *value, char failure[512])
{
	(void)failure;
	options->service.gso = strcmp(value, "true") != 0;
	return true;
}

static bool set_file(char **to, const char *value, char failure[512])
{
	free(*to);
	*to = strdup(value);
	if (*to == NULL)
		snprintf(failure, 512, "out of memory");
	return *to != NULL;
}

static bool set_tls_cert(struct options *options, const char *value, char failure[512])
{
	return set_file(&options->tls_cert, value, failure);
}

static bool set_tls_key(struct options *options, const char *value, char failure[512])
{
	return set_file(&options->tls_key, value, failure);
}

static bool set_log_level(struct options *options, const char *value, char failure[512])
{
	return log_level_parse(value, &options->log_level) || refuse(failure, "--log-level", value, "must be error, warn, info or debug");
}

static bool set_log_format(struct options *options, const char *value, char failure[512])
{
	options->log_json = strcmp(value, "json") == 0;
	return options->log_json || strcmp(value, "text") == 0 || refuse(failure, "--log-format", value, "must be text or json");
}

static const struct option table[] = {
	{ "state-dir", KIND_TEXT, set_state_dir },
	{ "listen", KIND_LIST, set_listen },
	{ "unix-socket", KIND_TEXT, set_unix_socket },
	{ "workers", KIND_TEXT, set_workers },
	{ "allow-remote", KIND_FLAG, set_allow_remote },
	{ "allowed-host", KIND_LIST, set_allowed_host },
	{ "allow-socket", KIND_LIST, set_allow_socket },
	{ "tls-cert", KIND_TEXT, set_tls_cert },
	{ "tls-key", KIND_TEXT, set_tls_key },
	{ "no-auth", KIND_FLAG, set_no_auth },
	{ "no-gso", KIND_FLAG, set_no_gso },
	{ "log-level", KIND_TEXT, set_log_level },
	{ "log-format", KIND_TEXT, set_log_format },
};
#define OPTION_COUNT (sizeof(table) / sizeof(table[0]))

/* The values of one source. They are collected first, because a later source can override them. */
struct values {
	char **list[OPTION_COUNT];
	size_t count[OPTION_COUNT];
};

static void values_clear(struct values *values)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		for (size_t j = 0; j < values->count[i]; j++)
			free(values->list[i][j]);
		free(values->list[i]);
	}
}

/* The command line. */

static size_t find(const char *name, size_t length)
{
	size_t i = 0;
	while (i < OPTION_COUNT && (strlen(table[i].name) != length || strncmp(table[i].name, name, length) != 0))
		i++;
	return i;
}

static bool read_argument(struct values *values, const char **config, int count, char **arguments, int *at, char failure[512])
{
	const char *argument = arguments[*at];
	if (strncmp(argument, "--", 2) != 0)
		return refuse(failure, "argument", argument, "is not an option; see warrend --help");
	const char *name = argument + 2, *equals = strchr(name, '=');
	size_t length = equals == NULL ? strlen(name) : (size_t)(equals - name), i = find(name, length);
	bool is_config = length == 6 && strncmp(name, "config", 6) == 0;
	if (i == OPTION_COUNT && !is_config)
		return refuse(failure, "option", argument, "is unknown; see warrend --help");
	const char *value = equals == NULL ? NULL : equals + 1;
	if (!is_config && table[i].kind == KIND_FLAG) {
		if (value != NULL)
			return refuse(failure, "option", argument, "takes no value");
		value = "true";
	} else if (value == NULL) {
		if (*at + 1 >= count)
			return refuse(failure, "option", argument, "needs a value");
		value = arguments[++*at];
	}
	if (is_config)
		*config = value;
	return is_config || append(&values->list[i], &values->count[i], value, failure);
}

static bool read_command_line(struct options *options, struct values *values, const char **config, int count, char **arguments, char failure[512])
{
	for (int at = 1; at < count; at++) {
		if (strcmp(arguments[at], "--help") == 0)
			options->help = true;
		else if (strcmp(arguments[at], "--version") == 0)
			options->version = true;
		else if (!read_argument(values, config, count, arguments, &at, failure))
			return false;
	}
	return true;
}

/* The environment. */

static bool split_list(struct values *values, size_t i, const char *text, char failure[512])
{
	while (*text != '\0') {
		size_t length = strcspn(text, ",");
		char *piece = strndup(text, length);
		bool added = piece != NULL && append(&values->list[i], &values->count[i], piece, failure);
		free(piece);
		if (!added)
			return false;
		text += length + (text[length] == ',');
	}
	return true;
}

static bool flag_value(const char *text, const char **value)
{
	bool on = strcmp(text, "1") == 0 || strcmp(text, "true") == 0 || strcmp(text, "yes") == 0;
	*value = on ? "true" : "false";
	return on || strcmp(text, "0") == 0 || strcmp(text, "false") == 0 || strcmp(text, "no") == 0 || *text == '\0';
}

static bool read_environment(struct values *values, char failure[512])
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		char name[64] = "WARREN_";
		size_t n = strlen(name);
		for (const char *c = table[i].name; *c != '\0'; c++)
			name[n++] = (char)(*c == '-' ? '_' : toupper((unsigned char)*c));
		name[n] = '\0';
		const char *text = getenv(name), *value = text;
		if (text == NULL)
			continue;
		if (table[i].kind == KIND_FLAG && !flag_value(text, &value))
			return refuse(failure, name, text, "must be true or false");
		if (table[i].kind == KIND_LIST ? !split_list(values, i, text, failure) : !append(&values->list[i], &values->count[i], value, failure))
			return false;
	}
	return true;
}

/* The configuration file. */

static bool read_json(struct values *values, size_t i, const char *key, json_t *json, char failure[512])
{
	char number[32];
	json_t *element;
	size_t index;
	if (table[i].kind == KIND_LIST && json_is_array(json)) {
		json_array_foreach (json, index, element)
			if (!json_is_string(element) || !append(&values->list[i], &values->count[i], json_string_value(element), failure))
				return refuse(failure, "configuration file: member", key, "must be a list of strings");
		return true;
	}
	if (table[i].kind == KIND_FLAG && json_is_boolean(json))
		return append(&values->list[i], &values->count[i], json_is_true(json) ? "true" : "false", failure);
	if (json_is_string(json) && table[i].kind != KIND_FLAG)
		return append(&values->list[i], &values->count[i], json_string_value(json), failure);
	if (json_is_integer(json) && table[i].set == set_workers) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(json));
		return append(&values->list[i], &values->count[i], number, failure);
	}
	return refuse(failure, "configuration file: member", key, "has a value of the wrong type; see warrend --help");
}

static bool read_file(struct values *values, const char *path, char failure[512])
{
	json_error_t error;
	json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	int cause = errno;
	if (root == NULL || !json_is_object(root)) {
		if (root == NULL && error.line < 0)
			snprintf(failure, 512, "configuration file '%.200s' cannot be read: %s", path, strerror(cause));
		else
			snprintf(failure, 512, "configuration file '%.200s': is not a JSON object at line %d", path,
			         root == NULL && error.line > 0 ? error.line : 1);
		json_decref(root);
		return false;
	}
	bool fine = true;
	for (void *entry = json_object_iter(root); entry != NULL && fine; entry = json_object_iter_next(root, entry)) {
		const char *key = json_object_iter_key(entry);
		char name[64];
		snprintf(name, sizeof(name), "%s", key);
		for (char *c = name; *c != '\0'; c++)
			if (*c == '_')
				*c = '-';
		size_t i = find(name, strlen(name));
		fine = i < OPTION_COUNT ? read_json(values, i, key, json_object_iter_value(entry), failure)
		                        : refuse(failure, "configuration file: member", key, "is unknown; see warrend --help");
	}
	json_decref(root);
	return fine;
}

/* All sources together. */

static bool apply(struct options *options, struct values values[SOURCE_COUNT], char failure[512])
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		int source = SOURCE_COUNT - 1;
		while (source >= 0 && values[source].count[i] == 0)
			source--;
		if (source < 0)
			continue;
		/* If an option is given twice in one source, the last one counts. */
		size_t first = table[i].kind == KIND_LIST ? 0 : values[source].count[i] - 1;
		for (size_t j = first; j < values[source].count[i]; j++)
			if (!table[i].set(options, values[source].list[i][j], failure)) {
				size_t length = strlen(failure);
				snprintf(failure + length, 512 - length, " (%s)", source_names[source]);
				return false;
			}
	}
	return true;
}

static bool choose_state_dir(struct options *options, char failure[512])
{
	char *to = options->service.state_dir;
	size_t size = sizeof(options->service.state_dir);
	const char *systemd = getenv("STATE_DIRECTORY"), *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	if (*to != '\0')
		return true;
	if (systemd != NULL && *systemd != '\0')
		snprintf(to, size, "%.*s", (int)strcspn(systemd, ":"), systemd);
	else if (geteuid() == 0)
		snprintf(to, size, "/var/lib/warren");
	else if (xdg != NULL && *xdg == '/')
		snprintf(to, size, "%s/warren", xdg);
	else if (home != NULL && *home == '/')
		snprintf(to, size, "%s/.local/state/warren", home);
	else
		snprintf(failure, 512, "no default for the state directory: give --state-dir DIR");
	return *to != '\0';
}

static bool finish(struct options *options, char failure[512])
{
	if ((options->tls_cert == NULL) != (options->tls_key == NULL)) {
		snprintf(failure, 512, "--tls-cert and --tls-key need each other: give both or neither");
		return false;
	}
	options->api.listen = options->listen;
	options->api.listen_count = options->listen_count;
	options->api.allowed_host = options->allowed_host;
	options->api.allowed_host_count = options->allowed_host_count;
	options->api.tls_cert = options->tls_cert;
	options->api.tls_key = options->tls_key;
	options->service.allow_socket = options->allow_socket;
	options->service.allow_socket_count = options->allow_socket_count;
	options->service.log_json = options->log_json;
	if (!choose_state_dir(options, failure))
		return false;
	snprintf(options->api.state_dir, sizeof(options->api.state_dir), "%s", options->service.state_dir);
	return true;
}

bool options_read(struct options *options, int count, char **arguments, char failure[512])
{
	struct values values[SOURCE_COUNT] = { 0 };
	*options = (struct options){ .log_level = LOG_INFO, .service = { .gso = true } };
	const char *config = getenv("WARREN_CONFIG");
	bool fine = read_command_line(options, &values[SOURCE_COMMAND_LINE], &config, count, arguments, failure);
	if (fine && !options->help && !options->version)
		fine = read_environment(&values[SOURCE_ENVIRONMENT], failure) &&
		       (config == NULL || read_file(&values[SOURCE_FILE], config, failure)) && apply(options, values, failure) &&
		       finish(options, failure);
	for (int i = 0; i < SOURCE_COUNT; i++)
		values_clear(&values[i]);
	return fine;
}

static void clear_list(char **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

void options_clear(struct options *options)
{
	clear_list(options->listen, options->listen_count);
	clear_list(options->allowed_host, options->allowed_host_count);
	clear_list(options->allow_socket, options->allow_socket_count);
	free(options->tls_cert);
	free(options->tls_key);
	*options = (struct options){ 0 };
}
