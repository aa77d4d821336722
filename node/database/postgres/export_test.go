package postgres_test

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	"github.com/stratosmesh/stratos/node/database/engine"
	dialect "github.com/stratosmesh/stratos/node/database/postgres"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// TestExport moves a database whose indexes need functions and collations of Postgres', with its catalog.
func TestExport(t *testing.T) {
	us := open(t, engine.Options{})
	for _, sql := range []string{"CREATE TABLE t (id serial PRIMARY KEY, n numeric UNIQUE, s text, j jsonb, b char(3), CHECK (n > 0))", "CREATE INDEX ON t (lower(s)) WHERE n > 1.5", "CREATE UNIQUE INDEX ON t (j, b)",
		"INSERT INTO t (n, s, j, b) VALUES (1.0, 'A', '{\"a\": 1.0}', 'x'), (2.50, 'B', '[1]', 'y')", "CREATE VIEW v AS SELECT n FROM t", "COMMENT ON TABLE t IS 'kept'"} {
		if o := us.exec(t, sql); o.Code != "" {
			t.Fatal(sql, o.Code, o.Text)
		}
	}
	s, err := us.db.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sum, err := s.Content(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Export(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "db")
	mark := engine.Mark{Height: us.height, Digest: us.db.Digest(), Content: sum}
	if err := engine.Import(context.Background(), path, &b, mark, engine.Options{Dialect: dialect.New}); err != nil {
		t.Fatal(err)
	}
	db, err := engine.Open(path, engine.Options{Dialect: dialect.New})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	copied := &ours{db: db, height: us.height, gas: us.gas}
	for _, sql := range []string{"INSERT INTO t (n, s) VALUES (2.5, 'dup')", "INSERT INTO t (n, s) VALUES (3, 'C') RETURNING id", "SELECT * FROM v ORDER BY n", "INSERT INTO t (n) VALUES (-1)", "SELECT obj_description('t'::regclass, 'pg_class')",
		"SELECT id FROM t WHERE lower(s) = 'b' AND n > 1.5"} {
		mine, theirs := us.run(t, &wirepb.Statement{Sql: sql}), copied.run(t, &wirepb.Statement{Sql: sql})
		if engine.OutcomeDigest(mine) != engine.OutcomeDigest(theirs) {
			t.Errorf("%s: %v and %v", sql, mine, theirs)
		}
	}
	if us.db.Digest() != db.Digest() {
		t.Error("the copy went another way")
	}
}
