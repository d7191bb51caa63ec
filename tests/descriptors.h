/* The open descriptors of this process, for tests that none is left over. */
#ifndef WARREN_TESTS_DESCRIPTORS_H
#define WARREN_TESTS_DESCRIPTORS_H

#include <dirent.h>
#include <stddef.h>

/* Comparable with other counts only: the folder's own entries and descriptor are among them. */
static inline size_t descriptors_count(void)
{
	size_t count = 0;
	DIR *folder = opendir("/proc/self/fd");
	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

#endif
