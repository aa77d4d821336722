#include "sqlite.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- A file system that tells the program's time, so that all of SQLite's "now" are the program's. It also notes a
// full disk, which SQLite reports by the same code as a full database.

typedef struct { sqlite3_io_methods m; const sqlite3_io_methods *real; st_conn *conn; } methods;

static int file_close(sqlite3_file *f) {
  methods *m = (methods *)f->pMethods;
  f->pMethods = m->real;
  free(m);
  return f->pMethods->xClose(f);
}

static int file_write(sqlite3_file *f, const void *b, int n, sqlite3_int64 at) {
  methods *m = (methods *)f->pMethods;
  int rc = m->real->xWrite(f, b, n, at);
  if ((rc & 0xff) == SQLITE_FULL) m->conn->flags |= ST_DISK_FULL;
  return rc;
}

static st_conn *of_vfs(sqlite3_vfs *v) { return (st_conn *)((char *)v - offsetof(st_conn, vfs)); }

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out) {
  int rc = sqlite3_vfs_find(0)->xOpen(v, name, f, flags, out);
  if (f->pMethods == 0) return rc;
  methods *m = malloc(sizeof *m);
  if (m == 0) {
    f->pMethods->xClose(f);
    f->pMethods = 0;
    return SQLITE_NOMEM;
  }
  memcpy(&m->m, f->pMethods, sizeof m->m);
  m->real = f->pMethods;
  m->conn = of_vfs(v);
  m->m.xClose = file_close;
  m->m.xWrite = file_write;
  f->pMethods = &m->m;
  return rc;
}

static int vfs_now64(sqlite3_vfs *v, sqlite3_int64 *out) {
  *out = of_vfs(v)->now_ms + 210866760000000LL;  // milliseconds from noon of 24 November 4714 BC to 1970
  return SQLITE_OK;
}

static int vfs_now(sqlite3_vfs *v, double *out) {
  sqlite3_int64 ms;
  vfs_now64(v, &ms);
  *out = ms / 86400000.0;
  return SQLITE_OK;
}

// ---- The authorizer

static int allowed_function(st_conn *c, const char *name) {
  static const char *const names[] = {"->", "->>", "abs", "avg", "changes", "char", "coalesce", "concat", "concat_ws", "count",
    "cume_dist", "current_date", "current_time", "current_timestamp", "date", "datetime", "dense_rank", "first_value", "format",
    "glob", "group_concat", "hex", "if", "ifnull", "iif", "instr", "json", "json_array", "json_array_insert", "json_array_length",
    "json_error_position", "json_extract", "json_group_array", "json_group_object", "json_insert", "json_object", "json_quote",
    "json_remove", "json_replace", "json_set", "json_type", "json_valid", "jsonb", "jsonb_array", "jsonb_array_insert",
    "jsonb_extract", "jsonb_insert", "jsonb_object", "jsonb_remove", "jsonb_replace", "jsonb_set", "julianday", "lag",
    "last_insert_rowid", "last_value", "lead", "length", "like", "likelihood", "likely", "lower", "ltrim", "max", "min", "nth_value",
    "ntile", "nullif", "octet_length", "percent_rank", "printf", "quote", "random", "randomblob", "rank", "replace", "round",
    "row_number", "rtrim", "sign", "strftime", "string_agg", "substr", "substring", "sum", "time", "timediff", "total",
    "total_changes", "trim", "typeof", "unhex", "unicode", "unistr", "unistr_quote", "unixepoch", "unlikely", "upper", "zeroblob"};
  size_t low = 0, high = sizeof names / sizeof *names;
  while (low < high) {
    size_t mid = (low + high) / 2;
    int d = sqlite3_stricmp(name, names[mid]);
    if (d == 0) return 1;
    if (d < 0) high = mid; else low = mid + 1;
  }
  for (low = 0, high = c->allowed ? c->functions : 0; low < high;) {
    size_t mid = (low + high) / 2;
    int d = sqlite3_stricmp(name, c->allowed[mid]);
    if (d == 0) return 1;
    if (d < 0) high = mid; else low = mid + 1;
  }
  // SQLite's own, of ALTER TABLE: nobody else can call them.
  return sqlite3_strnicmp(name, "sqlite_rename_", 14) == 0 || sqlite3_strnicmp(name, "sqlite_drop_", 12) == 0 ||
    sqlite3_strnicmp(name, "sqlite_add_", 11) == 0 || sqlite3_stricmp(name, "sqlite_fail") == 0 || sqlite3_stricmp(name, "sqlite_find_constraint") == 0;
}

static int own(const char *name) { return name && sqlite3_strnicmp(name, "_stratos_", 9) == 0; }

static int deny(st_conn *c, const char *what, const char *name) {
  c->flags |= ST_DENIED;
  snprintf(c->why, sizeof c->why, "%s%s%.100s", what, name ? " " : "", name ? name : "");
  return SQLITE_DENY;
}

enum { CREATE_INDEX = 1, CREATE_TABLE, CREATE_TEMP_INDEX, CREATE_TEMP_TABLE, CREATE_TEMP_TRIGGER, CREATE_TEMP_VIEW, CREATE_TRIGGER,
  CREATE_VIEW, DELETE, DROP_INDEX, DROP_TABLE, DROP_TEMP_INDEX, DROP_TEMP_TABLE, DROP_TEMP_TRIGGER, DROP_TEMP_VIEW, DROP_TRIGGER,
  DROP_VIEW, INSERT, PRAGMA, READ, SELECT, TRANSACTION, UPDATE, ATTACH, DETACH, ALTER_TABLE, REINDEX, ANALYZE, CREATE_VTABLE,
  DROP_VTABLE, FUNCTION, SAVEPOINT, RECURSIVE };

static int allowed_pragma(st_conn *c, const char *name) {
  static const char *const names[] = {"table_info", "table_xinfo", "index_list", "index_info", "index_xinfo", "foreign_key_list"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (sqlite3_stricmp(name, names[i]) == 0) return 1;
  // ALTER TABLE ADD COLUMN looks itself whether the rows that are there pass a CHECK.
  return (c->flags & ST_DROPPED) && sqlite3_stricmp(name, "quick_check") == 0;
}

static void loses(st_conn *c, const char *table) {
  c->flags |= ST_DROPPED;
  snprintf(c->dropped, sizeof c->dropped, "%s", table);
}

static int authorize(void *p, int op, const char *a, const char *b, const char *db, const char *via) {
  st_conn *c = p;
  (void)via;
  if (!c->guarded) return SQLITE_OK;
  if (own(a) || own(b)) return deny(c, "names that begin with _stratos_:", own(a) ? a : b);
  // ALTER TABLE looks for triggers in temp's schema, which nobody else can write to.
  int look = op == READ || op == SELECT || (op == UPDATE && sqlite3_strnicmp(a, "sqlite_temp_", 12) == 0);
  if (db && strcmp(db, "temp") == 0 && !look) return deny(c, "temporary objects", 0);
  switch (op) {
    case DELETE:
      if (sqlite3_strnicmp(a, "sqlite_stat", 11) == 0) return deny(c, "the planner's statistics", 0);
      if (sqlite3_strnicmp(a, "sqlite_", 7) == 0) return SQLITE_OK;
      if (c->dropping) {
        c->dropping = 0;
        return SQLITE_OK;
      }
      return SQLITE_IGNORE;  // it goes on row by row: to empty a table at once would be one step, whatever its size
    case DROP_TABLE: case DROP_VIEW:
      c->dropping = 1;
      c->flags |= ST_SCHEMA;
      if (op == DROP_TABLE) loses(c, a);
      return SQLITE_OK;
    case DROP_INDEX:
      loses(c, b);
      c->flags |= ST_SCHEMA;
      return SQLITE_OK;
    case ALTER_TABLE:
      loses(c, b);
      c->flags |= ST_SCHEMA;
      return SQLITE_OK;
    case CREATE_INDEX: case CREATE_TABLE: case CREATE_TRIGGER: case CREATE_VIEW: case DROP_TRIGGER:
      c->flags |= ST_SCHEMA;
      return SQLITE_OK;
    case INSERT: case UPDATE:
      if (sqlite3_strnicmp(a, "sqlite_stat", 11) == 0) return deny(c, "the planner's statistics", 0);
      if (sqlite3_stricmp(a, "sqlite_sequence") == 0 && !(op == UPDATE && b && sqlite3_stricmp(b, "name") == 0))
        return deny(c, "writing to sqlite_sequence", 0);
      return SQLITE_OK;
    case READ:
      // Where a table lies in the file is nobody's business, and not part of its content.
      if (b && sqlite3_stricmp(b, "rootpage") == 0 && (sqlite3_stricmp(a, "sqlite_master") == 0 || sqlite3_stricmp(a, "sqlite_schema") == 0))
        return SQLITE_IGNORE;
      return SQLITE_OK;
    case SELECT: case RECURSIVE: case REINDEX:  // CREATE INDEX asks for REINDEX; the statement itself does not come here
      return SQLITE_OK;
    case FUNCTION:
      return allowed_function(c, b) ? SQLITE_OK : deny(c, "function", b);
    case PRAGMA:
      return allowed_pragma(c, a) && !own(b) ? SQLITE_OK : deny(c, "pragma", a);
    case ATTACH: case DETACH: return deny(c, "other files", 0);
    case CREATE_VTABLE: case DROP_VTABLE: return deny(c, "virtual tables", 0);
    case TRANSACTION: case SAVEPOINT: return deny(c, "transactions inside of a program", 0);
    case ANALYZE: return deny(c, "ANALYZE", 0);
    default: return deny(c, "temporary objects", 0);
  }
}

static void updated(void *p, int op, const char *db, const char *table, sqlite3_int64 row) {
  st_conn *c = p;
  (void)db;
  (void)table;
  if (op == INSERT) c->inserted = 1;
  if (row == LLONG_MAX && op != DELETE) c->flags |= ST_ROW_ID;
}

static int exhausted(void *p) {
  ((st_conn *)p)->flags |= ST_EXHAUSTED;
  return 1;
}

// ---- Connections

// Date functions ask the machine for its time zone by one way only, and SQLite's tests have a switch that breaks it. It
// is of the whole process, as is nothing else here.
static void no_local_time(void) { sqlite3_test_control(18, 1); }
static pthread_once_t once = PTHREAD_ONCE_INIT;

int st_open(const char *path, int flags, st_conn **out) {
  *out = 0;
  int rc = sqlite3_initialize();
  if (rc) return rc;
  pthread_once(&once, no_local_time);
  st_conn *c = calloc(1, sizeof *c);
  if (c == 0) return SQLITE_NOMEM;
  c->vfs = *sqlite3_vfs_find(0);
  snprintf(c->name, sizeof c->name, "stratos-%p", (void *)c);
  c->vfs.zName = c->name;
  c->vfs.pNext = 0;
  c->vfs.xOpen = vfs_open;
  c->vfs.xCurrentTime = vfs_now;
  c->vfs.xCurrentTimeInt64 = vfs_now64;
  rc = sqlite3_vfs_register(&c->vfs, 0);
  if (rc == SQLITE_OK) rc = sqlite3_open_v2(path, &c->db, flags, c->name);
  if (rc) {
    sqlite3_close_v2(c->db);
    sqlite3_vfs_unregister(&c->vfs);
    free(c);
    return rc;
  }
  sqlite3_extended_result_codes(c->db, 1);
  sqlite3_busy_timeout(c->db, 5000);
  *out = c;
  return SQLITE_OK;
}

int st_close(st_conn *c) {
  int rc = sqlite3_close_v2(c->db);
  sqlite3_vfs_unregister(&c->vfs);
  for (const char **a = c->allowed; a && *a; a++) free((void *)*a);
  free(c->allowed);
  free(c);
  return rc;
}

int st_harden(st_conn *c) {
  static const char *const keep[] = {"json_each", "json_tree", 0};
  // On: foreign keys, a plan that does not look at parameters, defensive. Off: extensions, text in double quotes, schemas that are trusted.
  static const int on[] = {1002, 1003, 1007, 1010, 1015}, off[] = {1004, 1005, 1011, 1012, 1013, 1014, 1017, 1019};
  int rc = SQLITE_OK;
  for (size_t i = 0; i < sizeof on / sizeof *on && rc == SQLITE_OK; i++) rc = sqlite3_db_config(c->db, on[i], 1, (int *)0);
  for (size_t i = 0; i < sizeof off / sizeof *off && rc == SQLITE_OK; i++) {
    rc = sqlite3_db_config(c->db, off[i], 0, (int *)0);
    if (off[i] == 1004) rc = SQLITE_OK;  // the full-text tokenizer's, where it is compiled in
  }
  if (rc == SQLITE_OK) rc = sqlite3_drop_modules(c->db, (const char **)keep);
  if (rc == SQLITE_OK) rc = st_functions(c);
  if (rc == SQLITE_OK) rc = sqlite3_set_authorizer(c->db, authorize, c);
  sqlite3_update_hook(c->db, updated, c);
  return rc;
}

int st_limit(st_conn *c, int id, int value) { return sqlite3_limit(c->db, id, value); }

int st_exec(st_conn *c, const char *sql) {
  int guarded = c->guarded;
  c->guarded = 0;
  sqlite3_progress_handler(c->db, 0, 0, 0);
  int rc = sqlite3_exec(c->db, sql, 0, 0, 0);
  c->guarded = guarded;
  return rc;
}

// st_program forgets what came before: what a program finds must not depend on what its connection did earlier.
void st_program(st_conn *c, sqlite3_int64 now_ms, const uint8_t *seed) {
  c->now_ms = now_ms;
  for (int i = 0; i < 8; i++)
    c->key[i] = seed[4 * i] | seed[4 * i + 1] << 8 | seed[4 * i + 2] << 16 | (uint32_t)seed[4 * i + 3] << 24;
  c->block = 0;
  c->used = sizeof c->stream;
  c->flags = 0;
  sqlite3_set_last_insert_rowid(c->db, 0);
  st_exec(c, "DELETE FROM main._stratos_state WHERE 0");  // changes() is 0
  c->total_before = sqlite3_total_changes64(c->db);
}

// st_statement begins the nth statement's own part of the random numbers, so that they do not depend on the statements before it.
void st_statement(st_conn *c, uint32_t n) {
  c->block = (uint64_t)n << 32;
  c->used = sizeof c->stream;
}

// st_deferred tells whether a foreign key that is checked at the end is violated.
int st_deferred(st_conn *c) {
  int now = 0, high = 0;
  sqlite3_db_status(c->db, 10, &now, &high, 0);
  return now;
}

int st_prepare(st_conn *c, const char *sql, int n, int effort, sqlite3_stmt **out, int *tail) {
  const char *end = sql;
  c->flags = 0;
  c->dropping = 0;
  c->why[0] = 0;
  sqlite3_progress_handler(c->db, effort, effort ? exhausted : 0, c);
  int rc = sqlite3_prepare_v3(c->db, sql, n, 0, out, &end);
  sqlite3_progress_handler(c->db, 0, 0, 0);
  *tail = (int)(end - sql);
  return rc;
}

// ---- Values, as they cross between C and Go: a byte of type, then 8 bytes, or a length of 4 and the bytes.

static int room(st_result *r, size_t n) {
  if (r->size + n <= r->capacity) return 1;
  size_t want = r->capacity * 2 > r->size + n ? r->capacity * 2 : r->size + n + 256;
  uint8_t *p = sqlite3_realloc64(r->data, want);
  if (p == 0) return 0;
  r->data = p;
  r->capacity = want;
  return 1;
}

static int take(st_result *r, sqlite3_stmt *s, int columns) {
  for (int i = 0; i < columns; i++) {
    int type = sqlite3_column_type(s, i);
    const void *p = 0;
    uint32_t n = 8;
    union { sqlite3_int64 i; double d; uint8_t b[8]; } v;
    switch (type) {
      case SQLITE_INTEGER: v.i = sqlite3_column_int64(s, i); p = v.b; break;
      case SQLITE_FLOAT: v.d = sqlite3_column_double(s, i); p = v.b; break;
      case SQLITE_TEXT: p = sqlite3_column_text(s, i); n = sqlite3_column_bytes(s, i); break;
      case SQLITE_BLOB: p = sqlite3_column_blob(s, i); n = sqlite3_column_bytes(s, i); break;
      default: n = 0;
    }
    if (n > 0 && p == 0) return 0;
    if (!room(r, (size_t)n + 5)) return 0;
    r->data[r->size++] = (uint8_t)type;
    if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
      memcpy(r->data + r->size, &n, 4);
      r->size += 4;
    }
    if (n > 0) memcpy(r->data + r->size, p, n);
    r->size += n;
  }
  return 1;
}

static int bind(sqlite3_stmt *s, const uint8_t *a, size_t size) {
  const uint8_t *end = a + size;
  int rc = SQLITE_OK;
  int places = sqlite3_bind_parameter_count(s);
  for (int i = 1; i <= places && a < end && rc == SQLITE_OK; i++) {  // whoever wants as many as there are has looked
    int type = *a++;
    uint32_t n = 0;
    sqlite3_int64 v;
    double d;
    if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
      memcpy(&n, a, 4);
      a += 4;
    }
    switch (type) {
      case SQLITE_INTEGER: memcpy(&v, a, 8); a += 8; rc = sqlite3_bind_int64(s, i, v); break;
      case SQLITE_FLOAT: memcpy(&d, a, 8); a += 8; rc = sqlite3_bind_double(s, i, d); break;
      case SQLITE_TEXT: rc = sqlite3_bind_text64(s, i, (const char *)a, n, SQLITE_STATIC, SQLITE_UTF8); a += n; break;
      case SQLITE_BLOB: rc = sqlite3_bind_blob64(s, i, a, n, SQLITE_STATIC); a += n; break;
      default: rc = sqlite3_bind_null(s, i);
    }
  }
  return rc;
}

void st_run(st_conn *c, sqlite3_stmt *s, const uint8_t *args, size_t n, uint64_t steps, uint64_t charges, uint64_t max_rows, size_t max_size, st_result *r) {
  c->inserted = 0;
  c->charged = 0;
  c->charges = charges;
  sqlite3_stmt_status(s, 4, 1);
  // Asked after every N steps of the statement, counted from its beginning: N is all that it may take and one more.
  if (steps < INT_MAX) sqlite3_progress_handler(c->db, (int)steps + 1, exhausted, c);
  r->rc = bind(s, args, n);
  if (r->rc == SQLITE_OK) {
    while ((r->rc = sqlite3_step(s)) == SQLITE_ROW) {
      r->columns = sqlite3_column_count(s);
      if (!take(r, s, r->columns)) {
        r->rc = SQLITE_NOMEM;
        break;
      }
      if (++r->rows > max_rows || r->size > max_size) {
        c->flags |= ST_ROWS;
        break;
      }
    }
  }
  r->columns = sqlite3_column_count(s);
  r->steps = (uint32_t)sqlite3_stmt_status(s, 4, 1);
  r->charged = c->charged;
  r->changes = sqlite3_changes64(c->db);
  r->last_row_id = c->inserted ? sqlite3_last_insert_rowid(c->db) : 0;
  sqlite3_progress_handler(c->db, 0, 0, 0);
  int rc = sqlite3_reset(s);
  if (r->rc == SQLITE_DONE) r->rc = rc;
  sqlite3_clear_bindings(s);
  r->flags = c->flags;
}

// st_rows takes rows of a statement of the engine's own until there are enough bytes; rc is SQLITE_ROW when there may be more.
void st_rows(sqlite3_stmt *s, size_t enough, st_result *r) {
  while ((r->rc = sqlite3_step(s)) == SQLITE_ROW) {
    r->columns = sqlite3_column_count(s);
    if (!take(r, s, r->columns)) {
      r->rc = SQLITE_NOMEM;
      return;
    }
    r->rows++;
    if (r->size >= enough) return;
  }
}

// st_backup copies the database as the connection's open transaction sees it, page by page, into a new file.
// It returns SQLITE_DONE at the end, SQLITE_OK never.
int st_backup(st_conn *c, const char *path, int pages) {
  sqlite3 *to = 0;
  int rc = sqlite3_open_v2(path, &to, 0x2 | 0x4 | 0x8000, 0);
  if (rc == SQLITE_OK) rc = sqlite3_exec(to, "PRAGMA synchronous=OFF", 0, 0, 0);
  if (rc == SQLITE_OK) {
    sqlite3_backup *b = sqlite3_backup_init(to, "main", c->db, "main");
    rc = b ? SQLITE_OK : sqlite3_extended_errcode(to);
    while (b && (rc = sqlite3_backup_step(b, pages)) == SQLITE_OK) {
      if (c->flags & ST_EXHAUSTED) break;
    }
    int end = b ? sqlite3_backup_finish(b) : rc;
    if (rc == SQLITE_DONE && end != SQLITE_OK) rc = end;
  }
  sqlite3_close_v2(to);
  return rc;
}
