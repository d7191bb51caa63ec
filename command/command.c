/* All commands of `warren`, as data: what they are called, what they take, and what does them. */
#include "command/command.h"

#include <stdio.h>
#include <string.h>

#include "command/apply.h"
#include "command/instance.h"
#include "command/observe.h"
#include "command/pool_commands.h"
#include "command/state_commands.h"
#include "command/token_commands.h"
#include "command/top.h"
#include "command/tunnel_commands.h"

#define LABEL_FILTER                                                                                                                                 \
	{                                                                                                                                            \
		"label", "K=V", "only those with this label; repeatable"                                                                             \
	}
#define QUIET                                                                                                                                        \
	{                                                                                                                                            \
		"quiet", NULL, "print the ids alone"                                                                                                 \
	}
#define ID                                                                                                                                           \
	{                                                                                                                                            \
		"id", "ID", "the id, if it is not that of the file"                                                                                  \
	}
#define LISTEN                                                                                                                                       \
	{                                                                                                                                            \
		"listen", "HOST:PORT", "address of the proxy; repeatable"                                                                            \
	}
#define LABEL                                                                                                                                        \
	{                                                                                                                                            \
		"label", "K=V", "set a label; repeatable"                                                                                            \
	}
#define ALL                                                                                                                                          \
	{                                                                                                                                            \
		"all", NULL, "every one"                                                                                                             \
	}
#define YES                                                                                                                                          \
	{                                                                                                                                            \
		"yes", NULL, "do not ask"                                                                                                            \
	}

const struct arguments_option command_common_options[] = {
	{ "socket", "PATH", "unix socket of the API (default: the one that warrend uses by default)" },
	{ "url", "URL", "address of the API, http://HOST:PORT or https://HOST:PORT" },
	{ "token-file", "FILE", "file that holds the token, which TCP needs" },
	{ "json", NULL, "print the API's answer" },
	{ "version", NULL, "print the version of this command" },
	{ "help", NULL, "print help, of a command if one is named" },
	{ 0 },
};

static const struct command commands[] = {
	{ NULL,
	  "ls",
	  "",
	  "list the tunnels",
	  0,
	  0,
	  { LABEL_FILTER, { "state", "STATE", "disabled, starting, handshaking, up, stale or failed; repeatable" }, QUIET },
	  tunnels_list },
	{ NULL, "show", "ID…", "show tunnels whole", 1, COMMAND_ANY, { { 0 } }, tunnels_show },
	{ NULL,
	  "add",
	  "FILE",
	  "create a tunnel from a wg-quick file or JSON (-: stdin)",
	  1,
	  1,
	  { ID, LISTEN, LABEL, { "wait", NULL, "wait for the first handshake" } },
	  tunnels_add },
	{ NULL, "set", "ID MEMBER=VALUE…", "change members: limits.connections=64, labels.pool=eu", 2, COMMAND_ANY, { { 0 } }, tunnels_set },
	{ NULL, "up", "ID…", "enable tunnels", 1, COMMAND_ANY, { { 0 } }, tunnels_up },
	{ NULL, "down", "ID…", "disable tunnels", 1, COMMAND_ANY, { { 0 } }, tunnels_down },
	{ NULL, "rm", "[ID…]", "delete tunnels", 0, COMMAND_ANY, { LABEL_FILTER, ALL, YES }, tunnels_remove },
	{ NULL, "reconnect", "ID…", "start new handshakes", 1, COMMAND_ANY, { { 0 } }, tunnels_reconnect },
	{ NULL,
	  "move",
	  "ID…",
	  "move tunnels to another worker, without a handshake",
	  1,
	  COMMAND_ANY,
	  { { "worker", "INDEX", "the worker, as \"warren workers\" lists it" } },
	  tunnels_move },
	{ NULL,
	  "probe",
	  "ID…",
	  "probe a target through tunnels",
	  1,
	  COMMAND_ANY,
	  { { "type", "TYPE", "ping, tcp, dns, http or exit_ip; default: the tunnel's own probe" },
	    { "target", "TARGET", "address, HOST:PORT, name or URL" } },
	  tunnels_probe },
	{ NULL, "top", "", "watch the tunnels live; q quits", 0, 0, { { 0 } }, top_run },
	{ NULL, "stats", "[ID…]", "counters of all tunnels, or every counter of some", 0, COMMAND_ANY, { { 0 } }, observe_stats },
	{ NULL, "events", "", "print the last events", 0, 0, { { "follow", NULL, "print those that happen from now on" } }, observe_events },
	{ NULL, "connections", "", "list proxied connections", 0, 0, { { "tunnel", "ID", "only those of this tunnel" } }, observe_connections },
	{ NULL, "kill", "CONNECTION…", "close proxied connections", 1, COMMAND_ANY, { { 0 } }, observe_kill },
	{ "pool", "ls", "", "list the pools", 0, 0, { LABEL_FILTER, QUIET }, pools_list },
	{ "pool", "show", "ID…", "show pools with their members", 1, COMMAND_ANY, { { 0 } }, pools_show },
	{ "pool", "add", "FILE", "create a pool from JSON (-: stdin)", 1, 1, { ID, LISTEN, LABEL }, pools_add },
	{ "pool", "set", "ID MEMBER=VALUE…", "change members: strategy=failover", 2, COMMAND_ANY, { { 0 } }, pools_set },
	{ "pool", "rm", "[ID…]", "delete pools", 0, COMMAND_ANY, { LABEL_FILTER, ALL, YES }, pools_remove },
	{ "pool", "rotate", "ID [KEY]", "let clients, or the one with this key, choose a tunnel anew", 1, 2, { { 0 } }, pools_rotate },
	{ "token", "ls", "", "list the tokens", 0, 0, { { 0 } }, tokens_list },
	{ "token",
	  "add",
	  "NAME",
	  "create a token and print it, this once",
	  1,
	  1,
	  { { "scope", "SCOPE", "metrics, read, write or admin; repeatable" },
	    { "label", "K=V", "only tunnels and pools with this label; repeatable" },
	    { "expires", "TIME", "RFC 3339, as 2030-01-31T00:00:00Z" } },
	  tokens_add },
	{ "token", "rm", "TOKEN…", "revoke tokens by their ids", 1, COMMAND_ANY, { { 0 } }, tokens_remove },
	{ "token", "rotate", "", "replace the admin token and print the new one", 0, 0, { { 0 } }, tokens_rotate },
	{ NULL,
	  "apply",
	  "FILE|DIR…",
	  "create and change what the files say; the plan is shown first",
	  1,
	  COMMAND_ANY,
	  { { "prune", NULL, "delete what no file describes" }, { "dry-run", NULL, "show the plan alone" }, YES },
	  apply_run },
	{ NULL, "save", "", "print everything as one document, with keys for admin", 0, 0, { { 0 } }, state_save },
	{ NULL, "load", "FILE", "replace everything by a saved document (-: stdin)", 1, 1, { YES }, state_load },
	{ NULL, "health", "", "succeed if warrend is ready", 0, 0, { { 0 } }, instance_health },
	{ NULL, "info", "", "show the running warrend and its workers", 0, 0, { { 0 } }, instance_info },
	{ NULL, "workers", "", "list the worker processes", 0, 0, { { 0 } }, instance_workers },
	{ "worker",
	  "replace",
	  "INDEX",
	  "let a successor take a worker's tunnels, and end it",
	  1,
	  1,
	  { { "drain-timeout", "SECONDS", "how long open connections are waited for (default: warrend's --drain-timeout)" } },
	  instance_replace },
	{ NULL, "reload", "", "read configuration, certificates and files again", 0, 0, { { 0 } }, instance_reload },
	{ NULL, "upgrade", "", "let warrend replace itself by the installed binary", 0, 0, { { 0 } }, instance_upgrade },
	{ "node", "ls", "", "list the nodes of the fleet", 0, 0, { { 0 } }, instance_nodes },
	{ "node", "drain", "NODE…", "move the tunnels of nodes away", 1, COMMAND_ANY, { { 0 } }, instance_drain },
	{ "node", "undrain", "NODE…", "let nodes take tunnels again", 1, COMMAND_ANY, { { 0 } }, instance_undrain },
	{ NULL, "ui", "", "print the address of the web page, which signs in", 0, 0, { { 0 } }, instance_ui },
	{ NULL, "version", "", "print the versions of this command and of warrend", 0, 0, { { 0 } }, instance_version },
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static bool is_group(const char *word)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (commands[i].group != NULL && strcmp(commands[i].group, word) == 0)
			return true;
	return false;
}

static void name_commands_of(const char *group, char failure[ARGUMENTS_FAILURE_MAX])
{
	int used = snprintf(failure, ARGUMENTS_FAILURE_MAX, "name a command of '%s':", group);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (commands[i].group != NULL && strcmp(commands[i].group, group) == 0 && used < ARGUMENTS_FAILURE_MAX)
			used += snprintf(failure + used, (size_t)(ARGUMENTS_FAILURE_MAX - used), " %s", commands[i].name);
}

const struct command *command_find(const char *const *argv, int *at, char failure[ARGUMENTS_FAILURE_MAX])
{
	const char *first = argv[*at], *group = is_group(first) ? first : NULL, *name = group != NULL ? argv[*at + 1] : first;
	for (size_t i = 0; i < COMMAND_COUNT && name != NULL; i++) {
		bool is_same = group == NULL ? commands[i].group == NULL : commands[i].group != NULL && strcmp(commands[i].group, group) == 0;
		if (!is_same || strcmp(commands[i].name, name) != 0)
			continue;
		*at += group != NULL ? 2 : 1;
		return &commands[i];
	}
	if (group != NULL && (name == NULL || name[0] == '-'))
		name_commands_of(group, failure);
	else
		snprintf(failure, ARGUMENTS_FAILURE_MAX, "there is no command '%s%s%s'", first, group != NULL ? " " : "", group != NULL ? name : "");
	return NULL;
}

const char *command_name(const struct command *command, char name[COMMAND_NAME_MAX])
{
	bool has_group = command->group != NULL;
	snprintf(name, COMMAND_NAME_MAX, "%s%s%s", has_group ? command->group : "", has_group ? " " : "", command->name);
	return name;
}

static void write_options(const struct arguments_option *options)
{
	for (const struct arguments_option *option = options; option->name != NULL; option++) {
		char left[64];
		snprintf(left, sizeof(left), "--%s%s%s", option->name, option->value != NULL ? " " : "", option->value != NULL ? option->value : "");
		printf("  %-24s %s\n", left, option->help);
	}
}

static void write_all(void)
{
	puts("warren: the command for warrend\n\n  warren [--socket PATH | --url URL] [--token-file FILE] [--json] COMMAND\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		char left[64], name[COMMAND_NAME_MAX];
		const struct command *command = &commands[i];
		snprintf(left, sizeof(left), "%s %s", command_name(command, name), command->words);
		/* The ellipsis has three bytes and one column. */
		printf("  %-*s %s\n", 24 + (strstr(left, "…") != NULL ? 2 : 0), left, command->summary);
	}
	puts("\nAn ID may be a pattern, as ams-*. Options of every command:\n");
	write_options(command_common_options);
	puts("\n\"warren COMMAND --help\" shows the options of one command. Exit: 0 done, 1 refused, 2 wrong usage, 3 warrend cannot be reached.");
}

void command_write_help(const struct command *command)
{
	if (command == NULL) {
		write_all();
		return;
	}
	char name[COMMAND_NAME_MAX];
	printf("warren %s%s%s%s\n\n  %s\n\n", command_name(command, name), command->options[0].name != NULL ? " [OPTIONS]" : "",
	       *command->words != '\0' ? " " : "", command->words, command->summary);
	write_options(command->options);
	puts("  \"warren --help\" shows the options of every command.");
}
