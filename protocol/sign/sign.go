// Package sign separates the signatures of Stratos by domain: what a signature covers always begins with its purpose,
// the network and the group, so that a message of one kind, network or group can never be shown as another's.
//
// It is not a key store and knows no message formats. Whatever signs or verifies calls it.
package sign

import (
	"crypto/ed25519"
	"encoding/binary"
	"slices"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"

	"github.com/stratosmesh/stratos/mesh"
)

// A Purpose says what kind of statement a signature makes. All purposes stand in the list below and nowhere else.
type Purpose string

// The registered purposes. A name is never reused for a message of another shape; its version rises instead.
const (
	Session    Purpose = "session/1"     // account or grant: a session key may spend from this account
	Lease      Purpose = "lease/1"       // session key: open a lease
	LeaseClose Purpose = "lease-close/1" // session key: give a lease back before it expires
	Ticket     Purpose = "ticket/1"      // authority: these slices, these nodes, these parts of the lease
	Allotment  Purpose = "allotment/1"   // authority: how much of a lease its tickets gave to whom
	Receipt    Purpose = "receipt/1"     // session key: running total of one node in one lease
	Ack        Purpose = "ack/1"         // node: this slice is on my disk
	Settlement Purpose = "settlement/1"  // node: the newest receipts that I hold
	Bucket     Purpose = "bucket/1"      // writer: create, change or delete a bucket
	Entry      Purpose = "entry/1"       // writer: an index entry
	Page       Purpose = "entry-page/1"  // writer: segments of a large object
	Deletion   Purpose = "deletion/1"    // writer: delete an object
	Upload     Purpose = "upload/1"      // writer: begin or abort a multipart upload
	Part       Purpose = "part/1"        // writer: a part of a multipart upload
	Amendment  Purpose = "amendment/1"   // writer: tags and locks of a version
	AccessKey  Purpose = "access-key/1"  // account: what gateways need to act for who shows a name
	Database   Purpose = "database/1"    // owner: create or drop a database
	CellKey    Purpose = "cell-key/1"    // node: the keys of my replica of a cell
	Envelope   Purpose = "envelope/1"    // session key: run these statements
	Program    Purpose = "program/1"     // session key: a part of statements that an envelope will name
	Answer     Purpose = "answer/1"      // replica: what statements gave
	Checkpoint Purpose = "checkpoint/1"  // replica: what my databases hold at a height
	Backup     Purpose = "backup/1"      // session key: copy this database at the next checkpoint
	Notice     Purpose = "notice/1"      // authority: a database is a cell's, and how it is
	Grant      Purpose = "grant/1"       // account or holder: a link of a delegation chain
	Revocation Purpose = "revocation/1"  // account or holder: a grant is void
	Facts      Purpose = "facts/1"       // authority: submits a verified fact of the value layer
	Heartbeat  Purpose = "heartbeat/1"   // node: alive, with free space
	Status     Purpose = "status/1"      // authority: a node's status changed
	Report     Purpose = "report/1"      // authority: an epoch's report
	Reported   Purpose = "reported/1"    // authority: puts its signature of a report on the log
	Repair     Purpose = "repair/1"      // authority: a segment's pieces were completed

	Registration Purpose = "registration/1"    // node or authority key: I join under this operator with these keys
	Certified    Purpose = "cell-settlement/1" // node: a certificate of a cell, for which its members are paid
	Evidence     Purpose = "evidence/1"        // session key: a replica signed what is false
	Conviction   Purpose = "conviction/1"      // authority: a node was proven a liar
	Anchoring    Purpose = "anchoring/1"       // session key: have this database's anchor signed
	Anchor       Purpose = "anchor/1"          // authority: a cell has certified this of a database
	Job          Purpose = "job/1"             // session key: open a job
	Tasks        Purpose = "tasks/1"           // the job's session key: tasks of it
	Reissue      Purpose = "reissue/1"         // the job's session key: give this task to another node
	Commitment   Purpose = "commitment/1"      // node: I have results of these tasks
	Opening      Purpose = "opening/1"         // node: these are the results
	Acceptance   Purpose = "acceptance/1"      // the job's session key: pay these tasks
	JobEnd       Purpose = "job-end/1"         // session key: end a job
	Call         Purpose = "call/1"            // node: what a call gave
	Attesting    Purpose = "attesting/1"       // the job's session key: have what is verified of this task signed
	Attestation  Purpose = "attestation/1"     // authority: the log has verified this of a task
)

var purposes = []Purpose{Session, Lease, LeaseClose, Ticket, Allotment, Receipt, Ack, Settlement, Bucket, Entry, Page, Deletion, Upload, Part, Amendment, AccessKey, Database, CellKey, Envelope, Program, Answer, Checkpoint, Backup, Notice, Grant,
	Revocation, Facts, Heartbeat, Status, Report, Reported, Repair, Registration, Certified, Evidence, Conviction, Anchoring, Anchor,
	Job, Tasks, Reissue, Commitment, Opening, Acceptance, JobEnd, Call, Attesting, Attestation}

// Purposes returns every registered purpose.
func Purposes() []Purpose { return slices.Clone(purposes) }

// A Domain is the network and the group within which signatures are made and believed.
type Domain struct {
	Network mesh.NetworkID
	Group   mesh.GroupID
}

// prefix begins everything that is signed. Layout of the signed bytes, version 1:
//
//	"stratos-signature-v1" 0x00 | len(purpose) u8 | purpose | network 32 B | group u32 BE | content
const prefix = "stratos-signature-v1\x00"

// Message returns the bytes that a signature for purpose p over content covers.
// It panics on a purpose that is not registered, which is a programmer's mistake.
func (d Domain) Message(p Purpose, content []byte) []byte {
	if !slices.Contains(purposes, p) {
		panic("sign: purpose " + string(p) + " is not registered")
	}
	m := make([]byte, 0, len(prefix)+1+len(p)+len(d.Network)+4+len(content))
	m = append(m, prefix...)
	m = append(m, byte(len(p)))
	m = append(m, p...)
	m = append(m, d.Network[:]...)
	m = binary.BigEndian.AppendUint32(m, uint32(d.Group))
	return append(m, content...)
}

// asStandard believes what crypto/ed25519 believes; the library, which CometBFT uses too, takes half its time.
var asStandard = &voi.Options{Verify: voi.VerifyOptionsStdLib}

// Sign signs content for purpose p.
func (d Domain) Sign(key ed25519.PrivateKey, p Purpose, content []byte) (s mesh.Signature) {
	copy(s[:], voi.Sign(voi.PrivateKey(key), d.Message(p, content)))
	return s
}

// Verify tells whether key signed content for purpose p in this domain; if not, the error is of kind Denied.
func (d Domain) Verify(key mesh.PublicKey, p Purpose, content []byte, sig mesh.Signature) error {
	if !voi.VerifyWithOptions(key[:], d.Message(p, content), sig[:], asStandard) {
		return mesh.Errorf(mesh.Denied, "the signature for %s is not by key %s in this network", p, key)
	}
	return nil
}
