package sim_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// PostgreSQL's outside clients do their everyday work against a database. Run by `make test-tools`, which installs them.
func TestToolsPostgres(t *testing.T) {
	if os.Getenv("STRATOS_TOOLS") == "" {
		t.Skip("run by make test-tools")
	}
	for _, c := range []struct{ name, script string }{
		{"psql", `
			psql -c 'CREATE TABLE t (id serial PRIMARY KEY, name text NOT NULL, price numeric(8,2) DEFAULT 0)'
			printf 'ink,1.50\npen,2.25\n"a ""cup""",3\n' > in.csv
			psql -c '\copy t (name, price) FROM in.csv CSV'
			test "$(psql -Atc 'SELECT sum(price) FROM t')" = 6.75
			psql -c '\copy (SELECT name FROM t ORDER BY id) TO out.txt'
			test "$(cat out.txt | tail -1)" = 'a "cup"'
			printf 'BEGIN;\nDELETE FROM t;\nROLLBACK;\nSELECT count(*) FROM t;\n' > in.sql
			test "$(psql -At -f in.sql | tail -1)" = 3
			test "$(psql -v id=2 -At -f - <<< 'SELECT name FROM t WHERE id = :id')" = pen
			psql -c 'INSERT INTO t VALUES (1)' 2> err.txt && exit 1
			grep -q 'duplicate key value violates unique constraint "t_pkey"\|null value in column' err.txt
			psql -v ON_ERROR_ROLLBACK=on -At -f - <<< "$(printf "BEGIN; INSERT INTO t (name) VALUES ('x');\nSELECT 1/0;\nCOMMIT;")" 2> /dev/null || true
			psql -c 'CREATE PUBLICATION p FOR TABLE t'
			psql -c '\dRp+ p' | grep -q '"public.t"'
			psql -c '\d t' | grep -q '"p"'
			psql -At -c '\timing' -c "SET stratos.level = 'fast'" -c 'SELECT 1' > /dev/null`},
		{"pgbench", `
			time pgbench -q -i -s 1
			test "$(psql -Atc 'SELECT count(*) FROM pgbench_accounts')" = 100000
			pgbench -q -i -s 1 -I dtGvp
			test "$(psql -Atc 'SELECT count(*) FROM pgbench_accounts')" = 100000
			seq 100000 | sed 's/$/,1,0,"words that fill a row, as they are in an export"/' > accounts.csv
			psql -c 'CREATE TABLE copied (aid int PRIMARY KEY, bid int NOT NULL, abalance int CHECK (abalance >= 0), filler varchar(84))'
			time psql -c '\copy copied FROM accounts.csv CSV'
			test "$(psql -Atc 'SELECT count(*), count(DISTINCT aid) FROM copied')" = '100000|100000'
			cat accounts.csv accounts.csv accounts.csv > thrice.csv
			psql -c '\copy copied FROM thrice.csv CSV' 2> err.txt && exit 1
			grep -q 'COPY of more than' err.txt
			test "$(psql -Atc 'SELECT count(*) FROM copied')" = 100000
			pgbench -n -c 8 -j 2 --max-tries=0 -T 10 > tpcb.txt
			grep -q 'number of failed transactions: 0 ' tpcb.txt
			test "$(psql -Atc 'SELECT sum(bbalance) = (SELECT sum(delta) FROM pgbench_history) AND sum(bbalance) = (SELECT sum(tbalance) FROM pgbench_tellers) FROM pgbench_branches')" = t
			test "$(psql -Atc 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)')" = t
			pgbench -n -S -M prepared -c 8 -j 2 -T 5 | grep -q 'number of failed transactions: 0 '
			PGOPTIONS='-c stratos.level=fast' pgbench -n -S -M extended -c 8 -j 2 -T 5 | grep -q 'number of failed transactions: 0 '`},
		{"psycopg2", `/usr/bin/python3 "$TESTDATA/psycopg.py"`},
		{"node-postgres", `
			cp "$TESTDATA/pg.mjs" .
			npm i --no-audit --no-fund --loglevel=error pg@8 > /dev/null
			node pg.mjs`},
		{"SQLAlchemy", `/usr/bin/python3 "$TESTDATA/alchemy.py"`},
		{"Knex", `
			cp "$TESTDATA/knex.mjs" .
			npm i --no-audit --no-fund --loglevel=error pg@8 pg-query-stream@4 knex@3 > /dev/null
			node knex.mjs`},
		{"Drizzle", `
			cp "$TESTDATA/drizzle.mjs" .
			npm i --no-audit --no-fund --loglevel=error pg@8 drizzle-orm@0.45 > /dev/null
			node drizzle.mjs`},
	} {
		t.Run(c.name, func(t *testing.T) {
			useTool(t, "tool-"+strings.ToLower(c.name), "postgres", c.script)
		})
	}
}

// useTool runs a shell script with a database of its own, which the environment tells it of.
func useTool(t *testing.T, db, dialect, script string) {
	testdata, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	mustCLI(t, "db", "create", db, "--dialect", dialect)
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=/usr/lib/postgresql/15/bin:" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "TESTDATA=" + testdata, "LC_ALL=C.UTF-8"}
	for _, name := range []string{"SSL_CERT_FILE", "npm_config_registry", "NPM_CONFIG_REGISTRY", "NODE_EXTRA_CA_CERTS", "npm_config_cafile"} {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	for _, line := range strings.Split(mustCLI(t, "keys", "create", db, "--database", db, "--format", "env"), "\n") {
		if v, ok := strings.CutPrefix(line, "export "); ok {
			cmd.Env = append(cmd.Env, v)
		}
	}
	out, err := cmd.CombinedOutput()
	if t.Logf("%s", out); err != nil {
		t.Error(err)
	}
	mustCLI(t, "db", "drop", db, "--yes")
}
