package postgres

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// talk sends messages and shows what comes back until so many ReadyForQuery.
func talk(t *testing.T, f *pgproto3.Frontend, until int, all ...pgproto3.FrontendMessage) string {
	t.Helper()
	for _, m := range all {
		f.Send(m)
	}
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for until > 0 {
		m, err := f.Receive()
		if err != nil {
			return strings.Join(append(got, "lost"), " ")
		}
		switch m := m.(type) {
		case *pgproto3.ParameterStatus:
		case *pgproto3.ReadyForQuery:
			until--
			got = append(got, fmt.Sprintf("ready(%c)", m.TxStatus))
		case *pgproto3.DataRow:
			s := "NULL"
			if m.Values[0] != nil {
				s = fmt.Sprintf("%q", m.Values[0])
			}
			got = append(got, "row("+s+")")
		case *pgproto3.CommandComplete:
			got = append(got, "done("+string(m.CommandTag)+")")
		case *pgproto3.ErrorResponse:
			got = append(got, "error("+m.Code+")")
			if m.Severity == "FATAL" {
				until = 0
			}
		case *pgproto3.RowDescription:
			got = append(got, fmt.Sprintf("columns(%s %d %d)", m.Fields[0].Name, m.Fields[0].DataTypeOID, m.Fields[0].Format))
		case *pgproto3.ParameterDescription:
			got = append(got, fmt.Sprintf("parameters%v", m.ParameterOIDs))
		default:
			got = append(got, strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3."))
		}
	}
	return strings.Join(got, " ")
}

// What drivers do that pgx does not: limits of rows, Flush, pipelines with errors, statements without a name.
func TestExtended(t *testing.T) {
	w := newWorld(t, Options{})
	w.db.list = []string{"a", "b", "c"}
	f := w.connect("").PgConn().Frontend()
	type all = []pgproto3.FrontendMessage
	parse := func(name, sql string) *pgproto3.Parse { return &pgproto3.Parse{Name: name, Query: sql} }
	bind := func(portal, name string, values ...string) *pgproto3.Bind {
		m := &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: name}
		for _, v := range values {
			m.Parameters = append(m.Parameters, []byte(v))
		}
		return m
	}
	execute := func(portal string, most uint32) *pgproto3.Execute {
		return &pgproto3.Execute{Portal: portal, MaxRows: most}
	}
	describe := func(kind byte, name string) *pgproto3.Describe {
		return &pgproto3.Describe{ObjectType: kind, Name: name}
	}
	query := func(sql string) *pgproto3.Query { return &pgproto3.Query{String: sql} }
	sync, flush := &pgproto3.Sync{}, &pgproto3.Flush{}
	for _, c := range []struct {
		why   string
		until int
		say   all
		want  string
	}{
		{"in one go", 1, all{parse("", "SELECT v FROM t"), bind("", ""), describe('P', ""), execute("", 0), sync},
			`ParseComplete BindComplete columns(v 25 0) row("a") row("b") row("c") done(SELECT 3) ready(I)`},
		{"a limit of rows", 1, all{bind("", ""), execute("", 2), execute("", 2), execute("", 2), sync},
			`BindComplete row("a") row("b") PortalSuspended row("c") done(SELECT 3) done(SELECT 3) ready(I)`},
		{"a portal ends with its transaction", 1, all{execute("", 0), sync}, `error(34000) ready(I)`},
		{"parameters", 1, all{parse("p", "SELECT $1::int4"), describe('S', "p"), bind("", "p", "42"), execute("", 0), sync},
			`ParseComplete parameters[23] columns(int4 23 0) BindComplete row("42") done(SELECT 1) ready(I)`},
		{"a value that is none", 1, all{bind("", "p", "x"), execute("", 0), sync}, `error(22P02) ready(I)`},
		{"too few", 1, all{bind("", "p"), sync}, `error(08P01) ready(I)`},
		{"a name twice", 1, all{parse("p", "SELECT v FROM t"), sync}, `error(42P05) ready(I)`},
		{"after an error nothing until Sync", 2, all{parse("", "FAIL 22012"), bind("", ""), execute("", 0), execute("", 0), sync, bind("", "p", "1"), execute("", 0), sync},
			`ParseComplete BindComplete error(22012) ready(I) BindComplete row("1") done(SELECT 1) ready(I)`},
		{"a pipeline is one transaction", 1, all{parse("i", "INSERT INTO t (v) VALUES ($1)"), bind("", "i", "d"), execute("", 0), parse("", "FAIL 22012"), bind("", ""), execute("", 0), sync},
			`ParseComplete BindComplete done(INSERT 0 1) ParseComplete BindComplete error(22012) ready(I)`},
		{"of which nothing happened", 1, all{query("SELECT v FROM t")}, `columns(v 25 0) row("a") row("b") row("c") done(SELECT 3) ready(I)`},
		{"Flush wants answers", 1, all{bind("", "i", "d"), execute("", 0), flush, parse("", "SELECT v FROM t"), bind("", ""), execute("", 0), sync},
			`BindComplete done(INSERT 0 1) ParseComplete BindComplete row("a") row("b") row("c") row("d") done(SELECT 4) ready(I)`},
		{"and then an error undoes it", 1, all{bind("", "i", "e"), execute("", 0), flush, parse("", "FAIL 22012"), bind("", ""), execute("", 0), sync},
			`BindComplete done(INSERT 0 1) ParseComplete BindComplete error(22012) ready(I)`},
		{"BEGIN by the extended protocol", 1, all{parse("", "BEGIN"), bind("", ""), describe('P', ""), execute("", 0), bind("", "i", "e"), execute("", 0), sync},
			`ParseComplete BindComplete NoData done(BEGIN) BindComplete done(INSERT 0 1) ready(T)`},
		{"and ROLLBACK", 1, all{parse("", "ROLLBACK"), bind("", ""), execute("", 0), sync}, `ParseComplete BindComplete done(ROLLBACK) ready(I)`},
		{"nothing", 1, all{parse("", ""), bind("", ""), execute("", 0), sync}, `ParseComplete BindComplete EmptyQueryResponse ready(I)`},
		{"a text ends a pipeline", 1, all{bind("", "i", "x"), execute("", 0), query("SELECT v FROM t; DELETE FROM t")},
			`BindComplete done(INSERT 0 1) columns(v 25 0) row("a") row("b") row("c") row("d") row("x") done(SELECT 5) done(DELETE 5) ready(I)`},
		{"but is passed over after an error", 1, all{parse("", "FAIL 22012"), bind("", ""), describe('P', ""), query("SELECT v FROM t"), sync}, `ParseComplete BindComplete error(22012) ready(I)`},
		{"the list again", 1, all{query("INSERT INTO t (v) VALUES ('a'); INSERT INTO t (v) VALUES ('b'); INSERT INTO t (v) VALUES ('c'); INSERT INTO t (v) VALUES ('d')")},
			`done(INSERT 0 1) done(INSERT 0 1) done(INSERT 0 1) done(INSERT 0 1) ready(I)`},
		{"two statements", 1, all{parse("", "SELECT v FROM t; SELECT v FROM t"), sync}, `error(42601) ready(I)`},
		{"NULL, binary", 1, all{&pgproto3.Bind{PreparedStatement: "p", Parameters: [][]byte{nil}}, execute("", 0),
			&pgproto3.Bind{PreparedStatement: "p", Parameters: [][]byte{{0, 0, 1, 0}}, ParameterFormatCodes: []int16{1}, ResultFormatCodes: []int16{1}}, execute("", 0), sync},
			`BindComplete row(NULL) done(SELECT 1) BindComplete row("\x00\x00\x01\x00") done(SELECT 1) ready(I)`},
		{"closed", 1, all{&pgproto3.Close{ObjectType: 'S', Name: "p"}, bind("", "p", "1"), sync}, `CloseComplete error(26000) ready(I)`},
		{"SHOW", 1, all{parse("", "SHOW timezone"), describe('S', ""), bind("", ""), execute("", 0), sync}, `ParseComplete parameters[] columns(TimeZone 25 0) BindComplete row("UTC") done(SHOW) ready(I)`},
		{"what is out of place", 1, all{&pgproto3.CopyDone{}, &pgproto3.FunctionCall{}, sync}, `error(0A000) ready(I)`},
		{"the list in the end", 1, all{query("SELECT v FROM t")}, `columns(v 25 0) row("a") row("b") row("c") row("d") done(SELECT 4) ready(I)`},
	} {
		if got := talk(t, f, c.until, c.say...); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.why, got, c.want)
		}
	}
	large := w.connect("").PgConn()
	if _, err := large.Conn().Write([]byte{'Q', 1, 0, 0, 5}); err != nil {
		t.Fatal(err)
	}
	if got := talk(t, large.Frontend(), 1); got != "error(54000)" {
		t.Errorf("a message that is too long: %s", got)
	}
}

// Whatever comes before the protocol, the server goes on.
func TestStrangers(t *testing.T) {
	w := newWorld(t, Options{StartupTime: 5 * time.Second})
	var all sync.WaitGroup
	for _, s := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x08\x04\xd2\x16\x2f", "\x00\x00\x00\x08\x04\xd2\x16\x2f\x00\x00\x00\x08\x04\xd2\x16\x2f", "\xff\xff\xff\xff\x00\x03\x00\x00",
		"\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x01", "\x16\x03\x01\x00\x00", "\x00\x00\x00\x09\x00\x03\x00\x00\x00", "\x00\x00\x00\x0c\x00\x03\x00\x00user", "\x00\x00\x00\x04\x00\x00\x00\x00"} {
		all.Go(func() {
			c, err := net.Dial("tcp", w.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if _, err := c.Write([]byte(s)); err != nil {
				t.Errorf("%q: %v", s, err)
			}
			c.SetReadDeadline(time.Now().Add(60 * time.Second))
			for b := make([]byte, 100); err == nil; {
				_, err = c.Read(b)
			}
			if e, ok := err.(net.Error); ok && e.Timeout() {
				t.Errorf("%q: the connection stays", s)
			}
		})
	}
	all.Wait()
	if got := w.list(w.connect("")); got != "" {
		t.Errorf("afterwards: %s", got)
	}
}
