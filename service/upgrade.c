#include "service/upgrade.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/log.h"

#define CHECK_MS 10000    /* for the new program's check */
#define LOOK_MS 5         /* between two looks at what is half-way */
#define PATIENT_LOOKS 100 /* 0.5 s: then a socket that a worker waits for is refused */
#define MOST_LOOKS 400    /* 2 s: then the upgrade is given up */

enum state { IDLE, CHECKING, SETTLING, QUIET };

struct upgrade {
	struct upgrade_means means;
	enum state state;
	uv_process_t process;
	uv_timer_t timer; /* of the check, then of the looks */
	int report[2];    /* a pipe: what the check says */
	unsigned looks;
	bool is_wanted_again; /* it was asked for before the last check's process was closed */
};

struct upgrade *upgrade_create(const struct upgrade_means *means)
{
	struct upgrade *upgrade = calloc(1, sizeof(*upgrade));
	if (upgrade == NULL)
		return NULL;
	*upgrade = (struct upgrade){ .means = *means, .report = { -1, -1 } };
	uv_timer_init(means->loop, &upgrade->timer);
	upgrade->timer.data = upgrade;
	return upgrade;
}

static void close_report(struct upgrade *upgrade)
{
	for (int i = 0; i < 2; i++) {
		if (upgrade->report[i] >= 0)
			close(upgrade->report[i]);
		upgrade->report[i] = -1;
	}
}

void upgrade_free(struct upgrade *upgrade)
{
	if (upgrade != NULL)
		close_report(upgrade);
	free(upgrade);
}

static void settle_again(struct upgrade *upgrade)
{
	if (upgrade->state != SETTLING && upgrade->state != QUIET)
		return;
	supervisor_pause(upgrade->means.supervisor, false);
	mutations_resume(upgrade->means.mutations);
}

void upgrade_fail(struct upgrade *upgrade, const char *why)
{
	char members[1100] = "";
	char *quoted = events_quote(why, strnlen(why, 512));
	settle_again(upgrade);
	upgrade->state = IDLE;
	uv_timer_stop(&upgrade->timer);
	log_line(LOG_ERROR, NULL, "the upgrade has failed, and this version goes on: %s", why);
	snprintf(members, sizeof(members), "\"detail\":%s", quoted == NULL ? "\"\"" : quoted);
	events_publish(upgrade->means.events, EVENT_DAEMON_UPGRADE_FAILED, NULL, members);
	free(quoted);
}

void upgrade_stop(struct upgrade *upgrade)
{
	if (upgrade->state == CHECKING)
		uv_process_kill(&upgrade->process, SIGKILL);
	if (upgrade->state == SETTLING || upgrade->state == QUIET)
		supervisor_pause(upgrade->means.supervisor, false);
	upgrade->state = IDLE;
	upgrade->is_wanted_again = false;
	uv_timer_stop(&upgrade->timer);
}

/* First the changes and the answers that workers owe, then the sockets that workers wait for: from then on nothing is read from them. */
static void on_look(uv_timer_t *timer)
{
	struct upgrade *upgrade = timer->data;
	const struct upgrade_means *means = &upgrade->means;
	unsigned workers = supervisor_count(means->supervisor);
	bool is_quiet = !mutations_are_under_way(means->mutations) && supervisor_is_quiet(means->supervisor);
	upgrade->looks++;
	if (is_quiet)
		supervisor_pause(means->supervisor, true);
	if (upgrade->looks == PATIENT_LOOKS)
		broker_give_up(means->broker);
	if (is_quiet && broker_is_idle(means->broker, workers) && supervisor_is_quiet(means->supervisor)) {
		uv_timer_stop(timer);
		upgrade->state = QUIET;
		means->quiet(means->owner);
	} else if (upgrade->looks >= MOST_LOOKS) {
		upgrade_fail(upgrade, "changes or workers are not done within two seconds: try again");
	}
}

static void settle(struct upgrade *upgrade)
{
	upgrade->state = SETTLING;
	upgrade->looks = 0;
	mutations_stop(upgrade->means.mutations);
	uv_timer_start(&upgrade->timer, on_look, 0, LOOK_MS);
}

/* The first line that the check wrote, or what it ended with. */
static void read_report(struct upgrade *upgrade, int64_t status, int signal, char why[512])
{
	char text[400];
	ssize_t length = read(upgrade->report[0], text, sizeof(text) - 1);
	text[length > 0 ? length : 0] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	if (text[0] != '\0')
		snprintf(why, 512, "the program's check says: %s", text);
	else
		snprintf(why, 512, "the program's check ended with %s %d", signal != 0 ? "signal" : "status", signal != 0 ? signal : (int)status);
}

static void on_process_closed(uv_handle_t *process)
{
	struct upgrade *upgrade = process->data;
	process->data = NULL;
	bool is_wanted_again = upgrade->is_wanted_again;
	upgrade->is_wanted_again = false;
	if (is_wanted_again)
		upgrade_start(upgrade);
}

static void on_checked(uv_process_t *process, int64_t status, int signal)
{
	struct upgrade *upgrade = process->data;
	char why[512];
	uv_close((uv_handle_t *)process, on_process_closed);
	uv_timer_stop(&upgrade->timer);
	read_report(upgrade, status, signal, why);
	close_report(upgrade);
	if (upgrade->state != CHECKING)
		return;
	if (status == 0 && signal == 0)
		settle(upgrade);
	else
		upgrade_fail(upgrade, why);
}

static void on_check_late(uv_timer_t *timer)
{
	struct upgrade *upgrade = timer->data;
	uv_process_kill(&upgrade->process, SIGKILL);
}

static int spawn_check(struct upgrade *upgrade)
{
	uv_stdio_container_t stdio[] = {
		{ .flags = UV_IGNORE },
		{ .flags = UV_IGNORE },
		{ .flags = UV_INHERIT_FD, .data.fd = upgrade->report[1] },
	};
	/* libuv changes neither the list nor its strings. */
	char **arguments = (char **)(uintptr_t)upgrade->means.check;
	uv_process_options_t options = { .exit_cb = on_checked, .file = arguments[0], .args = arguments, .stdio_count = 3, .stdio = stdio };
	upgrade->process.data = upgrade;
	return uv_spawn(upgrade->means.loop, &upgrade->process, &options);
}

void upgrade_start(struct upgrade *upgrade)
{
	char why[512];
	if (upgrade->state != IDLE)
		return;
	/* The handle of the last check is still libuv's. */
	if (upgrade->process.data != NULL) {
		upgrade->is_wanted_again = true;
		return;
	}
	if (upgrade->means.check == NULL || pipe2(upgrade->report, O_CLOEXEC | O_NONBLOCK) != 0) {
		upgrade_fail(upgrade, "out of descriptors");
		return;
	}
	log_line(LOG_INFO, NULL, "upgrade: checking %s", upgrade->means.check[0]);
	int result = spawn_check(upgrade);
	if (result == 0) {
		upgrade->state = CHECKING;
		uv_timer_start(&upgrade->timer, on_check_late, CHECK_MS, 0);
		return;
	}
	uv_close((uv_handle_t *)&upgrade->process, on_process_closed);
	close_report(upgrade);
	/* A file that is no program ends as one that may not be executed: the shell, which is tried with it, may not be. */
	snprintf(why, sizeof(why), "%.300s cannot be started: %s%s", upgrade->means.check[0], uv_strerror(result),
	         result == UV_EACCES ? "; it must be an executable program for this machine" : "");
	upgrade_fail(upgrade, why);
}
