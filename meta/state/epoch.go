package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/outbox"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// applyFacts believes what is proven of the value layer: records in their order, and its height, by which epochs count.
// Anybody may show a proof; it is taken from authorities, or from whoever brings the first, before there are any.
func (s *step) applyFacts(m *wirepb.Facts, by mesh.PublicKey) error {
	if !s.isReportKey(by) && s.authorityCount() > 0 {
		return mesh.Errorf(mesh.Denied, "facts of the value layer are brought by authorities")
	}
	v, err := s.Machine.facts.Verify(s.tip.TrustedBlock, m, s.tip.OutboxNext, s.tip.TimeMs)
	if err != nil {
		return err
	}
	if v.Height < s.tip.ValueHeight || v.Height == s.tip.ValueHeight && len(v.Records) == 0 {
		return mesh.Errorf(mesh.Conflict, "height %d of the value layer is known already", v.Height)
	}
	for _, b := range v.Records {
		r, err := outbox.Decode(b)
		if err != nil {
			return err
		}
		if err := s.applyRecord(r); err != nil {
			return err
		}
		s.tip.OutboxNext++
	}
	s.tip.TrustedBlock, s.tip.ValueHeight, s.tip.ValueHash, s.tip.ValueMs = v.Trusted, v.Height, v.Hash, v.TimeMs
	s.drawChecks()
	if blocks := s.tip.EpochBlocks; blocks > 0 {
		if now := uint64(v.Height-1) / blocks; now > s.tip.Epoch {
			return s.closeEpoch(now)
		}
	}
	return nil
}

func (s *step) applyRecord(r *wirepb.OutboxRecord) error {
	switch f := r.Fact.(type) {
	case *wirepb.OutboxRecord_OzoneCredited:
		a := s.account(f.OzoneCredited.Account)
		a.Credited = max(a.Credited, f.OzoneCredited.CreditedNoz)
		s.put(key(accountKey, f.OzoneCredited.Account), a)
		s.refill(f.OzoneCredited.Account)
	case *wirepb.OutboxRecord_Node:
		s.applyNode(f.Node)
	case *wirepb.OutboxRecord_Authorities:
		s.applyAuthorities(f.Authorities)
	case *wirepb.OutboxRecord_Params:
		s.tip.EpochBlocks = f.Params.EpochBlocks
		if f.Params.DatabasePrices != nil {
			s.tip.DatabasePrices = wire.Encode(f.Params.DatabasePrices)
		}
		if f.Params.ComputePrices != nil {
			s.tip.ComputePrices = wire.Encode(f.Params.ComputePrices)
		}
	case *wirepb.OutboxRecord_DebitSettled, *wirepb.OutboxRecord_ReportFinal:
		// What was debited here is what the report said; the value layer's word on it is for those who recompute.
	}
	return nil
}

func (s *step) applyNode(f *wirepb.NodeRecord) {
	k := key(nodeKey, f.Id)
	n := new(statepb.Node)
	if !s.get(k, n) {
		if n.Status, n.Score = Offline, scoreFull; s.has(key(evidenceKey, f.Id)) {
			n.Status = Suspended
		}
	}
	n.Operator, n.NodeKey, n.TlsKey, n.Kinds, n.Address = f.Operator, f.NodeKey, f.TlsKey, f.Kinds, f.Address
	n.Domain, n.DepositStos = failureDomain(f), wholeStos(f.DepositWei)
	s.settleConviction(f.Id, n, f)
	n.Active = f.Status == wirepb.NodeStatus_NODE_STATUS_ACTIVE
	if f.Status == wirepb.NodeStatus_NODE_STATUS_REMOVED {
		s.delete(k)
		return
	}
	s.put(k, n)
}

// failureDomain is what fails together: one operator's nodes under one declared label. The observed subnet joins when
// authorities vote on it; loopback has none.
func failureDomain(f *wirepb.NodeRecord) string {
	return mesh.Account(f.Operator).String() + " " + f.Domain
}

// wholeStos is an amount in wei, as the value layer writes it, in whole STOS.
func wholeStos(wei string) uint64 {
	const decimals = 18
	if len(wei) <= decimals {
		return 0
	}
	n, err := strconv.ParseUint(wei[:len(wei)-decimals], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (s *step) applyAuthorities(f *wirepb.AuthoritySet) {
	if s.authorities == nil {
		s.scanPrefix(key(authorityKey), func(k, b []byte) bool {
			a := new(statepb.Authority)
			if !s.decode(k, b, a) {
				return false
			}
			s.former = append(s.former, mesh.PublicKey(a.ConsensusKey))
			s.delete(append([]byte(nil), k...))
			return true
		})
	}
	for id := range s.authorities { // of a set before this one in the same facts, which a scan does not see
		s.delete(key(authorityKey, id[:]))
	}
	s.authorities = map[mesh.AuthorityID]*statepb.Authority{}
	for _, a := range f.Authorities {
		r := &statepb.Authority{Operator: a.Operator, ReportKey: a.ReportKey, ConsensusKey: a.ConsensusKey, TlsKey: a.TlsKey, Address: a.Address}
		s.authorities[mesh.AuthorityID(a.Id)] = r
		s.put(key(authorityKey, a.Id), r)
	}
}

// closeEpoch lays down the report of the epochs before next and begins next. An epoch without traffic and fees has none;
// the next report then covers it.
func (s *step) closeEpoch(next uint64) error {
	closing := s.tip.Epoch
	l := &report.Ledger{FromEpoch: mesh.Epoch(s.tip.ReportedTo), Epoch: mesh.Epoch(next - 1), MetaHeight: mesh.Height(s.tip.Height), Fees: map[mesh.Account]mesh.Noz{}}
	copy(l.MetaRoot[:], s.tip.Digest)
	var used [][]byte
	s.scanPrefix(key(ledgerKey, be64(closing)), func(k, b []byte) bool {
		c := new(statepb.Counter)
		if !s.decode(k, b, c) {
			return false
		}
		kind := k[9]
		l.Charges[kind] = append(l.Charges[kind], report.Charge{Account: mesh.Account(k[10:30]), Node: mesh.NodeID(k[30:50]), Noz: mesh.Noz(c.Value)})
		used = append(used, append([]byte(nil), k...))
		return true
	})
	s.scanPrefix(key(feeKey, be64(closing)), func(k, b []byte) bool {
		c := new(statepb.Counter)
		if !s.decode(k, b, c) {
			return false
		}
		l.Fees[mesh.Account(k[9:29])] = mesh.Noz(c.Value)
		used = append(used, append([]byte(nil), k...))
		return true
	})
	s.tip.Epoch = next
	if len(used) == 0 {
		return nil
	}
	r, err := report.Build(l)
	if err != nil {
		return err
	}
	for _, k := range used {
		s.delete(k)
	}
	rec := &statepb.Report{FromEpoch: uint64(l.FromEpoch), Epoch: uint64(l.Epoch), Header: r.Bytes}
	for t := range r.Pages {
		rec.Tables = append(rec.Tables, &statepb.ReportTable{Pages: r.Pages[t]})
	}
	s.tip.ReportedTo = next
	s.put(key(reportKey, be64(next-1)), rec)
	return nil
}

// signReport keeps an authority's signature under a report that this machine laid down itself.
func (s *step) signReport(m *wirepb.ReportSignature, by mesh.PublicKey) error {
	authority, ok := s.authorityByKey(by)
	if !ok {
		return mesh.Errorf(mesh.Denied, "a report is signed by authorities only")
	}
	r := new(statepb.Report)
	if !s.get(key(reportKey, be64(m.Epoch)), r) {
		return mesh.Errorf(mesh.NotFound, "no report of epoch %d", m.Epoch)
	}
	h := sha256.Sum256(r.Header)
	if string(h[:]) != string(m.HeaderHash) {
		return mesh.Errorf(mesh.Conflict, "the report of epoch %d has another header here", m.Epoch)
	}
	sig, err := mesh.FromBytes[mesh.Signature](m.Signature)
	if err != nil {
		return err
	}
	if err := s.domain.Verify(by, sign.Report, r.Header, sig); err != nil {
		return err
	}
	s.putBytes(key(signatureKey, be64(m.Epoch), authority[:]), sig[:])
	return nil
}

// A Report is an epoch's report with the signatures that are on the log.
type Report struct {
	FromEpoch, Epoch mesh.Epoch
	Header           []byte
	Tables           [][][]byte // envelopes of pages
	Signatures       map[mesh.AuthorityID]mesh.Signature
}

// Report returns the report that ends with an epoch, nil when there is none.
func (r *Reader) Report(e mesh.Epoch) *Report {
	rec := new(statepb.Report)
	if !r.get(key(reportKey, be64(uint64(e))), rec) {
		return nil
	}
	rep := &Report{FromEpoch: mesh.Epoch(rec.FromEpoch), Epoch: mesh.Epoch(rec.Epoch), Header: rec.Header, Signatures: map[mesh.AuthorityID]mesh.Signature{}}
	for _, t := range rec.Tables {
		rep.Tables = append(rep.Tables, t.Pages)
	}
	r.scanPrefix(key(signatureKey, be64(uint64(e))), func(k, b []byte) bool {
		rep.Signatures[mesh.AuthorityID(k[9:])] = mesh.Signature(b)
		return true
	})
	return rep
}

// ReportsFrom returns the epochs from one on that end a report, at most limit.
func (r *Reader) ReportsFrom(e mesh.Epoch, limit int) (all []mesh.Epoch) {
	r.scan(key(reportKey, be64(uint64(e))), after(key(reportKey)), func(k, _ []byte) bool {
		all = append(all, mesh.Epoch(binary.BigEndian.Uint64(k[1:])))
		return len(all) < limit
	})
	return all
}

// reportAnswer returns a report for whoever wants to recompute it; a nil message when there is none.
func (r *Reader) reportAnswer(e mesh.Epoch) proto.Message {
	rep := r.Report(e)
	if rep == nil {
		return nil
	}
	a := &wirepb.ReportAnswer{Header: rep.Header}
	for _, t := range rep.Tables {
		a.Tables = append(a.Tables, &wirepb.ReportPages{Envelopes: t})
	}
	for _, id := range sortedAuthorities(rep.Signatures) {
		sig := rep.Signatures[id]
		a.Signers = append(a.Signers, &wirepb.ReportSigner{Authority: id[:], Signature: sig[:]})
	}
	return a
}

// sortedAuthorities are those who have signed, by rising id.
func sortedAuthorities(signatures map[mesh.AuthorityID]mesh.Signature) []mesh.AuthorityID {
	return slices.SortedFunc(maps.Keys(signatures), func(x, y mesh.AuthorityID) int { return bytes.Compare(x[:], y[:]) })
}
