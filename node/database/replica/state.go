package replica

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/replica/replicapb"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// The cell's own state. Every key begins with one of these bytes; numbers are big endian.
const (
	tipKey         = '0' // -> Tip
	certificateKey = '1' // -> wire.Certificate, the newest
	pendingKey     = '2' // -> Pending
	voteKey        = '3' // member 1 -> wire.Signed: the member's signature of what is pending
	contentKey     = '4' // account 20 | database 16 | BLAKE3 32 -> the bytes of a part, which their name tells

	// From here on, all is in a checkpoint's digest of the state.
	firstShared = 'a'
	databaseKey = 'd' // database 16 -> Database, dropped ones too: their sequence stays
	endedKey    = 'e' // ms until which checkpoints have it 8 | database 16 -> empty: dropped not long ago
	hurryKey    = 'h' // -> empty: a database wants the next checkpoint sooner
	ownerKey    = 'o' // account 20 | database 16 -> empty, of those that are not dropped
	partKey     = 'p' // account 20 | database 16 | BLAKE3 32 -> Part
	partEnd     = 'q' // not after ms 8 | account 20 | database 16 | BLAKE3 32 -> empty
	revokedKey  = 'r' // account 20 | link 16 -> empty
	sessionKey  = 's' // session key 32 -> Session
	sessionOf   = 't' // account 20 | session key 32 -> empty
	sessionEnd  = 'x' // expiry ms 8 | session key 32 -> empty
	lastShared  = 'z'
)

// partKeyBytes is how long a part's key is.
const partKeyBytes = 1 + len(mesh.Account{}) + len(mesh.DatabaseID{}) + 32

func key(kind byte, parts ...[]byte) []byte {
	k := []byte{kind}
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

func be64(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(max(n, 0))) }

// A view reads the state. What goes wrong with the disk stays in fault, after which all is missing.
type view struct {
	r     pebble.Reader
	fault error
}

func (v *view) bytes(k []byte) ([]byte, bool) {
	if v.fault != nil {
		return nil, false
	}
	b, closer, err := v.r.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false
	}
	if err != nil {
		v.fault = fmt.Errorf("reading the cell's state: %w", err)
		return nil, false
	}
	out := append([]byte{}, b...)
	if err := closer.Close(); err != nil {
		v.fault = fmt.Errorf("reading the cell's state: %w", err)
	}
	return out, v.fault == nil
}

func (v *view) has(k []byte) bool { _, ok := v.bytes(k); return ok }

// get reads a record.
func (v *view) get(k []byte, m proto.Message) bool {
	b, ok := v.bytes(k)
	if !ok {
		return false
	}
	if err := wire.Decode(b, len(b), m); err != nil {
		v.fault = mesh.Errorf(mesh.Corrupt, "the cell's state: %w", err)
	}
	return v.fault == nil
}

// each calls f with what lies in [from, to), until it returns false. What f gets is only good until it returns.
func (v *view) each(from, to []byte, f func(k, b []byte) bool) {
	if v.fault != nil {
		return
	}
	it, err := v.r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		v.fault = fmt.Errorf("reading the cell's state: %w", err)
		return
	}
	for ok := it.First(); ok; ok = it.Next() {
		if !f(it.Key(), it.Value()) {
			break
		}
	}
	if err := it.Close(); err != nil {
		v.fault = fmt.Errorf("reading the cell's state: %w", err)
	}
}

// below calls f with what begins with prefix.
func (v *view) below(prefix []byte, f func(k, b []byte) bool) {
	end := append([]byte{}, prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			v.each(prefix, end[:i+1], f)
			return
		}
	}
}

// count counts what begins with prefix, up to limit.
func (v *view) count(prefix []byte, limit int) (n int) {
	v.below(prefix, func(_, _ []byte) bool { n++; return n < limit })
	return n
}

func (v *view) database(id []byte) *replicapb.Database {
	d := new(replicapb.Database)
	if !v.get(key(databaseKey, id), d) {
		return nil
	}
	return d
}

// databases calls f with each database by id.
func (v *view) databases(f func(id mesh.DatabaseID, d *replicapb.Database)) {
	v.below([]byte{databaseKey}, func(k, b []byte) bool {
		d := new(replicapb.Database)
		if err := wire.Decode(b, len(b), d); err != nil {
			v.fault = mesh.Errorf(mesh.Corrupt, "the cell's state: %w", err)
			return false
		}
		f(mesh.DatabaseID(k[1:]), d)
		return true
	})
}

func (v *view) tip() *replicapb.Tip {
	t := new(replicapb.Tip)
	v.get([]byte{tipKey}, t)
	return t
}

func (v *view) pending() *replicapb.Pending {
	p := new(replicapb.Pending)
	if !v.get([]byte{pendingKey}, p) {
		return nil
	}
	return p
}

func (v *view) certificate() *wirepb.Certificate {
	c := new(wirepb.Certificate)
	if !v.get([]byte{certificateKey}, c) {
		return nil
	}
	return c
}

// stateDomain begins what the digest of the state covers.
const stateDomain = "stratos cell state/1\x00"

// digest is what checkpoints hold of the state; see the format of its export. Of parts it has the names, which hold the digests of
// their bytes.
func (v *view) digest() (sum [32]byte) {
	h := blake3.New(32, nil)
	h.Write([]byte(stateDomain))
	v.records(func(head [8]byte, k, b []byte) {
		h.Write(head[:])
		h.Write(k)
		h.Write(b)
	})
	return [32]byte(h.Sum(nil))
}

// records calls f with all that is shared, by key, and with the lengths of key and value before it.
func (v *view) records(f func(head [8]byte, k, b []byte)) {
	v.each([]byte{firstShared}, []byte{lastShared + 1}, func(k, b []byte) bool {
		var n [8]byte
		binary.BigEndian.PutUint32(n[:4], uint32(len(k)))
		binary.BigEndian.PutUint32(n[4:], uint32(len(b)))
		f(n, k, b)
		return true
	})
}

// A step changes the state within a block. Whoever writes has checked everything before: a refusal changes nothing.
type step struct {
	view
	batch  *pebble.Batch
	cell   *cell
	height int64
	timeMs int64

	certified bool // a checkpoint was, in this block
}

func (s *step) put(k []byte, m proto.Message) { s.putBytes(k, wire.Encode(m)) }

func (s *step) putBytes(k, b []byte) {
	if s.fault == nil {
		s.fault = s.batch.Set(k, b, nil)
	}
}

func (s *step) delete(k []byte) {
	if s.fault == nil {
		s.fault = s.batch.Delete(k, nil)
	}
}
