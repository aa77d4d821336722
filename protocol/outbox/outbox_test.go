package outbox

import (
	"bytes"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func id(n int) []byte  { return bytes.Repeat([]byte{byte(n)}, 20) }
func key(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 32) }

// records has one of every kind.
func records() map[string]*wirepb.OutboxRecord {
	return map[string]*wirepb.OutboxRecord{
		"credited": {Height: 7, Fact: &wirepb.OutboxRecord_OzoneCredited{OzoneCredited: &wirepb.OzoneCredited{Account: id(1), CreditedNoz: 5}}},
		"debited":  {Height: 7, Fact: &wirepb.OutboxRecord_DebitSettled{DebitSettled: &wirepb.DebitSettled{Account: id(1), DebitedNoz: 5, Epoch: 3}}},
		"node": {Height: 1, Fact: &wirepb.OutboxRecord_Node{Node: &wirepb.NodeRecord{Id: id(1), Operator: id(2), NodeKey: key(3), TlsKey: key(4), Kinds: 7,
			Tier: 1, Address: "h:1", Domain: "d", Status: wirepb.NodeStatus_NODE_STATUS_ACTIVE, DepositWei: "800"}}},
		"authorities": {Height: 1, Fact: &wirepb.OutboxRecord_Authorities{Authorities: &wirepb.AuthoritySet{Authorities: []*wirepb.AuthorityRecord{
			{Id: id(1), Operator: id(2), ReportKey: key(3), ConsensusKey: key(4), TlsKey: key(5), Address: "h:1"},
			{Id: id(2), Operator: id(2), ReportKey: key(6), ConsensusKey: key(7), TlsKey: key(8), Address: "h:2"}}}}},
		"params": {Height: 1, Fact: &wirepb.OutboxRecord_Params{Params: &wirepb.NetworkParams{EpochBlocks: 10, MaturityEpochs: 2}}},
		"final":  {Height: 9, Fact: &wirepb.OutboxRecord_ReportFinal{ReportFinal: &wirepb.ReportFinal{Epoch: 3, HeaderHash: key(1)}}},
	}
}

func TestRoundTrip(t *testing.T) {
	for name, r := range records() {
		b := Encode(r)
		got, err := Decode(b)
		if err != nil || !bytes.Equal(wire.Encode(got), b) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBounds(t *testing.T) {
	for name, change := range map[string]func(map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord{
		"no fact": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			m["params"].Fact = nil
			return m["params"]
		},
		"height": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			m["params"].Height = 1 << 63
			return m["params"]
		},
		"short account": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			r := m["credited"]
			r.GetOzoneCredited().Account = id(1)[1:]
			return r
		},
		"too much ozone": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			r := m["credited"]
			r.GetOzoneCredited().CreditedNoz = 1 << 63
			return r
		},
		"too much debit": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			r := m["debited"]
			r.GetDebitSettled().DebitedNoz = 1 << 63
			return r
		},
		"no kinds": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			r := m["node"]
			r.GetNode().Kinds = 0
			return r
		},
		"unknown kinds": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			r := m["node"]
			r.GetNode().Kinds = 8
			return r
		},
		"unknown status": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			r := m["node"]
			r.GetNode().Status = 9
			return r
		},
		"long address": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			r := m["node"]
			r.GetNode().Address = string(make([]byte, 256))
			return r
		},
		"long domain": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			r := m["node"]
			r.GetNode().Domain = string(make([]byte, 65))
			return r
		},
		"short key": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			r := m["node"]
			r.GetNode().TlsKey = nil
			return r
		},
		"no epoch length": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			r := m["params"]
			r.GetParams().EpochBlocks = 0
			return r
		},
		"short hash": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			r := m["final"]
			r.GetReportFinal().HeaderHash = id(1)
			return r
		},
		"unordered": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			s := m["authorities"].GetAuthorities().Authorities
			s[0], s[1] = s[1], s[0]
			return m["authorities"]
		},
		"same twice": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			s := m["authorities"].GetAuthorities().Authorities
			s[1] = s[0]
			return m["authorities"]
		},
		"too many": func(m map[string]*wirepb.OutboxRecord) *wirepb.OutboxRecord {
			s := m["authorities"].GetAuthorities()
			s.Authorities = make([]*wirepb.AuthorityRecord, MaxAuthorities+1)
			for i := range s.Authorities {
				s.Authorities[i] = &wirepb.AuthorityRecord{}
			}
			return m["authorities"]
		},
	} {
		if _, err := Decode(wire.Encode(change(records()))); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Decode(append(Encode(records()["params"]), 0)); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("trailing byte: %v", err)
	}
	if _, err := Decode(make([]byte, MaxRecord+1)); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("too long: %v", err)
	}
}

// The largest set of authorities fits a record.
func TestLargestRecord(t *testing.T) {
	set := new(wirepb.AuthoritySet)
	for i := range MaxAuthorities {
		set.Authorities = append(set.Authorities, &wirepb.AuthorityRecord{Id: id(i + 1), Operator: id(1), ReportKey: key(1), ConsensusKey: key(2),
			TlsKey: key(3), Address: string(bytes.Repeat([]byte{'a'}, MaxAddress))})
	}
	if _, err := Decode(Encode(&wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_Authorities{Authorities: set}})); err != nil {
		t.Error(err)
	}
}

func TestKeys(t *testing.T) {
	if !bytes.Equal(HeadKey(), []byte{0}) || !bytes.Equal(RecordKey(258), []byte{1, 0, 0, 0, 0, 0, 0, 1, 2}) {
		t.Errorf("head %x, record %x", HeadKey(), RecordKey(258))
	}
	if n, err := DecodeHead(EncodeHead(77)); n != 77 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := DecodeHead(nil); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("%v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range records() {
		f.Add(Encode(r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := Decode(b); err == nil && !bytes.Equal(Encode(r), b) {
			t.Fatal("a record has two encodings")
		}
	})
}
