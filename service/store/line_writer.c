#include "service/store/line_writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ipc/log.h"

#define BUFFER (1u << 20)
#define RETRY_MS 1000    /* after a failure */
#define BUSY_MS 50       /* while a pipe is full */
#define LAST_PAUSE_MS 20 /* of both, at the end */
#define LAST_MS 1000     /* for what waits at the end */
#define TELL_EVERY_S 60  /* that lines are dropped */
#define MODE 0640

struct line_writer {
	const char *path; /* NULL: the standard output */
	pthread_t thread;
	pthread_mutex_t lock; /* of the seven below */
	pthread_cond_t changed;
	char *buffer; /* a ring of whole lines */
	size_t first, length;
	bool reopens, stops, is_idle;
	struct timespec end; /* once it stops: when it gives up */
	_Atomic uint64_t dropped;

	/* The thread's own. */
	int descriptor; /* -1: not open */
	struct stat opened;
	char chunk[LINE_WRITER_LINE_MAX]; /* whole lines that left the ring, written up to `at` */
	size_t chunk_length, at;
	int error; /* the last one told, 0: none since a line was written */
	uint64_t told_dropped;
	time_t told_at;
};

static time_t now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void after(struct timespec *at, unsigned ms)
{
	clock_gettime(CLOCK_MONOTONIC, at);
	at->tv_nsec += (long)(ms % 1000) * 1000000;
	at->tv_sec += (time_t)(ms / 1000) + at->tv_nsec / 1000000000;
	at->tv_nsec %= 1000000000;
}

/* The file. */

static void close_file(struct line_writer *writer)
{
	if (writer->descriptor >= 0 && writer->path != NULL)
		close(writer->descriptor);
	writer->descriptor = -1;
}

/* The daemon's umask is stricter than the mode of a log, which others than the daemon read. */
static int open_path(const char *path)
{
	int flags = O_WRONLY | O_APPEND | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
	int descriptor = open(path, flags | O_CREAT | O_EXCL, MODE);
	if (descriptor < 0)
		return errno == EEXIST ? open(path, flags) : -1;
	if (fchmod(descriptor, MODE) == 0)
		return descriptor;
	int error = errno;
	close(descriptor);
	errno = error;
	return -1;
}

/* False with errno. The line that was cut off by the change begins anew. */
static bool open_file(struct line_writer *writer)
{
	close_file(writer);
	writer->descriptor = writer->path == NULL ? STDOUT_FILENO : open_path(writer->path);
	if (writer->descriptor < 0 || fstat(writer->descriptor, &writer->opened) < 0)
		return false;
	while (writer->at > 0 && writer->chunk[writer->at - 1] != '\n')
		writer->at--;
	return true;
}

/* Whether the file still has its name. */
static bool is_in_place(const struct line_writer *writer)
{
	struct stat now;
	if (writer->path == NULL)
		return true;
	return stat(writer->path, &now) == 0 && now.st_dev == writer->opened.st_dev && now.st_ino == writer->opened.st_ino;
}

/* The thread. */

static bool is_over(const struct line_writer *writer)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > writer->end.tv_sec || (now.tv_sec == writer->end.tv_sec && now.tv_nsec >= writer->end.tv_nsec);
}

static void tell(struct line_writer *writer, int error)
{
	uint64_t dropped = writer->dropped;
	if (error != 0 && error != writer->error)
		log_line(LOG_WARN, NULL, "access log: %s; lines wait while there is room, and are then dropped", strerror(error));
	writer->error = error;
	if (dropped == writer->told_dropped || (writer->told_at != 0 && now_s() - writer->told_at < TELL_EVERY_S))
		return;
	log_line(LOG_WARN, NULL, "access log: %llu lines were dropped", (unsigned long long)(dropped - writer->told_dropped));
	writer->told_dropped = dropped;
	writer->told_at = now_s();
}

static void copy_out(struct line_writer *writer, char *to, size_t length)
{
	size_t straight = BUFFER - writer->first < length ? BUFFER - writer->first : length;
	memcpy(to, writer->buffer + writer->first, straight);
	memcpy(to + straight, writer->buffer, length - straight);
}

/* As many whole lines as fit. */
static void take_chunk(struct line_writer *writer)
{
	size_t length = writer->length < sizeof(writer->chunk) ? writer->length : sizeof(writer->chunk);
	copy_out(writer, writer->chunk, length);
	while (length > 0 && writer->chunk[length - 1] != '\n')
		length--;
	writer->first = (writer->first + length) % BUFFER;
	writer->length -= length;
	writer->chunk_length = length;
	writer->at = 0;
}

/* Waits for something to do or, after a failure, for `ms`. False when it is time to end. */
static bool wait_for_work(struct line_writer *writer, unsigned ms, bool *reopens)
{
	struct timespec until;
	pthread_mutex_lock(&writer->lock);
	bool ends = writer->stops, has_chunk = writer->chunk_length > 0, is_late = false;
	after(&until, ends && ms > LAST_PAUSE_MS ? LAST_PAUSE_MS : ms);
	while (ms > 0 && !is_late && !writer->reopens && writer->stops == ends)
		is_late = pthread_cond_timedwait(&writer->changed, &writer->lock, &until) == ETIMEDOUT;
	writer->is_idle = ms == 0 && !has_chunk;
	while (ms == 0 && !has_chunk && writer->length == 0 && !writer->reopens && !writer->stops)
		pthread_cond_wait(&writer->changed, &writer->lock);
	writer->is_idle = false;
	if (!has_chunk)
		take_chunk(writer);
	*reopens = writer->reopens;
	writer->reopens = false;
	bool goes_on = !writer->stops || (writer->chunk_length > 0 && !is_over(writer));
	pthread_mutex_unlock(&writer->lock);
	return goes_on;
}

/* A pipe is written only when it has room for all of a chunk, so that this never waits longer than it may. 0 or an error. */
static int write_some(struct line_writer *writer)
{
	struct pollfd ready = { .fd = writer->descriptor, .events = POLLOUT };
	if (!S_ISREG(writer->opened.st_mode) && poll(&ready, 1, 0) == 0)
		return EAGAIN;
	ssize_t wrote = write(writer->descriptor, writer->chunk + writer->at, writer->chunk_length - writer->at);
	if (wrote < 0)
		return errno;
	writer->at += (size_t)wrote;
	if (writer->at == writer->chunk_length)
		writer->chunk_length = writer->at = 0;
	return 0;
}

/* 0 or an error, after which it waits a moment. */
static int write_out(struct line_writer *writer)
{
	if (writer->chunk_length == 0)
		return 0;
	if ((writer->descriptor < 0 || !is_in_place(writer)) && !open_file(writer)) {
		int error = errno;
		close_file(writer);
		return error;
	}
	int error = write_some(writer);
	if (error == EPIPE) /* a reader went, and another may come */
		close_file(writer);
	return error == EINTR ? 0 : error;
}

static void *run(void *owner)
{
	struct line_writer *writer = owner;
	bool reopens;
	for (unsigned pause = 0; wait_for_work(writer, pause, &reopens);) {
		if (reopens)
			close_file(writer);
		int error = write_out(writer);
		pause = error == 0 ? 0 : error == EAGAIN ? BUSY_MS : RETRY_MS;
		tell(writer, error == EAGAIN ? 0 : error);
	}
	return NULL;
}

/* From outside. */

void line_writer_drop(struct line_writer *writer)
{
	writer->dropped++;
}

void line_writer_put(struct line_writer *writer, const char *line, size_t length)
{
	assert(length < LINE_WRITER_LINE_MAX);
	pthread_mutex_lock(&writer->lock);
	bool fits = writer->length + length + 1 <= BUFFER;
	for (size_t done = 0; fits && done <= length;) {
		size_t end = (writer->first + writer->length) % BUFFER, left = length - done;
		size_t step = BUFFER - end < left ? BUFFER - end : left;
		if (left == 0) {
			writer->buffer[end] = '\n';
			step = 1;
		} else {
			memcpy(writer->buffer + end, line + done, step);
		}
		writer->length += step;
		done += step;
	}
	pthread_cond_signal(&writer->changed);
	pthread_mutex_unlock(&writer->lock);
	if (!fits)
		line_writer_drop(writer);
}

void line_writer_reopen(struct line_writer *writer)
{
	pthread_mutex_lock(&writer->lock);
	writer->reopens = true;
	pthread_cond_signal(&writer->changed);
	pthread_mutex_unlock(&writer->lock);
}

uint64_t line_writer_dropped(const struct line_writer *writer)
{
	return writer->dropped;
}

/* Signals are for the main thread. */
static bool start_thread(struct line_writer *writer)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	bool is_started = pthread_create(&writer->thread, NULL, run, writer) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return is_started;
}

static void free_parts(struct line_writer *writer)
{
	close_file(writer);
	pthread_cond_destroy(&writer->changed);
	pthread_mutex_destroy(&writer->lock);
	free(writer->buffer);
	free(writer);
}

static void tell_why(const char *path, char failure[512])
{
	snprintf(failure, 512, "cannot open the access log '%.200s': %s", path, strerror(errno));
}

struct line_writer *line_writer_create(const char *path, char failure[512])
{
	struct line_writer *writer = calloc(1, sizeof(*writer));
	char *buffer = writer == NULL ? NULL : malloc(BUFFER);
	if (buffer == NULL) {
		free(writer);
		snprintf(failure, 512, "out of memory");
		return NULL;
	}
	writer->path = strcmp(path, "-") == 0 ? NULL : path;
	writer->buffer = buffer;
	writer->descriptor = -1;
	pthread_mutex_init(&writer->lock, NULL);
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	/* A FIFO without a reader is opened when there is one. */
	bool is_open = open_file(writer) || errno == ENXIO;
	if (!is_open)
		tell_why(path, failure);
	else if (!start_thread(writer))
		snprintf(failure, 512, "cannot start a thread for the access log");
	else
		return writer;
	free_parts(writer);
	return NULL;
}

static bool can_make(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
	bool can = folder != NULL && access(folder, W_OK | X_OK) == 0;
	int error = errno;
	free(folder);
	errno = error;
	return can;
}

static bool can_write(const char *path)
{
	struct stat there;
	if (lstat(path, &there) < 0)
		return errno == ENOENT && can_make(path);
	if (stat(path, &there) < 0)
		return false;
	errno = EISDIR;
	return !S_ISDIR(there.st_mode) && access(path, W_OK) == 0;
}

bool line_writer_check(const char *path, char failure[512])
{
	if (strcmp(path, "-") == 0 || can_write(path))
		return true;
	tell_why(path, failure);
	return false;
}

void line_writer_free(struct line_writer *writer)
{
	struct timespec patience;
	if (writer == NULL)
		return;
	pthread_mutex_lock(&writer->lock);
	writer->stops = true;
	after(&writer->end, LAST_MS);
	pthread_cond_signal(&writer->changed);
	pthread_mutex_unlock(&writer->lock);
	clock_gettime(CLOCK_REALTIME, &patience);
	patience.tv_sec += 2 * LAST_MS / 1000;
	/* A disk that hangs holds its thread in the kernel: it ends with the process. */
	if (pthread_timedjoin_np(writer->thread, NULL, &patience) == 0)
		free_parts(writer);
}

void line_writer_settle(struct line_writer *writer)
{
	for (unsigned waited = 0; waited < LAST_MS; waited++) {
		pthread_mutex_lock(&writer->lock);
		bool is_done = writer->is_idle && writer->length == 0;
		pthread_mutex_unlock(&writer->lock);
		if (is_done)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
}
