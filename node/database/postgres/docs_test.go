package postgres

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/postgres"
)

var updateDocs = flag.Bool("update.docs", false, "write docs/sql.md again")

const docsPath = "../../../docs/sql.md"

const docsHead = `# SQL of databases of dialect postgres

A statement means what it means in PostgreSQL 15 (locale C, DateStyle ISO), or it is refused with SQLSTATE 0A000 and a text that says what is refused. This page is made of the compiler's tables:
` + "`go test ./node/database/postgres -run TestDocs -update.docs`" + `.

A program is one transaction: BEGIN, COMMIT, ROLLBACK and savepoints are not part of it. Its time (` + "`now()`" + `) is the block's, its random numbers come from the block.

## Statements

| Statement | Exact | Refused |
|---|---|---|
| SELECT | FROM, WHERE, GROUP BY, HAVING, WINDOW, DISTINCT, DISTINCT ON, ORDER BY, LIMIT, OFFSET, FETCH FIRST; FOR UPDATE and its like lock nothing, because a program is alone | INTO, WITH TIES, GROUPING SETS, CUBE, ROLLUP, TABLESAMPLE |
| FROM | tables, views, subqueries, VALUES, JOIN (inner, LEFT, RIGHT, FULL, CROSS), ON, USING, NATURAL, functions, also of columns before them, WITH ORDINALITY | LATERAL subqueries, ROWS FROM, FULL JOIN by a condition with subqueries, sequences as tables |
| UNION, INTERSECT, EXCEPT | with ALL; nested, ordered, limited | |
| WITH | queries; RECURSIVE with UNION and UNION ALL | statements that write, SEARCH, CYCLE, columns of outer queries, recursive terms with aggregates, windows, DISTINCT, LIMIT |
| VALUES | everywhere | ORDER BY an expression |
| INSERT | VALUES, DEFAULT, DEFAULT VALUES, SELECT, OVERRIDING SYSTEM VALUE, RETURNING | OVERRIDING USER VALUE, subqueries in RETURNING, views |
| ON CONFLICT | DO NOTHING; DO UPDATE with excluded, WHERE, by columns or constraint | partial or expression indexes as the target; of several rows: subqueries, and when the key is set, or is of a type that is not compared by its bytes |
| UPDATE | SET, FROM, WHERE, DEFAULT, rows of expressions and of subqueries, WITH, RETURNING | RETURNING of other tables' columns, views, WHERE CURRENT OF |
| DELETE | USING, WHERE, WITH, RETURNING | as UPDATE |
| CREATE TABLE | columns, DEFAULT, NOT NULL, CHECK, UNIQUE, PRIMARY KEY, REFERENCES, FOREIGN KEY with CASCADE, SET NULL, RESTRICT (ON DELETE), NO ACTION, DEFERRABLE; serial, IDENTITY, also with SEQUENCE NAME; IF NOT EXISTS | generated columns, MATCH FULL, SET DEFAULT, ON UPDATE RESTRICT, deferrable unique constraints, NULLS NOT DISTINCT, EXCLUDE, INCLUDE, LIKE, INHERITS, PARTITION, TEMPORARY, storage options, foreign keys between types of other cells |
| CREATE TABLE AS | names of columns, IF NOT EXISTS | WITH NO DATA, SELECT INTO, sequences in it |
| ALTER TABLE | ADD, DROP, RENAME COLUMN; TYPE with USING; SET and DROP DEFAULT and NOT NULL; ADD, DROP, RENAME CONSTRAINT; RENAME TO | what views do not follow: columns that they lose or join by, other types; another type where there is a check, a foreign key, a partial index or a GIN index; changing foreign keys of a table that has rows and is referenced; owners, storage, triggers |
| CREATE INDEX | several columns, expressions, UNIQUE, WHERE, DESC, IF NOT EXISTS; USING gin of one tsvector, which a WHERE or ON uses for vector @@ query if all of it depends on that | methods but btree and gin, gin of other types, of several columns or with WHERE, INCLUDE, operator classes, CONCURRENTLY (25001) |
| CREATE VIEW | names of columns, OR REPLACE | options, CHECK OPTION, materialized, recursive |
| CREATE SEQUENCE | AS, START, INCREMENT, MINVALUE, MAXVALUE, CACHE, CYCLE, IF NOT EXISTS | OWNED BY |
| ALTER SEQUENCE | RESTART, INCREMENT, CYCLE, OWNED BY | AS, MINVALUE, MAXVALUE, START, CACHE |
| DROP TABLE, VIEW, INDEX, SEQUENCE, SCHEMA | IF EXISTS, CASCADE, RESTRICT | public; keys that are referenced by CASCADE |
| TRUNCATE | several tables, CASCADE, RESTART IDENTITY | tables that reference each other in a circle |
| CREATE ROLE, CREATE USER | LOGIN, NOLOGIN, IN ROLE, ROLE, and NOSUPERUSER and its like; DROP ROLE, ALTER ROLE RENAME | passwords (an access key is one), NOINHERIT, ADMIN, VALID UNTIL, CONNECTION LIMIT, settings; a role owns nothing |
| GRANT, REVOKE | rights on tables, views, sequences and schemas, on all in a schema, to roles and PUBLIC; roles to roles | columns, databases, functions; WITH GRANT OPTION, GRANTED BY, default privileges |
| CREATE, ALTER, DROP POLICY | PERMISSIVE, RESTRICTIVE, FOR, TO, USING, WITH CHECK; ALTER TABLE ENABLE, DISABLE, FORCE ROW LEVEL SECURITY | FOR UPDATE (the lock) of a table with row security; what is random in ON CONFLICT DO UPDATE of one, policies with subqueries in that for several rows |
| CREATE SCHEMA | IF NOT EXISTS | AUTHORIZATION, elements |
| COMMENT | on tables, views, indexes, sequences, columns, publications | on others |
| CREATE PUBLICATION | FOR TABLE, FOR ALL TABLES, WITH (publish); changes are recorded, see Feeds | row filters, column lists, TABLES IN SCHEMA; CREATE TABLE AS beside FOR ALL TABLES |
| ALTER, DROP PUBLICATION | ADD, DROP, SET TABLE; SET (publish); RENAME TO; IF EXISTS | OWNER TO; changes by a foreign key of tables that are published without a primary key |
| NOTIFY, pg_notify | told when the program has happened; what one says twice is told once | LISTEN and UNLISTEN in programs: they are the connection's |
| VACUUM, ANALYZE | they do nothing | |
| all others | | functions, triggers, types, domains, rules, MERGE, SET ROLE, COPY, cursors, PREPARE, LOCK, SET, EXPLAIN, DO |

## Expressions

| Expression | Exact | Refused |
|---|---|---|
| literals, casts | all forms of PostgreSQL 15, ` + "`type 'text'`, `::`, CAST, type(x)" + ` | bit strings; ` + "`now`" + ` and the like as text in what is stored |
| comparisons | =, <>, <, <=, >, >=, IS [NOT] DISTINCT FROM, BETWEEN [SYMMETRIC], IN, rows of expressions | rows as values, IS NULL of rows |
| logic | AND, OR, NOT, IS TRUE, FALSE, UNKNOWN, NULL | |
| CASE, COALESCE, NULLIF, GREATEST, LEAST | all | CASE of a value that is random |
| full-text search | configurations simple and english (the default); operators and functions below; ts_headline of texts | other configurations, parsers and dictionaries; ts_stat, ts_rewrite, ts_debug, ts_lexize, ts_parse |
| patterns | LIKE, ILIKE, SIMILAR TO, ~, ~* | as the regular expressions of protocol/postgres say |
| subqueries | scalar (21000), EXISTS, IN, = ANY, <> ALL, ARRAY | other operators with ANY and ALL of a subquery |
| arrays | ARRAY[], subscripts, = ANY, op ALL | slices, arrays of arrays that are no literals, writing to a part |
| aggregates | DISTINCT, ORDER BY, FILTER | WITHIN GROUP, of an outer query's columns |
| windows | PARTITION BY, ORDER BY, ROWS, GROUPS, RANGE to current row and unbounded, EXCLUDE, named windows | RANGE with a distance |
| parameters | $1, inferred or told | |
| COLLATE | "C", "POSIX", "default" | others |
| CURRENT_DATE, CURRENT_TIMESTAMP, LOCALTIME, LOCALTIMESTAMP, CURRENT_SCHEMA, CURRENT_USER, SESSION_USER, CURRENT_ROLE, USER, CURRENT_CATALOG | all; SESSION_USER is CURRENT_USER | CURRENT_TIME |
| current_setting | ` + "`stratos.caller`, `TimeZone`, `default_text_search_config`" + ` | what else PostgreSQL sets |

`

// CatalogFunctions are the arguments of functions that ask the catalog.
func CatalogFunctions() map[string][][]oid {
	m := map[string][][]oid{}
	for _, f := range catalogFunctions {
		m[f.name] = append(m[f.name], f.args)
	}
	return m
}

// number writes a number with commas.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// docs is the page.
func docs() string {
	var b strings.Builder
	b.WriteString(docsHead)
	l := engine.DefaultLimits()
	b.WriteString("## Limits\n\n| What | Limit | Beyond |\n|---|---|---|\n")
	for _, r := range [][3]string{
		{"a transaction, its statements and parameters together, in bytes as they are sent", number(database.MaxProgram), "54000; divide it, a COPY into several"},
		{"what it may take, in gas", number(database.MaxGas), "53400. A row of 100 bytes takes about 100 when it is copied, 60 in INSERT ... SELECT, 40 when it is changed, 10 in a new index, 2 when it is read; a text of 1,000 bytes 2,000 when its words are looked at, 3,000 in a GIN index; 60 more where its change is recorded"},
		{"a question, in gas and seconds", number(database.MaxQueryGas) + ", 5; with as many seconds again for each 8 MiB that it brings", "53400, 57014"},
		{"statements of a transaction", number(l.Statements), "54000"},
		{"a statement, in bytes, words and parameters", number(l.SQLBytes) + ", " + number(l.Tokens) + ", " + number(l.Parameters), "54000"},
		{"a value, in bytes", number(postgres.MaxSize), "54000"},
		{"a result, in rows", number(l.Rows), "54000; ask for less at once; `stratos db export` reads a table in parts"},
		{"the results of a transaction, in bytes", number(l.ResultBytes), "54000"},
		{"columns of a table; tables, indexes, views and triggers of a database", number(l.Columns) + "; " + number(l.Objects), "54000"},
		{"a database, in pages of 4 KiB", number(l.Pages), "53100"},
	} {
		b.WriteString("| " + strings.Join(r[:], " | ") + " |\n")
	}
	b.WriteString("\nEach statement of a transaction that BEGIN began is tried at a replica, after all that came before it: what follows a large COPY in a transaction sends and runs it again. Commit it first, where that does no harm.\n\n")
	b.WriteString("## Types\n\nExact, with their arrays: ")
	var list []string
	for _, n := range typeNames {
		t, _ := postgres.TypeNamed(n)
		if t.Category == 'P' || t.Category == 'X' || t.OID == postgres.Regproc {
			continue
		}
		list = append(list, "`"+t.Name+"`")
	}
	slices.Sort(list)
	b.WriteString(strings.Join(list, ", ") + ", and `serial`, `bigserial`, `smallserial`. `regclass` and `regnamespace` are for casts from and to text.\n\nRefused: ")
	list = nil
	for n := range unsupportedTypes {
		list = append(list, "`"+n+"`")
	}
	slices.Sort(list)
	b.WriteString(strings.Join(list, ", ") + ", types of users.\n")
	section := func(title string, names map[string][]string) {
		b.WriteString("\n## " + title + "\n\n")
		var all []string
		for n := range names {
			all = append(all, n)
		}
		slices.Sort(all)
		for _, n := range all {
			l := names[n]
			slices.Sort(l)
			fmt.Fprintf(&b, "- `%s`: %s\n", n, strings.Join(slices.Compact(l), "; "))
		}
	}
	signatureText := func(k *candidate) string {
		var l []string
		for _, a := range k.args {
			if t := typeOf(a); t.Name != "" {
				l = append(l, t.Name)
			} else {
				l = append(l, "anynonarray")
			}
		}
		if k.variadic {
			l[len(l)-1] += " ..."
		}
		if len(l) == 0 {
			return "no argument"
		}
		return strings.Join(l, ", ")
	}
	group := func(from table, fits func(k *candidate) bool) map[string][]string {
		m := map[string][]string{}
		for name, l := range from {
			for _, k := range l {
				if k.special != isUnsupported && fits(k) {
					m[name] = append(m[name], signatureText(k))
				}
			}
		}
		return m
	}
	section("Operators", group(operators(), func(*candidate) bool { return true }))
	section("Functions", group(functions(), func(k *candidate) bool { return k.agg == nil }))
	section("Aggregates", group(functions(), func(k *candidate) bool { return k.agg != nil }))
	windows := map[string][]string{}
	for n := range windowFunctions {
		windows[n] = []string{"over a window; distances of lag, lead and nth_value are constants"}
	}
	section("Window functions", windows)
	rows := map[string][]string{}
	for n := range rowFunctions {
		what := "in FROM, and alone in a select list where it gives one column"
		if strings.HasPrefix(n, "json_") || n == "regexp_split_to_table" || n == "string_to_table" || n == "generate_subscripts" || n == "jsonb_object_keys" {
			what = "refused"
		}
		rows[n] = []string{what}
	}
	section("Functions that give rows", rows)
	b.WriteString("\n## Feeds\n\nWhat happens to the rows of published tables, and what NOTIFY says, is recorded by the transaction that does it, and read from relations of the schema stratos; who follows is told by " +
		"`stratos db watch`, server-sent events and LISTEN. A position is the height of the block times 2^24, and the place within the block, from 1; it is also written `HEIGHT.PLACE`. " +
		"Kept is an hour of block time, and at most 64 MiB of each feed; whole blocks are removed, the oldest first. `old` is the primary key of the row that was, `new` the row that is, as jsonb in UTC; a TRUNCATE has neither. " +
		"A change of more than 4 MiB fails with 54000, and its transaction with it. Rows that foreign keys change come before the row that makes them do so.\n\n")
	for _, n := range slices.Sorted(maps.Keys(feedRelations)) {
		var columns []string
		for _, c := range feedRelations[n].columns {
			columns = append(columns, c.name+" "+typeName(c.typ))
		}
		fmt.Fprintf(&b, "- `%s.%s`: %s\n", feedsSchema, n, strings.Join(columns, ", "))
	}
	b.WriteString("\n`stratos.feeds` says of each feed up to which position it was removed (`lost`), and how many bytes are kept. A role reads no `stratos.changes`; a view of the owner's shows it some.\n")
	b.WriteString("\n## Functions and operators that are refused\n\nWhatever else PostgreSQL 15 has: `node/database/postgres/unsupported.txt` lists it with the types that are here, and takes part in choosing among candidates.\n")
	b.WriteString("\n## Relations of the system\n\nMade of the catalog when a statement is compiled. They hold the database's own objects; columns of type \"char\" and pg_node_tree are text, the latter as SQL. A SELECT sends regclass, regnamespace and int2vector as text. Of " + strings.Join(lackColumns, ", ") + " other columns, and `*`, are refused. Expressions and queries in them, and of `pg_get_expr`, `pg_get_constraintdef`, `pg_get_indexdef` and `pg_get_viewdef`, are as they were written, without the casts and parentheses that PostgreSQL adds.\n\n")
	var names []string
	for n := range systemTables() {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		var columns []string
		for _, c := range strings.Fields(systemTables()[n].columns) {
			name, _, _ := strings.Cut(c, ":")
			columns = append(columns, name)
		}
		fmt.Fprintf(&b, "- `%s`: %s\n", n, strings.Join(columns, ", "))
	}
	return b.String()
}

// TestDocs sees to it that docs/sql.md is what the tables say.
func TestDocs(t *testing.T) {
	if *updateDocs {
		if err := os.WriteFile(docsPath, []byte(docs()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(docsPath)
	if err != nil || string(b) != docs() {
		t.Errorf("docs/sql.md is not current (%v): go test -run TestDocs -update.docs", err)
	}
}
