package replica

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// large are statements of so many parts, of texts that cannot be compressed by much.
func large(parts int) (sql []string) {
	chance := rand.NewChaCha8([32]byte{byte(parts)})
	for i := range parts * 3 {
		b := make([]byte, 180_000)
		chance.Read(b)
		sql = append(sql, fmt.Sprintf("INSERT INTO t(v) VALUES('%d %s')", i, base64.StdEncoding.EncodeToString(b)))
	}
	return sql
}

// A program in parts is one program: it comes in any order, over many blocks, and leaves nothing behind.
func TestParts(t *testing.T) {
	w := newWorld(t, 4, 1)
	r := newRig(w, 0, Rules{})
	u := w.user("anna")
	r.must(u.opened(), u.session(u.link()), u.send(u.envelope(r.next(), "CREATE TABLE t(v)")))
	empty := r.app.view().digest()
	e, parts := u.divided(r.next(), large(4)...)
	if len(parts) < 4 {
		t.Fatalf("%d parts", len(parts))
	}
	missing := func(why string) {
		t.Helper()
		if x := r.run(u.send(e))[0]; x.Code != uint32(mesh.NotFound)+1 || x.GasUsed != 0 || len(x.Data) > 0 {
			t.Errorf("%s: %v", why, x)
		}
	}
	missing("no part is there")
	for i := range parts[1:] {
		r.must(u.part(r.next(), parts[len(parts)-1-i]))
		r.close()
		r.open()
	}
	missing("the first part is not there")
	// In the block of the envelope they come before it.
	before := r.app.view().database(u.database[:]).Usage.BytesIn
	x := r.must(u.part(r.next(), parts[0]), u.send(e))[1]
	if got := r.app.view().database(u.database[:]).Usage.BytesIn - before; got < 12*240_000 || got > 12*240_100 {
		t.Errorf("%d bytes are paid", got)
	}
	count := u.envelope(r.next(), "SELECT count(*) FROM t")
	r.must(u.send(count))
	if got := r.outcome(u, count).Results[0].Rows[0].Values[0].GetInteger(); got != int64(len(large(4))) {
		t.Errorf("%d rows", got)
	}
	// The same again has the first result, whether its parts came again or not.
	if again := r.must(u.send(e))[0]; string(again.Data) != string(x.Data) || again.GasUsed != 0 {
		t.Errorf("again without parts: %v", again)
	}
	if again := r.must(u.part(r.next(), parts[0]), u.part(r.next(), parts[1]), u.send(e))[2]; string(again.Data) != string(x.Data) || again.GasUsed != 0 {
		t.Errorf("again with parts: %v", again)
	}
	v := r.app.view()
	for _, k := range []byte{partKey, partEnd, contentKey} {
		if n := v.count([]byte{k}, 100); n != 0 {
			t.Errorf("%d records %c are left", n, k)
		}
	}
	if v.digest() == empty { // usage has changed
		t.Error("the digest of the state has not changed")
	}
}

// What a part or an envelope of parts wants of the cell, one thing wrong at a time.
func TestPartsRefused(t *testing.T) {
	w := newWorld(t, 4, 1)
	r := newRig(w, 0, Rules{Parts: database.MaxParts})
	u, other := w.user("anna"), w.user("bert")
	reader := w.user("anna")
	reader.key = keyOf("a reader")
	l := reader.link()
	l.Operations, l.Prefix = uint32(grant.Read), grant.Database("anna")+"/"
	r.must(u.opened(), other.opened(), u.session(u.link()), reader.session(l), other.session(other.link()), u.send(u.envelope(r.next(), "CREATE TABLE t(v)")), other.send(other.envelope(r.next(), "CREATE TABLE t(v)")))
	e, parts := u.divided(r.next(), large(1)...)
	garbage := []byte("no program")
	sum := database.PartDigest(garbage)
	unreadable := u.envelope(r.next())
	unreadable.Parts, unreadable.ProgramBytes = [][]byte{sum[:]}, 10
	little, _ := u.divided(r.next(), large(1)...)
	little.GasLimit = little.ProgramBytes/database.ProgramBytesPerGas - 1
	stranger := *u
	stranger.key = keyOf("nobody")
	r.must(other.part(r.next(), parts[0]), other.part(r.next(), parts[1]), u.part(r.next(), garbage))
	theirs := func(change func(p *wirepb.ProgramPart)) []byte {
		p := &wirepb.ProgramPart{Database: u.database[:], Data: parts[0], NotAfterMs: r.next() + 60_000}
		change(p)
		return u.tx(wirepb.CellTxKind_CELL_TX_PART, p)
	}
	for _, c := range []struct {
		why  string
		want mesh.Kind
		tx   []byte
	}{
		{"parts of another account's", mesh.NotFound, u.send(e)},
		{"little gas", mesh.Invalid, u.send(little)},
		{"another's database", mesh.NotFound, theirs(func(p *wirepb.ProgramPart) { p.Database = other.database[:] })},
		{"an unknown session", mesh.Denied, stranger.part(r.next(), parts[0])},
		{"a reader", mesh.Denied, reader.part(r.next(), parts[0])},
		{"no bytes", mesh.Invalid, theirs(func(p *wirepb.ProgramPart) { p.Data = nil })},
		{"too many bytes", mesh.Invalid, theirs(func(p *wirepb.ProgramPart) { p.Data = make([]byte, database.PartBytes+1) })},
		{"expired", mesh.Conflict, theirs(func(p *wirepb.ProgramPart) { p.NotAfterMs = r.next() - 1 })},
		{"too far ahead", mesh.Invalid, theirs(func(p *wirepb.ProgramPart) { p.NotAfterMs = r.next() + 2*database.MaxAheadMs })},
		{"known", mesh.Conflict, u.part(r.next()-1000, garbage)},
		{"signed as an envelope", mesh.Denied, wire.Encode(&wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_PART, Messages: []*wirepb.Signed{signed.Seal(w.domain, u.key, sign.Envelope,
			&wirepb.ProgramPart{Database: u.database[:], Data: parts[0], NotAfterMs: r.next() + 1000})}})},
		{"statements and parts", mesh.Invalid, u.send(func() *wirepb.Envelope {
			e := u.envelope(r.next(), "SELECT 1")
			e.Parts, e.ProgramBytes = unreadable.Parts, 10
			return e
		}())},
		{"a short digest", mesh.Invalid, u.send(func() *wirepb.Envelope {
			e := u.envelope(r.next())
			e.Parts, e.ProgramBytes = [][]byte{{1}}, 10
			return e
		}())},
		{"too many parts", mesh.Invalid, u.send(func() *wirepb.Envelope {
			e := u.envelope(r.next())
			e.ProgramBytes = 10
			for range database.MaxParts + 1 {
				e.Parts = append(e.Parts, sum[:])
			}
			return e
		}())},
	} {
		before := r.digests()
		if x := r.run(c.tx)[0]; x.Code != uint32(c.want)+1 || len(x.Data) > 0 || x.GasUsed != 0 {
			t.Errorf("%s: %v, want %s", c.why, x, c.want)
		}
		if c.want != mesh.NotFound && fmt.Sprint(before) != fmt.Sprint(r.digests()) {
			t.Errorf("%s: the databases have changed", c.why)
		}
	}
	// What is no program has been read for nothing: its parts are gone, and paid.
	paid := r.app.view().database(u.database[:]).Usage.BytesIn
	for _, want := range []mesh.Kind{mesh.Invalid, mesh.NotFound} {
		if x := r.run(u.send(unreadable))[0]; x.Code != uint32(want)+1 || x.GasUsed != 0 {
			t.Errorf("no program: %v, want %s", x, want)
		}
	}
	if got := r.app.view().database(u.database[:]).Usage.BytesIn - paid; got != uint64(len(garbage)) {
		t.Errorf("%d bytes of what is no program are paid", got)
	}
	r.must(u.part(r.next(), garbage))
	// An account may have so many; a session that sends one again, for longer, has it for longer.
	var all [][]byte
	for i := range database.MaxParts - 1 {
		all = append(all, u.part(r.next(), []byte{1, byte(i)}))
	}
	r.must(all...)
	if x := r.run(u.part(r.next(), []byte("one more")))[0]; x.Code != uint32(mesh.Exhausted)+1 || x.Info == "" {
		t.Errorf("one more: %v", x)
	}
	r.must(other.part(r.next(), []byte("one of another account")), u.part(r.next()+60_000, garbage))
	paid = r.app.view().database(u.database[:]).Usage.BytesIn
	for range 70 {
		r.run()
	}
	v := r.app.view()
	if n := v.count(key(partKey), 100); n != 1 {
		t.Errorf("%d parts are left of those whose time is over", n)
	}
	if n := v.count(key(contentKey), 100); n != 1 {
		t.Errorf("the bytes of %d parts are left", n)
	}
	if got := v.database(u.database[:]).Usage.BytesIn - paid; got != 2*(database.MaxParts-1) {
		t.Errorf("%d bytes that were not used are paid", got)
	}
}

// A member that joins has the parts that wait, and believes no others.
func TestPartsExport(t *testing.T) {
	w := newWorld(t, 4, 1)
	r := newRig(w, 0, Rules{})
	u := w.user("anna")
	r.must(u.opened(), u.session(u.link()))
	r.must(u.part(r.next(), []byte("the first")), u.part(r.next(), bytes.Repeat([]byte{7}, database.PartBytes)))
	var b bytes.Buffer
	if err := writeState(&b, r.db); err != nil {
		t.Fatal(err)
	}
	var contents []string
	read := func(b []byte) ([32]byte, error) {
		contents = nil
		return readState(bytes.NewReader(b), func(k, b []byte) error {
			if k[0] == contentKey {
				contents = append(contents, string(b[:7]))
			}
			return nil
		})
	}
	if sum, err := read(b.Bytes()); err != nil || sum != r.app.view().digest() || len(contents) != 2 {
		t.Errorf("%v, contents %q", err, contents)
	}
	altered := bytes.Replace(b.Bytes(), []byte("the first"), []byte("the worst"), 1)
	if _, err := read(altered); mesh.KindOf(err) != mesh.Corrupt {
		t.Errorf("altered: %v", err)
	}
}

// A large program reaches a cell whose replicas come and go, while a neighbour writes; a large question is read of those alone whom the
// cell knows.
func TestPartsInACell(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 4, Options{IdleBlock: 300 * time.Millisecond})
	g.start(0, 1, 2, 3)
	u, other := g.user("anna"), g.user("bert")
	for _, tx := range [][]byte{u.opened(), other.opened()} {
		g.mustSubmit(u, 0, tx)
	}
	g.mustSubmit(u, 0, u.session(u.link()))
	g.equal(g.mustSubmit(other, 0, other.session(other.link())).Height)
	g.write(u, 0, "CREATE TABLE t(v)")
	g.write(other, 0, "CREATE TABLE t(v)")
	now := time.Now().UnixMilli()
	sql := large(9)
	e, parts := u.divided(now, sql...)
	e.NotAfterMs = now + database.MaxAheadMs/2 // on a slow machine, too
	var all sync.WaitGroup
	send := func(i int, parts [][]byte) {
		for _, p := range parts {
			all.Go(func() {
				if _, err := g.submit(u, i, u.part(e.NotAfterMs-60_000, p)); err != nil {
					t.Errorf("a part: %v", err)
				}
			})
		}
	}
	send(0, parts[:5])
	g.stop(2)
	for range 5 {
		g.write(other, 3, "INSERT INTO t VALUES(1)")
	}
	send(1, parts[3:7]) // some by two ways
	all.Wait()
	g.start(2)
	if _, err := g.submit(u, 1, u.send(e)); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("an envelope of which parts are missing: %v", err)
	}
	send(2, parts[7:])
	g.write(other, 3, "INSERT INTO t VALUES(2)")
	all.Wait()
	var heights [4]int64
	for i := range heights {
		all.Go(func() {
			reply, err := g.submit(u, i, u.send(e))
			if err != nil || reply.Outcome.Code != "" || len(reply.Outcome.Results) != len(sql) {
				t.Errorf("replica %d: %v, %v", i, reply.GetOutcome(), err)
				return
			}
			heights[i] = g.open(i, reply).Height
		})
	}
	all.Wait()
	if heights != [4]int64{heights[0], heights[0], heights[0], heights[0]} {
		t.Errorf("applied at %d", heights)
	}
	g.equal(g.write(u, 0, "SELECT 1").Height)
	reply, err := g.query(u, 2, 0, "SELECT count(*) FROM t")
	if err != nil || reply.Outcome.Results[0].Rows[0].Values[0].GetInteger() != int64(len(sql)) {
		t.Errorf("%v, %v", reply, err)
	}

	long := func(n int) string { return "SELECT 1 --" + strings.Repeat(" ", n) }
	q := &wirepb.DatabaseQuery{Database: u.database[:], GasLimit: database.MaxQueryGas}
	for range 8 {
		q.Statements = append(q.Statements, &wirepb.Statement{Sql: long(200_000)})
	}
	ask := func(u *user) (*wirepb.DatabaseReply, error) {
		reply := new(wirepb.DatabaseReply)
		return reply, g.call(u, 1, wirepb.CellQueryPath, q, reply)
	}
	if reply, err := ask(u); err != nil || reply.Outcome.Code != "" || len(reply.Outcome.Results) != 8 {
		t.Errorf("a large question: %v, %v", reply.GetOutcome(), err)
	}
	stranger := *u
	stranger.key = keyOf("a stranger")
	if _, err := ask(&stranger); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("a stranger's: %v", err)
	}
	q.Statements[0].Sql = long(database.MaxQuery)
	if _, err := ask(u); mesh.KindOf(err) != mesh.Exhausted {
		t.Errorf("one that is too large: %v", err)
	}
}
