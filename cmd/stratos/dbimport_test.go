package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
)

// A heldLoader counts rows. It tells when it was sent some, and holds them until it gets what became of them.
type heldLoader struct {
	rows   int
	sent   chan int
	become chan error
}

func (l *heldLoader) Close() error { return nil }

func (l *heldLoader) load(ctx context.Context, rows [][]*string) error {
	l.sent <- len(rows)
	err := errors.Join(<-l.become, ctx.Err())
	if err == nil {
		l.rows += len(rows)
	}
	return err
}

func rowsFrom(t *testing.T, in io.Reader) rowReader {
	t.Helper()
	r, err := newCSVReader(bufio.NewReader(in), ',', "", []string{"a"}, false)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// After an interrupt the rows that were sent are waited for and counted.
func TestImportInterrupted(t *testing.T) {
	for _, unknownID := range []bool{false, true} {
		ctx, interrupt := context.WithCancel(t.Context())
		o, l := &importing{skip: 10}, &heldLoader{sent: make(chan int), become: make(chan error)}
		type ending struct {
			n   int
			err error
		}
		ended := make(chan ending)
		go func() {
			n, err := o.pass(ctx, &env{stderr: io.Discard}, rowsFrom(t, strings.NewReader(strings.Repeat("1\n", 3*batchRows))), nil, l)
			ended <- ending{n, err}
		}()
		<-l.sent
		l.become <- nil
		<-l.sent
		interrupt()
		var became error
		if unknownID {
			became = &database.UnknownError{ID: database.ID{0xab}, Err: errors.New("all are away")}
		}
		l.become <- became
		end := <-ended
		err := o.told(ctx, end.err, end.n)
		switch {
		case end.n != l.rows:
			t.Errorf("counted %d rows, and %d came in", end.n, l.rows)
		case !unknownID && (end.n != 2*batchRows || !errors.Is(err, context.Canceled) || o.rest(end.n, "") != fmt.Sprintf("the rows up to %[1]d are imported; go on with --skip %[1]d", 10+2*batchRows)):
			t.Errorf("%d rows, %v, next: %s", end.n, err, o.rest(end.n, ""))
		case unknownID && (end.n != batchRows || mesh.KindOf(err) != mesh.Unavailable || !strings.Contains(err.Error(), "rows 2011 to 4010 came in is not known: whether program ab00") ||
			!strings.Contains(mesh.HintOf(err), "row 2011, in line 2001, is in the table: if it is, go on with --skip 4010, else the rows up to 2010 are imported; go on with --skip 2010")):
			t.Errorf("%d rows, %v, next: %s", end.n, err, mesh.HintOf(err))
		}
	}
}

// A pipe that says nothing does not keep an interrupt from ending the import.
func TestImportInterruptedWhileReading(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	in, out := io.Pipe()
	defer out.Close()
	l := &heldLoader{sent: make(chan int, 1), become: make(chan error, 1)}
	ended := make(chan error)
	go func() {
		n, err := (&importing{}).pass(ctx, &env{stderr: io.Discard}, rowsFrom(t, &breakable{ctx, in}), nil, l)
		if n != 0 {
			err = fmt.Errorf("%d rows: %w", n, err)
		}
		ended <- err
	}()
	if _, err := io.WriteString(out, "1\n2\n"); err != nil {
		t.Fatal(err)
	}
	interrupt()
	if err := <-ended; err != context.Canceled {
		t.Error(err)
	}
}

// An error names the row and the line of the file, not of the batch.
func TestImportErrorNamesRow(t *testing.T) {
	o := &importing{skip: 5}
	text := "\"two\nlines\"\n" + strings.Repeat("1\n", batchRows+10)
	for _, c := range []struct {
		err  error
		want string
	}{
		{&rowError{3, errors.New("bad")}, "row 2008, line 2004: bad"},
		{errors.New("twice"), "among the rows 2006 to 2016, lines 2002 to 2012: twice"},
	} {
		l := &heldLoader{sent: make(chan int, 2), become: make(chan error, 2)}
		l.become <- nil
		l.become <- c.err
		n, err := o.pass(t.Context(), &env{}, rowsFrom(t, strings.NewReader(text)), nil, l)
		if n != batchRows || err == nil || err.Error() != c.want {
			t.Errorf("%d rows, %v, want %s", n, err, c.want)
		}
		if hint := mesh.HintOf(o.told(t.Context(), err, n)); hint != "the rows up to 2005 are imported; mend what is wrong behind them, and go on with --skip 2005" {
			t.Error(hint)
		}
	}
}
