// node-postgres' everyday work.
import assert from "node:assert/strict";
import pg from "pg";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 4 });
await pool.query("CREATE TABLE js (id serial PRIMARY KEY, t text, n numeric(10,2), j jsonb, a text[], at timestamptz)");
const at = new Date("2026-02-03T04:05:06.789Z");
const { rows } = await pool.query("INSERT INTO js (t, n, j, a, at) VALUES ($1, $2, $3, $4, $5) RETURNING *", ["☃", 1.5, { k: [1, null] }, ["a", 'b"c'], at]);
assert.deepEqual(rows, [{ id: 1, t: "☃", n: "1.50", j: { k: [1, null] }, a: ["a", 'b"c'], at }]);
const named = { name: "by-id", text: "SELECT t FROM js WHERE id = $1" };
for (const id of [1, 1, 2]) assert.equal((await pool.query({ ...named, values: [id] })).rowCount, id === 1 ? 1 : 0);
await assert.rejects(pool.query("SELECT * FROM nowhere"), (e) => e.code === "42P01");
const c = await pool.connect();
await c.query("BEGIN");
await c.query("INSERT INTO js (t) VALUES ('undone')");
await c.query("ROLLBACK");
assert.equal((await c.query("SELECT count(*)::int AS n FROM js")).rows[0].n, 1);
c.release();
const all = await Promise.all(Array.from({ length: 20 }, (_, i) => pool.query("INSERT INTO js (t) VALUES ($1) RETURNING id", ["p" + i])));
assert.equal(new Set(all.map((r) => r.rows[0].id)).size, 20);
const listener = new pg.Client({ connectionString: process.env.DATABASE_URL });
await listener.connect();
const told = new Promise((resolve, reject) => {
  const list = [];
  listener.on("notification", (n) => list.push(n.channel + " " + n.payload) === 2 && resolve(list));
  listener.on("error", reject);
  setTimeout(() => reject(new Error("nothing comes")), 30_000).unref();
});
await listener.query('LISTEN "Jobs"');
await pool.query("SELECT pg_notify($1, $2)", ["Jobs", "one"]);
await pool.query("NOTIFY \"Jobs\", 'two'");
assert.deepEqual(await told, ["Jobs one", "Jobs two"]);
await listener.end();
await pool.end();
