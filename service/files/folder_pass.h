/* One pass over the tunnels directory: what has no file any more is deleted, and each file is put, a few in each turn of the loop. Service's thread.
 */
#ifndef WARREN_SERVICE_FILES_FOLDER_PASS_H
#define WARREN_SERVICE_FILES_FOLDER_PASS_H

#include "service/change/mutations.h"
#include "service/files/fault_list.h"
#include "service/files/file_name.h"
#include "service/files/secret_file.h"

#define FOLDER_FILES_MOST 16384

struct folder_pass;

struct folder_file {
	struct folder_pass *pass;
	struct file_name name;
	json_t *lines;   /* while it is put: for wgquick_locate */
	bool is_put_off; /* the tunnel that it goes through may be another file's, later in this pass */
};

/* Borrowed. */
struct folder_pass_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct mutations *mutations;
	struct fault_list *faults;
	const char *path, *credentials; /* directories; credentials may be NULL */
	void (*finished)(void *owner);
	void *owner;
};

struct folder_pass {
	struct folder_pass_means means;
	uv_idle_t turn;              /* active while there is work */
	struct secret_places places; /* open during the pass */
	struct folder_file *files;   /* sorted */
	size_t count, cursor;
	unsigned round; /* of those that were put off */
	bool has_put_off;
	char (*removed)[OBJECT_KEY_SIZE]; /* keys of objects whose file is gone */
	size_t removed_count, removed_cursor;
	size_t under_way; /* mutations */
	bool is_running, is_in_turn;
	/* of the last pass */
	size_t changed;                 /* objects that were made, changed or deleted */
	char (*awaited)[SPEC_VIA_SIZE]; /* ids of tunnels that files go through and that are not there */
	size_t awaited_count;
	bool may_pass_by;   /* a fault that is not one of the file: a port that is taken … */
	bool is_unreadable; /* the directory; nothing was done */
};

void folder_pass_init(struct folder_pass *pass, const struct folder_pass_means *means);
/* Calls `finished` later, from the loop. */
void folder_pass_start(struct folder_pass *pass);
/* Submits no more; what is under way ends. */
void folder_pass_stop(struct folder_pass *pass);
void folder_pass_clear(struct folder_pass *pass); /* when nothing is under way */

/* Whether a file of the last pass, or of this one, would be applied if there were this tunnel. */
bool folder_pass_awaits(const struct folder_pass *pass, const char *id);

/* The directory's files, sorted, malloc'ed; NULL with errno (E2BIG: too many). For --check, too. */
struct folder_file *folder_pass_list(int directory, size_t *count);
const char *folder_pass_fault(int error); /* what that errno says of the directory */
/* Whether the file before this one makes the same object. */
bool folder_pass_is_second(const struct folder_file *files, size_t index);
/* The first file of the sorted list that makes this object, or `count`. */
size_t folder_pass_find(const struct folder_file *files, size_t count, enum spec_kind object, const char *id);
/* A problem in one line, with its first faults. */
void folder_pass_describe(const struct problem *problem, char *text, size_t size);

#endif
