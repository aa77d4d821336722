package state

import (
	"crypto/sha256"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/placement"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Rules of the machine, version 1. A change of any of them is a change of the rules, switched at a voted height.
const (
	// MaxTx bounds a transaction: a signed body and its frame.
	MaxTx = signed.MaxBody + 4<<10

	// LogWriteNoz is the price of a log write, and each byte of its body costs LogByteNoz more.
	LogWriteNoz = 1000
	LogByteNoz  = 1

	// ReplayWindowMs is how far a writer's clock may be from the block's time, either way.
	ReplayWindowMs = 10 * 60 * 1000

	// UploadMs is how long an upload may take from its first page to its entry.
	UploadMs = 24 * 3600 * 1000

	// GraceEpochs is how many epochs after the one in which a lease closes nodes may still claim from it.
	GraceEpochs = 2

	// sweepLimit bounds what one block tidies of each kind: expired leases, uploads, old messages.
	sweepLimit = 512
)

// A FactVerifier checks, against what the machine trusts, that facts are on the value layer. It must be a pure function
// of its arguments.
type FactVerifier interface {
	// Verify returns the facts' records in order with the light block to trust from now on and the height that it
	// proves. trusted is the encoded light block that Verify returned last, or what the group was founded with.
	Verify(trusted []byte, f *wirepb.Facts, next uint64, nowMs int64) (VerifiedFacts, error)
}

// VerifiedFacts is what a FactVerifier found true.
type VerifiedFacts struct {
	Trusted []byte
	Height  int64
	Hash    []byte // of the header that proves it
	TimeMs  int64  // of that header
	Records [][]byte
}

// A Machine holds the state of one group. It is not safe for concurrent use; Reader is.
type Machine struct {
	db     *pebble.DB
	domain sign.Domain
	facts  FactVerifier
	tip    *statepb.Tip
}

// Open reads the state in db, which holds nothing else. A new state begins with founding.
func Open(db *pebble.DB, d sign.Domain, facts FactVerifier, founding Founding) (*Machine, error) {
	m := &Machine{db: db, domain: d, facts: facts, tip: new(statepb.Tip)}
	v := view{db: db}
	if !v.get([]byte(tipKey), m.tip) {
		m.tip = &statepb.Tip{TrustedBlock: founding.TrustedBlock, EpochBlocks: founding.EpochBlocks, CheckpointMs: founding.CheckpointMs,
			Digest: make([]byte, 32), Checkpoint: make([]byte, 32)}
	}
	return m, v.fault
}

// Founding is what a group knows before its first block.
type Founding struct {
	TrustedBlock []byte // what the FactVerifier trusts first
	EpochBlocks  uint64 // until the value layer's parameters arrive
	CheckpointMs int64  // of block time between checkpoints of its cells; 0: the cells' default
}

// A Block is what consensus decided.
type Block struct {
	Height int64
	TimeMs int64  // never less than the block before
	Hash   []byte // of the block, which nobody knew who sent what is in it
	Txs    [][]byte
}

// Outcome is what a block did.
type Outcome struct {
	Results     []*wirepb.TxResult
	AppHash     []byte
	Authorities map[mesh.AuthorityID]*statepb.Authority // the whole new set when it changed, else nil
	Former      []mesh.PublicKey                        // consensus keys of the set before the block, when it changed
	batch       *pebble.Batch
	tip         *statepb.Tip
}

// Apply computes what a block does without making it visible; Commit does that. An error is a fault of this machine
// (its disk, never the block) and leaves the state as it was.
func (m *Machine) Apply(b Block) (*Outcome, error) {
	if b.Height != m.tip.Height+1 {
		return nil, fmt.Errorf("block %d does not follow height %d", b.Height, m.tip.Height)
	}
	o := &Outcome{batch: m.db.NewIndexedBatch(), tip: proto.Clone(m.tip).(*statepb.Tip)}
	o.tip.Height, o.tip.TimeMs = b.Height, max(b.TimeMs, m.tip.TimeMs)
	rolling := sha256.New()
	rolling.Write(o.tip.Digest)
	run := func(f func(*step) error) (effects []byte, refused error, fault error) {
		s := &step{change: newChange(o.batch), Machine: m, hash: b.Hash, tip: proto.Clone(o.tip).(*statepb.Tip)}
		refused = f(s)
		if s.fault != nil {
			return nil, nil, s.fault
		}
		if refused != nil {
			return nil, refused, nil
		}
		effects, err := s.apply(o.batch)
		if err != nil {
			return nil, nil, err
		}
		rolling.Write(effects)
		o.tip = s.tip
		if s.authorities != nil {
			if o.Authorities == nil { // a set that comes and goes within the block never validates
				o.Former = s.former
			}
			o.Authorities = s.authorities
		}
		return effects, nil, nil
	}
	if _, _, fault := run((*step).sweep); fault != nil {
		return nil, fault
	}
	for i, raw := range b.Txs {
		effects, refused, fault := run(func(s *step) error { s.position = uint32(i) * (maxMore + 1); return s.transaction(raw) })
		if fault != nil {
			return nil, fault
		}
		r := &wirepb.TxResult{Effects: effects}
		if refused != nil {
			r.Kind, r.Text, r.Hint = uint32(mesh.KindOf(refused))+1, refused.Error(), mesh.HintOf(refused)
		}
		o.Results = append(o.Results, r)
	}
	o.tip.Digest = rolling.Sum(nil)
	if o.tip.Epoch != m.tip.Epoch || o.Authorities != nil {
		o.tip.Checkpoint = o.tip.Digest
	}
	o.AppHash = o.tip.Checkpoint
	if err := o.batch.Set([]byte(tipKey), wire.Encode(o.tip), nil); err != nil {
		return nil, fmt.Errorf("writing the state: %w", err)
	}
	return o, nil
}

// Commit makes an outcome of Apply the state. It does not wait for the disk: consensus has synced the block already and
// replays what a crash takes from here, and the store loses only from its end.
func (m *Machine) Commit(o *Outcome) error {
	if err := o.batch.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("committing the state: %w", err)
	}
	m.tip = o.tip
	return nil
}

// Tip returns where the machine stands.
func (m *Machine) Tip() *statepb.Tip { return m.tip }

// A step is one transaction, or the tidying at a block's beginning, on its way into a block.
type step struct {
	*change
	*Machine
	tip         *statepb.Tip
	hash        []byte // of the block
	position    uint32 // of the message in the block; those of one transaction follow each other
	authorities map[mesh.AuthorityID]*statepb.Authority
	former      []mesh.PublicKey
	passed      int              // tasks of which others have decided in this step
	workers     []placement.Node // every node, once a task was drawn; nil again when one has changed
}

// maxMore bounds the entries that come with one.
const maxMore = 255

// ParseTx decodes a transaction and checks its form and signatures; it asks no state. The body is that of its message.
func ParseTx(d sign.Domain, raw []byte) (*wirepb.Tx, proto.Message, mesh.PublicKey, error) {
	tx := new(wirepb.Tx)
	if err := wire.Decode(raw, MaxTx, tx); err != nil {
		return nil, nil, mesh.PublicKey{}, err
	}
	k, ok := kinds[tx.Kind]
	if !ok {
		return nil, nil, mesh.PublicKey{}, mesh.Errorf(mesh.Invalid, "the transaction kind %d does not exist", tx.Kind)
	}
	body := k.body()
	by, err := signed.Open(d, tx.Message, k.purpose, body)
	if err != nil {
		return tx, body, by, err
	}
	if len(tx.More) > maxMore || len(tx.More) > 0 && tx.Kind != wirepb.TxKind_TX_ENTRY {
		return tx, body, by, mesh.Errorf(mesh.Invalid, "%d messages come with a transaction of kind %d; only with an entry, and at most %d", len(tx.More), tx.Kind, maxMore)
	}
	for _, m := range tx.More {
		switch also, err := signed.Verify(d, m, k.purpose); {
		case err != nil:
			return tx, body, by, err
		case also != by:
			return tx, body, by, mesh.Errorf(mesh.Denied, "a transaction with entries by two keys")
		}
	}
	return tx, body, by, nil
}

// PurposeOf returns the purpose with which a transaction of this kind is signed.
func PurposeOf(k wirepb.TxKind) sign.Purpose { return kinds[k].purpose }

// NewTx wraps a signed message into a transaction's bytes.
func NewTx(k wirepb.TxKind, s *wirepb.Signed) []byte {
	return wire.Encode(&wirepb.Tx{Kind: k, Message: s})
}

var kinds = map[wirepb.TxKind]struct {
	purpose sign.Purpose
	body    func() proto.Message
}{
	wirepb.TxKind_TX_SESSION:          {sign.Session, func() proto.Message { return new(wirepb.Session) }},
	wirepb.TxKind_TX_LEASE:            {sign.Lease, func() proto.Message { return new(wirepb.Lease) }},
	wirepb.TxKind_TX_LEASE_CLOSE:      {sign.LeaseClose, func() proto.Message { return new(wirepb.LeaseClose) }},
	wirepb.TxKind_TX_BUCKET:           {sign.Bucket, func() proto.Message { return new(wirepb.Bucket) }},
	wirepb.TxKind_TX_ENTRY:            {sign.Entry, func() proto.Message { return new(wirepb.Entry) }},
	wirepb.TxKind_TX_PAGE:             {sign.Page, func() proto.Message { return new(wirepb.Page) }},
	wirepb.TxKind_TX_DELETION:         {sign.Deletion, func() proto.Message { return new(wirepb.Deletion) }},
	wirepb.TxKind_TX_UPLOAD:           {sign.Upload, func() proto.Message { return new(wirepb.Upload) }},
	wirepb.TxKind_TX_PART:             {sign.Part, func() proto.Message { return new(wirepb.Part) }},
	wirepb.TxKind_TX_AMENDMENT:        {sign.Amendment, func() proto.Message { return new(wirepb.Amendment) }},
	wirepb.TxKind_TX_ACCESS_KEY:       {sign.AccessKey, func() proto.Message { return new(wirepb.AccessKey) }},
	wirepb.TxKind_TX_DATABASE:         {sign.Database, func() proto.Message { return new(wirepb.Database) }},
	wirepb.TxKind_TX_CELL_KEY:         {sign.CellKey, func() proto.Message { return new(wirepb.CellKey) }},
	wirepb.TxKind_TX_EVIDENCE:         {sign.Evidence, func() proto.Message { return new(wirepb.Evidence) }},
	wirepb.TxKind_TX_CONVICTION:       {sign.Conviction, func() proto.Message { return new(wirepb.Conviction) }},
	wirepb.TxKind_TX_ANCHORING:        {sign.Anchoring, func() proto.Message { return new(wirepb.Anchoring) }},
	wirepb.TxKind_TX_ANCHOR:           {sign.Anchor, func() proto.Message { return new(wirepb.Anchor) }},
	wirepb.TxKind_TX_CELL_SETTLEMENT:  {sign.Certified, func() proto.Message { return new(wirepb.CellSettlement) }},
	wirepb.TxKind_TX_REVOCATION:       {sign.Revocation, func() proto.Message { return new(wirepb.Revocation) }},
	wirepb.TxKind_TX_SETTLEMENT:       {sign.Settlement, func() proto.Message { return new(wirepb.Settlement) }},
	wirepb.TxKind_TX_FACTS:            {sign.Facts, func() proto.Message { return new(wirepb.Facts) }},
	wirepb.TxKind_TX_STATUS:           {sign.Status, func() proto.Message { return new(wirepb.NodeStatusVote) }},
	wirepb.TxKind_TX_REPORT_SIGNATURE: {sign.Reported, func() proto.Message { return new(wirepb.ReportSignature) }},
	wirepb.TxKind_TX_ALLOTMENTS:       {sign.Allotment, func() proto.Message { return new(wirepb.Allotments) }},
	wirepb.TxKind_TX_REPAIR:           {sign.Repair, func() proto.Message { return new(wirepb.Repair) }},
	wirepb.TxKind_TX_JOB:              {sign.Job, func() proto.Message { return new(wirepb.Job) }},
	wirepb.TxKind_TX_TASKS:            {sign.Tasks, func() proto.Message { return new(wirepb.Tasks) }},
	wirepb.TxKind_TX_REISSUE:          {sign.Reissue, func() proto.Message { return new(wirepb.Reissue) }},
	wirepb.TxKind_TX_COMMITMENTS:      {sign.Commitment, func() proto.Message { return new(wirepb.Commitments) }},
	wirepb.TxKind_TX_OPENINGS:         {sign.Opening, func() proto.Message { return new(wirepb.Openings) }},
	wirepb.TxKind_TX_ACCEPTANCE:       {sign.Acceptance, func() proto.Message { return new(wirepb.Acceptance) }},
	wirepb.TxKind_TX_JOB_END:          {sign.JobEnd, func() proto.Message { return new(wirepb.JobEnd) }},
	wirepb.TxKind_TX_ATTESTING:        {sign.Attesting, func() proto.Message { return new(wirepb.Attesting) }},
	wirepb.TxKind_TX_ATTESTATION:      {sign.Attestation, func() proto.Message { return new(wirepb.Attestation) }},
}

func (s *step) transaction(raw []byte) error {
	tx, body, by, err := ParseTx(s.domain, raw)
	if err != nil {
		return err
	}
	switch m := body.(type) {
	case *wirepb.Session:
		return s.openSession(m, by, len(tx.Message.Body))
	case *wirepb.Lease:
		return s.openLease(m, by)
	case *wirepb.LeaseClose:
		return s.closeLease(m, by)
	case *wirepb.Bucket:
		return s.changeBucket(m, by, tx.Message)
	case *wirepb.Entry:
		return s.putEntries(m, by, tx)
	case *wirepb.Page:
		return s.putPage(m, by, tx.Message)
	case *wirepb.Database:
		return s.changeDatabase(m, by, tx.Message)
	case *wirepb.CellKey:
		return s.setCellKey(m, by, tx.Message)
	case *wirepb.Evidence:
		return s.convict(m, by, tx.Message)
	case *wirepb.CellSettlement:
		return s.settleCell(m, by)
	case *wirepb.Deletion:
		return s.deleteObject(m, by, tx.Message)
	case *wirepb.Upload:
		return s.changeUpload(m, by, tx.Message)
	case *wirepb.Part:
		return s.putPart(m, by, tx.Message)
	case *wirepb.Amendment:
		return s.amend(m, by, tx.Message)
	case *wirepb.AccessKey:
		return s.changeAccessKey(m, by, tx.Message)
	case *wirepb.Revocation:
		return s.revoke(m, by, tx.Message)
	case *wirepb.Settlement:
		return s.settle(m, by)
	case *wirepb.Facts:
		return s.applyFacts(m, by)
	case *wirepb.NodeStatusVote:
		return s.voteStatus(m, by)
	case *wirepb.Anchoring:
		return s.askAnchor(m, by, tx.Message)
	case *wirepb.Anchor:
		return s.signAnchor(m, by, tx.Message)
	case *wirepb.Attesting:
		return s.askAttestation(m, by, tx.Message)
	case *wirepb.Attestation:
		return s.signAttestation(m, by, tx.Message)
	case *wirepb.Conviction:
		return s.signConviction(m, by, tx.Message)
	case *wirepb.ReportSignature:
		return s.signReport(m, by)
	case *wirepb.Allotments:
		return s.allot(m, by)
	case *wirepb.Repair:
		return s.repairSegment(m, by)
	case *wirepb.Job:
		return s.openJob(m, by, tx.Message)
	case *wirepb.Tasks:
		return s.addTasks(m, by, tx.Message)
	case *wirepb.Reissue:
		return s.reissue(m, by, tx.Message)
	case *wirepb.Commitments:
		return s.commit(m, by)
	case *wirepb.Openings:
		return s.open(m, by, tx.Message)
	case *wirepb.Acceptance:
		return s.acceptTasks(m, by)
	case *wirepb.JobEnd:
		return s.endJob(m, by, tx.Message)
	}
	panic(fmt.Sprintf("state: no handler for %T", body))
}

// fresh refuses a writer's message that is too old, too early, past its own end, or was applied before.
func (s *step) fresh(atMs, notAfterMs int64, m *wirepb.Signed) error {
	if notAfterMs != 0 && s.tip.TimeMs > notAfterMs {
		return mesh.Errorf(mesh.Conflict, "the message came %d ms after its end", s.tip.TimeMs-notAfterMs)
	}
	if atMs < s.tip.TimeMs-ReplayWindowMs || atMs > s.tip.TimeMs+ReplayWindowMs {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the message is dated %d ms from the network's time, at most %d either way", atMs-s.tip.TimeMs, ReplayWindowMs),
			"try again in a moment, in case the network stood still; if it did not, set this machine's clock")
	}
	h := sha256.Sum256(m.Body)
	k := key(seenKey, msKey(atMs), h[:])
	if s.has(k) {
		return mesh.Errorf(mesh.Conflict, "the message was applied before")
	}
	s.putBytes(k, nil)
	return nil
}

// sweep tidies a bounded amount of what time has ended.
func (s *step) sweep() error {
	s.sweepSeen()
	s.sweepLeases()
	s.sweepUploads()
	s.sweepLeaving()
	s.sweepAccessKeys()
	s.sweepDatabases()
	s.sweepRefills()
	s.sweepWanted()
	s.sweepJobs()
	return nil
}

func (s *step) sweepSeen() {
	s.take(key(seenKey), key(seenKey, msKey(s.tip.TimeMs-ReplayWindowMs)), func(k []byte) {})
}

// take deletes the first keys of [from, to), at most sweepLimit, after calling f with each.
func (s *step) take(from, to []byte, f func(k []byte)) {
	var keys [][]byte
	s.scan(from, to, func(k, _ []byte) bool {
		keys = append(keys, append([]byte(nil), k...))
		return len(keys) < sweepLimit
	})
	for _, k := range keys {
		f(k)
		s.delete(k)
	}
}
