// Functions that replace SQLite's own: because theirs draw from the machine (random), remember what a connection did
// before (total_changes), do a table's work in one step (count), or take the product of two lengths in one (like, glob,
// instr, replace, trim), or memory without a bound (json_group_array). What they compute is what SQLite's compute.
#include "sqlite.h"

#include <stdio.h>
#include <string.h>

#include "_cgo_export.h"

static st_conn *of(sqlite3_context *x) { return sqlite3_user_data(x); }

// st_charge takes work for what a function does beyond one pass over its arguments. 0: there is no more; the run ends.
int st_charge(st_conn *c, uint64_t work) {
  if (work > c->charges || c->charged > c->charges - work) {
    c->charged = c->charges;
    c->flags |= ST_EXHAUSTED;
    return 0;
  }
  c->charged += work;
  return 1;
}

enum { PER_GAS = 32 };  // comparisons of a byte that cost what a step does

static int pay(sqlite3_context *x, uint64_t comparisons) {
  if (st_charge(of(x), comparisons / PER_GAS)) return 1;
  sqlite3_result_error(x, "exhausted", -1);
  return 0;
}

// ---- Random numbers: the key stream of ChaCha20 with a zero nonce

#define ROTATE(v, n) ((v) << (n) | (v) >> (32 - (n)))
#define QUARTER(a, b, c, d) \
  a += b; d ^= a; d = ROTATE(d, 16); c += d; b ^= c; b = ROTATE(b, 12); \
  a += b; d ^= a; d = ROTATE(d, 8); c += d; b ^= c; b = ROTATE(b, 7)

static void refill(st_conn *c) {
  uint32_t in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, w[16];
  memcpy(in + 4, c->key, 32);
  in[12] = (uint32_t)c->block;
  in[13] = (uint32_t)(c->block >> 32);
  memcpy(w, in, sizeof w);
  for (int i = 0; i < 10; i++) {
    QUARTER(w[0], w[4], w[8], w[12]); QUARTER(w[1], w[5], w[9], w[13]); QUARTER(w[2], w[6], w[10], w[14]); QUARTER(w[3], w[7], w[11], w[15]);
    QUARTER(w[0], w[5], w[10], w[15]); QUARTER(w[1], w[6], w[11], w[12]); QUARTER(w[2], w[7], w[8], w[13]); QUARTER(w[3], w[4], w[9], w[14]);
  }
  for (int i = 0; i < 16; i++) {
    uint32_t v = w[i] + in[i];
    for (int j = 0; j < 4; j++) c->stream[4 * i + j] = v >> (8 * j);
  }
  c->block++;
  c->used = 0;
}

static void draw(st_conn *c, uint8_t *b, size_t n) {
  while (n > 0) {
    if (c->used == sizeof c->stream) refill(c);
    size_t k = sizeof c->stream - c->used;
    if (k > n) k = n;
    memcpy(b, c->stream + c->used, k);
    c->used += k;
    b += k;
    n -= k;
  }
}

void st_draw(st_conn *c, uint8_t *b, size_t n) { draw(c, b, n); }

static void f_random(sqlite3_context *x, int n, sqlite3_value **a) {
  (void)n; (void)a;
  uint8_t b[8];
  uint64_t v = 0;
  draw(of(x), b, 8);
  for (int i = 0; i < 8; i++) v |= (uint64_t)b[i] << (8 * i);
  sqlite3_int64 s = (sqlite3_int64)v;
  if (s < 0) s = -(s & 0x7fffffffffffffffLL);  // as SQLite: abs() of it has a value
  sqlite3_result_int64(x, s);
}

static void f_randomblob(sqlite3_context *x, int k, sqlite3_value **a) {
  (void)k;
  sqlite3_int64 n = sqlite3_value_int64(a[0]);
  if (n < 1) n = 1;
  if (n > sqlite3_limit(of(x)->db, SQLITE_LIMIT_LENGTH, -1)) {
    sqlite3_result_error_toobig(x);
    return;
  }
  uint8_t *b = sqlite3_malloc64(n);
  if (b == 0) {
    sqlite3_result_error_nomem(x);
    return;
  }
  draw(of(x), b, n);
  sqlite3_result_blob64(x, b, n, sqlite3_free);
}

static void f_total_changes(sqlite3_context *x, int n, sqlite3_value **a) {
  (void)n; (void)a;
  sqlite3_result_int64(x, sqlite3_total_changes64(of(x)->db) - of(x)->total_before);
}

static void f_refused(sqlite3_context *x, int n, sqlite3_value **a) {
  (void)n; (void)a;
  of(x)->flags |= ST_DENIED;
  snprintf(of(x)->why, sizeof of(x)->why, "a function that asks the machine");
  sqlite3_result_error(x, "refused", -1);
}

// ---- count(): SQLite's own counts a table in one step when it is asked for nothing else

static void count_step(sqlite3_context *x, int n, sqlite3_value **a) {
  sqlite3_int64 *p = sqlite3_aggregate_context(x, sizeof *p);
  if (p && (n == 0 || sqlite3_value_type(a[0]) != SQLITE_NULL)) ++*p;
}

static void count_inverse(sqlite3_context *x, int n, sqlite3_value **a) {
  sqlite3_int64 *p = sqlite3_aggregate_context(x, sizeof *p);
  if (p && (n == 0 || sqlite3_value_type(a[0]) != SQLITE_NULL)) --*p;
}

static void count_value(sqlite3_context *x) {
  sqlite3_int64 *p = sqlite3_aggregate_context(x, 0);
  sqlite3_result_int64(x, p ? *p : 0);
}

// ---- LIKE and GLOB

static uint32_t rune(const uint8_t **z) {  // as SQLite reads UTF-8, which need not be well formed
  uint32_t c = *(*z)++;
  if (c < 0xc0) return c;
  c &= c < 0xe0 ? 0x1f : c < 0xf0 ? 0x0f : c < 0xf8 ? 0x07 : c < 0xfc ? 0x03 : c < 0xfe ? 0x01 : 0x00;
  while ((**z & 0xc0) == 0x80) c = (c << 6) + (0x3f & *(*z)++);
  if (c < 0x80 || (c & 0xfffff800) == 0xd800 || (c & 0xfffffffe) == 0xfffe) c = 0xfffd;
  return c;
}

static uint32_t lower(uint32_t c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

static void skip(const uint8_t **z) {
  if (*(*z)++ >= 0xc0)
    while ((**z & 0xc0) == 0x80) ++*z;
}

typedef struct { uint32_t all, one, other; int set, fold; uint64_t work, limit; } matcher;
enum { MATCH, NO_MATCH, NO_WILD };  // NO_WILD: nor would it with a longer run for the wildcard before

static int match(const uint8_t *p, const uint8_t *s, matcher *m) {
  const uint8_t *escaped = 0;
  uint32_t c, d;
  while ((c = rune(&p)) != 0) {
    if (++m->work > m->limit) return NO_WILD;
    if (c == m->all) {
      while ((c = rune(&p)) == m->all || (c == m->one && m->one != 0))
        if (c == m->one && rune(&s) == 0) return NO_WILD;
      if (c == 0) return MATCH;
      const uint8_t *rest = p;
      if (c == m->other) {
        if (!m->set) {
          c = rune(&p);
          if (c == 0) return NO_WILD;
          rest = p;
        } else {
          while (*s) {
            int r = match(p - 1, s, m);
            if (r != NO_MATCH) return r;
            skip(&s);
            m->work++;
          }
          return NO_WILD;
        }
      }
      while ((d = rune(&s)) != 0) {
        if (++m->work > m->limit) return NO_WILD;
        if (d != c && !(m->fold && c < 0x80 && d < 0x80 && lower(c) == lower(d))) continue;
        int r = match(rest, s, m);
        if (r != NO_MATCH) return r;
      }
      return NO_WILD;
    }
    if (c == m->other) {
      if (!m->set) {
        c = rune(&p);
        if (c == 0) return NO_MATCH;
        escaped = p;
      } else {
        uint32_t prior = 0;
        int seen = 0, invert = 0;
        c = rune(&s);
        if (c == 0) return NO_MATCH;
        d = rune(&p);
        if (d == '^') {
          invert = 1;
          d = rune(&p);
        }
        if (d == ']') {
          if (c == ']') seen = 1;
          d = rune(&p);
        }
        while (d && d != ']') {
          m->work++;
          if (d == '-' && p[0] != ']' && p[0] != 0 && prior > 0) {
            d = rune(&p);
            if (c >= prior && c <= d) seen = 1;
            prior = 0;
          } else {
            if (c == d) seen = 1;
            prior = d;
          }
          d = rune(&p);
        }
        if (d == 0 || (seen ^ invert) == 0) return NO_MATCH;
        continue;
      }
    }
    d = rune(&s);
    if (c == d || (m->fold && c < 0x80 && d < 0x80 && lower(c) == lower(d))) continue;
    if (c == m->one && p != escaped && d != 0) continue;
    return NO_MATCH;
  }
  return *s == 0 ? MATCH : NO_MATCH;
}

static void matches(sqlite3_context *x, int n, sqlite3_value **a, matcher m) {
  st_conn *c = of(x);
  if (sqlite3_value_bytes(a[0]) > sqlite3_limit(c->db, 8, -1)) {
    sqlite3_result_error(x, "LIKE or GLOB pattern too complex", -1);
    return;
  }
  if (n == 3) {
    const uint8_t *e = sqlite3_value_text(a[2]);
    if (e == 0) return;
    uint32_t escape = *e ? rune(&e) : 0;
    if (escape == 0 || *e) {
      sqlite3_result_error(x, "ESCAPE expression must be a single character", -1);
      return;
    }
    m.other = escape;
    if (escape == m.all) m.all = 0;
    if (escape == m.one) m.one = 0;
  }
  const uint8_t *pattern = sqlite3_value_text(a[0]), *text = sqlite3_value_text(a[1]);
  if (pattern == 0 || text == 0) return;
  uint64_t left = c->charges - c->charged;
  m.limit = left > UINT64_MAX / PER_GAS - 1 ? UINT64_MAX : (left + 1) * PER_GAS - 1;
  int r = match(pattern, text, &m);
  if (pay(x, m.work)) sqlite3_result_int64(x, r == MATCH);
}

static void f_like(sqlite3_context *x, int n, sqlite3_value **a) {
  matches(x, n, a, (matcher){.all = '%', .one = '_', .fold = 1});
}

static void f_glob(sqlite3_context *x, int n, sqlite3_value **a) {
  matches(x, n, a, (matcher){.all = '*', .one = '?', .other = '[', .set = 1});
}

// ---- instr, replace, trim

static void f_instr(sqlite3_context *x, int k, sqlite3_value **a) {
  (void)k;
  int th = sqlite3_value_type(a[0]), tn = sqlite3_value_type(a[1]);
  if (th == SQLITE_NULL || tn == SQLITE_NULL) return;
  int blobs = th == SQLITE_BLOB && tn == SQLITE_BLOB;
  sqlite3_value *dh = 0, *dn = 0, *vh = a[0], *vn = a[1];
  if (!blobs && (th == SQLITE_BLOB || tn == SQLITE_BLOB)) {  // not to change what is the caller's
    vh = dh = sqlite3_value_dup(a[0]);
    vn = dn = sqlite3_value_dup(a[1]);
  }
  const uint8_t *h = blobs ? sqlite3_value_blob(vh) : sqlite3_value_text(vh), *s = blobs ? sqlite3_value_blob(vn) : sqlite3_value_text(vn);
  int nh = sqlite3_value_bytes(vh), ns = sqlite3_value_bytes(vn), at = 1;
  uint64_t work = 0, limit = (of(x)->charges - of(x)->charged + 1) * PER_GAS;
  if (ns > 0) {
    while (ns <= nh) {
      work++;
      if (h[0] == s[0]) {
        work += ns / 16;
        if (memcmp(h, s, ns) == 0) break;
      }
      if (work > limit) break;
      at++;
      do {
        nh--;
        h++;
      } while (!blobs && nh > 0 && (h[0] & 0xc0) == 0x80);
    }
    if (ns > nh) at = 0;
  }
  if (pay(x, work)) sqlite3_result_int64(x, at);
  sqlite3_value_free(dh);
  sqlite3_value_free(dn);
}

static void f_replace(sqlite3_context *x, int k, sqlite3_value **a) {
  (void)k;
  const uint8_t *s = sqlite3_value_text(a[0]);
  if (s == 0) return;
  sqlite3_int64 n = sqlite3_value_bytes(a[0]), out = 0, limit = sqlite3_limit(of(x)->db, SQLITE_LIMIT_LENGTH, -1);
  const uint8_t *p = sqlite3_value_text(a[1]);
  if (p == 0) return;
  if (p[0] == 0) {
    sqlite3_result_text64(x, (const char *)s, n, SQLITE_TRANSIENT, SQLITE_UTF8);
    return;
  }
  sqlite3_int64 np = sqlite3_value_bytes(a[1]);
  const uint8_t *r = sqlite3_value_text(a[2]);
  if (r == 0) return;
  sqlite3_int64 nr = sqlite3_value_bytes(a[2]);
  uint64_t work = 0, most = (of(x)->charges - of(x)->charged + 1) * PER_GAS;
  uint8_t *b = 0;
  for (int pass = 0; pass < 2; pass++) {  // the first counts, the second writes
    out = 0;
    for (sqlite3_int64 i = 0; i < n;) {
      int same = 0;
      if (pass == 0) work++;
      if (i + np <= n && s[i] == p[0]) {
        if (pass == 0) work += np / 16;
        same = memcmp(s + i, p, np) == 0;
      }
      if (same) {
        if (b) memcpy(b + out, r, nr);
        out += nr;
        i += np;
      } else {
        if (b) b[out] = s[i];
        out++;
        i++;
      }
      if (work > most) break;
    }
    if (pass == 0) {
      if (!pay(x, work)) return;
      if (out > limit) {
        sqlite3_result_error_toobig(x);
        return;
      }
      if ((b = sqlite3_malloc64(out + 1)) == 0) {
        sqlite3_result_error_nomem(x);
        return;
      }
    }
  }
  sqlite3_result_text64(x, (const char *)b, out, sqlite3_free, SQLITE_UTF8);
}

static void trims(sqlite3_context *x, int n, sqlite3_value **a, int left, int right) {
  if (sqlite3_value_type(a[0]) == SQLITE_NULL) return;
  const uint8_t *s = sqlite3_value_text(a[0]), *set = (const uint8_t *)" ";
  if (s == 0) return;
  sqlite3_int64 size = sqlite3_value_bytes(a[0]);
  if (n == 2 && (set = sqlite3_value_text(a[1])) == 0) return;
  uint64_t work = 0, most = (of(x)->charges - of(x)->charged + 1) * PER_GAS;
  for (int end = 0; end < 2; end++) {
    if (!(end ? right : left)) continue;
    for (int found = 1; found && size > 0 && work <= most;) {
      found = 0;
      for (const uint8_t *z = set; *z && !found; work++) {
        const uint8_t *from = z;
        skip(&z);
        sqlite3_int64 k = z - from;
        if (k > size || memcmp(end ? s + size - k : s, from, k) != 0) continue;
        found = 1;
        size -= k;
        if (!end) s += k;
      }
    }
  }
  if (pay(x, work)) sqlite3_result_text64(x, (const char *)s, size, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static void f_trim(sqlite3_context *x, int n, sqlite3_value **a) { trims(x, n, a, 1, 1); }
static void f_ltrim(sqlite3_context *x, int n, sqlite3_value **a) { trims(x, n, a, 1, 0); }
static void f_rtrim(sqlite3_context *x, int n, sqlite3_value **a) { trims(x, n, a, 0, 1); }

// ---- json_group_array, json_group_object

typedef struct { char *b; sqlite3_int64 n, cap; int failed; } text;

static void put(sqlite3_context *x, text *t, const char *b, sqlite3_int64 n) {
  if (t->failed) return;
  if (t->n + n > sqlite3_limit(of(x)->db, SQLITE_LIMIT_LENGTH, -1)) {
    t->failed = SQLITE_TOOBIG;
    return;
  }
  if (t->n + n > t->cap) {
    sqlite3_int64 want = 2 * (t->n + n) + 64;
    char *p = sqlite3_realloc64(t->b, want);
    if (p == 0) {
      t->failed = SQLITE_NOMEM;
      return;
    }
    t->b = p;
    t->cap = want;
  }
  memcpy(t->b + t->n, b, n);
  t->n += n;
}

static void put_quoted(sqlite3_context *x, text *t, const char *b, sqlite3_int64 n) {
  put(x, t, "\"", 1);
  for (sqlite3_int64 i = 0, from = 0; i <= n && !t->failed; i++) {
    unsigned char ch = i < n ? b[i] : 0;
    if (i < n && ch >= 0x20 && ch != '"' && ch != '\\') continue;
    put(x, t, b + from, i - from);
    from = i + 1;
    if (i == n) break;
    static const char plain[] = "\b\f\n\r\t", letters[] = "bfnrt";
    char e[8];
    const char *p = ch ? strchr(plain, ch) : 0;
    if (ch == '"' || ch == '\\') snprintf(e, sizeof e, "\\%c", ch);
    else if (p) snprintf(e, sizeof e, "\\%c", letters[p - plain]);
    else snprintf(e, sizeof e, "\\u%04x", ch);
    put(x, t, e, strlen(e));
  }
  put(x, t, "\"", 1);
}

static void put_json(sqlite3_context *x, text *t, sqlite3_value *v) {
  const char *b;
  switch (sqlite3_value_type(v)) {
    case SQLITE_NULL: put(x, t, "null", 4); break;
    case SQLITE_INTEGER: case SQLITE_FLOAT:
      b = (const char *)sqlite3_value_text(v);
      if (b == 0) t->failed = SQLITE_NOMEM;
      else if (strcmp(b, "Inf") == 0) put(x, t, "9e999", 5);
      else if (strcmp(b, "-Inf") == 0) put(x, t, "-9e999", 6);
      else put(x, t, b, sqlite3_value_bytes(v));
      break;
    case SQLITE_TEXT:
      b = (const char *)sqlite3_value_text(v);
      if (sqlite3_value_subtype(v) == 'J') put(x, t, b, sqlite3_value_bytes(v));
      else put_quoted(x, t, b, sqlite3_value_bytes(v));
      break;
    default: if (!t->failed) t->failed = SQLITE_ERROR;
  }
}

static void group_step(sqlite3_context *x, int n, sqlite3_value **a) {
  text *t = sqlite3_aggregate_context(x, sizeof *t);
  if (t == 0) return;
  if (n == 2 && sqlite3_value_type(a[0]) == SQLITE_NULL) return;
  put(x, t, t->n == 0 ? (n == 2 ? "{" : "[") : ",", 1);
  if (n == 2) {
    put_quoted(x, t, (const char *)sqlite3_value_text(a[0]), sqlite3_value_bytes(a[0]));
    put(x, t, ":", 1);
  }
  put_json(x, t, a[n - 1]);
}

static void group_final(sqlite3_context *x, const char *empty, const char *close) {
  text *t = sqlite3_aggregate_context(x, 0);
  if (t) put(x, t, t->n ? close : empty, t->n ? 1 : 2);
  if (t && t->failed) {
    if (t->failed == SQLITE_TOOBIG) sqlite3_result_error_toobig(x);
    else if (t->failed == SQLITE_NOMEM) sqlite3_result_error_nomem(x);
    else sqlite3_result_error(x, "JSON cannot hold BLOB values", -1);
    sqlite3_free(t->b);
    return;
  }
  if (t) sqlite3_result_text64(x, t->b, t->n, sqlite3_free, SQLITE_UTF8);
  else sqlite3_result_text64(x, empty, 2, SQLITE_TRANSIENT, SQLITE_UTF8);
  sqlite3_result_subtype(x, 'J');
}

static void array_final(sqlite3_context *x) { group_final(x, "[]", "]"); }
static void object_final(sqlite3_context *x) { group_final(x, "{}", "}"); }

int st_functions(st_conn *c) {
  enum { VOLATILE = SQLITE_UTF8 | SQLITE_INNOCUOUS, PURE = VOLATILE | SQLITE_DETERMINISTIC, JSON = PURE | SQLITE_SUBTYPE | SQLITE_RESULT_SUBTYPE };
  static const struct { const char *name; int args, flags; void (*f)(sqlite3_context *, int, sqlite3_value **); } scalars[] = {
    {"random", 0, VOLATILE, f_random}, {"randomblob", 1, VOLATILE, f_randomblob}, {"total_changes", 0, VOLATILE, f_total_changes},
    {"like", 2, PURE, f_like}, {"like", 3, PURE, f_like}, {"glob", 2, PURE, f_glob}, {"instr", 2, PURE, f_instr},
    {"replace", 3, PURE, f_replace}, {"trim", 1, PURE, f_trim}, {"trim", 2, PURE, f_trim}, {"ltrim", 1, PURE, f_ltrim},
    {"ltrim", 2, PURE, f_ltrim}, {"rtrim", 1, PURE, f_rtrim}, {"rtrim", 2, PURE, f_rtrim},
    // Denied by the authorizer too; but a default expression is not always shown to it.
    {"sqlite_version", 0, VOLATILE, f_refused}, {"sqlite_source_id", 0, VOLATILE, f_refused}, {"sqlite_log", 2, VOLATILE, f_refused},
    {"sqlite_compileoption_get", 1, VOLATILE, f_refused}, {"sqlite_compileoption_used", 1, VOLATILE, f_refused},
    {"load_extension", 1, VOLATILE, f_refused}, {"load_extension", 2, VOLATILE, f_refused}, {"fts3_tokenizer", 1, VOLATILE, f_refused},
    {"fts3_tokenizer", 2, VOLATILE, f_refused}, {"json_patch", 2, VOLATILE, f_refused}, {"jsonb_patch", 2, VOLATILE, f_refused},
    {"json_pretty", 1, VOLATILE, f_refused}, {"json_pretty", 2, VOLATILE, f_refused}};
  int rc = SQLITE_OK;
  for (size_t i = 0; i < sizeof scalars / sizeof *scalars && rc == SQLITE_OK; i++)
    rc = sqlite3_create_function_v2(c->db, scalars[i].name, scalars[i].args, scalars[i].flags, c, scalars[i].f, 0, 0, 0);
  for (int n = 0; n < 2 && rc == SQLITE_OK; n++)
    rc = sqlite3_create_window_function(c->db, "count", n, PURE, c, count_step, count_value, count_value, count_inverse, 0);
  if (rc == SQLITE_OK) rc = sqlite3_create_function_v2(c->db, "json_group_array", 1, JSON, c, 0, group_step, array_final, 0);
  if (rc == SQLITE_OK) rc = sqlite3_create_function_v2(c->db, "json_group_object", 2, JSON, c, 0, group_step, object_final, 0);
  return rc;
}

// ---- Functions in Go

typedef struct { st_conn *conn; uintptr_t id; } bound;

static void go_scalar(sqlite3_context *x, int n, sqlite3_value **a) {
  bound *b = sqlite3_user_data(x);
  stratosScalar(b->id, b->conn, x, n, a);
}

static void go_step(sqlite3_context *x, int n, sqlite3_value **a) {
  bound *b = sqlite3_user_data(x);
  uintptr_t *at = sqlite3_aggregate_context(x, sizeof *at);
  if (at) *at = stratosStep(b->id, *at, b->conn, x, n, a);
}

static void go_final(sqlite3_context *x) {
  bound *b = sqlite3_user_data(x);
  uintptr_t *at = sqlite3_aggregate_context(x, 0);
  stratosFinal(b->id, at ? *at : 0, b->conn, x);
}

static void go_value(sqlite3_context *x) {
  bound *b = sqlite3_user_data(x);
  uintptr_t *at = sqlite3_aggregate_context(x, 0);
  stratosValue(b->id, at ? *at : 0, b->conn, x);
}

static void go_inverse(sqlite3_context *x, int n, sqlite3_value **a) {
  bound *b = sqlite3_user_data(x);
  uintptr_t *at = sqlite3_aggregate_context(x, 0);
  if (at && *at) stratosInverse(b->id, *at, b->conn, x, n, a);
}

static int go_compare(void *p, int na, const void *a, int nb, const void *b) {
  return stratosCompare(((bound *)p)->id, (void *)a, na, (void *)b, nb);
}

static bound *bind_to(st_conn *c, uintptr_t id) {
  bound *b = sqlite3_malloc64(sizeof *b);
  if (b) *b = (bound){c, id};
  return b;
}

int st_function(st_conn *c, const char *name, int args, int aggregate, int is_volatile, uintptr_t id) {
  bound *b = bind_to(c, id);
  if (b == 0) return SQLITE_NOMEM;
  int flags = SQLITE_UTF8 | SQLITE_INNOCUOUS | (is_volatile ? 0 : SQLITE_DETERMINISTIC);
  if (aggregate == 2) return sqlite3_create_window_function(c->db, name, args, flags, b, go_step, go_final, go_value, go_inverse, sqlite3_free);
  return sqlite3_create_function_v2(c->db, name, args, flags, b, aggregate ? 0 : go_scalar, aggregate ? go_step : 0, aggregate ? go_final : 0, sqlite3_free);
}

int st_collation(st_conn *c, const char *name, uintptr_t id) {
  bound *b = bind_to(c, id);
  if (b == 0) return SQLITE_NOMEM;
  int rc = sqlite3_create_collation_v2(c->db, name, SQLITE_UTF8, b, go_compare, sqlite3_free);
  if (rc) sqlite3_free(b);
  return rc;
}

void st_result_text(sqlite3_context *x, const char *b, size_t n) { sqlite3_result_text64(x, b ? b : "", n, SQLITE_TRANSIENT, SQLITE_UTF8); }
void st_result_blob(sqlite3_context *x, const void *b, size_t n) { sqlite3_result_blob64(x, b ? b : "", n, SQLITE_TRANSIENT); }
