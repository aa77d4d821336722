package replica

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cometbft/cometbft/types"
	"google.golang.org/protobuf/proto"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/replica/replicapb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/tlsid"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// # Format of an export of the cell's own state, version 2
//
//	export = "stdc" | version u16 BE = 2 | record... | u32 BE = 0 | u32 BE = 0
//	record = length of key u32 BE | length of value u32 BE | key | value | content
//
// Content is the bytes of a part, behind its record alone, which names their number and their BLAKE3.
// Records are all that is shared, by rising key: what lies between firstShared and lastShared. Their digest is the state's in the
// certificate: BLAKE3 over "stratos cell state/1", a zero, and the records without content.
//
// Version history: 1, the first; 2, with content.
const (
	stateMagic     = "stdc"
	stateVersion   = 2
	maxStateKey    = 128
	maxStateRecord = 64 << 10
	maxState       = 1 << 30 // bytes of records without content
	maxStateParts  = database.MaxCellDatabases * database.MaxAccountParts

	stateName  = "state"
	exportsDir = "exports"
)

// exports are what members fetch that join late: files of one checkpoint, made when somebody has asked, beside the log.
type exports struct {
	dir  string
	keep time.Duration
	log  *slog.Logger

	mu           sync.Mutex
	wanted       bool
	height       int64 // of what was made; 0: nothing
	made         time.Time
	names        map[string]bool
	certificates map[int64]*wirepb.Certificate // the newest few, by height
}

func newExports(dir string, keep time.Duration, log *slog.Logger) (*exports, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("tidying exports: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("tidying exports: %w", err)
	}
	return &exports{dir: dir, keep: keep, log: log, certificates: map[int64]*wirepb.Certificate{}}, nil
}

// certified notes a certificate, so that one of what was made is not lost when the next comes.
func (e *exports) certified(height int64, c *wirepb.Certificate) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.certificates[height] = c
	for h := range e.certificates {
		if h < height && h != e.height && len(e.certificates) > 4 { // the export of one may take longer than the next takes to come
			delete(e.certificates, h)
		}
	}
}

// certificate returns that of a height, if it is known still.
func (e *exports) certificate(height int64) *wirepb.Certificate {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.certificates[height]
}

// retain is the oldest block that is still needed: so many behind the newest certificate, and what leads on from the export.
func (e *exports) retain(blocks int64) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	newest := int64(0)
	for h := range e.certificates {
		newest = max(newest, h)
	}
	oldest := max(newest-blocks, 0)
	if e.height > 0 {
		oldest = min(oldest, e.height)
	}
	return oldest
}

// ready returns the certificate of what was made; without one, the next checkpoint will be made.
func (e *exports) ready() (*wirepb.Certificate, int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.certificates[e.height]; c != nil {
		return c, e.height
	}
	e.wanted = e.wanted || e.height == 0
	return nil, 0
}

// path returns a file of what was made; name was given by a peer.
func (e *exports) path(height int64, name string) (string, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return filepath.Join(e.dir, name), height == e.height && e.names[name]
}

// make writes a checkpoint's databases and state into files, if somebody asked for one. What fails is not made, and fails nothing else.
func (e *exports) make(ctx context.Context, j *job) {
	e.mu.Lock()
	wanted := e.wanted || e.height != 0 && e.certificates[e.height] == nil // which was given up
	stale := !wanted && e.height != 0 && time.Since(e.made) > e.keep
	if wanted || stale {
		e.height, e.names = 0, nil
	}
	e.mu.Unlock()
	if stale {
		if err := e.clear(); err != nil {
			e.log.Error("exports that nobody fetches any more were not removed", "err", err)
		}
	}
	if !wanted {
		return
	}
	names, err := e.write(ctx, j)
	if err != nil && ctx.Err() == nil {
		e.log.Error("a checkpoint was not exported", "height", j.checkpoint.Height, "err", errors.Join(err, e.clear()))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wanted = false
	if err == nil {
		e.height, e.names, e.made = j.checkpoint.Height, names, time.Now()
		e.log.Info("a checkpoint is exported for who joins", "height", e.height)
	}
}

func (e *exports) clear() error {
	return errors.Join(os.RemoveAll(e.dir), os.MkdirAll(e.dir, 0o700))
}

func (e *exports) write(ctx context.Context, j *job) (map[string]bool, error) {
	if err := e.clear(); err != nil {
		return nil, err
	}
	names := map[string]bool{stateName: true}
	err := e.file(stateName, func(w io.Writer) error { return writeState(w, j.state) })
	for _, p := range j.pinned {
		names[p.id.String()] = true
		err = errors.Join(err, e.file(p.id.String(), func(w io.Writer) error { return p.snapshot.Export(ctx, w) }))
	}
	return names, err
}

func (e *exports) file(name string, write func(io.Writer) error) error {
	f, err := os.Create(filepath.Join(e.dir, name))
	if err != nil {
		return fmt.Errorf("exporting: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	return errors.Join(write(w), w.Flush(), f.Close())
}

// writeState writes all of the state that is shared.
func writeState(to io.Writer, r pebble.Reader) error {
	w := bufio.NewWriter(to)
	w.Write(binary.BigEndian.AppendUint16([]byte(stateMagic), stateVersion)) // a bufio.Writer's errors come with Flush
	v := &view{r: r}
	v.records(func(head [8]byte, k, b []byte) {
		w.Write(head[:])
		w.Write(k)
		w.Write(b)
		if k[0] == partKey {
			content, ok := v.bytes(key(contentKey, k[1:]))
			if !ok && v.fault == nil {
				v.fault = mesh.Errorf(mesh.Corrupt, "the cell's state: a part without its bytes")
			}
			w.Write(content)
		}
	})
	w.Write(make([]byte, 8))
	return errors.Join(v.fault, w.Flush())
}

// readState reads what writeState wrote, and calls put with each record, and each part's content. It returns their digest; before that is what it should be,
// nothing of it is to be believed.
func readState(from io.Reader, put func(k, b []byte) error) (sum [32]byte, err error) {
	r := bufio.NewReader(from)
	head := make([]byte, len(stateMagic)+2)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:4]) != stateMagic || binary.BigEndian.Uint16(head[4:]) != stateVersion {
		return sum, mesh.Errorf(mesh.Invalid, "not an export of a cell's state that this program knows")
	}
	short := func(err error) error {
		return mesh.Errorf(mesh.Corrupt, "an export of a cell's state that ends too early: %w", err)
	}
	h := blake3.New(32, nil)
	h.Write([]byte(stateDomain))
	last, total, parts := "", 0, 0
	for {
		var n [8]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			return sum, short(err)
		}
		k, b := binary.BigEndian.Uint32(n[:4]), binary.BigEndian.Uint32(n[4:])
		if k == 0 && b == 0 {
			break
		}
		if total += int(k) + int(b); k == 0 || k > maxStateKey || b > maxStateRecord || total > maxState {
			return sum, mesh.Errorf(mesh.Corrupt, "an export of a cell's state with a record that cannot be")
		}
		record := make([]byte, k+b)
		if _, err := io.ReadFull(r, record); err != nil {
			return sum, short(err)
		}
		if name := string(record[:k]); name <= last || name[0] < firstShared || name[0] > lastShared {
			return sum, mesh.Errorf(mesh.Corrupt, "an export of a cell's state with a key that cannot be")
		} else {
			last = name
		}
		h.Write(n[:])
		h.Write(record)
		if err := put(record[:k], record[k:]); err != nil {
			return sum, err
		}
		if record[0] != partKey {
			continue
		}
		p := new(replicapb.Part)
		if parts++; parts > maxStateParts || int(k) != partKeyBytes || wire.Decode(record[k:], int(b), p) != nil || p.Size > database.PartBytes {
			return sum, mesh.Errorf(mesh.Corrupt, "an export of a cell's state with a part that cannot be")
		}
		content := make([]byte, p.Size)
		if _, err := io.ReadFull(r, content); err != nil {
			return sum, short(err)
		}
		if sum := database.PartDigest(content); string(sum[:]) != string(record[k-32:k]) {
			return sum, mesh.Errorf(mesh.Corrupt, "an export of a cell's state with other bytes of a part than it names")
		}
		if err := put(key(contentKey, record[1:k]), content); err != nil {
			return sum, err
		}
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		return sum, mesh.Errorf(mesh.Corrupt, "an export of a cell's state with bytes behind its end")
	}
	return [32]byte(h.Sum(nil)), nil
}

// handleSnapshot tells a member of which checkpoint it can fetch the exports; where there is none, one is made.
func (r *Replica) handleSnapshot(_ context.Context, q rpc.Request[wirepb.SnapshotRequest]) (proto.Message, error) {
	if _, ok := r.cell.member(q.Peer); !ok {
		return nil, mesh.Errorf(mesh.Denied, "%s is no member of the cell", q.Peer)
	}
	c, height := r.exports.ready()
	if c == nil {
		return new(wirepb.SnapshotAnswer), nil
	}
	a := &wirepb.SnapshotAnswer{Certificate: c}
	for _, h := range []struct {
		height int64
		into   *[]byte
	}{{height, &a.Header}, {height + 1, &a.Next}} {
		var err error
		if *h.into, err = r.signedHeader(h.height); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// signedHeader returns a block's header and the commit that decided it.
func (r *Replica) signedHeader(height int64) ([]byte, error) {
	bs := r.engine.BlockStore()
	meta, commit := bs.LoadBlockMeta(height), bs.LoadBlockCommit(height)
	if commit == nil {
		commit = bs.LoadSeenCommit(height)
	}
	if meta == nil || commit == nil {
		return nil, mesh.Errorf(mesh.Unavailable, "this replica has no block %d", height)
	}
	b, err := (&types.SignedHeader{Header: &meta.Header, Commit: commit}).ToProto().Marshal()
	if err != nil {
		return nil, fmt.Errorf("encoding a header: %w", err)
	}
	return b, nil
}

// handleExport sends a file of an exported checkpoint, or a range of it.
func (r *Replica) handleExport(w http.ResponseWriter, q *http.Request) {
	peer, err := tlsid.PeerKey(q.TLS)
	if err == nil {
		if _, ok := r.cell.member(peer); !ok {
			err = mesh.Errorf(mesh.Denied, "%s is no member of the cell", peer)
		}
	}
	height, _ := strconv.ParseInt(q.PathValue("height"), 10, 64) // 0 is never exported
	path, ok := r.exports.path(height, q.PathValue("what"))
	if err == nil && !ok {
		err = mesh.Errorf(mesh.NotFound, "that is not exported")
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(path)
	}
	if err == nil {
		err = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(r.opts.ExportTime))
	}
	if err != nil {
		rpc.WriteError(w, err)
		return
	}
	defer f.Close() // it was only read
	http.ServeContent(w, q, "", time.Time{}, f)
}

// noteCertificate keeps the newest certificate for who joins.
func (a *app) noteCertificate() error {
	v := a.view()
	c := v.certificate()
	if c == nil || v.fault != nil {
		return v.fault
	}
	m, err := database.CheckCertificate(a.cell.domain, c, a.cell.config.AnswerKeys())
	if err != nil {
		return err
	}
	a.exports.certified(m.Height, c)
	a.backups.certified(m.Height, c)
	return nil
}
