/* Reads the kernel's figures for this process; one that is not available is omitted. */
#include "api/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/wall_clock.h"

struct api_process {
	pthread_mutex_t lock; /* of the directory's position */
	DIR *descriptors;
	int memory; /* /proc/self/statm */
	int64_t started_ms;
};

struct api_process *api_process_create(void)
{
	struct api_process *process = calloc(1, sizeof(*process));
	if (process == NULL)
		return NULL;
	pthread_mutex_init(&process->lock, NULL);
	process->descriptors = opendir("/proc/self/fd");
	process->memory = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	process->started_ms = wall_clock_ms();
	return process;
}

void api_process_free(struct api_process *process)
{
	if (process == NULL)
		return;
	if (process->descriptors != NULL)
		closedir(process->descriptors);
	if (process->memory >= 0)
		close(process->memory);
	pthread_mutex_destroy(&process->lock);
	free(process);
}

int64_t api_process_started_ms(const struct api_process *process)
{
	return process->started_ms;
}

static void write_memory(const struct api_process *process, struct text *text)
{
	char line[128];
	ssize_t length = process->memory < 0 ? -1 : pread(process->memory, line, sizeof(line) - 1, 0);
	if (length <= 0)
		return;
	line[length] = '\0';
	char *rest;
	unsigned long pages = strtoul(line, &rest, 10), resident = strtoul(rest, NULL, 10);
	unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
	text_put_family(text, "process_virtual_memory_bytes", "gauge", "Virtual memory of the control process.");
	text_printf(text, "process_virtual_memory_bytes %lu\n", pages * page);
	text_put_family(text, "process_resident_memory_bytes", "gauge", "Resident memory of the control process.");
	text_printf(text, "process_resident_memory_bytes %lu\n", resident * page);
}

/* Since Linux 6.2 the directory's size is the number; before, listing 16,000 entries takes 20 ms. */
static unsigned long count_descriptors(struct api_process *process)
{
	struct stat directory;
	if (fstat(dirfd(process->descriptors), &directory) == 0 && directory.st_size > 0)
		return (unsigned long)directory.st_size;
	unsigned long count = 0;
	pthread_mutex_lock(&process->lock);
	rewinddir(process->descriptors);
	for (const struct dirent *entry = readdir(process->descriptors); entry != NULL; entry = readdir(process->descriptors))
		count += entry->d_name[0] != '.';
	pthread_mutex_unlock(&process->lock);
	return count;
}

static void write_descriptors(struct api_process *process, struct text *text)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		text_put_family(text, "process_max_fds", "gauge", "Limit of open descriptors of the control process.");
		text_printf(text, "process_max_fds %llu\n", (unsigned long long)limit.rlim_cur);
	}
	if (process->descriptors == NULL)
		return;
	text_put_family(text, "process_open_fds", "gauge", "Open descriptors of the control process.");
	text_printf(text, "process_open_fds %lu\n", count_descriptors(process));
}

void api_process_write(struct api_process *process, struct text *text)
{
	struct rusage usage;
	if (getrusage(RUSAGE_SELF, &usage) == 0) {
		double seconds =
		    (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
		text_put_family(text, "process_cpu_seconds_total", "counter", "CPU time of the control process.");
		text_printf(text, "process_cpu_seconds_total %.6f\n", seconds);
	}
	text_put_family(text, "process_start_time_seconds", "gauge", "UNIX time at which the control process started.");
	text_printf(text, "process_start_time_seconds %.3f\n", (double)process->started_ms / 1e3);
	write_memory(process, text);
	write_descriptors(process, text);
}
