package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// megabytes are lines for a COPY.
func megabytes(n int) *strings.Reader {
	return strings.NewReader(strings.Repeat(strings.Repeat("x", 1<<20-1)+"\n", n))
}

// What is larger than a message of the network is copied at once, in and outside of a transaction; a program is sent as few times as
// can be.
func TestLargeCopy(t *testing.T) {
	w := newWorld(t, Options{})
	c := w.connect("")
	if tag, err := c.PgConn().CopyFrom(t.Context(), megabytes(20), "COPY t FROM STDIN"); err != nil || tag.String() != "COPY 20" || len(w.db.list) != 20 || w.db.count() != 1 {
		t.Fatalf("%v, %v, %d rows in %d programs", tag, err, len(w.db.list), w.db.count())
	}
	if largest := slices.MaxFunc(w.db.programs[0].Statements, func(a, b *wirepb.Statement) int { return len(a.Parameters) - len(b.Parameters) }); len(largest.Parameters) > 2 {
		t.Errorf("a statement of %d MiB", len(largest.Parameters))
	}
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := len(w.db.programs)
	if _, err := tx.Exec(t.Context(), "DELETE FROM t"); err != nil {
		t.Fatal(err)
	}
	if n, err := tx.CopyFrom(t.Context(), pgx.Identifier{"t"}, []string{"v"}, pgx.CopyFromSlice(2000, func(i int) ([]any, error) { return []any{fmt.Sprint(i)}, nil })); err != nil || n != 2000 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := c.PgConn().CopyFrom(t.Context(), megabytes(3), "COPY t FROM STDIN"); err != nil {
		t.Error(err)
	}
	if err := tx.Commit(t.Context()); err != nil || len(w.db.list) != 2003 {
		t.Errorf("%v, %d rows", err, len(w.db.list))
	}
	if n := len(w.db.programs) - before; n > 6 { // DELETE, with a look whether it reads, two COPYs, each with one for pgx's look at the columns, COMMIT
		t.Errorf("%d programs", n)
	}

	// Each in turn is too much; the connection goes on, and what it held is given back.
	tooMuch := database.MaxProgram>>20 + 1
	for range 2 {
		if _, err := c.PgConn().CopyFrom(t.Context(), megabytes(tooMuch), "COPY t FROM STDIN"); code(err) != "54000" || !strings.Contains(fmt.Sprint(err), "COPY of more than") {
			t.Errorf("too much: %v", err)
		}
	}
	if tx, err = c.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PgConn().CopyFrom(t.Context(), megabytes(tooMuch/2), "COPY t FROM STDIN"); err != nil {
		t.Error(err)
	}
	if _, err := c.PgConn().CopyFrom(t.Context(), megabytes(tooMuch/2+1), "COPY t FROM STDIN"); code(err) != "54000" {
		t.Errorf("two that are too much together: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.PgConn().CopyFrom(t.Context(), megabytes(tooMuch-1), "COPY t FROM STDIN"); code(err) != "54000" { // with what is around the rows
		t.Errorf("the limit to the byte: %v", err)
	}
	if len(w.db.list) != 2003 {
		t.Errorf("%d rows", len(w.db.list))
	}
	// A text that becomes a transaction is counted once.
	text := "INSERT INTO t (v) VALUES ('" + strings.Repeat("x", 13<<20) + "'); SET search_path = public; INSERT INTO t (v) VALUES ('y')"
	if _, err := c.PgConn().Exec(t.Context(), text).ReadAll(); err != nil || len(w.db.list) != 2005 {
		t.Errorf("a long text: %v, %d rows", err, len(w.db.list))
	}
}

// All connections together hold so much.
func TestLargeTogether(t *testing.T) {
	w := newWorld(t, Options{ProgramBytes: database.MaxProgram})
	a, b := w.connect(""), w.connect("")
	tx, err := a.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.PgConn().CopyFrom(t.Context(), megabytes(20), "COPY t FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PgConn().CopyFrom(t.Context(), megabytes(5), "COPY t FROM STDIN"); code(err) != "53200" {
		t.Errorf("beside the other: %v", err)
	}
	pipeline := func() error {
		batch := &pgx.Batch{}
		for range 5 {
			batch.Queue("INSERT INTO t (v) VALUES ($1)", strings.Repeat("x", 1<<20))
		}
		return b.SendBatch(t.Context(), batch).Close()
	}
	if err := pipeline(); code(err) != "53200" {
		t.Errorf("a pipeline beside the other: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PgConn().CopyFrom(t.Context(), megabytes(5), "COPY t FROM STDIN"); err != nil {
		t.Errorf("after the other: %v", err)
	}
	if err := pipeline(); err != nil {
		t.Errorf("a pipeline after the other: %v", err)
	}
	if tx, err = b.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PgConn().CopyFrom(t.Context(), megabytes(20), "COPY t FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); err != nil { // within its transaction
		t.Fatal(err)
	}
	for until := time.Now().Add(10 * time.Second); ; { // the other connection ends by itself
		_, err := a.PgConn().CopyFrom(t.Context(), megabytes(5), "COPY t FROM STDIN")
		if err == nil {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("after one that went: %v", err)
		}
	}
}
