// Drizzle's everyday work: tables of all types, queries with relations, upserts, transactions with retries, many rows, prepared statements,
// migrations, and what drizzle-kit asks of a schema.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import pg from "pg";
import { and, asc, count, desc, eq, gt, ilike, inArray, relations, sql, sum } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { migrate } from "drizzle-orm/node-postgres/migrator";
import * as t from "drizzle-orm/pg-core";

const author = t.pgTable("author", { id: t.serial().primaryKey(), name: t.varchar({ length: 40 }).notNull().unique(), note: t.text() });
const book = t.pgTable("book", {
  id: t.bigint({ mode: "number" }).generatedAlwaysAsIdentity().primaryKey(),
  authorId: t.integer("author_id").notNull().references(() => author.id, { onDelete: "cascade" }),
  title: t.text().notNull(),
  pages: t.smallint().default(1),
  price: t.numeric({ precision: 8, scale: 2 }),
  weight: t.doublePrecision(),
  size: t.real(),
  key: t.uuid().defaultRandom(),
  printed: t.date(),
  at: t.timestamp({ withTimezone: true }).defaultNow(),
  local: t.timestamp({ mode: "string" }),
  clock: t.time(),
  lent: t.interval(),
  sold: t.boolean().default(false),
  more: t.jsonb(),
  plain: t.json(),
  tags: t.text().array(),
  big: t.bigint({ mode: "bigint" }),
  code: t.char({ length: 3 }),
});
const schema = { author, book, authorRelations: relations(author, ({ many }) => ({ books: many(book) })), bookRelations: relations(book, ({ one }) => ({ author: one(author, { fields: [book.authorId], references: [author.id] }) })) };
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 4 });
const db = drizzle(pool, { schema, casing: "snake_case" });

mkdirSync("drizzle/meta", { recursive: true });
writeFileSync("drizzle/meta/_journal.json", JSON.stringify({ version: "7", dialect: "postgresql", entries: [{ idx: 0, version: "7", when: 1, tag: "0000_first", breakpoints: true }] }));
writeFileSync("drizzle/0000_first.sql", `CREATE TABLE "author" ("id" serial PRIMARY KEY NOT NULL, "name" varchar(40) NOT NULL, "note" text, CONSTRAINT "author_name_unique" UNIQUE("name"));
--> statement-breakpoint
CREATE TABLE "book" ("id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "book_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
  "author_id" integer NOT NULL, "title" text NOT NULL, "pages" smallint DEFAULT 1, "price" numeric(8, 2), "weight" double precision, "size" real, "key" uuid DEFAULT gen_random_uuid(), "printed" date,
  "at" timestamp with time zone DEFAULT now(), "local" timestamp, "clock" time, "lent" interval, "sold" boolean DEFAULT false, "more" jsonb, "plain" json, "tags" text[], "big" bigint, "code" char(3));
--> statement-breakpoint
ALTER TABLE "book" ADD CONSTRAINT "book_author_id_author_id_fk" FOREIGN KEY ("author_id") REFERENCES "public"."author"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
CREATE INDEX "book_title" ON "book" USING btree ("title");`);
await migrate(db, { migrationsFolder: "drizzle" });
await migrate(db, { migrationsFolder: "drizzle" }); // which was done

const [anna] = await db.insert(author).values({ name: "Anna" }).returning();
const row = { authorId: anna.id, title: "☃ '\\", pages: 300, price: "12.50", weight: 0.1, size: 1.5, key: "00000000-0000-0000-0000-000000000007", printed: "2026-02-03", at: new Date("2026-02-03T04:05:06.789Z"),
  local: "2026-02-03 04:05:06", clock: "04:05:06", lent: "2 days 00:00:03", sold: true, more: { k: [1, null] }, plain: [1, "x"], tags: ["a", 'b"c'], big: 9007199254740993n, code: "abc" };
const [first] = await db.insert(book).values([row, { authorId: anna.id, title: "Second" }]).returning();
delete first.id;
assert.deepEqual(first, row);
const code = (want) => (e) => (e.cause ?? e).code === want;
await assert.rejects(db.insert(book).values({ authorId: 99, title: "x" }), code("23503"));
await assert.rejects(db.insert(author).values({ name: "Anna" }), code("23505"));
await db.insert(author).values([{ name: "Anna" }, { name: "Bert" }]).onConflictDoUpdate({ target: author.name, set: { note: sql`excluded.name || '!'` } });
await db.insert(author).values({ name: "Bert" }).onConflictDoNothing();
assert.deepEqual(await db.select({ name: author.name, note: author.note }).from(author).orderBy(asc(author.name)), [{ name: "Anna", note: "Anna!" }, { name: "Bert", note: null }]);
assert.deepEqual(await db.select({ name: author.name, n: count(), total: sum(book.price) }).from(author).innerJoin(book, eq(book.authorId, author.id)).where(ilike(author.name, "an%")).groupBy(author.id).having(gt(count(), 1)), [{ name: "Anna", n: 2, total: "12.50" }]);
const found = await db.query.author.findMany({ where: (a, { eq }) => eq(a.name, "Anna"), columns: { name: true } });
assert.deepEqual(found, [{ name: "Anna" }]);
const prepared = db.select().from(book).where(eq(book.title, sql.placeholder("title"))).prepare("by_title");
for (let i = 0; i < 3; i++) assert.equal((await prepared.execute({ title: "Second" })).length, 1);
assert.equal((await db.select().from(book).where(and(inArray(book.title, ["Second", "x"]), sql`${book.more} IS NULL`)).orderBy(desc(book.id)).limit(1)).length, 1);
const cte = db.$with("c").as(db.select({ id: book.id }).from(book));
assert.equal((await db.with(cte).select().from(cte)).length, 2);
await db.transaction(async (tx) => {
  await tx.insert(author).values({ name: "Carl" });
  await assert.rejects(tx.transaction(async (inner) => {
    await inner.delete(author);
    inner.rollback();
  }));
  assert.equal((await tx.select().from(author)).length, 3);
});
await assert.rejects(db.transaction(async (tx) => {
  await tx.delete(book);
  throw new Error("undone");
}));
await db.insert(author).values(Array.from({ length: 1500 }, (_, i) => ({ name: "many " + i })));
assert.equal(await db.$count(author), 1503);

let retried = 0;
const more = async () => {
  for (let i = 0; i < 4; i++)
    for (;;)
      try {
        await db.transaction(async (tx) => {
          const [{ pages }] = await tx.select({ pages: book.pages }).from(book).where(eq(book.title, "Second")).for("update");
          await tx.update(book).set({ pages: pages + 1 }).where(eq(book.title, "Second"));
        });
        break;
      } catch (e) {
        assert.ok(code("40001")(e), e);
        retried++;
      }
};
await Promise.all([more(), more()]);
assert.equal((await prepared.execute({ title: "Second" }))[0].pages, 9);
const lost = await pool.connect();
lost.on("error", () => {});
lost.connection.stream.destroy();
lost.release(true);
assert.equal(await db.$count(book), 2); // a connection that is lost is replaced
await db.delete(author).where(eq(author.id, anna.id));
assert.equal(await db.$count(book), 0);
await pool.end();
console.log("retried", retried);
