/* warrend: reads the options and starts the control process, or runs as a worker if a control process started it as one. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/server.h"
#include "daemon/check.h"
#include "daemon/notify.h"
#include "daemon/options.h"
#include "daemon/reload.h"
#include "daemon/succession.h"
#include "ipc/program_version.h"
#include "sandbox/control_sandbox.h"
#include "service/service.h"
#include "service/spec/json_reader.h"
#include "tunnel/worker/worker.h"

#define EXIT_USAGE 2
#define WORKER_CHANNEL 3
#define WORKER_COUNTERS 4

static struct service *running; /* only for the signal handler */

static void on_signal(int number)
{
	(void)number;
	service_stop(running);
}

static void raise_limits(void)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	/* Only for root. Workers lock their keys in memory, and have no capability that overrides the limit. */
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

/* What people send by habit ends neither the daemon nor a worker: SIGHUP comes with a closed terminal, too. Before there is a service, and after. */
static void ignore_signals(void)
{
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

/* `warrend worker …` is not for people: the supervisor writes these arguments (service/worker/worker_process.c). */
static int run_worker(int count, char **arguments)
{
	struct worker_options options = { .aead = aead_backend_fastest() };
	enum log_level level = LOG_INFO;
	bool json = false;
	for (int i = 2; i < count; i++) {
		const char *value = i + 1 < count ? arguments[i + 1] : "";
		if (strcmp(arguments[i], "--gso") == 0)
			options.gso = true;
		else if (strcmp(arguments[i], "--require-lock") == 0)
			options.require_lock = true;
		else if (strcmp(arguments[i], "--access-log") == 0)
			options.access_log = true;
		else if (strcmp(arguments[i], "--index") == 0)
			options.index = (unsigned)strtoul(value, NULL, 10);
		else if (strcmp(arguments[i], "--control-pid") == 0)
			options.control_pid = (int)strtol(value, NULL, 10);
		else if (strcmp(arguments[i], "--memory-budget") == 0)
			options.memory_budget = strtoull(value, NULL, 10);
		else if (strcmp(arguments[i], "--aead") == 0)
			aead_backend_parse(value, &options.aead);
		else if (strcmp(arguments[i], "--log-level") == 0)
			log_level_parse(value, &level);
		else if (strcmp(arguments[i], "--log-format") == 0)
			json = strcmp(value, "json") == 0;
	}
	ignore_signals();
	/* What a library of the control process has left open is nothing for a worker. */
	close_range(WORKER_COUNTERS + 1, ~0U, 0);
	char who[32];
	snprintf(who, sizeof(who), "worker %u", options.index);
	log_start(level, json, who);
	char name[16];
	snprintf(name, sizeof(name), "warrend-w%u", options.index % 1000);
	prctl(PR_SET_NAME, name);
	return worker_main(WORKER_CHANNEL, WORKER_COUNTERS, &options);
}

static int fail(const char *failure, int code)
{
	fprintf(stderr, "warrend: %s\n", failure);
	return code;
}

/* As logrotate sends it. */
static void on_reopen(int number)
{
	(void)number;
	service_reopen_logs(running);
}

static void on_reload(int number)
{
	(void)number;
	service_reload(running);
}

static void on_upgrade(int number)
{
	(void)number;
	service_upgrade(running);
}

static void watch_signals(struct service *service)
{
	running = service;
	struct sigaction action = { .sa_handler = on_signal };
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	action.sa_handler = on_reopen;
	sigaction(SIGUSR1, &action, NULL);
	action.sa_handler = on_reload;
	sigaction(SIGHUP, &action, NULL);
	action.sa_handler = on_upgrade;
	sigaction(SIGUSR2, &action, NULL);
	/* The program before held them back. */
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What runs, and what comes after it. */
struct daemon {
	struct options *options;
	struct succession *succession;
	struct service *service;
	struct api *api;
	struct reload_start reload;
};

#define FLEET_FILES (4 + FLEET_SEAL_KEYS)

/* Keys and password are read again by the program that follows. */
static void list_fleet_files(const struct fleet_options *fleet, const char *files[FLEET_FILES + 1])
{
	const char *const named[] = { fleet->ca, fleet->certificate, fleet->key, fleet->password_file };
	size_t count = 0;
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		if (named[i] != NULL)
			files[count++] = named[i];
	for (size_t i = 0; i < fleet->seal_key_count; i++)
		files[count++] = fleet->seal_keys[i];
	files[count] = NULL;
}

static void confine(void *owner)
{
	const struct daemon *daemon = owner;
	const struct options *options = daemon->options;
	const char *fleet_files[FLEET_FILES + 1];
	list_fleet_files(&options->fleet, fleet_files);
	const struct control_paths paths = {
		.program = daemon->succession->program,
		.state_dir = options->service.state_dir,
		.config = options->config,
		.tls_cert = options->tls_cert,
		.tls_key = options->tls_key,
		.api_socket = options->api.unix_socket[0] == '\0' ? NULL : options->api.unix_socket,
		.allow_socket = options->allow_socket,
		.allow_socket_count = options->allow_socket_count,
		.tunnels_dir = options->service.tunnels_dir[0] == '\0' ? NULL : options->service.tunnels_dir,
		.credentials_dir = options->service.credentials_dir[0] == '\0' ? NULL : options->service.credentials_dir,
		.read_files = fleet_files,
		.access_log = options->service.access_log[0] == '\0' ? NULL : options->service.access_log,
	};
	if (!daemon->succession->is_confined)
		sandbox_enter_control(&paths);
}

/* libsodium would fall back to /dev/urandom, which a worker cannot open, or abort silently. */
static bool has_random(char failure[512])
{
	unsigned char byte;
	if (getrandom(&byte, 1, 0) == 1)
		return true;
	snprintf(failure, 512,
	         "cannot get random numbers from the kernel: getrandom: %s; without them no key is safe. Does a seccomp filter refuse the call?",
	         strerror(errno));
	return false;
}

static void give_back(void *owner, const char *why)
{
	struct daemon *daemon = owner;
	succession_return(daemon->succession, why);
}

static bool open_api(struct daemon *daemon, char failure[512])
{
	daemon->api = api_create(&daemon->options->api, daemon->service, failure);
	return daemon->api != NULL && api_serve(daemon->api, failure);
}

/* The sockets of the API are the same in both programs, as long as the options name as many. */
static bool inherit_api(struct api_options *options, struct handover *handover)
{
	uint32_t count = message_get_u32(&handover->reader);
	bool fits = count == api_listener_count(options);
	options->inherited = fits ? calloc(count, sizeof(*options->inherited)) : NULL;
	options->inherited_count = options->inherited == NULL ? 0 : count;
	for (uint32_t i = 0; i < options->inherited_count; i++)
		options->inherited[i] = handover_get_descriptor(handover);
	return fits && options->inherited != NULL && !handover->reader.failed;
}

static void forget_inherited(struct api_options *options)
{
	free(options->inherited);
	options->inherited = NULL;
	options->inherited_count = 0;
}

/* Returns when the next program could not be started: true when all is as before. */
static bool hand_over(struct daemon *daemon, char failure[512])
{
	struct api_options *options = &daemon->options->api;
	struct handover handover;
	char why[512] = "out of memory";
	sigset_t before;
	succession_hold_signals(&before);
	bool is_to_stop = service_is_to_stop(daemon->service);
	if (is_to_stop)
		snprintf(why, sizeof(why), "the daemon is to stop");
	options->inherited = is_to_stop ? NULL : calloc(api_listener_count(options), sizeof(*options->inherited));
	if (options->inherited == NULL) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		service_unsave(daemon->service, why);
		return true;
	}
	notify_reloading();
	options->inherited_count = api_leave(daemon->api, options->inherited);
	api_free(daemon->api);
	daemon->api = NULL;
	handover_begin(&handover);
	succession_save(daemon->succession, &handover);
	message_put_u32(&handover.writer, (uint32_t)options->inherited_count);
	for (size_t i = 0; i < options->inherited_count; i++)
		handover_put_descriptor(&handover, options->inherited[i]);
	service_save(daemon->service, &handover);
	succession_go(daemon->succession, &handover, why);
	sigprocmask(SIG_SETMASK, &before, NULL);
	handover_end(&handover);
	service_unsave(daemon->service, why);
	bool is_open = open_api(daemon, failure);
	forget_inherited(options);
	notify_ready();
	return is_open;
}

static bool start(struct daemon *daemon, char failure[512])
{
	struct options *options = daemon->options;
	struct succession *succession = daemon->succession;
	struct service_options service_options = options->service;
	service_options.announce_ready = notify_ready;
	service_options.announce_alive = notify_alive;
	service_options.confine = confine;
	service_options.reload = reload_run;
	service_options.reload_owner = &daemon->reload;
	service_options.give_back = give_back;
	service_options.confine_owner = service_options.give_back_owner = daemon;
	service_options.check = succession->check;
	service_options.handover = succession->is_successor ? &succession->handover : NULL;
	snprintf(failure, 512, "the API's sockets cannot be taken over");
	if (succession->is_successor && !inherit_api(&options->api, &succession->handover))
		return false;
	/* The service's threads keep this mask: signals are for the main thread, which can hold them. */
	sigset_t before;
	succession_hold_signals(&before);
	daemon->service = service_create(&service_options, failure);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (daemon->service == NULL)
		return false;
	bool is_open = open_api(daemon, failure);
	forget_inherited(&options->api);
	return is_open;
}

static void end(struct daemon *daemon)
{
	if (daemon->api != NULL)
		api_quiesce(daemon->api);
	/* Before the service, because it uses the service's events and snapshots. */
	api_free(daemon->api);
	/* From here on a second signal has no effect. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	ignore_signals();
	service_free(daemon->service);
}

/* 0, or the code to end with. */
static int check_start(struct options *options, char failure[512])
{
	struct api_options *api = &options->api;
	if (!has_random(failure))
		return EXIT_FAILURE;
	if (!api_check_options(api, failure))
		return EXIT_USAGE;
	return api->socket_group == NULL || api_socket_group_enter(api->socket_group, &api->socket_gid, failure) ? EXIT_SUCCESS : EXIT_USAGE;
}

static int run(struct options *options, struct succession *succession, int count)
{
	char failure[512] = "";
	struct daemon daemon = { .options = options,
		                 .succession = succession,
		                 .reload = { .count = count, .arguments = succession->arguments, .options = options } };
	int code = check_start(options, failure);
	bool serves = code == EXIT_SUCCESS && start(&daemon, failure);
	if (!serves)
		succession_return(succession, failure);
	if (serves) {
		succession_settle(succession);
		watch_signals(daemon.service);
		while (serves && service_run(daemon.service))
			serves = hand_over(&daemon, failure);
		notify_stopping();
	}
	end(&daemon);
	/* The last line, behind what the log has to say about the end. */
	return serves ? EXIT_SUCCESS : fail(failure, code == EXIT_SUCCESS ? EXIT_FAILURE : code);
}

/* `warrend upgrade-check …` is not for people either: the version that runs asks this one whether it can take over (daemon/succession.h). */
static int run_check(int count, char **arguments)
{
	struct options options = { 0 };
	char failure[512] = "";
	json_reader_start();
	if (!succession_check(count, arguments, failure))
		return fail(failure, EXIT_USAGE);
	(void)options_read(&options, count - SUCCESSION_CHECK_WORDS, arguments + SUCCESSION_CHECK_WORDS, failure);
	bool can = check_run(&options, failure) == 0;
	options_clear(&options);
	return can ? EXIT_SUCCESS : EXIT_USAGE;
}

int main(int count, char **arguments)
{
	if (count > 1 && strcmp(arguments[1], "worker") == 0)
		return run_worker(count, arguments);
	if (count > 1 && strcmp(arguments[1], SUCCESSION_CHECK) == 0)
		return run_check(count, arguments);
	struct options options = { 0 };
	struct succession succession;
	/* Every file that is created is private. */
	umask(077);
	char failure[512] = "";
	struct rlimit no_core = { 0, 0 };
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0);
	raise_limits();
	/* What is asked of io_uring passes no call filter. libuv 1.45 and newer would use it. */
	setenv("UV_USE_IO_URING", "0", 1);
	/* Large replies are mapped and unmapped. By default the C library raises this threshold to the largest block that was freed, and then each
	 * API thread's heap keeps room for the largest reply that the thread has ever written. */
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	json_reader_start();
	ignore_signals();
	int code = EXIT_SUCCESS;
	bool is_read = succession_begin(&succession, count, arguments, failure) && options_read(&options, count, arguments, failure);
	if (!is_read)
		succession_return(&succession, failure);
	if (options.check && !options.help && !options.version) {
		code = check_run(&options, failure) == 0 ? EXIT_SUCCESS : EXIT_USAGE;
		if (code == EXIT_SUCCESS)
			puts("warrend: everything is in order");
	} else if (!is_read) {
		code = fail(failure, EXIT_USAGE);
	} else if (options.help) {
		fputs(options_help, stdout);
	} else if (options.version) {
		printf("warrend %s\n", program_version.text);
	} else {
		log_start(options.log_level, options.log_json, "control");
		code = run(&options, &succession, count);
	}
	succession_end(&succession);
	options_clear(&options);
	return code;
}
