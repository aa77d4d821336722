// Knex' everyday work: migrations, all types, transactions with retries, many rows, upserts, streams, what it asks of a schema.
import assert from "node:assert/strict";
import knex from "knex";

const db = knex({ client: "pg", connection: process.env.DATABASE_URL, pool: { min: 0, max: 4 } });
const migrations = [
  {
    name: "1",
    async up(k) {
      await k.schema.createTable("author", (t) => {
        t.increments("id");
        t.string("name", 40).notNullable().unique();
        t.timestamps(true, true);
      });
      await k.schema.createTable("book", (t) => {
        t.bigIncrements("id");
        t.integer("author_id").notNullable().references("author.id").onDelete("CASCADE").index();
        t.text("title").notNullable();
        t.smallint("pages").defaultTo(1);
        t.decimal("price", 8, 2);
        t.double("weight");
        t.float("size");
        t.uuid("key").defaultTo(k.raw("gen_random_uuid()"));
        t.date("printed");
        t.timestamp("at", { useTz: true });
        t.time("clock");
        t.boolean("sold").defaultTo(false);
        t.binary("cover");
        t.jsonb("more");
        t.json("plain");
        t.specificType("tags", "text[]");
        t.bigint("big");
        t.unique(["author_id", "title"]);
        t.check("?? > 0", ["pages"], "some_pages");
      });
    },
    async down(k) {
      await k.schema.dropTable("book");
      await k.schema.dropTable("author");
    },
  },
  {
    name: "2",
    async up(k) {
      await k.schema.alterTable("book", (t) => {
        t.string("subtitle").defaultTo("none");
        t.renameColumn("size", "extent");
        t.text("price").alter();
      });
    },
    async down(k) {
      await k.schema.alterTable("book", (t) => {
        t.dropColumn("subtitle");
        t.renameColumn("extent", "size");
      });
    },
  },
];
const migrationSource = { getMigrations: async () => migrations, getMigrationName: (m) => m.name, getMigration: async (m) => m };
assert.deepEqual((await db.migrate.latest({ migrationSource }))[1], ["1", "2"]);
assert.deepEqual((await db.migrate.latest({ migrationSource }))[1], []);
assert.equal((await db.migrate.list({ migrationSource }))[0].length, 2);

const at = new Date("2026-02-03T04:05:06.789Z");
const [anna] = await db("author").insert({ name: "Anna" }).returning("*");
assert.equal(anna.id, 1);
const row = { author_id: 1, title: "☃ '\\", pages: 300, price: "12.50", weight: 0.1, extent: 1.5, key: "00000000-0000-0000-0000-000000000007", at, clock: "04:05:06", sold: true,
  cover: Buffer.from([0, 255]), more: { k: [1, null] }, plain: [1, "x"], tags: ["a", 'b"c'], big: "9007199254740993", subtitle: "s" };
const [book] = await db("book").insert({ ...row, plain: JSON.stringify(row.plain) }).returning("*");
for (const [k, v] of Object.entries(row)) assert.deepEqual(book[k], v, k);
await db("book").where({ id: book.id }).whereJsonPath("more", "$.k[0]", "=", 1).then((r) => assert.equal(r.length, 1), (e) => assert.equal(e.code, "0A000"));
await assert.rejects(db("book").insert({ author_id: 9, title: "x" }), (e) => e.code === "23503");
await assert.rejects(db("book").insert({ author_id: 1, title: "x", pages: 0 }), (e) => e.code === "23514" && e.constraint === "some_pages");
await assert.rejects(db("author").insert({ name: "Anna" }), (e) => e.code === "23505");
await db("author").insert([{ name: "Anna" }, { name: "Bert" }]).onConflict("name").merge({ updated_at: at });
await db("author").insert({ name: "Bert" }).onConflict("name").ignore();
assert.equal((await db("author").where({ name: "Anna" }).first()).updated_at.getTime(), at.getTime());
await db.transaction(async (tx) => {
  await tx("author").insert({ name: "Carl" });
  await assert.rejects(tx.transaction(async (inner) => {
    await inner("author").where({ name: "Carl" }).del();
    throw new Error("back to the savepoint");
  }));
  assert.equal((await tx("author").where({ name: "Carl" })).length, 1);
});
await assert.rejects(db.transaction(async (tx) => {
  await tx("author").del();
  throw new Error("undone");
}));
await db.batchInsert("author", Array.from({ length: 1500 }, (_, i) => ({ name: "many " + i })), 500);
const joined = await db("author as a").leftJoin("book as b", "b.author_id", "a.id").select("a.name").count("b.id as n").groupBy("a.id", "a.name").having(db.raw("count(b.id) > 0"));
assert.deepEqual(joined, [{ name: "Anna", n: "1" }]);
assert.equal((await db.with("x", db("author").select("id").whereLike("name", "many%")).from("x").count())[0].count, "1500");
assert.deepEqual(await db("author").whereIn("name", ["Anna", "Bert"]).orderBy("id", "desc").limit(1).offset(1).pluck("name"), ["Anna"]);
assert.equal(await db("book").increment("pages", 5).where({ id: book.id }), 1);

let retried = 0;
const count = async () => {
  for (let i = 0; i < 4; i++)
    for (;;)
      try {
        await db.transaction(async (tx) => {
          const { pages } = await tx("book").where({ id: book.id }).forUpdate().first();
          await tx("book").where({ id: book.id }).update({ pages: pages + 1 });
        });
        break;
      } catch (e) {
        assert.equal(e.code, "40001");
        retried++;
      }
};
await Promise.all([count(), count()]);
assert.equal((await db("book").first()).pages, 313);

assert.ok(await db.schema.hasTable("book") && !(await db.schema.hasTable("nowhere")) && await db.schema.hasColumn("book", "extent") && !(await db.schema.hasColumn("book", "size")));
const info = await db("book").columnInfo();
assert.deepEqual(info.title, { type: "text", maxLength: null, nullable: false, defaultValue: null });
assert.equal(info.subtitle.maxLength, 255);
let read = 0;
for await (const r of db("author").select("id").stream({ batchSize: 200 }).on("error", assert.fail)) read += r.id > 0 ? 1 : 0;
assert.equal(read, 1503);

const lost = await db.client.acquireConnection();
const gone = new Promise((ended) => lost.once("end", ended));
lost.connection.stream.destroy(); // a connection that is lost is replaced
await gone;
await db.client.releaseConnection(lost);
assert.equal((await db.raw("SELECT current_database() AS d, count(*) FROM author")).rows[0].count, "1503");
await db.migrate.rollback({ migrationSource }, true);
assert.ok(!(await db.schema.hasTable("book")));
await db.destroy();
console.log("retried", retried);
