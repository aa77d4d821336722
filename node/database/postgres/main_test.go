package postgres_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/node/database/engine"
	dialect "github.com/stratosmesh/stratos/node/database/postgres"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// ours is a database of the dialect.
type ours struct {
	db     *engine.DB
	height uint64
	gas    uint64
}

func open(t testing.TB, opts engine.Options) *ours {
	t.Helper()
	opts.Dialect = dialect.New
	db, err := engine.Open(filepath.Join(t.TempDir(), "db"), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &ours{db: db, gas: 50_000_000}
}

// timeMs is the time of all blocks.
const timeMs = 1_700_000_000_000

// run executes statements as one program in a block of its own.
func (o *ours) run(t testing.TB, statements ...*wirepb.Statement) *wirepb.Outcome {
	t.Helper()
	return o.runAs(t, grant.Role{}, statements...)
}

// runAs is run in a role.
func (o *ours) runAs(t testing.TB, r grant.Role, statements ...*wirepb.Statement) *wirepb.Outcome {
	t.Helper()
	o.height++
	b, err := o.db.Begin(engine.Header{Height: o.height, TimeMs: timeMs})
	if err != nil {
		t.Fatal(err)
	}
	p := &engine.Program{Statements: statements, GasLimit: o.gas, Role: r, Database: "postgres"}
	copy(p.ID[:], fmt.Sprint(o.height))
	out, err := b.Run(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	return out
}

func (o *ours) exec(t testing.TB, sql string) *wirepb.Outcome {
	t.Helper()
	return o.run(t, &wirepb.Statement{Sql: sql})
}

func (o *ours) query(t testing.TB, p *engine.Program) *wirepb.Outcome {
	t.Helper()
	s, err := o.db.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.Query(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// An answer is what a statement gave, as PostgreSQL's text.
type answer struct {
	code    string
	text    string
	at      int       // where the error is
	names   [3]string // of table, column and constraint
	tag     string
	columns []string // name and type
	rows    [][]string
}

const null = "\x00"

func cell(t postgres.OID, v *wirepb.Value) string {
	var c any
	switch x := v.Value.(type) {
	case *wirepb.Value_Null:
		return null
	case *wirepb.Value_Integer:
		c = x.Integer
	case *wirepb.Value_Real:
		c = x.Real
	case *wirepb.Value_Text:
		c = x.Text
	case *wirepb.Value_Blob:
		c = x.Blob
	}
	s, err := func() (s string, err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%T as %d: %v", c, t, p)
			}
		}()
		return postgres.Output(&postgres.Call{}, t, c)
	}()
	if err != nil {
		return "?? " + err.Error()
	}
	return s
}

func answerOf(o *wirepb.Outcome) answer {
	if o.Code != "" {
		return answer{code: o.Code, text: o.Text, at: int(o.Position), names: [3]string{o.Table, o.Column, o.Constraint}}
	}
	r := o.Results[len(o.Results)-1]
	a := answer{tag: r.Tag}
	for _, c := range r.Columns {
		a.columns = append(a.columns, fmt.Sprintf("%s:%d", c.Name, c.TypeOid))
	}
	for _, row := range r.Rows {
		var out []string
		for i, v := range row.Values {
			if i >= len(r.Columns) {
				continue
			}
			out = append(out, cell(postgres.OID(r.Columns[i].TypeOid), v))
		}
		a.rows = append(a.rows, out)
	}
	return a
}

// sorted are the rows in an order of their own.
func (a answer) sorted() []string {
	var all []string
	for _, r := range a.rows {
		all = append(all, strings.Join(r, "\t"))
	}
	slices.Sort(all)
	return all
}

func (a answer) ordered() []string {
	var all []string
	for _, r := range a.rows {
		all = append(all, strings.Join(r, "\t"))
	}
	return all
}

// agree compares answers; order tells whether that of rows counts.
func agree(a, b answer, order bool) bool {
	if a.code != "" || b.code != "" {
		return a.code == b.code
	}
	if a.tag != b.tag || !slices.Equal(a.columns, b.columns) {
		return false
	}
	if order {
		return slices.Equal(a.ordered(), b.ordered())
	}
	return slices.Equal(a.sorted(), b.sorted())
}

func (a answer) String() string {
	if a.code != "" {
		return a.code + " " + a.text
	}
	s := a.tag + " [" + strings.Join(a.columns, " ") + "]"
	for i, r := range a.ordered() {
		if i == 12 {
			s += "\n      ..."
			break
		}
		s += "\n      " + strings.ReplaceAll(r, null, "NULL")
	}
	return s
}
