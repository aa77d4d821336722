package database

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const (
	// backupPoll is the pause before a replica is asked again whether its copy is there.
	backupPoll = time.Second
	// backupWait bounds the wait for a replica's answer, which is not the copy itself.
	backupWait = 20 * time.Second
)

// BackupOptions say what a backup tells meanwhile. Both may be nil.
type BackupOptions struct {
	// Say is told what it waits for.
	Say func(what string)
	// Began is told when a replica begins to send: which one, and how many bytes it will be, -1 when it does not say.
	Began func(m Member, size int64)
}

// Backup has the cell copy the database at its next checkpoint, which takes up to a minute besides, and gives take the copy, in the format
// of protocol/database. What it holds is what was acknowledged to anybody before Backup was called, or more. It is charged to the database.
//
// Of the copy it is checked that this cell's members have certified the state that it says it has. Whether its content is that of the
// state only the engine can tell: take may verify it. When take returns an error of kind Corrupt, or the copy is cut or false, the replica
// has lied or its disk has; take is called again with another's. The error names all that did. take reads to the end, and a copy
// is complete when it has returned nil and so does Backup.
func (d *DB) Backup(ctx context.Context, take func(copy io.Reader) error, o BackupOptions) (*wiredatabase.Backup, error) {
	say := func(format string, args ...any) {
		if o.Say != nil {
			o.Say(fmt.Sprintf(format, args...))
		}
	}
	at := time.Now()
	height, err := d.askBackup(ctx, say)
	if err != nil {
		return nil, err
	}
	say("the copy at the next checkpoint")
	n := len(d.cell.Members)
	failed := make([]error, n)
	d.mu.Lock()
	first := d.first
	d.mu.Unlock()
	for k := 0; ; k++ {
		i := (first + k) % n
		if k%n == 0 && k > 0 {
			select {
			case <-ctx.Done():
				return nil, mesh.Errorf(mesh.Unavailable, "no replica had a backup in time: %w", errors.Join(append(failed, ctx.Err())...))
			case <-time.After(backupPoll):
			}
		}
		if mesh.KindOf(failed[i]) == mesh.Corrupt && failed[i] != nil {
			continue
		}
		b, own, err := d.fetchBackup(ctx, i, height, at, take, o.Began)
		switch failed[i] = err; {
		case err == nil:
			return b, nil
		case own:
			return nil, err
		case mesh.KindOf(err) == mesh.Corrupt:
			say("another copy: %v", err)
		}
		bad := 0
		for _, err := range failed {
			if err != nil && mesh.KindOf(err) != mesh.Unavailable {
				bad++
			}
		}
		if bad == n { // no more can come
			return nil, errors.Join(failed...)
		}
	}
}

// askBackup puts a request on the log, and returns the height from which on the checkpoint is.
func (d *DB) askBackup(ctx context.Context, say func(string, ...any)) (int64, error) {
	n := len(d.cell.Members)
	refused := make([]error, n)
	d.mu.Lock()
	first := d.first
	d.mu.Unlock()
	for k := 0; ; k++ {
		i := (first + k) % n
		m := d.sign(sign.Backup, &wirepb.BackupRequest{Database: d.id[:], AtMs: time.Now().UnixMilli()})
		tx := &wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_BACKUP, Messages: []*wirepb.Signed{m}}
		r := new(wirepb.DatabaseReply)
		attempt, cancel := context.WithTimeout(ctx, attemptTime)
		err := d.admitted(attempt, i, wirepb.CellSubmitPath, tx, r)
		cancel()
		if err == nil {
			return r.Height, nil
		}
		switch {
		case mesh.KindOf(err) == mesh.Conflict:
			say("the backup that was asked for before")
		case decided(err):
			refused[i] = err
			same := 0
			for _, o := range refused {
				if o != nil && mesh.KindOf(o) == mesh.KindOf(err) {
					same++
				}
			}
			if same > d.cell.Faults() {
				return 0, err
			}
		}
		select {
		case <-time.After(d.opts.Retry):
		case <-ctx.Done():
			return 0, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the cell took no request for a backup in time: %w", errors.Join(err, ctx.Err())), "look at: stratos db stats %s", d.name)
		}
	}
}

// fetchBackup takes a member's copy. own tells that the error is take's, and not the member's.
func (d *DB) fetchBackup(ctx context.Context, i int, height int64, at time.Time, take func(io.Reader) error, began func(Member, int64)) (b *wiredatabase.Backup, own bool, err error) {
	m := d.cell.Members[i]
	name := func(err error) error {
		return mesh.Errorf(mesh.KindOf(err), "replica %s: %w", m.Node, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := d.getCopy(ctx, cancel, m, height)
	if mesh.KindOf(err) == mesh.Denied && err != nil { // it may not know the session
		shown, end := context.WithTimeout(ctx, backupWait)
		err = d.show(shown, i)
		end()
		if err == nil {
			r, err = d.getCopy(ctx, cancel, m, height)
		}
	}
	if err != nil {
		return nil, false, name(err)
	}
	defer r.Body.Close()
	// What the head says is looked at before anything is given on; it is read again with the rest.
	var head bytes.Buffer
	if b, err = wiredatabase.ReadBackupHead(io.TeeReader(r.Body, &head)); err == nil {
		err = d.checkBackup(b, height, at)
	}
	if err != nil {
		return nil, false, mesh.Errorf(mesh.Corrupt, "replica %s: %w", m.Node, err)
	}
	if began != nil {
		began(m, r.ContentLength)
	}
	from, to := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		_, err := io.Copy(to, &head)
		if err == nil {
			err = wiredatabase.CopyExport(to, r.Body, b.Database)
		}
		to.CloseWithError(err)
		checked <- err
	}()
	err = take(from)
	if err == nil {
		_, err = io.Copy(io.Discard, from)
	}
	from.CloseWithError(errTaken)
	cancel()
	sent := <-checked
	switch {
	case sent != nil && !errors.Is(sent, errTaken): // it was the member's
		if mesh.KindOf(sent) != mesh.Corrupt {
			sent = mesh.Errorf(mesh.Unavailable, "the copy broke off: %w", sent)
		}
		return nil, false, name(sent)
	case err == nil:
		return b, false, nil
	case mesh.KindOf(err) == mesh.Corrupt:
		return nil, false, name(err)
	}
	return nil, true, err
}

var errTaken = errors.New("nobody reads on")

// getCopy asks a member for its copy. The answer must begin in time; the rest may take as long as it takes.
func (d *DB) getCopy(ctx context.Context, cancel func(), m Member, height int64) (*http.Response, error) {
	hc, err := d.session.Dialer.Client(m.Key)
	if err != nil {
		return nil, err
	}
	path := strings.NewReplacer("{database}", d.id.String(), "{height}", strconv.FormatInt(height, 10)).Replace(wirepb.CellCopyPath)
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+m.Address+path, nil)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "replica %s has the address %q: %w", m.Node, m.Address, err)
	}
	limit := time.AfterFunc(backupWait, cancel)
	r, err := hc.Do(q)
	limit.Stop()
	if err != nil {
		return nil, rpc.Failed(err)
	}
	if r.StatusCode != http.StatusOK {
		defer r.Body.Close()
		return nil, rpc.ReadError(r)
	}
	return r, nil
}

// checkBackup looks whether a head is of this database as this cell has certified it after a time.
func (d *DB) checkBackup(b *wiredatabase.Backup, height int64, at time.Time) error {
	h := b.Head
	owner := grant.Claimed(d.session.Chain)
	members := map[mesh.PublicKey]bool{}
	for _, m := range d.cell.Members {
		members[m.Key] = true
	}
	same := len(members) == len(b.Members())
	for _, k := range b.Members() {
		same = same && members[k]
	}
	switch {
	case b.Domain() != d.session.Domain || !bytes.Equal(h.Cell, d.cell.ID[:]) || h.Version != d.cell.Version || !same:
		return mesh.Errorf(mesh.Corrupt, "the backup is of another cell")
	case !bytes.Equal(h.Database, d.id[:]) || h.Name != d.name || h.Dialect != cmp.Or(d.opts.Dialect, wiredatabase.SQLite) || !bytes.Equal(h.Owner, owner[:]):
		return mesh.Errorf(mesh.Corrupt, "the backup is of another database, or says another name or owner")
	case b.Checkpoint.Height < height || b.Checkpoint.TimeMs < at.UnixMilli()-wiredatabase.MaxViewAheadMs:
		return mesh.Errorf(mesh.Corrupt, "the backup is an old one, of %s", time.UnixMilli(b.Checkpoint.TimeMs).UTC().Format(time.RFC3339))
	}
	return nil
}
