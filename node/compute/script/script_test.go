package script_test

import (
	"crypto/sha256"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute/script"
	"github.com/stratosmesh/stratos/protocol/fuel"
)

func TestHash(t *testing.T) {
	if got := sha256.Sum256([]byte(script.Module())); got != script.Hash() {
		t.Fatalf("the module is %x, the code says %x", got, script.Hash())
	}
}

func TestIs(t *testing.T) {
	for _, c := range []struct {
		path string
		is   bool
		kind mesh.Kind
	}{{"a/map.js", true, 0}, {"map.wasm", false, 0}, {"js", false, 0}, {"map.mjs", false, mesh.Invalid}, {"map.ts", false, mesh.Invalid}, {"map.cjs", false, mesh.Invalid}} {
		if is, err := script.Is(c.path); is != c.is || (err != nil) != (c.kind != 0) || err != nil && mesh.KindOf(err) != c.kind {
			t.Errorf("%s: %v, %v", c.path, is, err)
		}
	}
}

const bad = "\uFFFD"

// TestFunctions tries what a script sees.
func TestFunctions(t *testing.T) {
	e := newEngine(t, testPages)
	long := strings.Repeat("0123456789", 20_000)
	for _, c := range []struct {
		name, script, input, out, log string
		code                          uint32
	}{
		{name: "print", script: `print("a", 1, null); print(); print("ü€😀")`, out: "a 1 null\n\nü€😀\n"},
		{name: "print throws whole", script: `print("a", Symbol())`, log: "TypeError: cannot convert symbol to string\n    at print (native)\n    at <eval> (test.js:1:6)\n", code: 1},
		{name: "console", script: `console.log("l", [1, 2]); console.info("i"); console.debug("d"); console.error("e", 1); console.warn("w")`, log: "l 1,2\ni\nd\ne 1\nw\n"},
		{name: "write", script: `write("a"); write(1); write(); write("b\n")`, out: "a1undefinedb\n"},
		{name: "write much", script: `const s = "0123456789".repeat(20000); write("<"); write(s); write(">"); for (let i = 0; i < 20000; i++) write("0123456789")`, out: "<" + long + ">" + long},
		{name: "surrogates", script: `write("a\ud83d!\udc00\ud83d\ude00"); console.error("\udc00")`, out: "a" + bad + "!" + bad + "😀", log: bad + "\n"},
		{name: "readLine", script: `for (let l; (l = readLine()) !== null;) print("<" + l + ">"); print(readLine())`, input: "a\n\nb\r\nlast", out: "<a>\n<>\n<b\r>\n<last>\nnull\n"},
		{name: "readLine of nothing", script: `print(readLine())`, out: "null\n"},
		{name: "long lines", script: `for (const l of lines()) print(l.length)`, input: long + "\n" + long + long + "\nx", out: "200000\n400000\n1\n"},
		{name: "lines", script: `for (const l of lines()) { print(l); if (l == "b") break } print(readLine(), [...lines()], lines().next().done, Object.prototype.toString.call(lines()))`,
			input: "a\nb\nc\nd\ne\n", out: "a\nb\nc d,e true [object Lines]\n"},
		{name: "readAll", script: `const l = readLine(), s = readAll(); print(l, s.length, s == "0123456789".repeat(20000) + "\n", readAll() === "", readLine())`, input: "x\n" + long + "\n", out: "x 200001 true true null\n"},
		{name: "no UTF-8", script: `for (const l of lines()) print(l)`,
			input: "a\xffb\n\xc0\xaf\n\xe0\x80\x80\n\xed\xa0\x80\n\xf0\x9f\x98\n\xf0\x9f\x98\x80\n\xf4\x90\x80\x80\n\xc3\n\xe2\x82\xac\n\xc3\xa9\x80\x00.\n",
			out:   "a" + bad + "b\n" + bad + bad + "\n" + strings.Repeat(bad, 3) + "\n" + strings.Repeat(bad, 3) + "\n" + bad + "\n😀\n" + strings.Repeat(bad, 4) + "\n" + bad + "\n€\né" + bad + "\x00.\n"},
		{name: "readFile", script: `print(readFile("/in/x.txt"), readFile("in/x.txt").length, readFile("in/../in/x.txt").length)`, out: "h\u00e9llo" + bad + " 6 6\n"},
		{name: "readFile of none", script: `try { readFile("/no") } catch (e) { print(e) } readFile("/in")`, out: "TypeError: /no cannot be read: No such file or directory\n",
			log: "TypeError: /in cannot be read: Is a directory\n    at readFile (native)\n    at <eval> (test.js:1:56)\n", code: 1},
		{name: "readFile of an odd path", script: `try { readFile("in/x.txt\0y") } catch (e) { print(e.message) } try { readFile() } catch (e) { print(e.message) } try { readFile("../etc/passwd") } catch (e) { print(e.message) }`,
			out: "a path with a zero character\nundefined cannot be read: No such file or directory\n../etc/passwd cannot be read: No such file or directory\n"},
		{name: "args", script: `print(JSON.stringify(args), Array.isArray(args))`, out: "[\"x\",\"\",\"\u00fc\"] true\n"},
		{name: "env", script: `print(env.A, env.E === "", env.__proto__, env.toString, Object.keys(env))`, out: "1 true p undefined A,E,__proto__\n"},
		{name: "exit", script: `print("a"); console.error("b"); Promise.resolve().then(() => print("never")); exit(7); print("never")`, out: "a\n", log: "b\n", code: 7},
		{name: "exit without", script: `exit()`},
		{name: "exit with much", script: `for (const c of [-1, 256, 1.5, NaN, "x"]) try { exit(c) } catch (e) { print(e.message) } exit("255")`, out: strings.Repeat("exit takes a code of 0 to 255\n", 5), code: 255},
		{name: "syntax", script: "let a = 1;\nlet b = ;\n", log: "SyntaxError: unexpected token in expression: ';'\n    at test.js:2:9\n", code: 1},
		{name: "uncaught", script: "print('a');\nfunction f() {\n  null.x }\nf()", out: "a\n", log: "TypeError: cannot read property 'x' of null\n    at f (test.js:3:7)\n    at <eval> (test.js:4:2)\n", code: 1},
		{name: "uncaught other", script: `throw {toString() { return "it" }}`, log: "it\n", code: 1},
		{name: "uncaught odd", script: `throw Symbol()`, log: "an exception that cannot be shown, perhaps for want of memory\n", code: 1},
		{name: "jobs", script: `(async () => { await null; print(2); await null; print(3) })(); print(1)`, out: "1\n2\n3\n"},
		{name: "job throws", script: `Promise.resolve().then(() => { throw "late" }); Promise.resolve().then(() => print("other"))`, out: "other\n", log: "late\n", code: 1},
		{name: "rejections", script: `const p = Promise.reject("handled"), q = Promise.reject("x"), r = Promise.reject("y"); Promise.resolve().then(() => { p.catch(() => {}); r.catch(() => {}) }); Promise.reject("z")`,
			log: "x\nz\n", code: 1},
		{name: "clock", script: `print(new Date(Math.floor(Date.now() / 1e3) * 1e3).toISOString(), new Date().getTimezoneOffset(), new Date(2020, 5, 1).toISOString())`, out: "2023-11-14T22:13:20.000Z 0 2020-06-01T00:00:00.000Z\n"},
		{name: "random", script: `let least = 1, most = 0, sum = 0; for (let i = 0; i < 1e4; i++) { const x = Math.random(); least = Math.min(least, x); most = Math.max(most, x); sum += x } print(least >= 0 && least < 1e-3, most < 1 && most > 0.999, Math.abs(sum - 5e3) < 150)`,
			out: "true true true\n"},
		{name: "random elsewhere", script: `print(Math.random.name, Math.random.length, Object.keys(Math))`, out: "random 0 \n"},
		{name: "byte order mark", script: "\uFEFFprint(1)", out: "1\n"},
		{name: "hash bang", script: "#!/usr/bin/env node\nprint(1)", out: "1\n"},
		{name: "script in no UTF-8", script: "print('\xff')", out: bad + "\n"},
		{name: "empty"},
		{name: "nothing else", script: `print(typeof require, typeof process, typeof std, typeof os, typeof fetch, typeof setTimeout, typeof Atomics, typeof SharedArrayBuffer)`,
			out: strings.Repeat("undefined ", 6) + "undefined function\n"},
		{name: "language", script: `class A { #x = 1n; get x() { return this.#x ** 70n } } print(new A().x, [3, 1, 2].toSorted(), "aXbX".replaceAll("X", "-"), /(?<y>\d{4})/u.exec("in 2024").groups.y, {...{a: 1}}?.a ?? 2, new Map([[1, 2]]).size, 0.1 + 0.2, parseFloat("1e21"), (25).toString(36), JSON.stringify({a: [1, "é"]}), "straße".toUpperCase(), "e\u0301".normalize("NFC").length)`,
			out: "1 1,2,3 a-b- 2024 1 1 0.30000000000000004 1e+21 p {\"a\":[1,\"é\"]} STRASSE 1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := e.run(t, task{script: c.script, args: []string{"x", "", "ü"}, env: []string{"A=1", "A=2", "E=", "__proto__=p"}, input: strings.NewReader(c.input), files: map[string]string{"in/x.txt": "h\u00e9llo\xff"}})
			if r.out != c.out || r.log != c.log || r.code != c.code || r.trap != "" || r.outcome != fuel.Within {
				t.Errorf("gave %.300q and the log %q, code %d, outcome %d %s\nwant %.300q and the log %q, code %d", r.out, r.log, r.code, r.outcome, r.trap, c.out, c.log, c.code)
			}
		})
	}
}

// TestSame has the same fuel and output whatever portions the input comes in, on one processor and on two; the seed is all that random
// numbers depend on.
func TestSame(t *testing.T) {
	e := newEngine(t, testPages)
	input := strings.Repeat("some words ü of input\n", 20_000)
	c := task{script: `const n = new Map(); for (const l of lines()) for (const w of l.split(" ")) n.set(w, (n.get(w) ?? 0) + 1);
		for (const [w, k] of n) print(w, k, Math.random(), Math.sqrt(k)); console.error(Date.now()); [].x.y`}
	c.input = strings.NewReader(input)
	first := e.run(t, c)
	if first.code != 1 || !strings.HasPrefix(first.out, "some 20000 0.") {
		t.Fatalf("%+v", first)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i := range 4 {
		runtime.GOMAXPROCS(1 + i%2)
		if c.input = strings.NewReader(input); i >= 2 {
			c.input = iotest.HalfReader(c.input)
		}
		if got := e.run(t, c); got != first {
			t.Errorf("run %d gave %+v, the first %+v", i, got, first)
		}
	}
	c.seed, c.input = 1, strings.NewReader(input)
	if got := e.run(t, c); got.out == first.out {
		t.Error("another seed gives the same random numbers")
	}
}

// TestExhausted: scripts that take all they can end for want of fuel, at the same place each time.
func TestExhausted(t *testing.T) {
	e := newEngine(t, testPages)
	for name, s := range map[string]string{
		"loop":               `for (;;);`,
		"caught loop":        `for (;;) try { f() } catch { }`,
		"jobs":               `const f = () => Promise.resolve().then(f); f()`,
		"regular expression": `/(a+)+b/.exec("a".repeat(100))`,
		"join":               `new Array(1e9).join("xx")`,
		"replace":            `"x".repeat(1e5).replace(/x/g, "y".repeat(1e6))`,
		"toString":           `throw {toString() { for (;;); }}`,
		"sort":               `Array.from({length: 1e4}, (_, i) => i).sort(() => { for (;;); })`,
		"BigInt":             `let x = 3n; for (;;) x = x * x % (1n << 100000n)`,
		"array":              `new Array(4294967295).indexOf(1); const a = []; a.length = 4294967295; a.reverse()`,
	} {
		t.Run(name, func(t *testing.T) {
			r := e.run(t, task{script: s, budget: 1 << 33})
			if r.outcome != fuel.OutOfFuel {
				t.Errorf("outcome %d, code %d, %d fuel, %s%s", r.outcome, r.code, r.used, r.log, r.trap)
			}
		})
	}
}

// TestMemory: what does not fit into the module's memory is an exception that can be caught, and the script goes on. Where there is no memory
// for the exception either, it is null.
func TestMemory(t *testing.T) {
	e := newEngine(t, 320)
	large := strings.Repeat("x", 30<<20)
	for name, c := range map[string]struct{ script, say string }{
		"array":       {`const a = []; for (;;) a.push({})`, "out of memory"},
		"string":      {`let s = "x"; for (;;) s += s`, "out of memory|string too long"},
		"wide string": {`let s = "€"; for (;;) s = s + s + "x"`, "out of memory|string too long"},
		"repeat":      {`"x".repeat(1e9)`, "out of memory"},
		"repeat much": {`"x".repeat(2 ** 30)`, "invalid string length|invalid repeat count"},
		"padding":     {`"x".padStart(1e9)`, "out of memory"},
		"buffer":      {`new ArrayBuffer(2 ** 31)`, "out of memory|invalid array buffer length"},
		"typed":       {`new Float64Array(1e8)`, "out of memory"},
		"BigInt":      {`1n << (1n << 20n)`, "BigInt is too large to allocate"},
		"closures":    {`let f = null; for (;;) { const g = f; f = () => g }`, "out of memory"},
		"symbols":     {`const m = []; for (let i = 0;; i++) m.push(Symbol("s" + i))`, "out of memory"},
		"names":       {`const o = {}; for (let i = 0;; i++) o["k" + i] = i`, "out of memory"},
		"JSON":        {`JSON.stringify(new Array(2e7).fill("xxxxxxxx"))`, "out of memory"},
		"regexp":      {`/^(?:a|b)*$/.exec("ab".repeat(1e7))`, "out of memory in regexp execution"},
		"input":       {`readAll()`, "out of memory"},
		"line":        {`readLine()`, "out of memory"},
		"printed":     {`const s = "x".repeat(5e6); print(s, s, s, s)`, "out of memory"},
		"file":        {`readFile("large")`, "out of memory"},
		"generators":  {`const g = []; function* f() { yield 1 } for (;;) { const h = f(); h.next(); g.push(h) }`, "out of memory"},
		"errors":      {`const e = new Error("m"); e.cause = e; const a = []; for (;;) a.push(new Error("x", {cause: e}))`, "undefined"},
	} {
		t.Run(name, func(t *testing.T) {
			body := c.script
			r := e.run(t, task{script: `"use strict"; let said; try { (() => {` + body + `})() } catch (e) { said = e?.message } const a = []; for (let i = 0; i < 1000; i++) a.push({i}); print(said, a.length)`,
				input: strings.NewReader(large), files: map[string]string{"large": large}, budget: 1 << 36})
			said := strings.TrimSuffix(r.out, " 1000\n")
			found := false
			for _, s := range strings.Split(c.say, "|") {
				found = found || said == s
			}
			if !found || r.code != 0 || r.outcome != fuel.Within || r.trap != "" {
				t.Errorf("gave %.200q and the log %.200q, code %d, outcome %d, %d fuel, %s", r.out, r.log, r.code, r.outcome, r.used, r.trap)
			}
			r = e.run(t, task{script: body, input: strings.NewReader(large), files: map[string]string{"large": large}, budget: 1 << 36})
			if r.code != 1 || r.outcome != fuel.Within || r.log == "" {
				t.Errorf("uncaught: the log %.200q, code %d, outcome %d, %d fuel, %s", r.log, r.code, r.outcome, r.used, r.trap)
			}
		})
	}
}

// TestSmallMemory: where the module fits, a script begins.
func TestSmallMemory(t *testing.T) {
	if r := newEngine(t, 16).run(t, task{script: `print("began")`}); r.out != "began\n" || r.code != 0 {
		t.Errorf("with 1 MiB: %+v", r)
	}
	if _, err := fuel.Meter([]byte(script.Module()), fuel.Options{MemoryPages: 15}); mesh.KindOf(err) != mesh.Exhausted {
		t.Errorf("with less: %v", err)
	}
}

// TestRecursion: whoever nests calls too deeply gets an exception, and neither stack ends first.
func TestRecursion(t *testing.T) {
	e := newEngine(t, 4*testPages)
	for name, s := range recursions {
		t.Run(name, func(t *testing.T) {
			r := e.run(t, task{script: s, budget: 1 << 36})
			if r.outcome != fuel.Within || r.trap != "" || r.code == 0 != flat[name] || r.code == 1 && r.log == "" {
				t.Errorf("code %d, outcome %d, %d fuel, log %.200q, %s", r.code, r.outcome, r.used, r.log, r.trap)
			}
		})
	}
	r := e.run(t, task{script: `let n = 0; const f = () => { n++; return f() + 1 }; try { f() } catch (e) { print(e instanceof InternalError, e.message, n >= 350 && n < 500) } const g = n => n ? g(n - 1) + 1 : 0; print(g(340))`})
	if r.out != "true stack overflow true\n340\n" {
		t.Errorf("gave %q, %q", r.out, r.log)
	}
}

// TestFresh holds what a script costs that does nothing, as DESIGN.md tells.
func TestFresh(t *testing.T) {
	if r := newEngine(t, testPages).run(t, task{}); r.used != 8_753_311 {
		t.Errorf("a fresh one takes %d fuel", r.used)
	}
}

func BenchmarkFresh(b *testing.B) {
	e := newEngine(b, testPages)
	var r result
	for b.Loop() {
		r = e.run(b, task{})
	}
	b.ReportMetric(float64(r.used), "fuel/op")
}

// BenchmarkLines has a million lines counted, copied, and their words counted.
func BenchmarkLines(b *testing.B) {
	e := newEngine(b, testPages)
	const lines = 1_000_000
	input := strings.Repeat("two words\n", lines)
	for _, c := range []struct{ name, script string }{
		{"count", `let n = 0; for (const l of lines()) n++; print(n)`},
		{"copy", `for (const l of lines()) print(l)`},
		{"words", `const n = new Map(); for (const l of lines()) for (const w of l.split(" ")) n.set(w, (n.get(w) ?? 0) + 1); for (const [w, k] of n) print(w + "\t" + k)`},
	} {
		b.Run(c.name, func(b *testing.B) {
			var r result
			for b.Loop() {
				if r = e.run(b, task{script: c.script, input: strings.NewReader(input)}); r.code != 0 || r.out == "" {
					b.Fatal(r.log)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
			b.ReportMetric(float64(r.used)/lines, "fuel/line")
		})
	}
}

// TestAsk asks by all ways there are: ask, sql, and the file itself, which is none where nobody is there.
func TestAsk(t *testing.T) {
	e := newEngine(t, testPages)
	var asked []string
	answer := func(q []byte) ([]byte, error) {
		asked = append(asked, string(q))
		switch {
		case strings.Contains(string(q), "broken"):
			return []byte(`{"error":{"code":"42601","message":"a mistake"}}`), nil
		case strings.Contains(string(q), "long"):
			return []byte(`{"rows":[["` + strings.Repeat("x", 1<<20-20) + `"]]}`), nil
		}
		return []byte(`{"rows":[[1,"ü"]]}`), nil
	}
	r := e.run(t, task{ask: answer, script: `print(JSON.stringify(sql("SELECT $1, $2", 1, "a\nb").rows), ask({get: "x"}).rows[0][1]); try { sql("broken") } catch (e) { print(e instanceof Error, e.code, e.message) }
		print(sql("long").rows[0][0].length); try { ask("y".repeat(1 << 20)) } catch (e) { print(e.message) } print(ask(1).rows.length); try { readFile("/dev") } catch (e) { print(e.message) } print(readFile("/dev/stratos") === "")`})
	const want = "[[1,\"ü\"]] ü\ntrue 42601 a mistake\n1048556\na question of 1048578 bytes is too long\n1\n/dev cannot be read: Is a directory\ntrue\n"
	if r.out != want || r.code != 0 {
		t.Errorf("gave %.300q, %q", r.out, r.log)
	}
	if got := strings.Join(asked, " "); got != `{"sql":"SELECT $1, $2","params":[1,"a\nb"]} {"get":"x"} {"sql":"broken","params":[]} {"sql":"long","params":[]} 1` {
		t.Errorf("asked %s", got)
	}
	if r = e.run(t, task{script: `try { ask(1) } catch (e) { print(e.message) } try { readFile("/dev/stratos") } catch (e) { print(e.message) }`}); r.out != "there is nobody to be asked\n/dev/stratos cannot be read: No such file or directory\n" {
		t.Errorf("gave %q, %q", r.out, r.log)
	}
}
