package replica

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/replica/replicapb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/tlsid"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A backup is an export of one database at a checkpoint, with the certificate. Who may read all of the database asks for it on the log;
// the next checkpoint comes sooner for it, and each replica that can copies the database then, and sends the copy to whoever may have it.

const backupsDir = "backups"

// backup notes that a database shall be copied at the next checkpoint, and charges it for that. One request waits at a time.
func (s *step) backup(t *transaction) error {
	by, err := t.signer(s.cell.domain)
	if err != nil {
		return err
	}
	m := t.body.(*wirepb.BackupRequest)
	d, err := s.mayBackUp(by, m.Database, s.timeMs)
	switch {
	case err != nil:
		return err
	case exhausted(d, 0):
		return noOzone(d)
	case m.AtMs-s.timeMs > database.MaxViewAheadMs || s.timeMs-m.AtMs > database.MaxAheadMs:
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the request for a backup is of %d ms, which is too far from %d", m.AtMs, s.timeMs), "sign it again, or set the clock")
	case d.BackupHeight > 0 || m.AtMs <= d.BackupMs:
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "a backup of database %q was asked for already", d.Name), "ask again when that is there, in a minute")
	}
	d.BackupMs, d.BackupHeight = m.AtMs, s.height
	u := database.BackupUsage(max(d.Pages, 1), len(s.cell.config.Members))
	d.Usage.Gas += u.Gas
	d.Usage.BytesOut += u.BytesOut
	s.charge(d, database.Price(d.Prices, u))
	s.put(key(databaseKey, m.Database), d)
	s.putBytes([]byte{hurryKey}, nil)
	return nil
}

// mayBackUp returns a database if the session of a key may read all of it: a role may not, whatever it was granted.
func (v *view) mayBackUp(by mesh.PublicKey, id []byte, nowMs int64) (*replicapb.Database, error) {
	d, role, err := v.may(by, grant.Read, id, nowMs)
	if err == nil && role.Name != "" {
		err = mesh.WithHint(mesh.Errorf(mesh.Denied, "a backup holds all of the database, and the grant is for role %q", role.Name), "use a key for the whole database")
	}
	return d, err
}

// wanted lists the databases of which a backup was asked for until a checkpoint's block.
func (v *view) wanted(c *wirepb.Checkpoint) (ids [][]byte) {
	for _, d := range c.Databases {
		if r := v.database(d.Database); r != nil && r.BackupHeight > 0 && r.BackupHeight <= c.Height {
			ids = append(ids, d.Database)
		}
	}
	return ids
}

// copied notes that a checkpoint was certified, with its backups: others may be asked for.
func (s *step) copied(c *wirepb.Checkpoint) {
	for _, id := range s.wanted(c) {
		d := s.database(id)
		d.BackupHeight = 0
		s.put(key(databaseKey, id), d)
	}
}

// backups are copies of databases that were asked for, the newest of each, for a while.
type backups struct {
	dir     string
	keep    time.Duration
	log     *slog.Logger
	exports *exports
	slots   chan struct{} // one for each that is being sent

	mu   sync.Mutex
	made map[mesh.DatabaseID]*backupFile
}

type backupFile struct {
	path        string
	height      int64
	made        time.Time
	certificate *wirepb.Certificate // nil: not yet
}

func newBackups(dir string, e *exports, o Options, log *slog.Logger) (*backups, error) {
	b := &backups{dir: dir, keep: o.ExportKeep, log: log, exports: e, slots: make(chan struct{}, o.Copies), made: map[mesh.DatabaseID]*backupFile{}}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return nil, fmt.Errorf("tidying backups: %w", err)
	}
	return b, nil
}

// certified notes a certificate, which exports know already.
func (b *backups) certified(height int64, c *wirepb.Certificate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.made {
		if f.height == height {
			f.certificate = c
		}
	}
}

// make copies the databases of a checkpoint of which a backup was asked for, and removes copies that are old. What fails is not there,
// and fails nothing else: there are other replicas.
func (b *backups) make(ctx context.Context, j *job) {
	for _, p := range j.pinned {
		if !slices.ContainsFunc(j.backups, func(id []byte) bool { return bytes.Equal(id, p.id[:]) }) {
			continue
		}
		f := &backupFile{path: filepath.Join(b.dir, fmt.Sprintf("%s-%d", p.id, j.checkpoint.Height)), height: j.checkpoint.Height, made: time.Now()}
		if err := f.write(func(w io.Writer) error { return p.snapshot.Export(ctx, w) }); err != nil {
			if err = errors.Join(err, os.Remove(f.path)); ctx.Err() == nil {
				b.log.Error("a database was not copied for its backup", "database", p.id, "height", f.height, "err", err)
			}
			continue
		}
		b.mu.Lock()
		f.certificate = b.exports.certificate(f.height)
		old := b.made[p.id]
		b.made[p.id] = f
		b.mu.Unlock()
		b.remove(old)
	}
	var over []*backupFile
	b.mu.Lock()
	for id, f := range b.made {
		if time.Since(f.made) > b.keep {
			over = append(over, f)
			delete(b.made, id)
		}
	}
	b.mu.Unlock()
	for _, f := range over {
		b.remove(f)
	}
}

func (b *backups) remove(f *backupFile) {
	if f == nil {
		return
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		b.log.Error("a backup that is not needed any more was not removed", "err", err)
	}
}

func (f *backupFile) write(write func(io.Writer) error) error {
	out, err := os.Create(f.path)
	if err != nil {
		return fmt.Errorf("copying a database: %w", err)
	}
	w := bufio.NewWriterSize(out, 1<<20)
	return errors.Join(write(w), w.Flush(), out.Close())
}

// find returns the copy of a database, of a certified checkpoint at or above a height.
func (b *backups) find(id mesh.DatabaseID, height int64) (f *os.File, c *wirepb.Certificate, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.made[id]
	if m == nil || m.certificate == nil || m.height < height {
		return nil, nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "this replica has no backup of the database at height %d or above", height), "ask again in a moment, or another replica")
	}
	if f, err = os.Open(m.path); err != nil { // under mu, so that it is not removed before
		return nil, nil, fmt.Errorf("a backup: %w", err)
	}
	return f, m.certificate, nil
}

// handleCopy sends a backup to a session that may read the database.
func (r *Replica) handleCopy(w http.ResponseWriter, q *http.Request) {
	if err := r.sendCopy(w, q); err != nil {
		rpc.WriteError(w, err)
	}
}

// sendCopy fails before anything is sent, or not at all: what is cut off shows in the copy.
func (r *Replica) sendCopy(w http.ResponseWriter, q *http.Request) error {
	peer, err := tlsid.PeerKey(q.TLS)
	if err != nil {
		return err
	}
	var id mesh.DatabaseID
	if err := id.UnmarshalText([]byte(q.PathValue("database"))); err != nil {
		return err
	}
	height, err := strconv.ParseInt(q.PathValue("height"), 10, 64)
	if err != nil || height < 0 {
		return mesh.Errorf(mesh.Invalid, "%.40q is no height", q.PathValue("height"))
	}
	tip, _ := r.app.at()
	v := r.app.view()
	d, err := v.mayBackUp(peer, id[:], max(tip.TimeMs, r.app.now().UnixMilli()))
	if err := errors.Join(v.fault, err); err != nil {
		return err
	}
	b := r.app.backups
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	default:
		return busy("backups")
	}
	f, c, err := b.find(id, height)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	size, err := f.Stat()
	if err != nil {
		return fmt.Errorf("a backup: %w", err)
	}
	domain := r.cell.domain
	head := &wirepb.BackupHead{Network: domain.Network[:], Group: uint32(domain.Group), Cell: r.config.Cell[:], Version: r.config.Version, Database: id[:], Owner: d.Owner, Name: d.Name,
		Dialect: d.Dialect, Certificate: c}
	for _, m := range r.config.Members {
		head.Members = append(head.Members, m.AnswerKey[:])
	}
	var first bytes.Buffer
	if err := database.WriteBackupHead(&first, head); err != nil {
		return err
	}
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(r.opts.ExportTime)); err != nil {
		return fmt.Errorf("a backup: %w", err)
	}
	w.Header().Set("Content-Length", strconv.FormatInt(int64(first.Len())+size.Size(), 10))
	if _, err := io.Copy(w, io.MultiReader(&first, f)); err != nil && q.Context().Err() == nil {
		r.log.Warn("a backup was not sent to its end", "database", id, "err", err)
	}
	return nil
}
