#include "service/store/database.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/store/reserve.h"

#define APPLICATION_ID 0x77617272 /* "warr" */
#define SCHEMA_VERSION 3
#define CHECKSUM_SIZE 16
#define PAGE_SIZE 4096                    /* SQLite's own choice */
#define RESERVE_FOR_TREES INT64_C(524288) /* pages of the trees and of the log's index that a delete changes, besides those of the document */

enum statement {
	STATEMENT_PUT_TUNNEL,
	STATEMENT_CHECKPOINT_TUNNEL,
	STATEMENT_DELETE_TUNNEL,
	STATEMENT_PUT_TOKEN,
	STATEMENT_CHECKPOINT_TOKEN,
	STATEMENT_DELETE_TOKEN,
	STATEMENT_PUT_SESSION,
	STATEMENT_DELETE_SESSION,
	STATEMENT_PURGE_SESSIONS,
	STATEMENT_PUT_REVISION,
	STATEMENT_COUNT
};

static const char *const sql[STATEMENT_COUNT] = {
	[STATEMENT_PUT_TUNNEL] =
	    "INSERT INTO tunnels (id, document, revision, generation, created_at, updated_at, ports, checksum, timestamp_floor, total_bytes)"
	    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
	    " ON CONFLICT (id) DO UPDATE SET document = ?2, revision = ?3, generation = ?4, created_at = ?5, updated_at = ?6, ports = ?7,"
	    " checksum = ?8, timestamp_floor = ?9, total_bytes = ?10",
	[STATEMENT_CHECKPOINT_TUNNEL] = "UPDATE tunnels SET timestamp_floor = ?2, total_bytes = ?3 WHERE id = ?1",
	[STATEMENT_DELETE_TUNNEL] = "DELETE FROM tunnels WHERE id = ?1",
	[STATEMENT_PUT_TOKEN] = "INSERT INTO tokens (id, name, scopes, hash, created_at, labels, expires_at, last_used_at)"
				" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[STATEMENT_CHECKPOINT_TOKEN] = "UPDATE tokens SET last_used_at = ?2 WHERE id = ?1",
	[STATEMENT_DELETE_TOKEN] = "DELETE FROM tokens WHERE id = ?1",
	[STATEMENT_PUT_SESSION] = "INSERT INTO sessions (pool, born, key, tunnel, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)"
				  " ON CONFLICT (pool, born, key) DO UPDATE SET tunnel = ?4, expires_at = ?5",
	[STATEMENT_DELETE_SESSION] = "DELETE FROM sessions WHERE pool = ?1 AND born = ?2 AND key = ?3",
	[STATEMENT_PURGE_SESSIONS] = "DELETE FROM sessions WHERE pool = ?1 AND born = ?2 AND key IN"
				     " (SELECT key FROM sessions WHERE pool = ?1 AND born = ?2 LIMIT 1024)",
	[STATEMENT_PUT_REVISION] = "UPDATE meta SET next_revision = max(next_revision, ?1)",
};

/* What version 2 added: no table of version 1 has changed. */
#define SESSIONS_TABLE                                                                                                                               \
	"CREATE TABLE sessions (pool TEXT NOT NULL, born INTEGER NOT NULL, key BLOB NOT NULL, tunnel TEXT NOT NULL,"                                 \
	" expires_at INTEGER NOT NULL, PRIMARY KEY (pool, born, key)) WITHOUT ROWID;"

static const char from_version_1[] = "BEGIN IMMEDIATE;" SESSIONS_TABLE "PRAGMA user_version = 2; COMMIT;";

/* It knew neither labels nor expiry of a token. */
static const char from_version_2[] = "BEGIN IMMEDIATE;"
				     "ALTER TABLE tokens ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';"
				     "ALTER TABLE tokens ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0;"
				     "ALTER TABLE tokens ADD COLUMN last_used_at INTEGER NOT NULL DEFAULT 0;"
				     "PRAGMA user_version = 3; COMMIT;";

static const char schema[] =
    "PRAGMA application_id = 2002874994;"
    "PRAGMA user_version = 3;"
    "CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), next_revision INTEGER NOT NULL);"
    "INSERT INTO meta VALUES (1, 1);"
    "CREATE TABLE tunnels (id TEXT PRIMARY KEY, document TEXT NOT NULL, revision INTEGER NOT NULL, generation INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, ports TEXT NOT NULL, checksum BLOB NOT NULL,"
    " timestamp_floor BLOB NOT NULL, total_bytes INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE tokens (id TEXT PRIMARY KEY, name TEXT NOT NULL, scopes INTEGER NOT NULL, hash BLOB NOT NULL,"
    " created_at INTEGER NOT NULL, labels TEXT NOT NULL DEFAULT '{}', expires_at INTEGER NOT NULL DEFAULT 0,"
    " last_used_at INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;" SESSIONS_TABLE;

struct database {
	sqlite3 *handle;
	sqlite3_stmt *statements[STATEMENT_COUNT];
	struct reserve reserve;
	int64_t longest_document; /* that was read or written, in bytes */
	bool adds, is_over;       /* the transaction: it adds something; it would take more than the reserve can make good */
};

void database_tunnel_clear(struct database_tunnel *tunnel)
{
	if (tunnel->document != NULL)
		sodium_memzero(tunnel->document, strlen(tunnel->document));
	free(tunnel->document);
	free(tunnel->ports);
	*tunnel = (struct database_tunnel){ .key = "" };
}

void database_token_clear(struct database_token *token)
{
	free(token->name);
	free(token->labels);
	*token = (struct database_token){ .name = NULL };
}

const char *database_error(int result)
{
	return sqlite3_errstr(result);
}

static int execute(sqlite3 *handle, const char *text)
{
	return sqlite3_exec(handle, text, NULL, NULL, NULL);
}

static int64_t pragma_value(sqlite3 *handle, const char *text)
{
	sqlite3_stmt *statement = NULL;
	int64_t value = -1;
	if (sqlite3_prepare_v2(handle, text, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
		value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return value;
}

static int sync_path(const char *path)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0)
		return -1;
	int result = fsync(descriptor);
	close(descriptor);
	return result;
}

/* Created under another name first, so that a crash leaves no file that could be mistaken for an empty state. */
static bool make_file(const char *directory, const char *path, const char *vfs, char failure[512])
{
	char fresh[4200];
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	unlink(fresh);
	sqlite3 *handle = NULL;
	int result = sqlite3_open_v2(fresh, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs);
	if (result == SQLITE_OK)
		result = execute(handle, "PRAGMA journal_mode = MEMORY; BEGIN;");
	if (result == SQLITE_OK)
		result = execute(handle, schema);
	if (result == SQLITE_OK)
		result = execute(handle, "COMMIT;");
	int closed = sqlite3_close(handle);
	if (result == SQLITE_OK)
		result = closed;
	if (result == SQLITE_OK && chmod(fresh, 0600) == 0 && sync_path(fresh) == 0 && rename(fresh, path) == 0 && sync_path(directory) == 0)
		return true;
	bool is_full = (result & 0xff) == SQLITE_FULL || (result == SQLITE_OK && errno == ENOSPC);
	snprintf(failure, 512, "cannot create %.300s: %s", path,
	         is_full               ? "the disk is full; free some space and start again"
	         : result == SQLITE_OK ? strerror(errno)
	                               : sqlite3_errstr(result));
	unlink(fresh);
	return false;
}

static bool check_file(const char *path, const struct stat *info, char failure[512])
{
	const char *wrong = NULL;
	if (!S_ISREG(info->st_mode))
		wrong = "it is not a regular file";
	else if (info->st_uid != geteuid())
		wrong = "it belongs to another user; give it to the user that runs warrend (chown)";
	else if ((info->st_mode & 077) != 0)
		wrong = "it contains private keys and other users can read it; check whether they did, then chmod 600";
	else if (info->st_size == 0)
		wrong = "it is empty, so its tunnels are lost; restore it from a backup, or move it away to start with an empty one";
	if (wrong != NULL)
		snprintf(failure, 512, "refusing %.300s: %s", path, wrong);
	return wrong == NULL;
}

static bool is_full(sqlite3 *handle, int code)
{
	return (code & 0xff) == SQLITE_FULL || sqlite3_system_errno(handle) == ENOSPC;
}

/* Explains why a file cannot be read. Only SQLite's own verdict counts as damage, so that nobody moves an intact file away. */
static void explain(sqlite3 *handle, const char *path, char failure[512])
{
	int code = sqlite3_errcode(handle) & 0xff;
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		snprintf(failure, 512, "refusing %.300s: it is damaged (%s); restore it from a backup, or move it away to start with an empty one",
		         path, sqlite3_errmsg(handle));
	else if (is_full(handle, code))
		snprintf(failure, 512,
		         "cannot use %.300s: the disk is full; free some space and start again; nothing is lost as long as the file stays in place",
		         path);
	else
		snprintf(failure, 512, "cannot use %.300s: %s", path, sqlite3_errmsg(handle));
}

static bool check_identity(sqlite3 *handle, const char *path, char failure[512])
{
	int64_t application = pragma_value(handle, "PRAGMA application_id"), version = pragma_value(handle, "PRAGMA user_version");
	if (application < 0 || version < 0)
		explain(handle, path, failure);
	else if (application != APPLICATION_ID)
		snprintf(failure, 512, "refusing %.300s: it is another program's database; move it away", path);
	else if (version < 1 || version > SCHEMA_VERSION)
		snprintf(failure, 512, "refusing %.300s: it has version %lld and this warrend supports %d; start the newer warrend, or move it away",
		         path, (long long)version, SCHEMA_VERSION);
	else
		return true;
	return false;
}

static bool check_integrity(sqlite3 *handle, const char *path, char failure[512])
{
	sqlite3_stmt *statement = NULL;
	bool has_answer =
	    sqlite3_prepare_v2(handle, "PRAGMA integrity_check(1)", -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW;
	bool sound = has_answer && strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
	if (!has_answer)
		explain(handle, path, failure);
	else if (!sound)
		snprintf(failure, 512, "refusing %.300s: it is damaged; restore it from a backup, or move it away to start with an empty one", path);
	sqlite3_finalize(statement);
	return sound;
}

static bool prepare(struct database *database, const char *path, char failure[512])
{
	/* FULL, because NORMAL may lose a reported commit in a power cut. */
	static const char settings[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;"
				       " PRAGMA journal_size_limit = 4194304;";
	sqlite3 *handle = database->handle;
	sqlite3_busy_timeout(handle, 5000);
	sqlite3_extended_result_codes(handle, 1);
	if (!check_identity(handle, path, failure) || !check_integrity(handle, path, failure))
		return false;
	int result = execute(handle, settings);
	if (result == SQLITE_OK && pragma_value(handle, "PRAGMA user_version") == 1)
		result = execute(handle, from_version_1);
	if (result == SQLITE_OK && pragma_value(handle, "PRAGMA user_version") == 2)
		result = execute(handle, from_version_2);
	for (size_t i = 0; i < STATEMENT_COUNT && result == SQLITE_OK; i++)
		result = sqlite3_prepare_v3(handle, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &database->statements[i], NULL);
	if (result != SQLITE_OK)
		explain(handle, path, failure);
	return result == SQLITE_OK;
}

static bool find_or_make(const char *directory, const char *path, const char *vfs, char failure[512])
{
	struct stat info;
	char log[4200];
	if (stat(path, &info) == 0)
		return check_file(path, &info, failure);
	snprintf(log, sizeof(log), "%s-wal", path);
	if (errno == ENOENT && stat(log, &info) == 0 && info.st_size > 0) {
		snprintf(failure, 512, "refusing %.300s: it is missing, but its log %.100s is there; restore both, or move the log away", path,
		         "state.db-wal");
		return false;
	}
	return make_file(directory, path, vfs, failure);
}

static bool open_reserve(struct database *database, const char *directory, char failure[512])
{
	char path[4150];
	snprintf(path, sizeof(path), "%s/state.reserve", directory);
	if (reserve_open(&database->reserve, path))
		return true;
	snprintf(failure, 512, "cannot open %.300s: %s", path, errno == ENOSPC ? "the disk is full" : strerror(errno));
	return false;
}

struct database *database_open(const char *directory, const char *vfs, char failure[512])
{
	char path[4150];
	struct database *database = calloc(1, sizeof(*database));
	if (database == NULL) {
		snprintf(failure, 512, "out of memory");
		return NULL;
	}
	snprintf(path, sizeof(path), "%s/state.db", directory);
	if (!open_reserve(database, directory, failure) || !find_or_make(directory, path, vfs, failure)) {
		database_close(database);
		return NULL;
	}
	int result = sqlite3_open_v2(path, &database->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, vfs);
	if (result != SQLITE_OK)
		snprintf(failure, 512, "cannot open %.300s: %s", path, sqlite3_errstr(result));
	else if (prepare(database, path, failure))
		return database;
	database_close(database);
	return NULL;
}

/* A URI's path (RFC 3986, 2.1), so that SQLite opens the file as one that nobody changes: it would write beside it otherwise. */
static void write_uri(const char *path, char *uri, size_t size)
{
	size_t n = (size_t)snprintf(uri, size, "file:");
	for (; *path != '\0' && n + 16 < size; path++)
		n += (size_t)snprintf(uri + n, size - n, strchr("%?#", *path) != NULL ? "%%%02x" : "%c", (unsigned char)*path);
	snprintf(uri + n, size - n, "?immutable=1");
}

bool database_check(const char *directory, char failure[512])
{
	char path[4150], uri[12600];
	struct stat info;
	sqlite3 *handle = NULL;
	snprintf(path, sizeof(path), "%s/state.db", directory);
	if (stat(path, &info) != 0 && errno == ENOENT)
		return true;
	if (!check_file(path, &info, failure))
		return false;
	write_uri(path, uri, sizeof(uri));
	bool is_good = false;
	int result = sqlite3_open_v2(uri, &handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
	if (result != SQLITE_OK)
		snprintf(failure, 512, "cannot open %.300s: %s", path, sqlite3_errstr(result));
	else
		is_good = check_identity(handle, path, failure);
	sqlite3_close(handle);
	return is_good;
}

void database_close(struct database *database)
{
	if (database == NULL)
		return;
	for (size_t i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(database->statements[i]);
	sqlite3_close(database->handle);
	reserve_close(&database->reserve);
	free(database);
}

static void note_length(struct database *database, const char *document)
{
	int64_t length = (int64_t)strlen(document);
	if (length > database->longest_document)
		database->longest_document = length;
}

/* Covers everything of a tunnel, because SQLite's own check does not detect a flipped bit inside a text. */
static void make_checksum(const struct database_tunnel *tunnel, uint8_t checksum[CHECKSUM_SIZE])
{
	crypto_generichash_state state;
	uint64_t numbers[4] = { tunnel->revision, tunnel->generation, (uint64_t)tunnel->created_at, (uint64_t)tunnel->updated_at };
	crypto_generichash_init(&state, NULL, 0, CHECKSUM_SIZE);
	crypto_generichash_update(&state, (const uint8_t *)tunnel->key, strlen(tunnel->key) + 1);
	crypto_generichash_update(&state, (const uint8_t *)tunnel->document, strlen(tunnel->document) + 1);
	crypto_generichash_update(&state, (const uint8_t *)tunnel->ports, strlen(tunnel->ports) + 1);
	crypto_generichash_update(&state, (const uint8_t *)numbers, sizeof(numbers));
	crypto_generichash_final(&state, checksum, CHECKSUM_SIZE);
	sodium_memzero(&state, sizeof(state));
}

static char *column_copy(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);
	return text == NULL ? NULL : strdup(text);
}

static bool column_blob(sqlite3_stmt *statement, int column, void *bytes, size_t size)
{
	if (sqlite3_column_bytes(statement, column) != (int)size)
		return false;
	memcpy(bytes, sqlite3_column_blob(statement, column), size);
	return true;
}

static bool read_tunnel(struct database *database, sqlite3_stmt *statement, struct database_tunnel *tunnel)
{
	uint8_t stored[CHECKSUM_SIZE], computed[CHECKSUM_SIZE];
	const char *key = (const char *)sqlite3_column_text(statement, 0);
	*tunnel = (struct database_tunnel){
		.document = column_copy(statement, 1),
		.revision = (uint64_t)sqlite3_column_int64(statement, 2),
		.generation = (uint64_t)sqlite3_column_int64(statement, 3),
		.created_at = sqlite3_column_int64(statement, 4),
		.updated_at = sqlite3_column_int64(statement, 5),
		.ports = column_copy(statement, 6),
		.total_bytes = (uint64_t)sqlite3_column_int64(statement, 9),
	};
	if (key == NULL || tunnel->document == NULL || tunnel->ports == NULL || !column_blob(statement, 7, stored, sizeof(stored)) ||
	    !column_blob(statement, 8, tunnel->timestamp_floor, sizeof(tunnel->timestamp_floor)))
		return false;
	snprintf(tunnel->key, sizeof(tunnel->key), "%s", key);
	note_length(database, tunnel->document);
	make_checksum(tunnel, computed);
	return memcmp(stored, computed, sizeof(stored)) == 0;
}

static bool end_loading(sqlite3_stmt *statement, int result, bool sound, const char *what, char failure[512])
{
	sqlite3_finalize(statement);
	if (!sound)
		snprintf(failure, 512,
		         "refusing state.db: a row of its %s is damaged; restore it from a backup, or move it away to start with an empty one", what);
	else if (result != SQLITE_DONE)
		snprintf(failure, 512, "cannot read the %s from state.db: %s", what, sqlite3_errstr(result));
	return sound && result == SQLITE_DONE;
}

bool database_load_tunnels(struct database *database, bool (*take)(void *owner, struct database_tunnel *tunnel), void *owner, char failure[512])
{
	sqlite3_stmt *statement = NULL;
	bool sound = true;
	int result =
	    sqlite3_prepare_v2(database->handle,
	                       "SELECT id, document, revision, generation, created_at, updated_at, ports, checksum, timestamp_floor, total_bytes"
	                       " FROM tunnels ORDER BY id",
	                       -1, &statement, NULL);
	while (result == SQLITE_OK && sound && (result = sqlite3_step(statement)) == SQLITE_ROW) {
		struct database_tunnel tunnel;
		result = SQLITE_OK;
		sound = read_tunnel(database, statement, &tunnel);
		if (!sound)
			database_tunnel_clear(&tunnel);
		else if (!take(owner, &tunnel))
			result = SQLITE_NOMEM;
	}
	return end_loading(statement, result, sound, "tunnels", failure);
}

bool database_load_tokens(struct database *database, bool (*take)(void *owner, struct database_token *token), void *owner, char failure[512])
{
	sqlite3_stmt *statement = NULL;
	bool sound = true;
	int result = sqlite3_prepare_v2(database->handle, "SELECT id, name, scopes, hash, created_at, labels, expires_at, last_used_at FROM tokens",
	                                -1, &statement, NULL);
	while (result == SQLITE_OK && sound && (result = sqlite3_step(statement)) == SQLITE_ROW) {
		const char *id = (const char *)sqlite3_column_text(statement, 0);
		struct database_token token = { .name = column_copy(statement, 1),
			                        .scopes = (unsigned)sqlite3_column_int(statement, 2),
			                        .created_at = sqlite3_column_int64(statement, 4),
			                        .labels = column_copy(statement, 5),
			                        .expires_at = sqlite3_column_int64(statement, 6),
			                        .last_used_at = sqlite3_column_int64(statement, 7) };
		result = SQLITE_OK;
		sound = id != NULL && token.name != NULL && token.labels != NULL && column_blob(statement, 3, token.hash, sizeof(token.hash));
		if (!sound) {
			database_token_clear(&token);
			continue;
		}
		snprintf(token.id, sizeof(token.id), "%s", id);
		if (!take(owner, &token))
			result = SQLITE_NOMEM;
	}
	return end_loading(statement, result, sound, "tokens", failure);
}

static bool read_session(sqlite3_stmt *statement, struct database_session *session)
{
	const char *pool = (const char *)sqlite3_column_text(statement, 0), *tunnel = (const char *)sqlite3_column_text(statement, 3);
	int length = sqlite3_column_bytes(statement, 2);
	*session =
	    (struct database_session){ .born = sqlite3_column_int64(statement, 1), .expires_at = (uint64_t)sqlite3_column_int64(statement, 4) };
	if (pool == NULL || tunnel == NULL || length <= 0 || (size_t)length >= sizeof(session->key))
		return false;
	snprintf(session->pool, sizeof(session->pool), "%s", pool);
	snprintf(session->tunnel, sizeof(session->tunnel), "%s", tunnel);
	memcpy(session->key, sqlite3_column_blob(statement, 2), (size_t)length);
	return true;
}

/* One that is damaged is only a choice that is made anew. */
bool database_load_sessions(struct database *database, void (*take)(void *owner, const struct database_session *session), void *owner,
                            char failure[512])
{
	sqlite3_stmt *statement = NULL;
	struct database_session session;
	int result = sqlite3_prepare_v2(database->handle, "SELECT pool, born, key, tunnel, expires_at FROM sessions", -1, &statement, NULL);
	while (result == SQLITE_OK && (result = sqlite3_step(statement)) == SQLITE_ROW) {
		result = SQLITE_OK;
		if (read_session(statement, &session))
			take(owner, &session);
	}
	return end_loading(statement, result, true, "sessions", failure);
}

uint64_t database_next_revision(struct database *database)
{
	int64_t value = pragma_value(database->handle, "SELECT next_revision FROM meta");
	return value < 1 ? 1 : (uint64_t)value;
}

/* What the reserve must hold so that any one tunnel can be deleted: the log takes the pages of its document, which are overwritten, and the
 * file grows to what the log has when it is emptied. */
static int64_t reserve_needed(struct database *database)
{
	struct stat info;
	int64_t pages = pragma_value(database->handle, "PRAGMA page_count");
	int64_t size = stat(sqlite3_db_filename(database->handle, "main"), &info) == 0 ? info.st_size : 0;
	int64_t growth = pages * PAGE_SIZE > size ? pages * PAGE_SIZE - size : 0;
	return RESERVE_FOR_TREES + growth + database->longest_document + database->longest_document / 4;
}

bool database_take_reserve(struct database *database)
{
	return reserve_take_back(&database->reserve, reserve_needed(database));
}

void database_lend_reserve(struct database *database)
{
	reserve_lend(&database->reserve);
}

bool database_is_full(const struct database *database, int result)
{
	return result != SQLITE_OK && is_full(database->handle, result);
}

bool database_wants_reserve(const struct database *database, int result)
{
	return database_is_full(database, result) && !database->is_over;
}

bool database_has_room(struct database *database)
{
	return reserve_hold(&database->reserve, reserve_needed(database)) && reserve_has_room(&database->reserve);
}

int database_begin(struct database *database)
{
	database->adds = database->is_over = false;
	return execute(database->handle, "BEGIN IMMEDIATE");
}

int database_commit(struct database *database)
{
	database->is_over = database->adds && !reserve_hold(&database->reserve, reserve_needed(database));
	if (database->is_over)
		return SQLITE_FULL;
	return execute(database->handle, "COMMIT");
}

void database_rollback(struct database *database)
{
	if (!sqlite3_get_autocommit(database->handle))
		(void)execute(database->handle, "ROLLBACK");
}

static int finish(sqlite3_stmt *statement)
{
	int result = sqlite3_step(statement);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return result == SQLITE_DONE ? SQLITE_OK : result;
}

static void bind_text(sqlite3_stmt *statement, int column, const char *text)
{
	sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);
}

int database_put_tunnel(struct database *database, const struct database_tunnel *tunnel)
{
	sqlite3_stmt *statement = database->statements[STATEMENT_PUT_TUNNEL];
	uint8_t checksum[CHECKSUM_SIZE];
	make_checksum(tunnel, checksum);
	note_length(database, tunnel->document);
	database->adds = true;
	bind_text(statement, 1, tunnel->key);
	bind_text(statement, 2, tunnel->document);
	sqlite3_bind_int64(statement, 3, (sqlite3_int64)tunnel->revision);
	sqlite3_bind_int64(statement, 4, (sqlite3_int64)tunnel->generation);
	sqlite3_bind_int64(statement, 5, tunnel->created_at);
	sqlite3_bind_int64(statement, 6, tunnel->updated_at);
	bind_text(statement, 7, tunnel->ports);
	sqlite3_bind_blob(statement, 8, checksum, sizeof(checksum), SQLITE_STATIC);
	sqlite3_bind_blob(statement, 9, tunnel->timestamp_floor, sizeof(tunnel->timestamp_floor), SQLITE_STATIC);
	sqlite3_bind_int64(statement, 10, (sqlite3_int64)tunnel->total_bytes);
	return finish(statement);
}

int database_checkpoint_tunnel(struct database *database, const struct database_tunnel *tunnel)
{
	sqlite3_stmt *statement = database->statements[STATEMENT_CHECKPOINT_TUNNEL];
	bind_text(statement, 1, tunnel->key);
	sqlite3_bind_blob(statement, 2, tunnel->timestamp_floor, sizeof(tunnel->timestamp_floor), SQLITE_STATIC);
	sqlite3_bind_int64(statement, 3, (sqlite3_int64)tunnel->total_bytes);
	return finish(statement);
}

int database_delete_tunnel(struct database *database, const char *key)
{
	bind_text(database->statements[STATEMENT_DELETE_TUNNEL], 1, key);
	return finish(database->statements[STATEMENT_DELETE_TUNNEL]);
}

int database_put_token(struct database *database, const struct database_token *token)
{
	sqlite3_stmt *statement = database->statements[STATEMENT_PUT_TOKEN];
	database->adds = true;
	bind_text(statement, 1, token->id);
	bind_text(statement, 2, token->name);
	sqlite3_bind_int64(statement, 3, token->scopes);
	sqlite3_bind_blob(statement, 4, token->hash, sizeof(token->hash), SQLITE_STATIC);
	sqlite3_bind_int64(statement, 5, token->created_at);
	bind_text(statement, 6, token->labels);
	sqlite3_bind_int64(statement, 7, token->expires_at);
	sqlite3_bind_int64(statement, 8, token->last_used_at);
	return finish(statement);
}

int database_checkpoint_token(struct database *database, const struct database_token *token)
{
	sqlite3_stmt *statement = database->statements[STATEMENT_CHECKPOINT_TOKEN];
	bind_text(statement, 1, token->id);
	sqlite3_bind_int64(statement, 2, token->last_used_at);
	return finish(statement);
}

int database_delete_token(struct database *database, const char *id)
{
	bind_text(database->statements[STATEMENT_DELETE_TOKEN], 1, id);
	return finish(database->statements[STATEMENT_DELETE_TOKEN]);
}

static void bind_session(sqlite3_stmt *statement, const struct database_session *session)
{
	bind_text(statement, 1, session->pool);
	sqlite3_bind_int64(statement, 2, session->born);
}

int database_put_session(struct database *database, const struct database_session *session)
{
	sqlite3_stmt *statement = database->statements[STATEMENT_PUT_SESSION];
	database->adds = true;
	bind_session(statement, session);
	sqlite3_bind_blob(statement, 3, session->key, (int)strlen(session->key), SQLITE_STATIC);
	bind_text(statement, 4, session->tunnel);
	sqlite3_bind_int64(statement, 5, (sqlite3_int64)session->expires_at);
	return finish(statement);
}

int database_delete_session(struct database *database, const struct database_session *session)
{
	sqlite3_stmt *statement = database->statements[STATEMENT_DELETE_SESSION];
	bind_session(statement, session);
	sqlite3_bind_blob(statement, 3, session->key, (int)strlen(session->key), SQLITE_STATIC);
	return finish(statement);
}

int database_purge_sessions(struct database *database, const struct database_session *session)
{
	bind_session(database->statements[STATEMENT_PURGE_SESSIONS], session);
	return finish(database->statements[STATEMENT_PURGE_SESSIONS]);
}

int database_put_next_revision(struct database *database, uint64_t revision)
{
	sqlite3_bind_int64(database->statements[STATEMENT_PUT_REVISION], 1, (sqlite3_int64)revision);
	return finish(database->statements[STATEMENT_PUT_REVISION]);
}

/* SQLite builds each row in a buffer that it keeps for the next one (pTmpSpace), at most a row's part on its own page: 1,002 bytes of a
 * page of 4,096 (fileformat2, «B-tree Cell Format»). This row is as long, with its header of 12 bytes, and never stored. */
#define LONGEST_LOCAL (1002 - 12)

static int overwrite_row_buffer(struct database *database)
{
	sqlite3_stmt *statement = database->statements[STATEMENT_PUT_TUNNEL];
	int result = database_begin(database);
	if (result != SQLITE_OK)
		return result;
	for (int column = 1; column <= 10; column++)
		sqlite3_bind_int(statement, column, 0);
	bind_text(statement, 1, "");
	sqlite3_bind_zeroblob(statement, 2, LONGEST_LOCAL);
	bind_text(statement, 7, "");
	sqlite3_bind_zeroblob(statement, 8, 0);
	sqlite3_bind_zeroblob(statement, 9, 0);
	result = finish(statement);
	database_rollback(database);
	return result;
}

int database_forget(struct database *database)
{
	int result = overwrite_row_buffer(database);
	/* Frees the pages of the cache, which wipes them (daemon/heap.c). */
	int released = sqlite3_db_release_memory(database->handle);
	return result == SQLITE_OK ? released : result;
}

int database_truncate_log(struct database *database)
{
	return sqlite3_wal_checkpoint_v2(database->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}
