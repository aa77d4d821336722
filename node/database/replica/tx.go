package replica

import (
	"crypto/sha256"
	"sync"

	"google.golang.org/protobuf/proto"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A transaction is a CellTx as far as it can be understood by itself; its signatures are not verified.
type transaction struct {
	kind     wirepb.CellTxKind
	size     int
	messages []*wirepb.Signed
	body     proto.Message // of the first message
	envelope *wirepb.Envelope
	verified bool // its one signature was verified here before
}

// kinds are what transactions hold, and for what purpose it is signed.
func kindOf(k wirepb.CellTxKind) (sign.Purpose, proto.Message) {
	switch k {
	case wirepb.CellTxKind_CELL_TX_NOTICE:
		return sign.Notice, new(wirepb.Notice)
	case wirepb.CellTxKind_CELL_TX_SESSION:
		return sign.Session, new(wirepb.Session)
	case wirepb.CellTxKind_CELL_TX_ENVELOPE:
		return sign.Envelope, new(wirepb.Envelope)
	case wirepb.CellTxKind_CELL_TX_REVOCATION:
		return sign.Revocation, new(wirepb.Revocation)
	case wirepb.CellTxKind_CELL_TX_CHECKPOINT:
		return sign.Checkpoint, new(wirepb.Checkpoint)
	case wirepb.CellTxKind_CELL_TX_PART:
		return sign.Program, new(wirepb.ProgramPart)
	case wirepb.CellTxKind_CELL_TX_BACKUP:
		return sign.Backup, new(wirepb.BackupRequest)
	}
	return "", nil
}

// parse reads a transaction and checks it by itself, but for signatures.
func parse(raw []byte) (*transaction, error) {
	m := new(wirepb.CellTx)
	if err := wire.Decode(raw, database.MaxTx, m); err != nil {
		return nil, err
	}
	t := &transaction{kind: m.Kind, size: len(raw), messages: m.Messages}
	_, t.body = kindOf(m.Kind)
	switch {
	case t.body == nil:
		return nil, mesh.Errorf(mesh.Invalid, "a transaction of kind %d does not exist", m.Kind)
	case len(m.Messages) == 0 || len(m.Messages) > 1 && m.Kind != wirepb.CellTxKind_CELL_TX_NOTICE || len(m.Messages) > database.MaxAuthorities:
		return nil, mesh.Errorf(mesh.Invalid, "a transaction of %d messages", len(m.Messages))
	}
	for _, s := range m.Messages {
		if len(s.GetKey()) != len(mesh.PublicKey{}) || len(s.GetSignature()) != len(mesh.Signature{}) || string(s.GetBody()) != string(m.Messages[0].GetBody()) {
			return nil, mesh.Errorf(mesh.Invalid, "a transaction's messages are signed, and say the same")
		}
	}
	if err := wire.Decode(m.Messages[0].Body, signed.MaxBody, t.body); err != nil {
		return nil, err
	}
	switch b := t.body.(type) {
	case *wirepb.Envelope:
		t.envelope = b
		return t, database.CheckEnvelope(b)
	case *wirepb.ProgramPart:
		return t, database.CheckPart(b)
	case *wirepb.Notice:
		return t, database.CheckNotice(b)
	case *wirepb.Checkpoint:
		return t, database.CheckCheckpoint(b)
	case *wirepb.BackupRequest:
		return t, database.CheckBackupRequest(b)
	case *wirepb.Revocation:
		if len(b.Link) != 16 {
			return nil, mesh.Errorf(mesh.Invalid, "a revocation names a link with 16 bytes")
		}
	}
	return t, nil
}

// signer verifies the one signature of a transaction.
func (t *transaction) signer(d sign.Domain) (mesh.PublicKey, error) {
	if t.verified {
		return mesh.PublicKey(t.messages[0].Key), nil
	}
	p, _ := kindOf(t.kind)
	return signed.Verify(d, t.messages[0], p)
}

// programID is under what id the engine knows an envelope: BLAKE3 over "stratos envelope id/1", a zero, the session's key and the
// envelope's id, 16 bytes of it. Nobody takes another's id away by being first.
func programID(by mesh.PublicKey, id []byte) [16]byte {
	b := append([]byte("stratos envelope id/1\x00"), by[:]...)
	sum := blake3.Sum256(append(b, id...))
	return [16]byte(sum[:16])
}

// verifications remembers transactions whose signature was found good: most come three times, from their author, by gossip, and in a
// block. To know it saves work and decides nothing.
type verifications struct {
	mu          sync.Mutex
	now, before map[[32]byte]bool
}

// keepVerified is how many are remembered at least.
const keepVerified = 8192

func (v *verifications) has(hash [32]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now[hash] || v.before[hash]
}

func (v *verifications) add(hash [32]byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.now) >= keepVerified || v.now == nil {
		v.now, v.before = map[[32]byte]bool{}, v.now
	}
	v.now[hash] = true
}

// signerOf is signer, for who knows the transaction's hash.
func (v *verifications) signerOf(t *transaction, hash [32]byte, d sign.Domain) (mesh.PublicKey, error) {
	t.verified = t.verified || v.has(hash)
	if t.verified {
		return mesh.PublicKey(t.messages[0].Key), nil
	}
	by, err := t.signer(d)
	if err == nil {
		t.verified = true
		v.add(hash)
	}
	return by, err
}

func hashOf(raw []byte) [32]byte { return sha256.Sum256(raw) }
