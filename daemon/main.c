/* warrend: reads the options and starts the control process, or runs as a worker if a control process started it as one. */
#include <errno.h>
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
#include "daemon/notify.h"
#include "daemon/options.h"
#include "sandbox/control_sandbox.h"
#include "service/service.h"
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

/* `warrend worker …` is not for people: the supervisor writes these arguments (service/worker/worker_process.c). */
static int run_worker(int count, char **arguments)
{
	struct worker_options options = { 0 };
	enum log_level level = LOG_INFO;
	bool json = false;
	for (int i = 2; i < count; i++) {
		const char *value = i + 1 < count ? arguments[i + 1] : "";
		if (strcmp(arguments[i], "--gso") == 0)
			options.gso = true;
		else if (strcmp(arguments[i], "--require-lock") == 0)
			options.require_lock = true;
		else if (strcmp(arguments[i], "--index") == 0)
			options.index = (unsigned)strtoul(value, NULL, 10);
		else if (strcmp(arguments[i], "--control-pid") == 0)
			options.control_pid = (int)strtol(value, NULL, 10);
		else if (strcmp(arguments[i], "--memory-budget") == 0)
			options.memory_budget = strtoull(value, NULL, 10);
		else if (strcmp(arguments[i], "--log-level") == 0)
			log_level_parse(value, &level);
		else if (strcmp(arguments[i], "--log-format") == 0)
			json = strcmp(value, "json") == 0;
	}
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

static void watch_signals(struct service *service)
{
	running = service;
	struct sigaction action = { .sa_handler = on_signal };
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

static void confine(void *owner)
{
	const struct options *options = owner;
	const struct control_paths paths = {
		.state_dir = options->service.state_dir,
		.tls_cert = options->tls_cert,
		.tls_key = options->tls_key,
		.api_socket = options->api.unix_socket[0] == '\0' ? NULL : options->api.unix_socket,
		.allow_socket = options->allow_socket,
		.allow_socket_count = options->allow_socket_count,
	};
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

static int run(struct options *options)
{
	char failure[512] = "";
	if (!has_random(failure))
		return fail(failure, EXIT_FAILURE);
	if (!api_check_options(&options->api, failure))
		return fail(failure, EXIT_USAGE);
	struct service_options service_options = options->service;
	service_options.announce_ready = notify_ready;
	service_options.announce_alive = notify_alive;
	service_options.confine = confine;
	service_options.confine_owner = options;
	struct service *service = service_create(&service_options, failure);
	if (service == NULL)
		return fail(failure, EXIT_FAILURE);
	watch_signals(service);
	struct api *api = api_create(&options->api, service, failure);
	bool serves = api != NULL && api_serve(api, failure);
	if (serves) {
		service_run(service);
		notify_stopping();
	}
	if (api != NULL)
		api_quiesce(api);
	/* Before the service, because it uses the service's events and snapshots. */
	api_free(api);
	/* From here on a second signal has no effect. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	service_free(service);
	/* The last line, behind what the log has to say about the end. */
	return serves ? EXIT_SUCCESS : fail(failure, EXIT_FAILURE);
}

int main(int count, char **arguments)
{
	if (count > 1 && strcmp(arguments[1], "worker") == 0)
		return run_worker(count, arguments);
	struct options options;
	/* Every file that is created is private. */
	umask(077);
	char failure[512] = "";
	struct rlimit no_core = { 0, 0 };
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0);
	raise_limits();
	int code = EXIT_SUCCESS;
	if (!options_read(&options, count, arguments, failure)) {
		code = fail(failure, EXIT_USAGE);
	} else if (options.help) {
		fputs(options_help, stdout);
	} else if (options.version) {
		puts("warrend " WARREN_VERSION);
	} else {
		log_start(options.log_level, options.log_json, "control");
		code = run(&options);
	}
	options_clear(&options);
	return code;
}
