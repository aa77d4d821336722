package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	sm "github.com/cometbft/cometbft/state"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A replica that comes late takes a checkpoint and the log behind it, and one that is emptied does so again.
func TestJoins(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 4, Options{Rules: Rules{CheckpointMs: 1000}, IdleBlock: 200 * time.Millisecond, JoinBlocks: 5, JoinPoll: 50 * time.Millisecond})
	g.start(0, 1, 2)
	u, other := g.user("anna"), g.user("bert")
	g.mustSubmit(u, 0, u.opened())
	g.mustSubmit(u, 0, other.opened())
	g.mustSubmit(u, 0, u.session(u.link()))
	g.write(u, 0, "CREATE TABLE t(v)", "INSERT INTO t VALUES(randomblob(3000000))")
	for i := range 5 {
		g.write(u, 0, fmt.Sprintf("INSERT INTO t VALUES(%d)", i))
	}
	divided, parts := u.divided(time.Now().UnixMilli(), large(2)...)
	divided.NotAfterMs = time.Now().UnixMilli() + database.MaxAheadMs/2
	for _, p := range parts {
		g.mustSubmit(u, 0, u.part(time.Now().UnixMilli(), p))
		g.mustSubmit(u, 1, u.part(time.Now().UnixMilli(), p)) // known, or kept for longer
	}
	for round := range 2 {
		if err := Join(t.Context(), g.homes[3], g.opts, quiet()); err != nil {
			t.Fatal(err)
		}
		g.write(u, 0, "INSERT INTO t VALUES('behind it')")
		for range 2 { // before it has taken a block
			r, err := New(g.homes[3], g.opts, quiet())
			if err != nil {
				t.Fatal(err)
			}
			if h := r.engine.BlockStore().Height(); h != 0 {
				t.Errorf("it has the log up to %d already", h)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		g.start(3)
		last := g.write(u, 3, "INSERT INTO t VALUES('with it')")
		if round == 0 { // the one that joined has parts that came before
			reply := g.mustSubmit(u, 3, u.send(divided))
			if last = g.open(3, reply); reply.Outcome.Code != "" {
				t.Fatal(reply.Outcome)
			}
		}
		g.equal(last.Height)
		if base := g.members[3].replica.engine.BlockStore().Base(); base < 5 {
			t.Errorf("its log begins at block %d", base)
		}
		reply, err := g.query(u, 3, last.Height, "SELECT count(*) FROM t")
		if err != nil || reply.Outcome.Results[0].Rows[0].Values[0].GetInteger() != int64(8+2*round+len(large(2))) {
			t.Errorf("got %v, %v", reply, err)
		}
		g.certified(u, last.Height) // it goes on and signs what the others sign
		if round == 0 {
			g.strangersJoinNot(u)
			g.stop(3)
			if err := Reset(g.homes[3]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A log is kept only so far; a replica that was away for longer finds out, and joins again.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 4, Options{Rules: Rules{CheckpointMs: 200}, IdleBlock: 100 * time.Millisecond, JoinBlocks: 25, JoinPoll: 50 * time.Millisecond, Overtaken: 100 * time.Millisecond})
	g.start(0, 1, 2, 3)
	u := g.user("anna")
	g.mustSubmit(u, 0, u.opened())
	g.mustSubmit(u, 0, u.session(u.link()))
	g.write(u, 0, "CREATE TABLE t(v)")
	g.equal(g.write(u, 0, "INSERT INTO t VALUES(1)").Height)
	tip, _ := g.members[3].replica.app.at()
	g.stop(3)
	g.eventually("the others drop what the one that is away lacks", func() error {
		g.write(u, 0, "INSERT INTO t VALUES(2)")
		for i := range 3 {
			s, err := g.status(nil, i)
			if err != nil || s.Base <= tip.Height+1 {
				return fmt.Errorf("replica %d has blocks from %d on, of %d; %w", i, s.Base, tip.Height, err)
			}
		}
		return nil
	})
	g.start(3)
	m := g.members[3]
	g.members[3] = nil
	if err := <-m.ended; mesh.KindOf(err) != mesh.Corrupt {
		t.Fatalf("the one that was away: %v", err)
	}
	if err := errors.Join(m.replica.Close(), Reset(g.homes[3]), Join(t.Context(), g.homes[3], g.opts, quiet())); err != nil {
		t.Fatal(err)
	}
	g.start(3)
	g.equal(g.write(u, 3, "INSERT INTO t VALUES(3)").Height)
}

// strangersJoinNot asks for what only members get.
func (g *group) strangersJoinNot(u *user) {
	g.t.Helper()
	if err := g.call(u, 0, wirepb.CellSnapshotPath, new(wirepb.SnapshotRequest), new(wirepb.SnapshotAnswer)); mesh.KindOf(err) != mesh.Denied {
		g.t.Errorf("a stranger asks for a checkpoint: %v", err)
	}
	err := g.call(u, 0, "/v1/export/1/state", new(wirepb.SnapshotRequest), new(wirepb.SnapshotAnswer))
	if err == nil {
		g.t.Error("a stranger has the state")
	}
}

// A member's words about the log are believed only as far as the members have signed them.
func TestJoinBelievesNobody(t *testing.T) {
	g := newGroup(t, 4, Options{Rules: Rules{CheckpointMs: 1000}, IdleBlock: 200 * time.Millisecond, JoinBlocks: 1, JoinPoll: 50 * time.Millisecond})
	g.start(0, 1, 2)
	u := g.user("anna")
	g.mustSubmit(u, 0, u.opened())
	g.mustSubmit(u, 0, u.session(u.link()))
	g.write(u, 0, "CREATE TABLE t(v)")
	r := g.members[0].replica
	var a *wirepb.SnapshotAnswer
	g.eventually("an export", func() error {
		c, h := r.exports.ready()
		if c == nil {
			return errors.New("none yet")
		}
		a = &wirepb.SnapshotAnswer{Certificate: c}
		var err [2]error
		a.Header, err[0] = r.signedHeader(h)
		a.Next, err[1] = r.signedHeader(h + 1)
		return errors.Join(err[:]...)
	})
	j := &joiner{config: r.config, opts: r.opts}
	p := new(wirepb.Checkpoint)
	check := func() error {
		_, _, err := j.logState(p, a)
		return err
	}
	var height int64
	_, height = r.exports.ready()
	p = &wirepb.Checkpoint{Height: height}
	m := r.engine.BlockStore().LoadBlockMeta(height)
	p.TimeMs = m.Header.Time.UnixMilli()
	if err := check(); err != nil {
		t.Fatal(err)
	}
	state, _, err := j.logState(p, a)
	if err != nil {
		t.Fatal(err)
	}
	genesis, err := sm.MakeGenesisState(r.engine.GenesisDoc())
	if err != nil {
		t.Fatal(err)
	}
	for range height {
		genesis.Validators.IncrementProposerPriority(1)
	}
	if fmt.Sprint(genesis.Validators) != fmt.Sprint(state.Validators) {
		t.Errorf("whose turn it is: %v, want %v", state.Validators, genesis.Validators)
	}
	header, next := a.Header, a.Next
	for why, change := range map[string]func(){
		"another time":               func() { p.TimeMs++ },
		"another height":             func() { p.Height++ },
		"headers that do not follow": func() { a.Next = header },
		"no headers":                 func() { a.Header = nil },
		"half a header":              func() { a.Header = header[:len(header)/2] },
		"an altered one":             func() { a.Next = bytes.Replace(next, r.app.appHash, make([]byte, 32), 1) },
	} {
		change()
		if err := check(); err == nil {
			t.Errorf("%s: believed", why)
		}
		a.Header, a.Next, p.Height, p.TimeMs = header, next, height, m.Header.Time.UnixMilli()
	}
}

func TestStateExport(t *testing.T) {
	w := newWorld(t, 4, 1)
	r := newRig(w, 0, Rules{})
	for _, n := range []string{"anna", "bert", "cora"} {
		u := w.user(n)
		r.must(u.opened(), u.session(u.link()))
	}
	var whole bytes.Buffer
	if err := writeState(&whole, r.db); err != nil {
		t.Fatal(err)
	}
	records := 0
	sum, err := readState(bytes.NewReader(whole.Bytes()), func(_, _ []byte) error { records++; return nil })
	if err != nil || sum != r.app.view().digest() || records < 12 {
		t.Fatalf("%d records, %v", records, err)
	}
	read := func(b []byte) (same bool, err error) {
		got, err := readState(bytes.NewReader(b), func(_, _ []byte) error { return nil })
		return got == sum, err
	}
	for i := range whole.Len() { // cut, and altered
		if same, err := read(whole.Bytes()[:i]); err == nil && same {
			t.Fatalf("cut at %d: believed", i)
		}
		b := bytes.Clone(whole.Bytes())
		b[i] ^= 0x55
		if same, err := read(b); err == nil && same {
			t.Fatalf("altered at %d: believed", i)
		}
	}
	if same, err := read(append(whole.Bytes(), 0)); err == nil && same {
		t.Error("with a byte behind its end: believed")
	}
	head := binary.BigEndian.AppendUint16([]byte(stateMagic), stateVersion)
	for why, b := range map[string][]byte{
		"large":    binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(bytes.Clone(head), 1), 1<<31),
		"no key":   binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(bytes.Clone(head), 0), 1),
		"not ours": append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(bytes.Clone(head), 1), 0), tipKey),
	} {
		if _, err := read(b); mesh.KindOf(err) != mesh.Corrupt {
			t.Errorf("%s: %v", why, err)
		}
	}
	boom := errors.New("boom")
	if _, err := readState(bytes.NewReader(whole.Bytes()), func(_, _ []byte) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("a disk that fails: %v", err)
	}
}

// What was interrupted is not begun with, and emptied before it is begun again.
func TestJoinInterrupted(t *testing.T) {
	g := newGroup(t, 4, Options{})
	home := g.homes[0]
	if err := writeFile(home, joiningFile); err != nil {
		t.Fatal(err)
	}
	if _, err := New(home, g.opts, quiet()); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("a part of a checkpoint: %v", err)
	}
	if err := Join(t.Context(), home, g.opts, quiet()); err != nil { // nobody answers: it begins with the log
		t.Fatal(err)
	}
	if interrupted(home) {
		t.Error("it is not emptied")
	}
	g.start(0)
	g.stop(0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Join(ctx, home, g.opts, quiet()); err != nil { // there is a log: nothing to do
		t.Error(err)
	}
}

func writeFile(home, name string) error { return os.WriteFile(filepath.Join(home, name), nil, 0o600) }
