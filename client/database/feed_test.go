package database

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A fakeFeed is what a cell tells: of each block, from height 1, how many rows.
type fakeFeed struct {
	blocks []int
	lost   int64
	most   int // rows that an answer has room for; 0: any
	grow   chan struct{}
}

// tells makes the cell one that has a feed.
func (c *fakeCell) tells() *DB {
	c.feed = &fakeFeed{grow: make(chan struct{})}
	return c.open(0, Options{Dialect: wiredatabase.Postgres})
}

// add makes a block that tells so many rows.
func (c *fakeCell) add(rows int) {
	c.with(func() {
		c.feed.blocks = append(c.feed.blocks, rows)
		close(c.feed.grow)
		c.feed.grow = make(chan struct{})
	})
}

// outcome answers a follower's statements. It is called with the cell's mu held.
func (f *fakeFeed) outcome(q *wirepb.DatabaseQuery) *wirepb.Outcome {
	number := func(n int64) *wirepb.Value { return &wirepb.Value{Value: &wirepb.Value_Integer{Integer: n}} }
	column := func(types ...postgres.OID) (l []*wirepb.Column) {
		for _, t := range types {
			l = append(l, &wirepb.Column{Name: "c", TypeOid: uint32(t)})
		}
		return l
	}
	o := &wirepb.Outcome{Results: []*wirepb.Result{{Columns: column(postgres.Int8), Rows: []*wirepb.Row{{Values: []*wirepb.Value{number(f.lost)}}}}}}
	last := q.Statements[len(q.Statements)-1]
	p := last.Parameters
	changes := strings.Contains(last.Sql, "stratos.changes")
	if changes {
		r := &wirepb.Result{Columns: column(postgres.OIDType)}
		if p[0].GetText() == "p" {
			r.Rows = []*wirepb.Row{{Values: []*wirepb.Value{number(1)}}}
		}
		o.Results, p = append(o.Results, r), p[1:]
	}
	from, limit := p[0].GetInteger(), int(p[1].GetInteger())
	rows := &wirepb.Result{Columns: column(postgres.Int8, postgres.Text, postgres.Text)}
	if changes {
		rows.Columns = column(postgres.Int8, postgres.Text, postgres.Text, postgres.Text, postgres.JSONB, postgres.JSONB)
	}
	for h, n := range f.blocks {
		for i := range n {
			id := (Position{int64(h + 1), uint32(i + 1)}).integer()
			if id <= from || len(rows.Rows) == limit {
				continue
			}
			row := []*wirepb.Value{number(id), textValue([]string{"even", "odd"}[i%2]), textValue(fmt.Sprint(h+1, "/", i+1))}
			if changes {
				row = []*wirepb.Value{number(id), textValue("public"), textValue("t"), textValue("insert"), {Value: &wirepb.Value_Null{Null: true}}, textValue(fmt.Sprintf(`{"n": %d}`, i))}
			}
			rows.Rows = append(rows.Rows, &wirepb.Row{Values: row})
		}
	}
	if f.most > 0 && len(rows.Rows) > f.most {
		return &wirepb.Outcome{Code: codeTooBig, Text: "too large"}
	}
	o.Results = append(o.Results, rows)
	return o
}

func (r *fakeReplica) growth(ctx context.Context, q rpc.Request[wirepb.GrowthRequest]) (proto.Message, error) {
	for {
		r.cell.mu.Lock()
		f, lies, refuse := r.cell.feed, r.lies, r.refuse
		height, grow := int64(len(f.blocks)), f.grow
		r.waited++
		r.cell.mu.Unlock()
		switch {
		case refuse != nil:
			return nil, refuse
		case lies:
			return &wirepb.Growth{Height: 1 << 50}, nil
		case height > q.Message.Above:
			return &wirepb.Growth{Height: height}, nil
		}
		select {
		case <-grow:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take reads n things of a feed.
func take[T any](t *testing.T, n int, seq func(func(T, error) bool)) (all []T, err error) {
	t.Helper()
	seq(func(v T, e error) bool {
		if err = e; e == nil {
			all = append(all, v)
		}
		return e == nil && len(all) < n
	})
	return all, err
}

func places(all []Change) (list []string) {
	for _, c := range all {
		list = append(list, c.Position.String()+string(c.New))
	}
	return list
}

// What comes is told in order, without gaps and without anything twice, whoever of f fails, from any position.
func TestFollow(t *testing.T) {
	for what, fail := range map[string]func(r *fakeReplica){
		"nobody fails": func(*fakeReplica) {},
		"lies":         func(r *fakeReplica) { r.lies = true },
		"refuses":      func(r *fakeReplica) { r.refuse = mesh.Errorf(mesh.Unavailable, "no") },
	} {
		t.Run(what, func(t *testing.T) {
			c := newFakeCell(t, 4)
			db := c.tells()
			c.with(func() { fail(c.replicas[0]) })
			c.add(2)
			c.add(0)
			c.add(1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			want := []string{`1.1{"n": 0}`, `1.2{"n": 1}`, `3.1{"n": 0}`, `4.1{"n": 0}`, `6.1{"n": 0}`, `6.2{"n": 1}`}
			got := make(chan []string, 1)
			go func() {
				all, err := take(t, 6, db.Changes(ctx, "p", Oldest))
				got <- append(places(all), map[bool]string{true: fmt.Sprint(err)}[err != nil])
			}()
			time.Sleep(20 * time.Millisecond) // so that some of it is there before, and some comes; either is right
			c.add(1)
			c.add(0)
			c.add(2)
			if g := <-got; !slices.Equal(g, append(slices.Clone(want), "")) {
				t.Fatalf("%q", g)
			}
			for i := range want {
				text, _, _ := strings.Cut(want[i], "{")
				p, err := ParsePosition(text)
				if err != nil {
					t.Fatal(err)
				}
				if rest := want[i+1:]; len(rest) > 0 {
					if all, err := take(t, len(rest), db.Changes(ctx, "p", p)); err != nil || !slices.Equal(places(all), rest) {
						t.Errorf("from %s: %q, %v", p, places(all), err)
					}
				}
			}
			if all, err := take(t, 1, db.Notifications(ctx, []string{"odd"}, After(1))); err != nil || all[0].Payload != "6/2" {
				t.Errorf("%v, %v", all, err)
			}
		})
	}
}

// A batch that has no room is asked for in parts.
func TestFollowLarge(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.tells()
	c.with(func() { c.feed.most = 7 })
	c.add(1200)
	all, err := take(t, 1200, db.Changes(t.Context(), "p", Oldest))
	if err != nil || len(all) != 1200 || all[1199].Position != (Position{1, 1200}) || all[700].Position != (Position{1, 701}) {
		t.Errorf("%d, %v", len(all), err)
	}
}

func TestFollowFails(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.tells()
	for range 9 {
		c.add(1)
	}
	c.with(func() { c.feed.lost = After(5).integer() })
	ends := func(f Feed, from Position) (n int, err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		for b, e := range db.Follow(ctx, f, from) {
			n, err = n+len(b.Changes)+len(b.Notifications), e
		}
		return n, err
	}
	feed := Feed{Publication: "p"}
	for _, c := range []struct {
		from Position
		n    int
		kind mesh.Kind
	}{{Position{5, 1}, 0, mesh.NotFound}, {After(4), 0, mesh.NotFound}, {Position{Height: -2}, 0, mesh.Invalid}, {Position{Height: 1 << 40}, 0, mesh.Invalid}} {
		if n, err := ends(feed, c.from); n != c.n || mesh.KindOf(err) != c.kind || err == nil {
			t.Errorf("from %s: %d, %v", c.from, n, err)
		}
	}
	if _, err := ends(Feed{Publication: "q"}, Oldest); mesh.KindOf(err) != mesh.NotFound || mesh.HintOf(err) == "" {
		t.Errorf("no publication: %v", err)
	}
	for from, n := range map[Position]int{After(5): 4, Oldest: 9, Now: 0, After(9): 0} { // the fake still has what is lost
		if got, err := ends(feed, from); got != n || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("from %s: %d, %v", from, got, err)
		}
	}
	plain := c.open(0, Options{Dialect: wiredatabase.SQLite})
	if _, err := take(t, 1, plain.Changes(t.Context(), "p", Oldest)); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("of dialect sqlite: %v", err)
	}
}

// Replicas that tell of blocks which there are not are not believed for long.
func TestFollowLiars(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.tells()
	c.add(1)
	c.with(func() {
		for _, r := range c.replicas {
			r.lies = true
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	for _, err := range db.Follow(ctx, Feed{Publication: "p"}, Oldest) {
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	c.with(func() {
		for i, r := range c.replicas {
			if r.asked > 60 || r.waited > 60 { // of 200 that the pace allows
				t.Errorf("replica %d was asked %d times, and %d times to wait", i, r.asked, r.waited)
			}
		}
	})
}

func TestPosition(t *testing.T) {
	for text, want := range map[string]Position{"now": Now, "oldest": Oldest, "7": After(7), "7.3": {7, 3}, "0.0": Oldest, "274877906943.16777215": {maxHeight - 1, lastPlace}} {
		if p, err := ParsePosition(text); err != nil || p != want {
			t.Errorf("%s: %v, %v", text, p, err)
		} else if p != Now && positionOf(p.integer()) != p {
			t.Errorf("%s as an integer", text)
		}
	}
	for _, text := range []string{"", ".", "7.", "-1", "1.2.3", "1.16777216", "274877906944", "1.-1", "x", "0x1"} {
		if p, err := ParsePosition(text); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
}
