package database

import (
	"crypto/sha256"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Limits of what a cell is sent.
const (
	MaxAheadMs = 10 * 60 * 1000 // of an envelope's not_after, and of a view's age. Who writes takes at most half of it: clocks differ

	MaxViewAheadMs = 60 * 1000 // of a view's time before the block's: it is its author's clock

	// MaxTx bounds a transaction of a cell's log: a signed body and its frame.
	MaxTx = signed.MaxBody + 16<<10
	// MaxReply bounds a reply: the results of an envelope or a query, and its frame.
	MaxReply = 16 << 20

	// MaxGas is the most that an envelope may take; a block has a quarter more. 100,000 rows of pgbench take half of it.
	MaxGas = 20_000_000
	// MaxQueryGas is the most that a query may take.
	MaxQueryGas = 100_000_000

	MaxAuthorities = 64 // that a cell's genesis names

	MaxEnded = 256 // dropped databases in a checkpoint
)

// CheckEnvelope checks an envelope by itself. What its statements are the engine tells.
func CheckEnvelope(e *wirepb.Envelope) error {
	switch {
	case len(e.Database) != len(mesh.DatabaseID{}) || len(e.Id) != 16:
		return mesh.Errorf(mesh.Invalid, "an envelope names a database and itself with 16 bytes each")
	case e.NotAfterMs <= 0:
		return mesh.Errorf(mesh.Invalid, "an envelope says after which time it is refused")
	case e.GasLimit == 0 || (len(e.Statements) == 0) == (len(e.Parts) == 0):
		return mesh.Errorf(mesh.Invalid, "an envelope has a gas limit, and either statements or parts")
	case len(e.Parts) > MaxParts || e.ProgramBytes > MaxProgram || (e.ProgramBytes == 0) != (len(e.Parts) == 0):
		return mesh.Errorf(mesh.Invalid, "an envelope of %d parts and %d bytes, at most %d and %d", len(e.Parts), e.ProgramBytes, MaxParts, MaxProgram)
	case e.GasLimit < e.ProgramBytes/ProgramBytesPerGas:
		return mesh.Errorf(mesh.Invalid, "an envelope of %d bytes may take %d gas, want at least %d", e.ProgramBytes, e.GasLimit, e.ProgramBytes/ProgramBytesPerGas)
	}
	for _, p := range e.Parts {
		if len(p) != 32 {
			return mesh.Errorf(mesh.Invalid, "a digest of a part has %d bytes, want 32", len(p))
		}
	}
	if err := checkSettings(e.Settings); err != nil {
		return err
	}
	if e.View.GetFirst() > 0 {
		return mesh.Errorf(mesh.Invalid, "an envelope's view begins with the first statement")
	}
	statements := len(e.Statements)
	if len(e.Parts) > 0 {
		statements = MaxProgramValues // how many there are, shows when the parts are put together
	}
	return checkView(e.View, statements)
}

func checkView(v *wirepb.View, statements int) error {
	if v == nil {
		return nil
	}
	if v.TimeMs <= 0 || len(v.Seed) != 32 || len(v.Results) > statements {
		return mesh.Errorf(mesh.Invalid, "a view has a time, a seed of 32 bytes, and no more results than there are statements")
	}
	for _, r := range v.Results {
		if len(r) != 32 {
			return mesh.Errorf(mesh.Invalid, "a digest of a view has %d bytes, want 32", len(r))
		}
	}
	return nil
}

// CheckQuery checks a query by itself.
func CheckQuery(q *wirepb.DatabaseQuery) error {
	if len(q.Database) != len(mesh.DatabaseID{}) || len(q.Statements) == 0 || q.GasLimit == 0 || q.MinHeight < 0 {
		return mesh.Errorf(mesh.Invalid, "a query names a database, statements, a gas limit, and no height below 0")
	}
	if q.Tentative && q.View == nil {
		return mesh.Errorf(mesh.Invalid, "a tentative query has a view")
	}
	if err := checkSettings(q.Settings); err != nil {
		return err
	}
	return checkView(q.View, len(q.Statements))
}

// MaxGrowthWait is how long a replica lets who follows a database wait for its next block.
const MaxGrowthWait = 20 * time.Second

// CheckGrowth checks a request to wait by itself.
func CheckGrowth(q *wirepb.GrowthRequest) error {
	if len(q.Database) != len(mesh.DatabaseID{}) || q.Above < 0 || q.WaitMs > uint32(MaxGrowthWait.Milliseconds()) {
		return mesh.Errorf(mesh.Invalid, "who waits for a database's growth names it, no height below 0, and at most %v", MaxGrowthWait)
	}
	return nil
}

func checkSettings(s *wirepb.Settings) error {
	if len(s.GetTimeZone()) > 64 {
		return mesh.Errorf(mesh.Invalid, "the name of a time zone has %d bytes, at most 64", len(s.GetTimeZone()))
	}
	return nil
}

// CheckNotice checks a notice by itself.
func CheckNotice(n *wirepb.Notice) error {
	switch {
	case len(n.Database) != len(mesh.DatabaseID{}) || len(n.Cell) != len(mesh.CellID{}) || len(n.Owner) != len(mesh.Account{}):
		return mesh.Errorf(mesh.Invalid, "a notice names a database, its cell and its owner")
	case n.Sequence == 0 || n.State < Open || n.State > Dropped:
		return mesh.Errorf(mesh.Invalid, "a notice has a sequence from 1 and a state from %d to %d", Open, Dropped)
	case n.Dialect != Postgres && n.Dialect != SQLite:
		return mesh.Errorf(mesh.Invalid, "there is no dialect %.20q", n.Dialect)
	case n.AllowanceNoz > uint64(mesh.MaxNoz):
		return mesh.Errorf(mesh.Invalid, "an allowance of %d noz is out of range", n.AllowanceNoz)
	}
	if err := checkPrices(n.Prices); err != nil {
		return err
	}
	return mesh.CheckDatabase(n.Name)
}

// CheckCheckpoint checks a checkpoint by itself.
func CheckCheckpoint(c *wirepb.Checkpoint) error {
	if len(c.Cell) != len(mesh.CellID{}) || c.Version == 0 || c.Height <= 0 || c.TimeMs < 0 || len(c.State) != 32 || len(c.Databases) > MaxCellDatabases || len(c.Ended) > MaxEnded {
		return mesh.Errorf(mesh.Invalid, "a checkpoint names a cell, its height, its state, and at most %d databases and %d that have ended", MaxCellDatabases, MaxEnded)
	}
	before := ""
	for _, d := range c.Databases {
		if len(d.GetDatabase()) != len(mesh.DatabaseID{}) || string(d.Database) <= before || d.Height < 0 || d.Height > c.Height || len(d.Digest) != 32 || len(d.Content) != 32 ||
			d.Noz > uint64(mesh.MaxNoz) {
			return mesh.Errorf(mesh.Invalid, "a checkpoint lists databases by rising id, each with height and digests, and what it has cost")
		}
		before = string(d.Database)
	}
	before = ""
	for _, d := range c.Ended {
		if len(d.GetDatabase()) != len(mesh.DatabaseID{}) || string(d.Database) <= before || d.Noz > uint64(mesh.MaxNoz) {
			return mesh.Errorf(mesh.Invalid, "a checkpoint lists what has ended by rising id, each with what it has cost")
		}
		before = string(d.Database)
	}
	return nil
}

// CheckCertificate returns the checkpoint of a certificate if enough of a cell's members signed it. members are their answer keys.
func CheckCertificate(d sign.Domain, c *wirepb.Certificate, members []mesh.PublicKey) (*wirepb.Checkpoint, error) {
	if len(c.GetCheckpoints()) > len(members) || len(c.GetCheckpoints()) == 0 {
		return nil, mesh.Errorf(mesh.Invalid, "a certificate of %d checkpoints by %d members", len(c.GetCheckpoints()), len(members))
	}
	m := new(wirepb.Checkpoint)
	seen := map[mesh.PublicKey]bool{}
	for i, s := range c.Checkpoints {
		by, err := signed.Verify(d, s, sign.Checkpoint)
		if err != nil {
			return nil, err
		}
		member := false
		for _, k := range members {
			member = member || k == by
		}
		if !member || seen[by] || string(s.Body) != string(c.Checkpoints[0].Body) {
			return nil, mesh.Errorf(mesh.Denied, "a certificate wants the same checkpoint by different members of the cell")
		}
		seen[by] = true
		if i == 0 {
			if err := wire.Decode(s.Body, signed.MaxBody, m); err != nil {
				return nil, err
			}
		}
	}
	if !Certified(len(seen), len(members)) {
		return nil, mesh.Errorf(mesh.Denied, "%d of %d members have signed the checkpoint: too few", len(seen), len(members))
	}
	return m, CheckCheckpoint(m)
}

// CheckSettlement returns the checkpoint that a settlement hands in, if enough of a cell's members signed it, and the places of those
// who did, by bit. members are their answer keys.
func CheckSettlement(d sign.Domain, m *wirepb.CellSettlement, members []mesh.PublicKey) (*wirepb.Checkpoint, uint32, error) {
	c := new(wirepb.Certificate)
	signers := uint32(0)
	for _, s := range m.Signatures {
		c.Checkpoints = append(c.Checkpoints, &wirepb.Signed{Body: m.Checkpoint, Key: s.GetKey(), Signature: s.GetSignature()})
	}
	p, err := CheckCertificate(d, c, members)
	for i, k := range members {
		for _, s := range m.Signatures {
			if string(s.GetKey()) == string(k[:]) {
				signers |= 1 << i
			}
		}
	}
	return p, signers, err
}

// NewSettlement makes a settlement of a certificate, by a node at a time.
func NewSettlement(n mesh.NodeID, c *wirepb.Certificate, nowMs int64) *wirepb.CellSettlement {
	m := &wirepb.CellSettlement{Node: n[:], AtMs: nowMs}
	for _, s := range c.Checkpoints {
		m.Checkpoint = s.Body
		m.Signatures = append(m.Signatures, &wirepb.CheckpointSignature{Key: s.Key, Signature: s.Signature})
	}
	return m
}

// Question is what an answer names an envelope by: SHA-256 of the key that signed it and its body as it was signed. Two sessions may
// sign the same bytes: these are two programs, whose outcomes differ.
func Question(s *wirepb.Signed) [32]byte {
	return sha256.Sum256(append(append([]byte{}, s.GetKey()...), s.GetBody()...))
}

// SentDigest is to what the id of an envelope is bound, for as long as it is on record: BLAKE3 over "stratos envelope sent/1", a zero, and
// the encoding of an envelope that has only its statements, or its parts and how many bytes these are of, its settings and its view. Who
// sends it again may give it more time or gas.
func SentDigest(e *wirepb.Envelope) [32]byte {
	b := wire.Encode(&wirepb.Envelope{Statements: e.GetStatements(), Parts: e.GetParts(), ProgramBytes: e.GetProgramBytes(), Settings: e.GetSettings(), View: e.GetView()})
	return blake3.Sum256(append([]byte("stratos envelope sent/1\x00"), b...))
}

// QueryQuestion is what an answer names a query by: SHA-256 of its encoding without the height that it waits for, then, of who asks in
// a role, the length of its name in one byte, the name, and the caller. What a role is shown depends on both, and a session may be
// shown with another grant while the database stays at its height.
func QueryQuestion(q *wirepb.DatabaseQuery, r grant.Role) [32]byte {
	b := wire.Encode(AtHeight(q, 0))
	if r.Name != "" {
		b = append(append(append(b, byte(len(r.Name))), r.Name...), r.Caller...)
	}
	return sha256.Sum256(b)
}

// AtHeight is a query with another height to wait for. It shares all else with q, which may be large.
func AtHeight(q *wirepb.DatabaseQuery, height int64) *wirepb.DatabaseQuery {
	out := new(wirepb.DatabaseQuery)
	q.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		out.ProtoReflect().Set(f, v)
		return true
	})
	out.MinHeight = height
	return out
}

// ResultDigest is what a view holds of a result that its author has seen.
func ResultDigest(r *wirepb.Result) [32]byte { return blake3.Sum256(wire.Encode(r)) }

// OutcomeDigest covers of an outcome what decides: code, the statement that failed, results and usage, not the texts.
func OutcomeDigest(o *wirepb.Outcome) [32]byte {
	return blake3.Sum256(wire.Encode(&wirepb.Outcome{Code: o.GetCode(), Failed: o.GetFailed(), Results: o.GetResults(), Usage: o.GetUsage()}))
}

// OpenReply returns the signed answer of a reply with an outcome, and who signed it. Whether that is a member of the cell, and whether
// the answer is of what was asked, the caller knows.
func OpenReply(d sign.Domain, r *wirepb.DatabaseReply) (*wirepb.Answer, mesh.PublicKey, error) {
	a := new(wirepb.Answer)
	by, err := signed.Open(d, r.GetAnswer(), sign.Answer, a)
	if err != nil {
		return nil, by, err
	}
	if sum := OutcomeDigest(r.Outcome); string(sum[:]) != string(a.Outcome) {
		return nil, by, mesh.Errorf(mesh.Corrupt, "the replica %s signed another outcome than it sent", by)
	}
	return a, by, nil
}
