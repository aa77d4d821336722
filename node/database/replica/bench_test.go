package replica

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/tlsid"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// BenchmarkWrites is envelopes of one row through a cell of four in this process, by so many clients at once. cpu-us/op is of all
// four replicas and the clients.
func BenchmarkWrites(b *testing.B) {
	for _, clients := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(clients, " clients"), func(b *testing.B) {
			g := newGroup(b, 4, Options{})
			g.start(0, 1, 2, 3)
			u := g.user("anna")
			g.equal(g.mustSubmit(u, 0, u.opened()).Height)
			g.equal(g.mustSubmit(u, 0, u.session(u.link())).Height)
			last := g.write(u, 0, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
			g.equal(last.Height)
			cert, err := tlsid.Certificate(u.key)
			if err != nil {
				b.Fatal(err)
			}
			var conns []*http.Client
			for _, m := range g.configs[0].Members {
				t := &http.Transport{TLSClientConfig: tlsid.Client(cert, m.AnswerKey), MaxIdleConnsPerHost: clients}
				defer t.CloseIdleConnections()
				conns = append(conns, &http.Client{Transport: t})
			}
			var all [][]byte
			for i := range b.N {
				e := u.envelope(time.Now().UnixMilli()+240_000, fmt.Sprintf("INSERT INTO t(v) VALUES(%d)", i)) // good for the whole run
				e.GasLimit = 100_000                                                                           // as clients begin
				all = append(all, u.send(e))
			}
			var next atomic.Int64
			before := processor(b)
			b.SetParallelism(max(clients/2, 1))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := int(next.Add(1) - 1)
					tx := new(wirepb.CellTx)
					if err := proto.Unmarshal(all[i], tx); err != nil {
						b.Fatal(err)
					}
					m := g.configs[0].Members[i%4]
					r := new(wirepb.DatabaseReply)
					if err := rpc.Call(context.Background(), conns[i%4], "https://"+m.Address+wirepb.CellSubmitPath, database.MaxReply, tx, r); err != nil || r.Outcome.Code != "" {
						b.Error(r, err)
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(processor(b)-before)/float64(b.N), "cpu-us/op")
		})
	}
}

// processor is what this process has used, in microseconds.
func processor(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return (u.Utime.Nano() + u.Stime.Nano()) / 1000
}

// postgresCell is a cell with a user's database in PostgreSQL's dialect, and a table in it.
func postgresCell(b *testing.B) (*group, *user) {
	g := newGroup(b, 4, Options{})
	g.start(0, 1, 2, 3)
	u := g.user("anna")
	u.dialect = database.Postgres
	g.equal(g.mustSubmit(u, 0, u.opened()).Height)
	g.equal(g.mustSubmit(u, 0, u.session(u.link())).Height)
	g.equal(g.write(u, 0, "CREATE TABLE t(id bigint PRIMARY KEY, v text)").Height)
	return g, u
}

// BenchmarkReads is point reads of one replica, in PostgreSQL's dialect, over 16 connections; cpu-us/op is of it and the clients.
func BenchmarkReads(b *testing.B) {
	g, u := postgresCell(b)
	g.equal(g.write(u, 0, "INSERT INTO t SELECT x, 'a text as it may stand in a row' FROM generate_series(1, 1000) AS s(x)").Height)
	cert, err := tlsid.Certificate(u.key)
	if err != nil {
		b.Fatal(err)
	}
	m := g.configs[0].Members[0]
	t := &http.Transport{TLSClientConfig: tlsid.Client(cert, m.AnswerKey), MaxIdleConnsPerHost: 16}
	defer t.CloseIdleConnections()
	c := &http.Client{Transport: t}
	var next atomic.Int64
	before := processor(b)
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			q := &wirepb.DatabaseQuery{Database: u.database[:], GasLimit: database.MaxQueryGas, Statements: []*wirepb.Statement{{Sql: "SELECT v FROM t WHERE id = $1",
				Parameters: []*wirepb.Value{{Value: &wirepb.Value_Integer{Integer: 1 + next.Add(1)%1000}}}}}}
			r := new(wirepb.DatabaseReply)
			if err := rpc.Call(context.Background(), c, "https://"+m.Address+wirepb.CellQueryPath, database.MaxReply, q, r); err != nil || len(r.Outcome.Results[0].Rows) != 1 {
				b.Error(r, err)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(processor(b)-before)/float64(b.N), "cpu-us/op")
}

// BenchmarkBatches is envelopes of a hundred rows as parameters, in PostgreSQL's dialect, through a cell of four in this process, by 16
// clients. cpu-us/op is of a row.
func BenchmarkBatches(b *testing.B) {
	const rows = 100
	g, u := postgresCell(b)
	var sql strings.Builder
	for i := range rows {
		fmt.Fprintf(&sql, ",($%d,$%d)", 2*i+1, 2*i+2)
	}
	var all [][]byte
	for i := range b.N {
		e := u.envelope(time.Now().UnixMilli()+240_000, "INSERT INTO t VALUES "+sql.String()[1:])
		for j := range rows {
			e.Statements[0].Parameters = append(e.Statements[0].Parameters, &wirepb.Value{Value: &wirepb.Value_Integer{Integer: int64(i*rows + j)}},
				&wirepb.Value{Value: &wirepb.Value_Text{Text: "a text as it may stand in a row"}})
		}
		all = append(all, u.send(e))
	}
	var next atomic.Int64
	before := processor(b)
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := int(next.Add(1) - 1)
			if r := g.mustSubmit(u, i%4, all[i]); r.Outcome.Code != "" {
				b.Error(r)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(processor(b)-before)/float64(b.N*rows), "cpu-us/row")
}
