/* Runs a fuzz target over stored inputs, for builds without libFuzzer: each argument is a file, or a folder of files. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static unsigned passed, failed;

/* In memory of its exact size, so that a read beyond its end is seen. */
static void run_file(const char *path)
{
	struct stat status;
	FILE *file = fopen(path, "rb");

	if (file == NULL || fstat(fileno(file), &status) != 0) {
		perror(path);
		failed++;
	} else {
		size_t size = (size_t)status.st_size;
		uint8_t *bytes = malloc(size > 0 ? size : 1);
		if (bytes != NULL && fread(bytes, 1, size, file) == size) {
			LLVMFuzzerTestOneInput(bytes, size);
			passed++;
		} else {
			failed++;
		}
		free(bytes);
	}
	if (file != NULL)
		fclose(file);
}

static void run_folder(const char *path, DIR *folder)
{
	for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
		char name[4096];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		run_file(name);
	}
}

int main(int argc, char **argv)
{
	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++) {
		DIR *folder = opendir(argv[i]);
		if (folder == NULL) {
			run_file(argv[i]);
			continue;
		}
		run_folder(argv[i], folder);
		closedir(folder);
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0 || passed == 0;
}
