#include "tests/service/failing_vfs.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>

struct failing_file {
	sqlite3_file base;
	sqlite3_file *real; /* behind this struct */
	const char *name;
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs vfs;
static atomic_int countdown[FAILING_CALLS], codes[FAILING_CALLS];
static atomic_bool is_full, is_short, has_failed;
static _Atomic(failing_vfs_watcher *) watch;

void failing_vfs_fail(enum failing_call call, int nth, int code)
{
	codes[call] = code;
	countdown[call] = nth;
	has_failed = false;
}

void failing_vfs_watch(failing_vfs_watcher *watcher)
{
	watch = watcher;
}

static int tell(sqlite3_file *file, int code, enum failing_call call, sqlite3_int64 offset, const void *bytes, int length)
{
	failing_vfs_watcher *watcher = watch;
	if (code == SQLITE_OK && watcher != NULL)
		watcher(((struct failing_file *)file)->name, call, offset, bytes, length);
	return code;
}

void failing_vfs_full(bool on)
{
	is_full = on;
}

void failing_vfs_short_writes(bool on)
{
	is_short = on;
}

bool failing_vfs_has_failed(void)
{
	return has_failed;
}

static int check(enum failing_call call)
{
	if (is_full && call == FAILING_WRITE)
		return SQLITE_FULL;
	if (countdown[call] == 0 || --countdown[call] > 0)
		return SQLITE_OK;
	has_failed = true;
	return codes[call];
}

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct failing_file *)file)->real;
}

static int on_close(sqlite3_file *file)
{
	return real_of(file)->pMethods->xClose(real_of(file));
}

static int on_read(sqlite3_file *file, void *bytes, int length, sqlite3_int64 offset)
{
	int code = check(FAILING_READ);
	return code != SQLITE_OK ? code : real_of(file)->pMethods->xRead(real_of(file), bytes, length, offset);
}

static int on_write(sqlite3_file *file, const void *bytes, int length, sqlite3_int64 offset)
{
	int code = check(FAILING_WRITE);
	if (code != SQLITE_OK && is_short)
		(void)real_of(file)->pMethods->xWrite(real_of(file), bytes, length / 2, offset);
	if (code == SQLITE_OK)
		code = real_of(file)->pMethods->xWrite(real_of(file), bytes, length, offset);
	return tell(file, code, FAILING_WRITE, offset, bytes, length);
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int code = check(FAILING_TRUNCATE);
	if (code == SQLITE_OK)
		code = real_of(file)->pMethods->xTruncate(real_of(file), size);
	return tell(file, code, FAILING_TRUNCATE, size, NULL, 0);
}

static int on_sync(sqlite3_file *file, int flags)
{
	int code = check(FAILING_SYNC);
	if (code == SQLITE_OK)
		code = real_of(file)->pMethods->xSync(real_of(file), flags);
	return tell(file, code, FAILING_SYNC, 0, NULL, 0);
}

static int on_file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int on_lock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int on_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int on_check_lock(sqlite3_file *file, int *out)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int on_control(sqlite3_file *file, int operation, void *argument)
{
	return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}

static int on_sector_size(sqlite3_file *file)
{
	return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int on_characteristics(sqlite3_file *file)
{
	return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int on_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **memory)
{
	return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, memory);
}

static int on_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
	return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static void on_shm_barrier(sqlite3_file *file)
{
	real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int on_shm_unmap(sqlite3_file *file, int is_deleted)
{
	return real_of(file)->pMethods->xShmUnmap(real_of(file), is_deleted);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = on_close,
	.xRead = on_read,
	.xWrite = on_write,
	.xTruncate = on_truncate,
	.xSync = on_sync,
	.xFileSize = on_file_size,
	.xLock = on_lock,
	.xUnlock = on_unlock,
	.xCheckReservedLock = on_check_lock,
	.xFileControl = on_control,
	.xSectorSize = on_sector_size,
	.xDeviceCharacteristics = on_characteristics,
	.xShmMap = on_shm_map,
	.xShmLock = on_shm_lock,
	.xShmBarrier = on_shm_barrier,
	.xShmUnmap = on_shm_unmap,
};

static int on_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *out)
{
	struct failing_file *failing = (struct failing_file *)file;
	(void)self;
	failing->base.pMethods = NULL;
	failing->real = (sqlite3_file *)(failing + 1);
	failing->name = name == NULL ? "" : strrchr(name, '/') + 1;
	int code = check(FAILING_OPEN);
	if (code == SQLITE_OK)
		code = real_vfs->xOpen(real_vfs, name, failing->real, flags, out);
	if (code == SQLITE_OK)
		failing->base.pMethods = &methods;
	return code;
}

const char *failing_vfs_register(void)
{
	static const char name[] = "failing";
	if (real_vfs != NULL)
		return name;
	real_vfs = sqlite3_vfs_find(NULL);
	vfs = *real_vfs;
	vfs.zName = name;
	vfs.szOsFile = (int)sizeof(struct failing_file) + real_vfs->szOsFile;
	vfs.xOpen = on_open;
	sqlite3_vfs_register(&vfs, 0);
	return name;
}

void failing_vfs_make_default(void)
{
	(void)failing_vfs_register();
	sqlite3_vfs_register(&vfs, 1);
}
