package replica

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A request brings the next checkpoint, of which each replica keeps a copy of that database. It is charged, and one waits at a time.
func TestBackup(t *testing.T) {
	w := newWorld(t, 4, 1)
	rules := Rules{CheckpointMs: 100_000}
	all := []*rig{newRig(w, 0, rules), newRig(w, 1, rules)}
	must := func(txs ...[]byte) {
		t.Helper()
		for _, r := range all {
			r.must(txs...)
		}
	}
	refused := func(want mesh.Kind, why string, tx []byte) {
		t.Helper()
		for _, r := range all {
			if x := r.run(tx)[0]; x.Code != uint32(want)+1 {
				t.Errorf("%s: %v, want %s", why, x, want)
			}
		}
	}
	u, other, reader := w.user("anna"), w.user("bert"), w.user("stranger")
	u.dialect = database.Postgres
	role := *u
	role.key = keyOf("session of a role")
	ofRole := role.link()
	ofRole.Prefix = grant.Database(u.name) + "/reader/"
	must(u.opened(), u.session(u.link()), role.session(ofRole), other.opened(), other.session(other.link()))
	must(u.send(u.envelope(timeOf(2), "CREATE TABLE t(v int)", "INSERT INTO t VALUES(1)")), other.send(other.envelope(timeOf(2), "CREATE TABLE t(v)")))
	at := timeOf(3)
	ask := func(by *user, of *user, at int64) []byte {
		return by.tx(wirepb.CellTxKind_CELL_TX_BACKUP, &wirepb.BackupRequest{Database: of.database[:], AtMs: at})
	}
	state := func(u *user) *wirepb.HostedStatus {
		d := all[0].app.view().database(u.database[:])
		return &wirepb.HostedStatus{Height: d.BackupHeight, Noz: d.Noz, Usage: d.Usage}
	}
	before := state(u)
	refused(mesh.Denied, "a session that the cell does not know", ask(reader, u, at))
	refused(mesh.Denied, "a role, which sees a part", ask(&role, u, at))
	refused(mesh.NotFound, "another's database", ask(other, u, at))
	refused(mesh.Invalid, "of long ago", ask(u, u, at-20*60_000))
	refused(mesh.Invalid, "of a time to come", ask(u, u, at+5*60_000))
	must(ask(u, u, at))
	after := state(u)
	d := all[0].app.view().database(u.database[:])
	charged := database.BackupUsage(d.Pages, 4)
	if most := before.Noz + database.Price(d.Prices, charged) + 10; after.Noz < most-10 || after.Noz > most || // the checkpoint charges for what it holds
		after.Usage.Gas != before.Usage.Gas+charged.Gas || charged.Gas == 0 || after.Height == 0 {
		t.Errorf("charged %v after %v, want %v more", after, before, charged)
	}
	refused(mesh.Conflict, "the same again", ask(u, u, at))
	refused(mesh.Conflict, "another while it waits", ask(u, u, at+1000))
	var copies [][]byte
	var signed *wirepb.Checkpoint
	for i := range 20 { // a twentieth of the time between checkpoints is 5 s
		if i > 0 {
			must()
		}
		if p := all[0].app.view().pending(); p != nil {
			break
		}
	}
	for i, r := range all {
		j := <-r.app.jobs
		if err := r.app.scan(context.Background(), j, map[mesh.DatabaseID]known{}); err != nil {
			t.Fatal(err)
		}
		r.app.backups.make(context.Background(), j)
		signed = j.checkpoint
		if err := r.app.unpin(j); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.app.backups.find(u.database, 0); mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("replica %d has it before it is certified: %v", i, err)
		}
	}
	must(w.checkpoint(0, signed), w.checkpoint(1, signed), w.checkpoint(2, signed))
	if h := state(u).Height; h != 0 {
		t.Errorf("it waits still, from height %d", h)
	}
	for i, r := range all {
		f, c, err := r.app.backups.find(u.database, signed.Height)
		if err != nil {
			t.Fatal(i, err)
		}
		b, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, b)
		if _, _, err := r.app.backups.find(other.database, 0); mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("another database was copied: %v", err)
		}
		if _, _, err := r.app.backups.find(u.database, signed.Height+1); mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("an old copy stands for a new one: %v", err)
		}
		p, err := database.CheckCertificate(w.domain, c, r.app.cell.config.AnswerKeys())
		if err != nil || !proto.Equal(p, signed) {
			t.Fatal(p, err)
		}
		var of *wirepb.CheckedDatabase
		for _, d := range p.Databases {
			if string(d.Database) == string(u.database[:]) {
				of = d
			}
		}
		want := engine.Mark{Height: uint64(of.Height), Digest: [32]byte(of.Digest), Content: [32]byte(of.Content)}
		if err := engine.Import(t.Context(), filepath.Join(t.TempDir(), "db"), bytes.NewReader(b), want, dialectOptions(engine.Options{}, database.Postgres)); err != nil {
			t.Error(err)
		}
		r.app.backups.keep = -1
		r.app.backups.make(t.Context(), &job{checkpoint: signed})
		if names, err := os.ReadDir(r.app.backups.dir); err != nil || len(names) > 0 {
			t.Errorf("an old copy stays: %v, %v", names, err)
		}
	}
	if string(copies[0]) != string(copies[1]) {
		t.Error("two replicas have different copies")
	}
	refused(mesh.Conflict, "the first request again", ask(u, u, at))
	must(ask(u, u, at+60_000))
	if all[0].app.view().digest() != all[1].app.view().digest() {
		t.Error("the replicas' states differ")
	}
}
