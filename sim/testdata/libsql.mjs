// libSQL's client, the everyday: DDL, all types both ways, named parameters, batches, transactions, conflicts, migrations.
import assert from "node:assert/strict";
import { createClient } from "@libsql/client";

const config = { url: process.env.LIBSQL_URL, authToken: process.env.LIBSQL_AUTH_TOKEN };
const c = createClient(config);
const fails = (promise, code) => assert.rejects(promise, (e) => { assert.equal(e.code, code, e.message); return true; });

await c.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, x REAL, b BLOB) STRICT");
let r = await c.execute({ sql: "INSERT INTO t (name, x, b) VALUES (?, ?, ?)", args: ["ink; 'black'", 1.5, new Uint8Array([0, 255])] });
assert.equal(r.rowsAffected, 1);
assert.equal(r.lastInsertRowid, 1n);
r = await c.execute({ sql: "SELECT * FROM t WHERE name = :name", args: { name: "ink; 'black'" } });
assert.deepEqual(r.columns, ["id", "name", "x", "b"]);
assert.deepEqual(r.columnTypes, ["INTEGER", "TEXT", "REAL", "BLOB"]);
assert.deepEqual([r.rows[0].id, r.rows[0].name, r.rows[0].x, [...new Uint8Array(r.rows[0].b)]], [1, "ink; 'black'", 1.5, [0, 255]]);
r = await c.execute("SELECT NULL, 9e999, -0.5, 'é\u{1f600}', x''");
assert.deepEqual([r.rows[0][0], r.rows[0][1], r.rows[0][2], r.rows[0][3], r.rows[0][4].byteLength], [null, Infinity, -0.5, "é\u{1f600}", 0]);
const big = createClient({ ...config, intMode: "bigint" });
r = await big.execute({ sql: "SELECT ?", args: [9223372036854775807n] });
assert.equal(r.rows[0][0], 9223372036854775807n);

// errors
await fails(c.execute("SELECT * FROM nowhere"), "SQLITE_ERROR");
await fails(c.execute("SELEC 1"), "SQL_PARSE_ERROR");
await fails(c.execute({ sql: "INSERT INTO t (name) VALUES (?)", args: ["ink; 'black'"] }), "SQLITE_CONSTRAINT_UNIQUE");
await fails(createClient({ ...config, authToken: "STnobody.x" }).execute("SELECT 1"), "DENIED");

// batches: all or nothing
let all = await c.batch(["INSERT INTO t (name) VALUES ('pen')", { sql: "SELECT count(*) AS n FROM t", args: [] }], "write");
assert.equal(all[1].rows[0].n, 2);
await assert.rejects(c.batch(["INSERT INTO t (name) VALUES ('cup')", "INSERT INTO t (name) VALUES ('pen')"], "write"), (e) => { assert.equal(e.statementIndex, 1); return true; });
assert.equal((await c.execute("SELECT count(*) AS n FROM t")).rows[0].n, 2);
all = await c.batch(["SELECT 1 AS a", "SELECT 2 AS a"], "read");
assert.equal(all[1].rows[0].a, 2);

// transactions
const tx = await c.transaction("write");
await tx.execute("INSERT INTO t (name) VALUES ('a')");
assert.equal((await tx.execute("SELECT count(*) AS n FROM t")).rows[0].n, 3);
await assert.rejects(tx.execute("INSERT INTO t (name) VALUES ('a')"));
await tx.execute("UPDATE t SET x = 2 WHERE name = 'a'"); // a statement that fails does not end it
assert.equal((await c.execute("SELECT count(*) AS n FROM t")).rows[0].n, 2);
await tx.commit();
assert.equal((await c.execute("SELECT x FROM t WHERE name = 'a'")).rows[0].x, 2);
const back = await c.transaction("write");
await back.execute("DELETE FROM t");
await back.rollback();
assert.equal((await c.execute("SELECT count(*) AS n FROM t")).rows[0].n, 3);
const one = await c.transaction("write"), two = await c.transaction("write");
const n = (await one.execute("SELECT x FROM t WHERE name = 'a'")).rows[0].x;
await two.execute("UPDATE t SET x = x + 1 WHERE name = 'a'");
await one.execute({ sql: "UPDATE t SET x = ? WHERE name = 'a'", args: [n + 10] });
await two.commit();
await fails(one.commit(), "SQLITE_BUSY"); // and is tried anew
assert.equal((await c.execute("SELECT x FROM t WHERE name = 'a'")).rows[0].x, 3);
const reading = await c.transaction("read");
await reading.execute("SELECT * FROM t");
await fails(reading.execute("DELETE FROM t"), "SQLITE_READONLY");
reading.close();

// many statements, migrations
await c.executeMultiple("CREATE TABLE u (a); INSERT INTO u VALUES (1); INSERT INTO u VALUES (';');");
await c.migrate(["ALTER TABLE u ADD COLUMN b", "UPDATE u SET b = a"]);
assert.equal((await c.execute("SELECT count(*) AS n FROM u WHERE b = a")).rows[0].n, 2);

// many rows, and many at once
await c.batch(Array.from({ length: 500 }, (_, i) => ({ sql: "INSERT INTO t (name) VALUES (?)", args: [`row ${i}`] })), "write");
assert.equal((await c.execute("SELECT * FROM t")).rows.length, 503);
await Promise.all(Array.from({ length: 20 }, (_, i) => c.execute({ sql: "INSERT INTO u (a) VALUES (?)", args: [i] })));
assert.equal((await c.execute("SELECT count(*) AS n FROM u")).rows[0].n, 22);
c.close();
