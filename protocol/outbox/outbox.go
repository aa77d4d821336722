// Package outbox is the form in which the value layer leaves facts for the meta layer: records under consecutive
// sequence numbers and a head that counts them, in a store of their own, so that both can be proven by ics23 against
// the AppHash of the next block. A record is never changed or removed; a withheld one shows as a gap below the head.
//
// It neither writes nor fetches: the chain's modules append, package protocol/chainproof verifies.
package outbox

import (
	"encoding/binary"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// StoreKey names the store: records are read by the ABCI query path /store/outbox/key.
const StoreKey = "outbox"

// Keys of the store, version 1:
//
//	0x00                     head: the number of records, u64 BE; absent while there is none
//	0x01 | sequence u64 BE   record: OutboxRecord, sequences from 0
const (
	headPrefix   = 0x00
	recordPrefix = 0x01
)

// Limits of a record.
const (
	MaxRecord      = 64 << 10 // bytes
	MaxAuthorities = 100
	MaxAddress     = 255 // bytes of a host:port
	MaxDomain      = 64  // bytes of a declared failure domain
	maxAmount      = 80  // decimal digits
)

// A Sequence numbers a record, from 0.
type Sequence uint64

// HeadKey is the key of the head.
func HeadKey() []byte { return []byte{headPrefix} }

// RecordKey is the key of a record.
func RecordKey(s Sequence) []byte {
	return binary.BigEndian.AppendUint64([]byte{recordPrefix}, uint64(s))
}

// EncodeHead writes the number of records.
func EncodeHead(count uint64) []byte { return binary.BigEndian.AppendUint64(nil, count) }

// DecodeHead reads the number of records: the sequence that the next one will have.
func DecodeHead(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, mesh.Errorf(mesh.Invalid, "the outbox's head has %d bytes, want 8", len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// Encode writes a record. One that Decode would refuse is a programmer's mistake.
func Encode(r *wirepb.OutboxRecord) []byte {
	if err := Check(r); err != nil {
		panic("outbox: " + err.Error())
	}
	return wire.Encode(r)
}

// Decode reads a record and checks every field's bounds.
func Decode(b []byte) (*wirepb.OutboxRecord, error) {
	r := new(wirepb.OutboxRecord)
	if err := wire.Decode(b, MaxRecord, r); err != nil {
		return nil, err
	}
	return r, Check(r)
}

// Check tells what in a record cannot be.
func Check(r *wirepb.OutboxRecord) error {
	if r.Height > 1<<62 {
		return mesh.Errorf(mesh.Invalid, "height %d is out of range", r.Height)
	}
	switch f := r.Fact.(type) {
	case *wirepb.OutboxRecord_OzoneCredited:
		return first(size("account", f.OzoneCredited.GetAccount(), 20), ozone(f.OzoneCredited.GetCreditedNoz()))
	case *wirepb.OutboxRecord_DebitSettled:
		return first(size("account", f.DebitSettled.GetAccount(), 20), ozone(f.DebitSettled.GetDebitedNoz()))
	case *wirepb.OutboxRecord_Node:
		return checkNode(f.Node)
	case *wirepb.OutboxRecord_Authorities:
		return checkAuthorities(f.Authorities)
	case *wirepb.OutboxRecord_Params:
		if f.Params.GetEpochBlocks() == 0 {
			return mesh.Errorf(mesh.Invalid, "an epoch of 0 blocks")
		}
		return nil
	case *wirepb.OutboxRecord_ReportFinal:
		return size("header hash", f.ReportFinal.GetHeaderHash(), 32)
	}
	return mesh.Errorf(mesh.Invalid, "the record holds no fact")
}

func checkNode(n *wirepb.NodeRecord) error {
	err := first(size("node id", n.GetId(), 20), size("operator", n.GetOperator(), 20), size("node key", n.GetNodeKey(), 32),
		size("TLS key", n.GetTlsKey(), 32), text("address", n.GetAddress(), MaxAddress), text("domain", n.GetDomain(), MaxDomain),
		text("deposit", n.GetDepositWei(), maxAmount))
	switch {
	case err != nil:
		return err
	case n.Kinds == 0 || n.Kinds > 7:
		return mesh.Errorf(mesh.Invalid, "kinds %d is not a sum of 1, 2 and 4", n.Kinds)
	case n.Status < wirepb.NodeStatus_NODE_STATUS_ACTIVE || n.Status > wirepb.NodeStatus_NODE_STATUS_SUSPENDED:
		return mesh.Errorf(mesh.Invalid, "status %d is not known", n.Status)
	}
	return nil
}

func checkAuthorities(s *wirepb.AuthoritySet) error {
	if len(s.GetAuthorities()) > MaxAuthorities {
		return mesh.Errorf(mesh.Invalid, "%d authorities, at most %d", len(s.Authorities), MaxAuthorities)
	}
	for i, a := range s.GetAuthorities() {
		if err := first(size("authority id", a.GetId(), 20), size("operator", a.GetOperator(), 20), size("report key", a.GetReportKey(), 32),
			size("consensus key", a.GetConsensusKey(), 32), size("TLS key", a.GetTlsKey(), 32),
			text("address", a.GetAddress(), MaxAddress)); err != nil {
			return err
		}
		if i > 0 && string(s.Authorities[i-1].Id) >= string(a.Id) {
			return mesh.Errorf(mesh.Invalid, "authorities are not in rising order of their ids")
		}
	}
	return nil
}

func size(what string, b []byte, want int) error {
	if len(b) != want {
		return mesh.Errorf(mesh.Invalid, "%s has %d bytes, want %d", what, len(b), want)
	}
	return nil
}

func text(what, s string, most int) error {
	if len(s) > most {
		return mesh.Errorf(mesh.Invalid, "%s has %d bytes, at most %d", what, len(s), most)
	}
	return nil
}

func ozone(noz uint64) error {
	if noz > uint64(mesh.MaxNoz) {
		return mesh.Errorf(mesh.Invalid, "%d noz are more than an account can hold", noz)
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
