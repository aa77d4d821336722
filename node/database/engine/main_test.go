package engine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		child(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// A rig is a database in a test, and what its next block will be.
type rig struct {
	t    testing.TB
	path string
	opts Options
	db   *DB
	ids  uint64
}

// folder is for files that need no disk behind them: syncing is most of what these tests would wait for.
func folder(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "engine-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func newRig(t testing.TB, opts Options) *rig {
	r := &rig{t: t, path: filepath.Join(folder(t), "a.db"), opts: opts}
	r.open()
	t.Cleanup(func() { r.close() })
	return r
}

func (r *rig) open() {
	r.t.Helper()
	db, err := Open(r.path, r.opts)
	if err != nil {
		r.t.Fatalf("opening: %v", err)
	}
	r.db = db
}

func (r *rig) close() {
	r.t.Helper()
	if r.db != nil {
		if err := r.db.Close(); err != nil {
			r.t.Errorf("closing: %v", err)
		}
		r.db = nil
	}
}

func text(v string) *wirepb.Value {
	return &wirepb.Value{Value: &wirepb.Value_Text{Text: v}}
}

func integer(v int64) *wirepb.Value {
	return &wirepb.Value{Value: &wirepb.Value_Integer{Integer: v}}
}

func blob(v []byte) *wirepb.Value {
	return &wirepb.Value{Value: &wirepb.Value_Blob{Blob: v}}
}

func statement1(sql string, args ...*wirepb.Value) *wirepb.Statement {
	return &wirepb.Statement{Sql: sql, Parameters: args}
}

// program of statements without parameters, with a new id.
func (r *rig) program(sql ...string) *Program {
	r.ids++
	p := &Program{GasLimit: 2_000_000}
	binary.BigEndian.PutUint64(p.ID[:], r.ids)
	for _, s := range sql {
		p.Statements = append(p.Statements, statement1(s))
	}
	return p
}

const genesisMs = 1_700_000_000_000

func header(height uint64) Header {
	h := Header{Height: height, TimeMs: genesisMs + int64(height)*1000}
	binary.BigEndian.PutUint64(h.Seed[:], height)
	return h
}

// block runs programs in the next block.
func (r *rig) block(programs ...*Program) []*wirepb.Outcome {
	r.t.Helper()
	b, err := r.db.Begin(header(r.db.Height() + 1))
	if err != nil {
		r.t.Fatalf("beginning a block: %v", err)
	}
	defer b.Discard() // after a failure: nobody else would end it
	var all []*wirepb.Outcome
	for _, p := range programs {
		o, err := b.Run(p)
		if err != nil {
			r.t.Fatalf("running %v: %v", p.Statements, err)
		}
		all = append(all, o)
	}
	if err := b.Commit(); err != nil {
		r.t.Fatalf("committing: %v", err)
	}
	return all
}

// must runs a program of its own block that goes well.
func (r *rig) must(sql ...string) *wirepb.Outcome {
	r.t.Helper()
	o := r.block(r.program(sql...))[0]
	if o.Code != "" {
		r.t.Fatalf("%q: %s %s", sql, o.Code, o.Text)
	}
	return o
}

func (r *rig) content() [32]byte {
	r.t.Helper()
	s := r.snapshot()
	defer s.Close()
	sum, err := s.Content(context.Background())
	if err != nil {
		r.t.Fatalf("content: %v", err)
	}
	return sum
}

func (r *rig) snapshot() *Snapshot {
	r.t.Helper()
	s, err := r.db.Snapshot()
	if err != nil {
		r.t.Fatalf("snapshot: %v", err)
	}
	return s
}

// tables is the digest of what users made alone.
func (r *rig) tables() [32]byte {
	r.t.Helper()
	s := r.snapshot()
	defer s.Close()
	all, err := userTables(s.conn)
	if err != nil {
		r.t.Fatal(err)
	}
	sum, err := hashTables(context.Background(), s.conn, all)
	if err != nil {
		r.t.Fatal(err)
	}
	return sum
}

// query asks one statement of a snapshot, which must go well.
func (r *rig) query(sql string, args ...*wirepb.Value) *wirepb.Result {
	r.t.Helper()
	s := r.snapshot()
	defer s.Close()
	o, err := s.Query(context.Background(), &Program{GasLimit: 1 << 30, Statements: []*wirepb.Statement{statement1(sql, args...)}})
	if err != nil || o.Code != "" {
		r.t.Fatalf("%s: %v %v", sql, o, err)
	}
	return o.Results[0]
}

// show renders a result's rows.
func show(r *wirepb.Result) string {
	s := ""
	for i, row := range r.GetRows() {
		if i > 0 {
			s += "; "
		}
		for j, v := range row.Values {
			if j > 0 {
				s += " "
			}
			switch v := v.Value.(type) {
			case *wirepb.Value_Integer:
				s += fmt.Sprint(v.Integer)
			case *wirepb.Value_Real:
				s += fmt.Sprint(v.Real)
			case *wirepb.Value_Text:
				s += v.Text
			case *wirepb.Value_Blob:
				s += fmt.Sprintf("x'%x'", v.Blob)
			default:
				s += "null"
			}
		}
	}
	return s
}

// seedOf prints the seed of a random test, so that it can be given again in STRATOS_SEED.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	var seed uint64
	if s := os.Getenv("STRATOS_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	} else {
		var b [8]byte
		rand.Read(b[:])
		seed = binary.BigEndian.Uint64(b[:])
	}
	t.Logf("STRATOS_SEED=%d", seed)
	return seed
}
