// What this package uses of SQLite, and the layer above it that runs a statement in one crossing from Go.
//
// The library itself is the amalgamation that github.com/mattn/go-sqlite3 compiles; its header is not on anybody's
// include path, so that what is used is declared here. The ABI of SQLite has been stable since version 3.0.
#ifndef STRATOS_SQLITE_H
#define STRATOS_SQLITE_H

#include <stddef.h>
#include <stdint.h>

typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;
typedef struct sqlite3_context sqlite3_context;
typedef struct sqlite3_value sqlite3_value;
typedef struct sqlite3_backup sqlite3_backup;
typedef struct sqlite3_vfs sqlite3_vfs;
typedef struct sqlite3_file sqlite3_file;
typedef struct sqlite3_io_methods sqlite3_io_methods;
typedef long long sqlite3_int64;
typedef unsigned long long sqlite3_uint64;

enum { SQLITE_OK = 0, SQLITE_ERROR = 1, SQLITE_NOMEM = 7, SQLITE_FULL = 13, SQLITE_TOOBIG = 18, SQLITE_ROW = 100, SQLITE_DONE = 101 };
enum { SQLITE_INTEGER = 1, SQLITE_FLOAT = 2, SQLITE_TEXT = 3, SQLITE_BLOB = 4, SQLITE_NULL = 5 };
enum { SQLITE_DENY = 1, SQLITE_IGNORE = 2 };
enum { SQLITE_LIMIT_LENGTH = 0, SQLITE_LIMIT_VDBE_OP = 5 };
#define SQLITE_UTF8 1
#define SQLITE_DETERMINISTIC 0x800
#define SQLITE_INNOCUOUS 0x200000
#define SQLITE_SUBTYPE 0x100000
#define SQLITE_RESULT_SUBTYPE 0x1000000
#define SQLITE_STATIC ((void (*)(void *))0)
#define SQLITE_TRANSIENT ((void (*)(void *))-1)

struct sqlite3_file { const sqlite3_io_methods *pMethods; };
struct sqlite3_io_methods {
  int iVersion;
  int (*xClose)(sqlite3_file *);
  int (*xRead)(sqlite3_file *, void *, int, sqlite3_int64);
  int (*xWrite)(sqlite3_file *, const void *, int, sqlite3_int64);
  int (*xTruncate)(sqlite3_file *, sqlite3_int64);
  int (*xSync)(sqlite3_file *, int);
  void *rest[13];  // as SQLite has them; copied, never called here
};
struct sqlite3_vfs {
  int iVersion, szOsFile, mxPathname;
  sqlite3_vfs *pNext;
  const char *zName;
  void *pAppData;
  int (*xOpen)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
  void *methods[9];
  int (*xCurrentTime)(sqlite3_vfs *, double *);
  void *xGetLastError;
  int (*xCurrentTimeInt64)(sqlite3_vfs *, sqlite3_int64 *);
  void *rest[3];
};

extern int sqlite3_initialize(void);
extern int sqlite3_open_v2(const char *, sqlite3 **, int, const char *);
extern int sqlite3_close_v2(sqlite3 *);
extern int sqlite3_exec(sqlite3 *, const char *, void *, void *, char **);
extern int sqlite3_prepare_v3(sqlite3 *, const char *, int, unsigned, sqlite3_stmt **, const char **);
extern int sqlite3_step(sqlite3_stmt *);
extern int sqlite3_reset(sqlite3_stmt *);
extern int sqlite3_finalize(sqlite3_stmt *);
extern int sqlite3_clear_bindings(sqlite3_stmt *);
extern int sqlite3_bind_null(sqlite3_stmt *, int);
extern int sqlite3_bind_int64(sqlite3_stmt *, int, sqlite3_int64);
extern int sqlite3_bind_double(sqlite3_stmt *, int, double);
extern int sqlite3_bind_text64(sqlite3_stmt *, int, const char *, sqlite3_uint64, void (*)(void *), unsigned char);
extern int sqlite3_bind_blob64(sqlite3_stmt *, int, const void *, sqlite3_uint64, void (*)(void *));
extern int sqlite3_column_count(sqlite3_stmt *);
extern int sqlite3_column_type(sqlite3_stmt *, int);
extern sqlite3_int64 sqlite3_column_int64(sqlite3_stmt *, int);
extern double sqlite3_column_double(sqlite3_stmt *, int);
extern const unsigned char *sqlite3_column_text(sqlite3_stmt *, int);
extern const void *sqlite3_column_blob(sqlite3_stmt *, int);
extern int sqlite3_column_bytes(sqlite3_stmt *, int);
extern const char *sqlite3_column_name(sqlite3_stmt *, int);
extern const char *sqlite3_column_decltype(sqlite3_stmt *, int);
extern int sqlite3_stmt_readonly(sqlite3_stmt *);
extern int sqlite3_stmt_status(sqlite3_stmt *, int, int);
extern int sqlite3_extended_errcode(sqlite3 *);
extern int sqlite3_extended_result_codes(sqlite3 *, int);
extern const char *sqlite3_errmsg(sqlite3 *);
extern int sqlite3_system_errno(sqlite3 *);
extern int sqlite3_get_autocommit(sqlite3 *);
extern void sqlite3_interrupt(sqlite3 *);
extern int sqlite3_limit(sqlite3 *, int, int);
extern int sqlite3_bind_parameter_count(sqlite3_stmt *);
extern int sqlite3_db_config(sqlite3 *, int, ...);
extern int sqlite3_db_status(sqlite3 *, int, int *, int *, int);
extern int sqlite3_drop_modules(sqlite3 *, const char **);
extern int sqlite3_test_control(int, ...);
extern int sqlite3_busy_timeout(sqlite3 *, int);
extern sqlite3_int64 sqlite3_last_insert_rowid(sqlite3 *);
extern void sqlite3_set_last_insert_rowid(sqlite3 *, sqlite3_int64);
extern sqlite3_int64 sqlite3_changes64(sqlite3 *);
extern sqlite3_int64 sqlite3_total_changes64(sqlite3 *);
extern void sqlite3_progress_handler(sqlite3 *, int, int (*)(void *), void *);
extern int sqlite3_set_authorizer(sqlite3 *, int (*)(void *, int, const char *, const char *, const char *, const char *), void *);
extern void *sqlite3_update_hook(sqlite3 *, void (*)(void *, int, const char *, const char *, sqlite3_int64), void *);
extern int sqlite3_create_function_v2(sqlite3 *, const char *, int, int, void *, void (*)(sqlite3_context *, int, sqlite3_value **),
  void (*)(sqlite3_context *, int, sqlite3_value **), void (*)(sqlite3_context *), void (*)(void *));
extern int sqlite3_create_window_function(sqlite3 *, const char *, int, int, void *, void (*)(sqlite3_context *, int, sqlite3_value **),
  void (*)(sqlite3_context *), void (*)(sqlite3_context *), void (*)(sqlite3_context *, int, sqlite3_value **), void (*)(void *));
extern int sqlite3_create_collation_v2(sqlite3 *, const char *, int, void *, int (*)(void *, int, const void *, int, const void *), void (*)(void *));
extern void *sqlite3_user_data(sqlite3_context *);
extern void *sqlite3_aggregate_context(sqlite3_context *, int);
extern sqlite3 *sqlite3_context_db_handle(sqlite3_context *);
extern int sqlite3_value_type(sqlite3_value *);
extern sqlite3_int64 sqlite3_value_int64(sqlite3_value *);
extern double sqlite3_value_double(sqlite3_value *);
extern const unsigned char *sqlite3_value_text(sqlite3_value *);
extern const void *sqlite3_value_blob(sqlite3_value *);
extern int sqlite3_value_bytes(sqlite3_value *);
extern unsigned sqlite3_value_subtype(sqlite3_value *);
extern sqlite3_value *sqlite3_value_dup(const sqlite3_value *);
extern void sqlite3_value_free(sqlite3_value *);
extern void sqlite3_result_null(sqlite3_context *);
extern void sqlite3_result_int64(sqlite3_context *, sqlite3_int64);
extern void sqlite3_result_double(sqlite3_context *, double);
extern void sqlite3_result_text64(sqlite3_context *, const char *, sqlite3_uint64, void (*)(void *), unsigned char);
extern void sqlite3_result_blob64(sqlite3_context *, const void *, sqlite3_uint64, void (*)(void *));
extern void sqlite3_result_error(sqlite3_context *, const char *, int);
extern void sqlite3_result_error_nomem(sqlite3_context *);
extern void sqlite3_result_error_toobig(sqlite3_context *);
extern void sqlite3_result_subtype(sqlite3_context *, unsigned);
extern void *sqlite3_malloc64(sqlite3_uint64);
extern void *sqlite3_realloc64(void *, sqlite3_uint64);
extern void sqlite3_free(void *);
extern int sqlite3_stricmp(const char *, const char *);
extern int sqlite3_strnicmp(const char *, const char *, int);
extern sqlite3_vfs *sqlite3_vfs_find(const char *);
extern int sqlite3_vfs_register(sqlite3_vfs *, int);
extern int sqlite3_vfs_unregister(sqlite3_vfs *);
extern sqlite3_backup *sqlite3_backup_init(sqlite3 *, const char *, sqlite3 *, const char *);
extern int sqlite3_backup_step(sqlite3_backup *, int);
extern int sqlite3_backup_finish(sqlite3_backup *);

// Why a run ended otherwise than SQLite alone would say.
enum {
  ST_EXHAUSTED = 1,  // the steps or the charges that it may take are used up
  ST_ROW_ID = 2,     // it wrote row id 2^63-1, beyond which SQLite draws
  ST_ROWS = 4,       // the result is too large
  ST_DISK_FULL = 8,  // a write found no room on the disk
  ST_DENIED = 16,    // the authorizer said no
  ST_DROPPED = 32,   // (of a prepared statement) it drops a table or an index
  ST_SCHEMA = 64,    // (of a prepared statement) it changes the schema
};

// A connection with what SQLite does not keep for us.
typedef struct st_conn {
  sqlite3 *db;
  sqlite3_vfs vfs;            // as the system's, but the time is now_ms
  char name[40];
  sqlite3_int64 now_ms;
  int guarded;                // the authorizer is in force
  int dropping;               // the next DELETE that it is asked about is of a DROP TABLE
  int flags;                  // ST_*
  int inserted;               // a row was inserted since the run began
  char dropped[256];          // the table that loses rows at once
  char why[160];              // what the authorizer refused
  uint64_t charged, charges;  // by functions that meter themselves, and how much they may
  sqlite3_int64 total_before; // of total_changes when the program began
  uint32_t key[8];            // of the stream of random numbers
  uint64_t block;
  uint8_t stream[64];
  int used;
  const char **allowed;       // names of functions of the embedding program in order, ends with 0
  size_t functions;           // how many
} st_conn;

// What a run gave. The caller frees rows with sqlite3_free.
typedef struct st_result {
  int rc, columns, flags;
  uint64_t steps, charged, rows, changes;
  sqlite3_int64 last_row_id;
  uint8_t *data;
  size_t size, capacity;
} st_result;

int st_open(const char *path, int flags, st_conn **out);
int st_harden(st_conn *);
int st_functions(st_conn *);
int st_close(st_conn *);
int st_exec(st_conn *, const char *sql);
void st_program(st_conn *, sqlite3_int64 now_ms, const uint8_t *seed);
void st_statement(st_conn *c, uint32_t n);
int st_prepare(st_conn *, const char *sql, int n, int effort, sqlite3_stmt **out, int *tail);
void st_run(st_conn *, sqlite3_stmt *, const uint8_t *args, size_t n, uint64_t steps, uint64_t charges, uint64_t max_rows, size_t max_size, st_result *);
void st_rows(sqlite3_stmt *, size_t enough, st_result *);
int st_deferred(st_conn *);
int st_limit(st_conn *, int id, int value);
int st_backup(st_conn *, const char *path, int pages);
int st_function(st_conn *, const char *name, int args, int aggregate, int is_volatile, uintptr_t id);
void st_draw(st_conn *, uint8_t *, size_t);
int st_collation(st_conn *, const char *name, uintptr_t id);
int st_charge(st_conn *, uint64_t work);
void st_result_text(sqlite3_context *, const char *, size_t);
void st_result_blob(sqlite3_context *, const void *, size_t);

#endif
