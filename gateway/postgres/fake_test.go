package postgres

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	client "github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A fake is a database of one list of texts. It knows these statements: INSERT INTO t (v) VALUES ($1), ...; SELECT v FROM t;
// DELETE FROM t; SELECT $1::int4; FAIL code; WAIT.
type fake struct {
	mu       sync.Mutex
	list     []string
	execs    int
	programs []Program
	settings []*wirepb.Settings
	level    Level
	waits    chan struct{} // gets one when a WAIT begins
	closed   int

	notes   []client.Notification
	noted   chan struct{} // closed when there are more, then replaced
	follows int           // that are under way
	lost    error         // what following ends with
}

// notify is what the database tells; each is a block.
func (f *fake) notify(channel, payload string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notes = append(f.notes, client.Notification{Position: client.Position{Height: int64(len(f.notes) + 1), Place: 1}, Channel: channel, Payload: payload})
	f.changed()
}

// changed is called with mu held.
func (f *fake) changed() {
	if f.noted != nil {
		close(f.noted)
	}
	f.noted = make(chan struct{})
}

func (f *fake) lose(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = err
	f.changed()
}

func (f *fake) following() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.follows
}

func (f *fake) Newest(context.Context) (client.Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.noted == nil {
		f.noted = make(chan struct{})
	}
	return client.After(int64(len(f.notes))), nil
}

func (f *fake) Follow(ctx context.Context, from client.Position) iter.Seq2[client.Batch, error] {
	return func(yield func(client.Batch, error) bool) {
		f.mu.Lock()
		f.follows++
		f.mu.Unlock()
		defer func() {
			f.mu.Lock()
			f.follows--
			f.mu.Unlock()
		}()
		for {
			f.mu.Lock()
			b, more, err := client.Batch{Position: from}, f.noted, f.lost
			for _, n := range f.notes {
				if n.Position.Compare(from) > 0 {
					b.Notifications, b.Position = append(b.Notifications, n), n.Position
				}
			}
			f.mu.Unlock()
			if err != nil {
				yield(client.Batch{}, err)
				return
			}
			if from = b.Position; len(b.Notifications) > 0 && !yield(b, nil) {
				return
			}
			select {
			case <-more:
			case <-ctx.Done():
				yield(client.Batch{}, ctx.Err())
				return
			}
		}
	}
}

func (f *fake) run(ctx context.Context, list *[]string, s *wirepb.Statement, writes bool) (*wirepb.Result, *wirepb.Outcome) {
	code, text := "", ""
	s = &wirepb.Statement{Sql: strings.ReplaceAll(s.Sql, `"`, ""), Parameters: s.Parameters}
	switch s := strings.TrimSpace(s.Sql); {
	case strings.HasPrefix(s, "FAIL "):
		code, text = s[5:10], "it fails"
	case s == "WAIT":
		f.waits <- struct{}{}
		<-ctx.Done()
	case strings.HasPrefix(s, "SELECT v FROM t"), s == "SELECT * FROM t", s == "DELETE FROM t", strings.HasPrefix(s, "SELECT $1"), strings.HasPrefix(s, "INSERT INTO t"):
	default:
		code, text = "42601", "syntax error at or near \""+s+"\""
	}
	if !writes && (strings.HasPrefix(s.Sql, "INSERT") || strings.HasPrefix(s.Sql, "DELETE")) {
		code, text = readOnlyCode, "a question may not write"
	}
	if code != "" {
		return nil, &wirepb.Outcome{Code: code, Text: text, Position: 1}
	}
	r := describeFake(s)
	r.ParameterTypes = nil
	switch {
	case strings.HasPrefix(s.Sql, "SELECT v"), s.Sql == "SELECT * FROM t":
		for _, v := range *list {
			r.Rows = append(r.Rows, &wirepb.Row{Values: []*wirepb.Value{value(v)}})
		}
		r.Tag = fmt.Sprintf("SELECT %d", len(r.Rows))
	case strings.HasPrefix(s.Sql, "SELECT $1"):
		r.Rows = []*wirepb.Row{{Values: s.Parameters}}
		r.Tag = "SELECT 1"
	case strings.HasPrefix(s.Sql, "DELETE"):
		r.Tag = fmt.Sprintf("DELETE %d", len(*list))
		*list = nil
	case strings.HasPrefix(s.Sql, "INSERT"):
		n := 0
		if len(s.Parameters) == 0 { // a constant
			n, *list = 1, append(slices.Clip(*list), strings.Split(s.Sql, "'")[1])
		}
		for _, v := range s.Parameters {
			n, *list = n+1, append(slices.Clip(*list), v.GetText())
		}
		r.Tag = fmt.Sprintf("INSERT 0 %d", n)
	}
	return r, nil
}

func describeFake(s *wirepb.Statement) *wirepb.Result {
	r := new(wirepb.Result)
	switch sql := strings.ReplaceAll(s.Sql, `"`, ""); {
	case strings.HasPrefix(sql, "SELECT v"), strings.HasPrefix(sql, "select v"), sql == "SELECT * FROM t":
		r.Columns = []*wirepb.Column{{Name: "v", TypeOid: uint32(postgres.Text), Typmod: -1}}
	case strings.HasPrefix(s.Sql, "SELECT $1"):
		r.Columns = []*wirepb.Column{{Name: "int4", TypeOid: uint32(postgres.Int4), Typmod: -1}}
		r.ParameterTypes = []uint32{uint32(postgres.Int4)}
	case strings.HasPrefix(s.Sql, "INSERT"):
		for range strings.Count(s.Sql, "$") {
			r.ParameterTypes = append(r.ParameterTypes, uint32(postgres.Text))
		}
	}
	return r
}

func (f *fake) all(ctx context.Context, list *[]string, p Program, writes bool) *wirepb.Outcome {
	o := new(wirepb.Outcome)
	for i, s := range p.Statements {
		r, failed := f.run(ctx, list, s, writes)
		if failed != nil {
			failed.Failed = uint32(i)
			return failed
		}
		if p.View != nil && i < len(p.View.Results) {
			if sum := database.ResultDigest(r); string(sum[:]) != string(p.View.Results[i]) {
				return &wirepb.Outcome{Code: "40001", Text: "another transaction came between", Failed: uint32(i)}
			}
		}
		o.Results = append(o.Results, r)
	}
	return o
}

func (f *fake) note(p Program, l Level) {
	f.programs, f.settings, f.level = append(f.programs, p), append(f.settings, p.Settings), l
}

func (f *fake) Describe(_ context.Context, p Program) (*wirepb.Outcome, error) {
	s := p.Statements[len(p.Statements)-1]
	if strings.HasPrefix(s.Sql, "FAIL") {
		return &wirepb.Outcome{Code: s.Sql[5:10], Text: "it fails"}, nil
	}
	return &wirepb.Outcome{Results: []*wirepb.Result{describeFake(s)}}, nil
}

func (f *fake) Query(ctx context.Context, l Level, p Program) (*wirepb.Outcome, error) {
	f.mu.Lock()
	list := slices.Clone(f.list)
	f.note(p, l)
	f.mu.Unlock()
	o := f.all(ctx, &list, p, false)
	return o, interrupted(ctx)
}

func interrupted(ctx context.Context) error {
	if ctx.Err() != nil {
		return mesh.Errorf(mesh.Unavailable, "no replica answered: %w", ctx.Err())
	}
	return nil
}

func (f *fake) Try(ctx context.Context, l Level, p Program) (*wirepb.Outcome, error) {
	f.mu.Lock()
	list := slices.Clone(f.list)
	f.note(p, l)
	f.mu.Unlock()
	o := f.all(ctx, &list, p, true)
	o.Results = o.Results[min(len(p.View.Results), len(o.Results)):]
	return o, interrupted(ctx)
}

func (f *fake) Exec(ctx context.Context, p Program) (*wirepb.Outcome, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.execs++
	f.note(p, "")
	list := slices.Clone(f.list)
	o := f.all(ctx, &list, p, true)
	if o.Code == "" {
		f.list = list
	}
	return o, interrupted(ctx)
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

func (f *fake) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.list, " ")
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.execs
}
