#include "daemon/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/state_path.h"
#include "service/spec/json_reader.h"

const char options_help[] =
    "warrend: many WireGuard tunnels in one daemon, each with a proxy on a local port\n"
    "\n"
    "  --config FILE            read options from a JSON object (keys state_dir, listen …)\n"
    "  --state-dir DIR          store tunnels and tokens in DIR (default: $STATE_DIRECTORY, /var/lib/warren for\n"
    "                           root, $XDG_STATE_HOME/warren or ~/.local/state/warren)\n"
    "  --listen HOST:PORT       address of the API; repeatable (default: 127.0.0.1:8470; port 0: any free port)\n"
    "  --unix-socket PATH       unix socket of the API (default: STATE_DIR/api.sock)\n"
    "  --workers N              number of processes that carry traffic (default: 0, one per CPU)\n"
    "  --allow-remote           permit addresses other than loopback\n"
    "  --allowed-host NAME      Host header to accept besides the API's addresses; repeatable\n"
    "  --trusted-proxy ADDRESS|CIDR\n"
    "                           believe this proxy's X-Forwarded-For, -Proto and -Host, or Forwarded; repeatable\n"
    "  --allowed-origin URL     Origin header to accept besides the page's own; repeatable\n"
    "  --socket-group GROUP     members of GROUP may write over the unix socket\n"
    "  --allow-socket DIR       permit unix sockets of tunnels below DIR; repeatable\n"
    "  --tls-cert FILE, --tls-key FILE\n"
    "                           serve the API over TLS (PEM files)\n"
    "  --no-auth                require no token; for loopback addresses only\n"
    "  --no-gso                 do not use UDP segmentation and receive offload\n"
    "  --aead auto|avx512|avx2|ipsec-mb|libsodium\n"
    "                           the code that encrypts (default: auto, the fastest for this CPU)\n"
    "  --tunnels-dir DIR        run the tunnels of the files in DIR: NAME.conf (wg-quick), NAME.json, NAME.pool.json\n"
    "  --drain-timeout SECONDS  how long a worker that is replaced waits for its connections to end (default: 3600)\n"
    "  --access-log FILE        write a line of JSON for each proxied connection that has ended; \"-\" is stdout\n"
    "  --fleet URL              be a node of a fleet over this etcd, https://HOST:PORT; repeatable, for its members\n"
    "  --node ID                this node's name in the fleet\n"
    "  --node-api URL           where the other nodes reach this one's API\n"
    "  --node-label K=V         what tunnels can ask of their node; repeatable\n"
    "  --node-capacity N        how many tunnels this node takes (default: 10000)\n"
    "  --fleet-key-file FILE    32 random bytes that seal secrets in etcd, the same on each node; repeatable, the newest first\n"
    "  --fleet-ca FILE, --fleet-cert FILE, --fleet-key FILE\n"
    "                           TLS to etcd (PEM files): whom to trust, and this node's own certificate\n"
    "  --fleet-user NAME, --fleet-password-file FILE\n"
    "                           the user of etcd\n"
    "  --fleet-prefix PREFIX    of all keys in etcd (default: /warren/v1/)\n"
    "  --log-level error|warn|info|debug\n"
    "  --log-format text|json\n"
    "  --check                  check options, certificate, state directory and files; start nothing; exit 0 or 2\n"
    "  --version, -h, --help\n"
    "\n"
    "Each option is also an environment variable (WARREN_STATE_DIR …), in which lists are separated by commas.\n";

/* Where a value comes from. A later source overrides an earlier one. */
enum source { SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_COMMAND_LINE, SOURCE_COUNT };
static const char *const source_names[SOURCE_COUNT] = { "configuration file", "environment", "command line" };

enum kind { KIND_TEXT, KIND_NUMBER, KIND_FLAG, KIND_LIST };

struct option {
	const char *name;
	enum kind kind;
	bool (*set)(struct options *options, const char *value, char failure[512]); /* NULL: fleet_options_set */
};

static bool refuse(char failure[512], const char *what, const char *value, const char *remedy)
{
	snprintf(failure, 512, "%s '%.200s': %s", what, value, remedy);
	return false;
}

/* With --check the fault is kept, and the next one looked for. */
static bool is_noted(struct options *options, const char *failure)
{
	char **longer = options->check ? realloc(options->faults, (options->fault_count + 1) * sizeof(*longer)) : NULL;
	if (longer == NULL)
		return false;
	options->faults = longer;
	longer[options->fault_count] = strdup(failure);
	if (longer[options->fault_count] == NULL)
		return false;
	options->fault_count++;
	return true;
}

static bool copy_text(char *to, size_t size, const char *value, const char *what, char failure[512])
{
	if (*value == '\0' || strlen(value) >= size) {
		snprintf(failure, 512, "%s '%.200s': must be a path of 1 to %zu bytes", what, value, size - 1);
		return false;
	}
	snprintf(to, size, "%s", value);
	return true;
}

static bool set_state_dir(struct options *options, const char *value, char failure[512])
{
	return copy_text(options->service.state_dir, sizeof(options->service.state_dir), value, "--state-dir", failure);
}

static bool set_access_log(struct options *options, const char *value, char failure[512])
{
	return copy_text(options->service.access_log, sizeof(options->service.access_log), value, "--access-log", failure);
}

static bool set_tunnels_dir(struct options *options, const char *value, char failure[512])
{
	return copy_text(options->service.tunnels_dir, sizeof(options->service.tunnels_dir), value, "--tunnels-dir", failure);
}

static bool set_unix_socket(struct options *options, const char *value, char failure[512])
{
	return copy_text(options->api.unix_socket, sizeof(options->api.unix_socket), value, "--unix-socket", failure);
}

/* False: it is none, or more than `most`. */
static bool read_number(const char *value, unsigned most, unsigned *number)
{
	char *end;
	errno = 0;
	unsigned long read = strtoul(value, &end, 10);
	if (errno != 0 || !isdigit((unsigned char)value[0]) || *end != '\0' || read > most)
		return false;
	*number = (unsigned)read;
	return true;
}

static bool set_workers(struct options *options, const char *value, char failure[512])
{
	return read_number(value, 256, &options->service.workers) ||
	       refuse(failure, "--workers", value, "must be a number from 1 to 256, or 0 for one per CPU");
}

static bool set_drain_timeout(struct options *options, const char *value, char failure[512])
{
	return read_number(value, SERVICE_DRAIN_MOST, &options->service.drain_seconds) ||
	       refuse(failure, "--drain-timeout", value, "must be a number of seconds from 0 to 604800");
}

static bool append(char ***list, size_t *count, const char *value, char failure[512])
{
	char **longer = realloc(*list, (*count + 1) * sizeof(*longer));
	if (longer != NULL)
		*list = longer;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the list keeps what it has. */
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

static bool set_file(char **to, const char *value, char failure[512])
{
	free(*to);
	*to = strdup(value);
	if (*to == NULL)
		snprintf(failure, 512, "out of memory");
	return *to != NULL;
}

static bool set_trusted_proxy(struct options *options, const char *value, char failure[512])
{
	return append(&options->trusted_proxy, &options->trusted_proxy_count, value, failure);
}

static bool set_allowed_origin(struct options *options, const char *value, char failure[512])
{
	return append(&options->allowed_origin, &options->allowed_origin_count, value, failure);
}

static bool set_socket_group(struct options *options, const char *value, char failure[512])
{
	return set_file(&options->socket_group, value, failure);
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

static bool set_aead(struct options *options, const char *value, char failure[512])
{
	enum aead_backend backend;
	if (!aead_backend_parse(value, &backend))
		return refuse(failure, "--aead", value, "must be auto, avx512, avx2, ipsec-mb or libsodium");
	if (!aead_backend_is_there(backend))
		return refuse(failure, "--aead", value, "is not for this CPU");
	options->service.aead = options->api.aead = backend;
	return true;
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
	{ "workers", KIND_NUMBER, set_workers },
	{ "allow-remote", KIND_FLAG, set_allow_remote },
	{ "allowed-host", KIND_LIST, set_allowed_host },
	{ "trusted-proxy", KIND_LIST, set_trusted_proxy },
	{ "allowed-origin", KIND_LIST, set_allowed_origin },
	{ "socket-group", KIND_TEXT, set_socket_group },
	{ "allow-socket", KIND_LIST, set_allow_socket },
	{ "tls-cert", KIND_TEXT, set_tls_cert },
	{ "tls-key", KIND_TEXT, set_tls_key },
	{ "no-auth", KIND_FLAG, set_no_auth },
	{ "no-gso", KIND_FLAG, set_no_gso },
	{ "aead", KIND_TEXT, set_aead },
	{ "tunnels-dir", KIND_TEXT, set_tunnels_dir },
	{ "drain-timeout", KIND_NUMBER, set_drain_timeout },
	{ "access-log", KIND_TEXT, set_access_log },
	{ "log-level", KIND_TEXT, set_log_level },
	{ "log-format", KIND_TEXT, set_log_format },
	{ "fleet", KIND_LIST, NULL },
	{ "fleet-prefix", KIND_TEXT, NULL },
	{ "fleet-key-file", KIND_LIST, NULL },
	{ "fleet-ca", KIND_TEXT, NULL },
	{ "fleet-cert", KIND_TEXT, NULL },
	{ "fleet-key", KIND_TEXT, NULL },
	{ "fleet-user", KIND_TEXT, NULL },
	{ "fleet-password-file", KIND_TEXT, NULL },
	{ "node", KIND_TEXT, NULL },
	{ "node-label", KIND_LIST, NULL },
	{ "node-capacity", KIND_NUMBER, NULL },
	{ "node-api", KIND_TEXT, NULL },
};
#define OPTION_COUNT (sizeof(table) / sizeof(table[0]))
static_assert(OPTION_COUNT <= OPTIONS_MOST, "there is room for what is given");

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
		if (strcmp(arguments[at], "--check") == 0)
			options->check = true;
		else if (strcmp(arguments[at], "--help") == 0 || strcmp(arguments[at], "-h") == 0)
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
		if (piece == NULL)
			snprintf(failure, 512, "out of memory");
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

/* Where the member is in the file, for the user: jansson does not tell. 0: not found. */
static unsigned line_of(const char *path, const char *key)
{
	char line[4096], quoted[80];
	FILE *file = fopen(path, "re");
	unsigned number = 0, found = 0;
	snprintf(quoted, sizeof(quoted), "\"%.70s\"", key);
	while (file != NULL && found == 0 && fgets(line, sizeof(line), file) != NULL) {
		number++;
		const char *at = strstr(line, quoted);
		if (at != NULL && at[strlen(quoted) + strspn(at + strlen(quoted), " \t")] == ':')
			found = number;
	}
	if (file != NULL)
		fclose(file);
	return found;
}

static bool refuse_member(const char *path, const char *key, const char *remedy, char failure[512])
{
	snprintf(failure, 512, "configuration file '%.200s', line %u: member '%.60s': %s", path, line_of(path, key), key, remedy);
	return false;
}

static bool read_json(struct values *values, size_t i, const char *path, const char *key, json_t *json, char failure[512])
{
	char number[32];
	json_t *element;
	size_t index;
	if (table[i].kind == KIND_LIST && json_is_array(json)) {
		json_array_foreach (json, index, element) {
			if (!json_is_string(element))
				return refuse_member(path, key, "must be a list of strings", failure);
			if (!append(&values->list[i], &values->count[i], json_string_value(element), failure))
				return false;
		}
		return true;
	}
	if (table[i].kind == KIND_FLAG && json_is_boolean(json))
		return append(&values->list[i], &values->count[i], json_is_true(json) ? "true" : "false", failure);
	if (json_is_string(json) && table[i].kind != KIND_FLAG)
		return append(&values->list[i], &values->count[i], json_string_value(json), failure);
	if (json_is_integer(json) && table[i].kind == KIND_NUMBER) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(json));
		return append(&values->list[i], &values->count[i], number, failure);
	}
	return refuse_member(path, key, "has a value of the wrong type; see warrend.json(5)", failure);
}

/* The file's object, NULL with the failure. */
static json_t *load_file(const char *path, char failure[512])
{
	json_error_t error;
	bool lacks_memory;
	errno = 0;
	json_t *root = json_reader_load_file(path, &error, &lacks_memory);
	int cause = lacks_memory ? ENOMEM : errno;
	if (json_is_object(root))
		return root;
	/* jansson takes a directory for an empty file. */
	if (lacks_memory || (root == NULL && (error.line < 0 || cause == EISDIR)))
		snprintf(failure, 512, "configuration file '%.200s' (--config) cannot be read: %s", path, strerror(cause));
	else if (root == NULL)
		snprintf(failure, 512, "configuration file '%.200s', line %d: is not JSON: %s", path, error.line > 0 ? error.line : 1, error.text);
	else
		snprintf(failure, 512, "configuration file '%.200s': is not a JSON object", path);
	json_decref(root);
	return NULL;
}

static bool read_member(struct values *values, const char *path, const char *key, json_t *value, char failure[512])
{
	char name[64];
	snprintf(name, sizeof(name), "%s", key);
	for (char *c = name; *c != '\0'; c++)
		if (*c == '_')
			*c = '-';
	size_t i = find(name, strlen(name));
	return i < OPTION_COUNT ? read_json(values, i, path, key, value, failure)
	                        : refuse_member(path, key, "is unknown; see warrend.json(5)", failure);
}

static bool read_file(struct options *options, struct values *values, const char *path, char failure[512])
{
	json_t *root = load_file(path, failure);
	if (root == NULL)
		return is_noted(options, failure);
	bool fine = true;
	for (void *entry = json_object_iter(root); entry != NULL && fine; entry = json_object_iter_next(root, entry))
		fine = read_member(values, path, json_object_iter_key(entry), json_object_iter_value(entry), failure) || is_noted(options, failure);
	json_decref(root);
	return fine;
}

/* All sources together. */

/* The option's name in a configuration file. */
static void options_key(const char *option, char key[64])
{
	snprintf(key, 64, "%s", option);
	for (char *c = key; *c != '\0'; c++)
		if (*c == '-')
			*c = '_';
}

/* Where a value that is wrong was given. */
static void add_place(const struct options *options, enum source source, const char *option, char failure[512])
{
	char key[64];
	size_t length = strlen(failure);
	if (source != SOURCE_FILE) {
		snprintf(failure + length, 512 - length, " (%s)", source_names[source]);
		return;
	}
	options_key(option, key);
	unsigned line = line_of(options->config, key);
	snprintf(failure + length, 512 - length, " (configuration file '%.150s', line %u: member '%s')", options->config,
	         line != 0 ? line : line_of(options->config, option), key);
}

static bool set(struct options *options, size_t i, const char *value, char failure[512])
{
	return table[i].set != NULL ? table[i].set(options, value, failure) : fleet_options_set(&options->fleet, table[i].name, value, failure);
}

/* If an option is given twice in one source, the last one counts. */
static bool apply_option(struct options *options, size_t i, const struct values *values, enum source source, char failure[512])
{
	size_t first = table[i].kind == KIND_LIST ? 0 : values->count[i] - 1;
	for (size_t j = first; j < values->count[i]; j++) {
		char *longer = NULL, *known = options->given[i];
		if (asprintf(&longer, "%s%s%s", known == NULL ? "" : known, known == NULL ? "" : ",", values->list[i][j]) < 0) {
			snprintf(failure, 512, "out of memory");
			return false;
		}
		free(known);
		options->given[i] = longer;
		if (set(options, i, values->list[i][j], failure))
			continue;
		add_place(options, source, table[i].name, failure);
		if (!is_noted(options, failure))
			return false;
	}
	return true;
}

static bool apply(struct options *options, struct values values[SOURCE_COUNT], char failure[512])
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		int source = SOURCE_COUNT - 1;
		while (source >= 0 && values[source].count[i] == 0)
			source--;
		if (source >= 0 && !apply_option(options, i, &values[source], (enum source)source, failure))
			return false;
	}
	return true;
}

const char *options_difference(const struct options *a, const struct options *b, size_t *at, char name[64])
{
	for (; *at < OPTION_COUNT; ++*at) {
		const char *one = a->given[*at], *other = b->given[*at];
		bool is_same = one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
		if (is_same)
			continue;
		options_key(table[(*at)++].name, name);
		return name;
	}
	return NULL;
}

/* What was given, by the names of a configuration file. NULL when out of memory. */
static char *options_to_json(const struct options *options)
{
	json_t *object = json_object();
	bool good = object != NULL;
	for (size_t i = 0; good && i < OPTION_COUNT; i++) {
		char key[64];
		options_key(table[i].name, key);
		if (options->given[i] != NULL)
			good = json_object_set_new(object, key, json_string(options->given[i])) == 0;
	}
	char *text = good ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	return text;
}

static bool describe(struct options *options, char failure[512])
{
	options->given_json = options_to_json(options);
	options->api.given = options->given_json;
	if (options->given_json == NULL)
		snprintf(failure, 512, "out of memory");
	return options->given_json != NULL;
}

static bool choose_state_dir(struct options *options, char failure[512])
{
	char *to = options->service.state_dir;
	if (*to != '\0' || state_path_default(to, sizeof(options->service.state_dir)))
		return true;
	snprintf(failure, 512, "no default for the state directory: give --state-dir DIR");
	return false;
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
	options->api.trusted_proxy = options->trusted_proxy;
	options->api.trusted_proxy_count = options->trusted_proxy_count;
	options->api.allowed_origin = options->allowed_origin;
	options->api.allowed_origin_count = options->allowed_origin_count;
	options->api.socket_group = options->socket_group;
	options->api.tls_cert = options->tls_cert;
	options->api.tls_key = options->tls_key;
	options->service.allow_socket = options->allow_socket;
	options->service.allow_socket_count = options->allow_socket_count;
	options->service.log_json = options->log_json;
	if (!fleet_options_check(&options->fleet, failure))
		return false;
	options->service.fleet = options->fleet.url_count > 0 ? &options->fleet : NULL;
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	if (credentials != NULL && strlen(credentials) < sizeof(options->service.credentials_dir))
		snprintf(options->service.credentials_dir, sizeof(options->service.credentials_dir), "%s", credentials);
	if (!choose_state_dir(options, failure))
		return false;
	snprintf(options->api.state_dir, sizeof(options->api.state_dir), "%s", options->service.state_dir);
	return true;
}

bool options_read(struct options *options, int count, char **arguments, char failure[512])
{
	struct values values[SOURCE_COUNT] = { 0 };
	*options = (struct options){ .log_level = LOG_INFO, .service = { .gso = true, .drain_seconds = SERVICE_DRAIN_DEFAULT } };
	options->service.aead = options->api.aead = aead_backend_fastest();
	const char *config = getenv("WARREN_CONFIG");
	bool fine = read_command_line(options, &values[SOURCE_COMMAND_LINE], &config, count, arguments, failure);
	options->config = config == NULL ? NULL : strdup(config);
	if (fine && !options->help && !options->version)
		fine = read_environment(&values[SOURCE_ENVIRONMENT], failure) &&
		       (config == NULL || read_file(options, &values[SOURCE_FILE], config, failure)) && apply(options, values, failure) &&
		       finish(options, failure) && describe(options, failure) && options->fault_count == 0;
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
	clear_list(options->trusted_proxy, options->trusted_proxy_count);
	clear_list(options->allowed_origin, options->allowed_origin_count);
	free(options->socket_group);
	free(options->given_json);
	clear_list(options->faults, options->fault_count);
	for (size_t i = 0; i < OPTION_COUNT; i++)
		free(options->given[i]);
	fleet_options_clear(&options->fleet);
	free(options->config);
	free(options->tls_cert);
	free(options->tls_key);
	*options = (struct options){ 0 };
}
