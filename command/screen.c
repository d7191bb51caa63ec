#include "command/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* Signal handlers reach them. */
static struct termios screen_before;
static volatile sig_atomic_t screen_is_taken;

static const char screen_enter[] = "\033[?1049h\033[?25l";
static const char screen_leave[] = "\033[0m\033[?25h\033[?1049l";

static void write_all(const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t written = write(STDOUT_FILENO, bytes, length);
		if (written < 0 && errno != EINTR)
			return;
		if (written > 0) {
			bytes += written;
			length -= (size_t)written;
		}
	}
}

void screen_end(void)
{
	if (!screen_is_taken)
		return;
	screen_is_taken = 0;
	write_all(screen_leave, sizeof(screen_leave) - 1);
	tcsetattr(STDIN_FILENO, TCSANOW, &screen_before);
}

/* write() and tcsetattr() are safe in a handler (signal-safety(7)). */
static void on_end(int number)
{
	screen_end();
	signal(number, SIG_DFL);
	raise(number);
}

static void on_resize(int number)
{
	(void)number; /* interrupts poll() */
}

bool screen_begin(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &screen_before) != 0)
		return false;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		sigaction(ends[i], &(struct sigaction){ .sa_handler = on_end }, NULL);
	sigaction(SIGWINCH, &(struct sigaction){ .sa_handler = on_resize }, NULL);
	struct termios raw = screen_before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	screen_is_taken = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	write_all(screen_enter, sizeof(screen_enter) - 1);
	return true;
}

void screen_size(size_t *columns, size_t *rows)
{
	struct winsize size = { 0 };
	bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
	*columns = is_known ? size.ws_col : 80;
	*rows = is_known ? size.ws_row : 24;
}

void screen_draw(const char *picture, size_t length)
{
	write_all("\033[H", 3);
	write_all(picture, length);
	write_all("\033[J", 3);
}

int screen_wait(int milliseconds)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	int ready = poll(&input, 1, milliseconds);
	if (ready < 0)
		return 0;
	if (ready == 0)
		return -1;
	char key;
	return read(STDIN_FILENO, &key, 1) == 1 ? (unsigned char)key : 'q';
}

int64_t screen_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
