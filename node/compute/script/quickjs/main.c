// main.c makes a command of WASI preview 1 of QuickJS: it runs the file SCRIPT as a script. What a script sees beside the language stands in
// "## JavaScript" of ../DESIGN.md. It uses no function of the host's but WASI's.
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quickjs.h"

#define SCRIPT "/script.js"   // the package's File, below the root
#define ASK "/dev/stratos" // where whoever the task works for is asked, if he is there

// STACK is how much stack in linear memory a script may take before it gets an exception; build.sh gives more, for what does not ask.
// The engine's own stack, which protocol/fuel counts, must not end first: of all recursions in the tests, JSON.stringify's takes most of
// that, 411 bytes for each one here, so 43.8 of 48 MB. A function that calls itself comes to some 400 calls.
#define STACK (104 << 10)

#define BLOCK (64 << 10)            // of input, and of output
#define MAX_STRING ((1 << 30) - 1) // QuickJS's
#define RESERVE (256 << 10)        // see no_memory
#define MAX_FRAMES 20              // that are shown of an exception, as a log is best read at its end

// ---- memory: no limit but the module's, where growing fails. A reserve is given back then, so that the exception can be made.

static void *reserve;

static void no_memory(void) {
    free(reserve);
    reserve = NULL;
}

static void *js_alloc(JSMallocState *s, size_t size) {
    void *p = malloc(size);
    if (!p) {
        no_memory();
        return NULL;
    }
    s->malloc_count++;
    s->malloc_size += malloc_usable_size(p);
    return p;
}

static void js_release(JSMallocState *s, void *p) {
    if (!p)
        return;
    s->malloc_count--;
    s->malloc_size -= malloc_usable_size(p);
    free(p);
}

static void *js_resize(JSMallocState *s, void *p, size_t size) {
    if (!p)
        return size ? js_alloc(s, size) : NULL;
    if (!size) {
        js_release(s, p);
        return NULL;
    }
    size_t before = malloc_usable_size(p);
    void *q = realloc(p, size);
    if (!q) {
        no_memory();
        return NULL;
    }
    s->malloc_size += malloc_usable_size(q) - before;
    return q;
}

static size_t js_usable(const void *p) { return malloc_usable_size((void *)p); }

static const JSMallocFunctions memory = {js_alloc, js_release, js_resize, js_usable};

// ---- bytes: a buffer that grows

typedef struct {
    uint8_t *p;
    size_t n, room;
} Bytes;

// more makes room for n bytes, and fails with an exception.
static int more(JSContext *ctx, Bytes *b, size_t n) {
    if (n > MAX_STRING - b->n) {
        JS_ThrowRangeError(ctx, "a string of more than %d bytes", MAX_STRING);
        return -1;
    }
    if (b->room - b->n >= n)
        return 0;
    size_t room = b->room / 2 * 3 > b->n + n ? b->room / 2 * 3 : b->n + n;
    uint8_t *p = js_realloc(ctx, b->p, room);
    if (!p)
        return -1;
    b->p = p;
    b->room = room;
    return 0;
}

static int append(JSContext *ctx, Bytes *b, const uint8_t *p, size_t n) {
    if (more(ctx, b, n))
        return -1;
    memcpy(b->p + b->n, p, n);
    b->n += n;
    return 0;
}

// ---- UTF-8

// sequence tells how many bytes a character takes at p; negative: how many are not one, and become one U+FFFD, as the WHATWG's decoder
// has it.
static int sequence(const uint8_t *p, size_t n) {
    uint8_t c = p[0], low = 0x80, high = 0xbf;
    int want;
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        want = 2;
    else if (c >= 0xe0 && c <= 0xef) {
        want = 3;
        if (c == 0xe0)
            low = 0xa0;
        if (c == 0xed)
            high = 0x9f; // no surrogates
    } else if (c >= 0xf0 && c <= 0xf4) {
        want = 4;
        if (c == 0xf0)
            low = 0x90;
        if (c == 0xf4)
            high = 0x8f; // nothing past U+10FFFF
    } else
        return -1;
    for (int i = 1; i < want; i++, low = 0x80, high = 0xbf)
        if ((size_t)i == n || p[i] < low || p[i] > high)
            return -i;
    return want;
}

// valid tells how many bytes at the beginning are whole characters.
static size_t valid(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n;) {
        uint64_t eight;
        if (n - i >= 8 && (memcpy(&eight, p + i, 8), (eight & 0x8080808080808080) == 0)) {
            i += 8;
            continue;
        }
        int k = sequence(p + i, n - i);
        if (k < 0)
            return i;
        i += k;
    }
    return n;
}

// repair appends text, with U+FFFD for what is no UTF-8.
static int repair(JSContext *ctx, Bytes *b, const uint8_t *p, size_t n) {
    for (;;) {
        size_t good = valid(p, n);
        if (append(ctx, b, p, good))
            return -1;
        if (good == n)
            return 0;
        size_t bad = -sequence(p + good, n - good);
        if (append(ctx, b, (const uint8_t *)"\xef\xbf\xbd", 3))
            return -1;
        p += good + bad;
        n -= good + bad;
    }
}

// text makes a string of bytes.
static JSValue text(JSContext *ctx, const uint8_t *p, size_t n) {
    if (n > MAX_STRING)
        return JS_ThrowRangeError(ctx, "a string of more than %d bytes", MAX_STRING);
    if (valid(p, n) == n)
        return JS_NewStringLen(ctx, (const char *)p, n);
    Bytes b = {0};
    JSValue v = repair(ctx, &b, p, n) ? JS_EXCEPTION : JS_NewStringLen(ctx, (const char *)b.p, b.n);
    js_free(ctx, b.p);
    return v;
}

// ---- output

static uint8_t out[BLOCK];
static size_t out_n;

static void send(int fd, const uint8_t *p, size_t n) {
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k <= 0)
            _Exit(1); // it cannot: the host takes all, or ends the task
        p += k;
        n -= k;
    }
}

static void flush(void) {
    send(1, out, out_n);
    out_n = 0;
}

static void put(const uint8_t *p, size_t n) {
    if (n > BLOCK - out_n) {
        flush();
        if (n >= BLOCK) {
            send(1, p, n);
            return;
        }
    }
    memcpy(out + out_n, p, n);
    out_n += n;
}

// The log is not kept back, but a line is one write.
static void put_log(const uint8_t *p, size_t n) { send(2, p, n); }

// put_text writes what a string has, by f. A surrogate without its other half becomes U+FFFD, which takes three bytes as it does.
static void put_text(const char *s, size_t n, void (*f)(const uint8_t *, size_t)) {
    const uint8_t *p = (const uint8_t *)s;
    while (n > 0) {
        size_t k = valid(p, n);
        if (k > 0)
            f(p, k);
        if (k == n)
            return;
        f((const uint8_t *)"\xef\xbf\xbd", 3);
        p += k + 3;
        n -= k + 3;
    }
}

static JSValue js_write(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
    size_t n;
    const char *s = JS_ToCStringLen(ctx, &n, argv[0]);
    if (!s)
        return JS_EXCEPTION;
    put_text(s, n, put);
    JS_FreeCString(ctx, s);
    return JS_UNDEFINED;
}

// js_print writes its arguments, with blanks between them, and a newline. All are made strings first.
static JSValue js_print(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv, int fd) {
    if (argc == 1 && fd == 1) {
        if (JS_IsException(js_write(ctx, this, argc, argv)))
            return JS_EXCEPTION;
        put((const uint8_t *)"\n", 1);
        return JS_UNDEFINED;
    }
    Bytes b = {0};
    for (int i = 0; i < argc; i++) {
        size_t n;
        const char *s = JS_ToCStringLen(ctx, &n, argv[i]);
        int failed = !s || (i > 0 && append(ctx, &b, (const uint8_t *)" ", 1)) || append(ctx, &b, (const uint8_t *)s, n);
        JS_FreeCString(ctx, s);
        if (failed)
            goto fail;
    }
    if (append(ctx, &b, (const uint8_t *)"\n", 1))
        goto fail;
    put_text((const char *)b.p, b.n, fd == 1 ? put : put_log);
    js_free(ctx, b.p);
    return JS_UNDEFINED;
fail:
    js_free(ctx, b.p);
    return JS_EXCEPTION;
}

// ---- input

static uint8_t in[BLOCK];
static size_t in_at, in_n;

// fill reads a block when there is none, and tells whether there is one.
static int fill(void) {
    if (in_at < in_n)
        return 1;
    ssize_t k = read(0, in, BLOCK);
    in_at = 0;
    in_n = k > 0 ? k : 0;
    return k > 0;
}

// next_line gives the next line without its newline, JS_NULL at the end.
static JSValue next_line(JSContext *ctx) {
    Bytes b = {0};
    int any = 0;
    while (fill()) {
        uint8_t *p = in + in_at, *end = memchr(p, '\n', in_n - in_at);
        size_t n = end ? (size_t)(end - p) : in_n - in_at;
        in_at += n + (end != NULL);
        if (end && !any)
            return text(ctx, p, n);
        any = 1;
        if (append(ctx, &b, p, n)) {
            js_free(ctx, b.p);
            return JS_EXCEPTION;
        }
        if (end)
            break;
    }
    JSValue v = any ? text(ctx, b.p, b.n) : JS_NULL;
    js_free(ctx, b.p);
    return v;
}

static JSValue js_read_line(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) { return next_line(ctx); }

static JSValue js_next_line(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv, int *done, int magic) {
    JSValue v = next_line(ctx);
    *done = JS_IsNull(v);
    return *done ? JS_UNDEFINED : v;
}

static JSValue js_read_all(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
    Bytes b = {0};
    while (fill()) {
        if (append(ctx, &b, in + in_at, in_n - in_at)) {
            js_free(ctx, b.p);
            return JS_EXCEPTION;
        }
        in_at = in_n;
    }
    JSValue v = text(ctx, b.p, b.n);
    js_free(ctx, b.p);
    return v;
}

// read_file appends what a file holds. What fails is an exception.
static int read_file(JSContext *ctx, const char *path, Bytes *b) {
    int fd = open(path, O_RDONLY);
    ssize_t k = fd;
    while (k >= 0) {
        if (more(ctx, b, BLOCK)) {
            close(fd);
            return -1;
        }
        k = read(fd, b->p + b->n, b->room - b->n);
        if (k == 0) {
            close(fd);
            return 0;
        }
        b->n += k > 0 ? k : 0;
    }
    int why = errno;
    if (fd >= 0)
        close(fd);
    JS_ThrowTypeError(ctx, "%s cannot be read: %s", path, strerror(why));
    return -1;
}

static JSValue js_read_file(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
    size_t n;
    const char *path = JS_ToCStringLen(ctx, &n, argv[0]);
    if (!path)
        return JS_EXCEPTION;
    Bytes b = {0};
    JSValue v;
    if (strlen(path) != n)
        v = JS_ThrowTypeError(ctx, "a path with a zero character");
    else
        v = read_file(ctx, path, &b) ? JS_EXCEPTION : text(ctx, b.p, b.n);
    js_free(ctx, b.p);
    JS_FreeCString(ctx, path);
    return v;
}

// ---- questions

static int asking = -1;

// js_say asks a line, and gives the answer without its newline.
static JSValue js_say(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
    size_t n;
    const char *s = JS_ToCStringLen(ctx, &n, argv[0]);
    if (!s)
        return JS_EXCEPTION;
    Bytes b = {0};
    JSValue v = JS_EXCEPTION;
    if (asking < 0 && (asking = open(ASK, O_RDWR)) < 0) {
        JS_ThrowTypeError(ctx, "there is nobody to be asked");
        goto end;
    }
    if (append(ctx, &b, (const uint8_t *)s, n) || append(ctx, &b, (const uint8_t *)"\n", 1))
        goto end;
    if (write(asking, b.p, b.n) != (ssize_t)b.n) {
        JS_ThrowRangeError(ctx, "a question of %d bytes is too long", (int)n);
        goto end;
    }
    b.n = 0;
    do {
        if (more(ctx, &b, BLOCK))
            goto end;
        ssize_t k = read(asking, b.p + b.n, b.room - b.n);
        if (k <= 0) {
            JS_ThrowTypeError(ctx, "there is no answer");
            goto end;
        }
        b.n += k;
    } while (b.p[b.n - 1] != '\n');
    v = text(ctx, b.p, b.n - 1);
end:
    js_free(ctx, b.p);
    JS_FreeCString(ctx, s);
    return v;
}

// ask_functions makes ask and sql.
static void ask_functions(JSContext *ctx, JSValue global) {
    static const char code[] = "(function(say,it){const ask=it.ask=function ask(o){const a=JSON.parse(say(JSON.stringify(o)));if(a.error){const e=new Error(a.error.message);e.code=a.error.code;throw e}return a};"
                               "it.sql=function sql(sql,...params){return ask({sql,params})}})";
    JSValue make = JS_Eval(ctx, code, sizeof code - 1, "ask", JS_EVAL_TYPE_GLOBAL);
    JSValue with[] = {JS_NewCFunction(ctx, js_say, "say", 1), global};
    JS_FreeValue(ctx, JS_Call(ctx, make, JS_UNDEFINED, 2, with));
}

// ---- the end

static JSValue js_exit(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
    double code = 0;
    if (!JS_IsUndefined(argv[0]) && JS_ToFloat64(ctx, &code, argv[0]))
        return JS_EXCEPTION;
    if (!(code >= 0 && code <= 255 && code == (int)code))
        return JS_ThrowRangeError(ctx, "exit takes a code of 0 to 255");
    flush();
    _Exit((int)code);
}

// complain writes an exception to the log.
static void complain(JSContext *ctx, JSValueConst e) {
    static const char unknown[] = "an exception that cannot be shown, perhaps for want of memory";
    size_t n;
    const char *s = JS_ToCStringLen(ctx, &n, e);
    put_text(s ? s : unknown, s ? n : sizeof unknown - 1, put_log);
    put_log((const uint8_t *)"\n", 1);
    if (!JS_IsError(ctx, e))
        return;
    JSValue stack = JS_GetPropertyStr(ctx, e, "stack");
    if (!JS_IsString(stack) || !(s = JS_ToCStringLen(ctx, &n, stack)))
        return;
    const char *end = s;
    for (int i = 0; i < MAX_FRAMES && (end = memchr(end, '\n', s + n - end)); i++)
        end++;
    put_text(s, end ? (size_t)(end - s) : n, put_log);
    if (end && end < s + n)
        put_log((const uint8_t *)"    ...\n", 8);
}

static void fail(JSContext *ctx) {
    flush();
    complain(ctx, JS_GetException(ctx));
    _Exit(1);
}

// Promises that were rejected and that nobody asks, in order. They matter when no job is left.
typedef struct Rejection {
    JSValue promise, reason;
    struct Rejection *next;
} Rejection;

static Rejection *rejections, **last_rejection = &rejections;

static void on_rejection(JSContext *ctx, JSValueConst promise, JSValueConst reason, JS_BOOL handled, void *opaque) {
    if (!handled) {
        Rejection *r = js_malloc(ctx, sizeof *r);
        if (!r)
            fail(ctx);
        *r = (Rejection){JS_DupValue(ctx, promise), JS_DupValue(ctx, reason), NULL};
        *last_rejection = r;
        last_rejection = &r->next;
        return;
    }
    for (Rejection **at = &rejections; *at; at = &(*at)->next) {
        Rejection *r = *at;
        if (JS_VALUE_GET_PTR(r->promise) != JS_VALUE_GET_PTR(promise))
            continue;
        *at = r->next;
        if (!r->next)
            last_rejection = at;
        JS_FreeValue(ctx, r->promise);
        JS_FreeValue(ctx, r->reason);
        js_free(ctx, r);
        return;
    }
}

// ---- numbers by chance: xoshiro256** of Blackman and Vigna, from the host's seed

static uint64_t chance[4];

static uint64_t rotate(uint64_t x, int k) { return x << k | x >> (64 - k); }

static JSValue js_random(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
    uint64_t *s = chance;
    while (!(s[0] | s[1] | s[2] | s[3]))
        if (getentropy(s, sizeof chance))
            return JS_ThrowInternalError(ctx, "there are no random numbers");
    uint64_t x = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return JS_NewFloat64(ctx, (x >> 11) * 0x1p-53);
}

// ---- what a script sees

static const JSCFunctionListEntry globals[] = {
    JS_CFUNC_MAGIC_DEF("print", 1, js_print, 1), JS_CFUNC_DEF("write", 1, js_write),        JS_CFUNC_DEF("readLine", 0, js_read_line),
    JS_CFUNC_DEF("readAll", 0, js_read_all),     JS_CFUNC_DEF("readFile", 1, js_read_file), JS_CFUNC_DEF("exit", 1, js_exit),
};

static const JSCFunctionListEntry console[] = {
    JS_CFUNC_MAGIC_DEF("log", 1, js_print, 2),   JS_CFUNC_MAGIC_DEF("info", 1, js_print, 2), JS_CFUNC_MAGIC_DEF("debug", 1, js_print, 2),
    JS_CFUNC_MAGIC_DEF("error", 1, js_print, 2), JS_CFUNC_MAGIC_DEF("warn", 1, js_print, 2),
};

static const JSCFunctionListEntry line_iterator[] = {
    JS_ITERATOR_NEXT_DEF("next", 0, js_next_line, 0),
    JS_PROP_STRING_DEF("[Symbol.toStringTag]", "Lines", JS_PROP_CONFIGURABLE),
};

#define COUNT(list) (sizeof(list) / sizeof *(list))

extern char **environ;

// lines_function makes the function that gives the iterator over lines, whose prototype is that of all iterators.
static JSValue lines_function(JSContext *ctx) {
    static const char code[] = "(function(next){const it=Object.create(Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())),"
                               "Object.getOwnPropertyDescriptors(next));return function lines(){return it}})";
    JSValue make = JS_Eval(ctx, code, sizeof code - 1, "lines", JS_EVAL_TYPE_GLOBAL), next = JS_NewObject(ctx);
    JS_SetPropertyFunctionList(ctx, next, line_iterator, COUNT(line_iterator));
    return JS_Call(ctx, make, JS_UNDEFINED, 1, &next);
}

static int see(JSContext *ctx, int argc, char **argv) {
    JSValue global = JS_GetGlobalObject(ctx), o = JS_NewObject(ctx);
    JS_SetPropertyFunctionList(ctx, global, globals, COUNT(globals));
    JS_SetPropertyFunctionList(ctx, o, console, COUNT(console));
    JS_SetPropertyStr(ctx, global, "console", o);
    JS_SetPropertyStr(ctx, global, "lines", lines_function(ctx));
    ask_functions(ctx, global);
    o = JS_GetPropertyStr(ctx, global, "Math");
    JS_DefinePropertyValueStr(ctx, o, "random", JS_NewCFunction(ctx, js_random, "random", 0), JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
    JS_FreeValue(ctx, o);
    o = JS_NewArray(ctx);
    for (int i = 1; i < argc; i++)
        JS_DefinePropertyValueUint32(ctx, o, i - 1, text(ctx, (uint8_t *)argv[i], strlen(argv[i])), JS_PROP_C_W_E);
    JS_SetPropertyStr(ctx, global, "args", o);
    o = JS_NewObjectProto(ctx, JS_NULL);
    for (char **v = environ; v && *v; v++) {
        char *value = strchr(*v, '=');
        if (!value)
            continue;
        JSValue name = text(ctx, (uint8_t *)*v, value - *v);
        JSAtom key = JS_ValueToAtom(ctx, name);
        if (key == JS_ATOM_NULL)
            return -1;
        value++;
        if (JS_HasProperty(ctx, o, key) == 0) // of several, the first counts, as for getenv
            JS_DefinePropertyValue(ctx, o, key, text(ctx, (uint8_t *)value, strlen(value)), JS_PROP_C_W_E);
    }
    return JS_SetPropertyStr(ctx, global, "env", o);
}

int main(int argc, char **argv) {
    reserve = malloc(RESERVE);
    JSRuntime *rt = JS_NewRuntime2(&memory, NULL);
    JSContext *ctx = rt ? JS_NewContext(rt) : NULL;
    Bytes raw = {0}, code = {0};
    if (!ctx)
        _Exit(1); // it has the memory that build.sh names, which suffices
    JS_SetMaxStackSize(rt, STACK);
    JS_SetHostPromiseRejectionTracker(rt, on_rejection, NULL);
    if (see(ctx, argc, argv) < 0 || read_file(ctx, SCRIPT, &raw))
        fail(ctx);
    size_t mark = raw.n >= 3 && !memcmp(raw.p, "\xef\xbb\xbf", 3) ? 3 : 0; // a byte order mark
    if (repair(ctx, &code, raw.p + mark, raw.n - mark) || append(ctx, &code, (const uint8_t *)"", 1)) // the parser wants a zero behind it
        fail(ctx);
    js_free(ctx, raw.p);
    if (JS_IsException(JS_Eval(ctx, (const char *)code.p, code.n - 1, argc > 0 ? argv[0] : SCRIPT, JS_EVAL_TYPE_GLOBAL)))
        fail(ctx);
    JSContext *of;
    int k;
    while ((k = JS_ExecutePendingJob(rt, &of)) > 0)
        ;
    if (k < 0)
        fail(of);
    flush();
    for (Rejection *r = rejections; r; r = r->next)
        complain(ctx, r->reason);
    _Exit(rejections != NULL);
}
