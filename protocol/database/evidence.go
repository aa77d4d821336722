package database

import (
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// NotKept is what a replica answers for a program that was applied, and whose outcome it has no room for any more.
func NotKept() *wirepb.Outcome {
	return &wirepb.Outcome{Code: CodeNotKept, Text: "the program was applied before; its outcome is no longer kept", Hint: "ask for what it changed", Usage: &wirepb.Usage{}}
}

// notKept is the digest of NotKept.
func notKept() []byte { sum := OutcomeDigest(NotKept()); return sum[:] }

// Contradict tells whether two answers, by whichever members, cannot both be true. That an outcome is not kept any more contradicts
// nothing: it was, before.
func Contradict(a, b *wirepb.Answer) bool {
	none := string(notKept())
	return string(a.Cell) == string(b.Cell) && a.Version == b.Version && string(a.Database) == string(b.Database) && a.Height == b.Height &&
		string(a.Question) == string(b.Question) && string(a.Outcome) != string(b.Outcome) && string(a.Outcome) != none && string(b.Outcome) != none
}

// CheckEvidence returns the false answer, and the place of the member who signed it. members are the answer keys of the cell that the
// answers are of; whether it is that cell's, the caller looks.
func CheckEvidence(d sign.Domain, e *wirepb.Evidence, members []mesh.PublicKey) (liar int, lie *wirepb.Answer, err error) {
	if len(e.Against) == 0 || len(e.Against) > len(members) {
		return 0, nil, mesh.Errorf(mesh.Invalid, "evidence with %d other answers, want 1 to %d", len(e.Against), len(members))
	}
	open := func(s *wirepb.Signed) (int, *wirepb.Answer, error) {
		a := new(wirepb.Answer)
		by, err := signed.Open(d, s, sign.Answer, a)
		if err != nil {
			return 0, nil, err
		}
		i := slices.Index(members, by)
		if i < 0 {
			return 0, nil, mesh.Errorf(mesh.Denied, "%s is no member of the cell", by)
		}
		return i, a, nil
	}
	if liar, lie, err = open(e.Answer); err != nil {
		return 0, nil, err
	}
	said := map[int]bool{}
	outcome := ""
	for _, s := range e.Against {
		i, a, err := open(s)
		switch {
		case err != nil:
			return 0, nil, err
		case !Contradict(lie, a):
			return 0, nil, mesh.Errorf(mesh.Denied, "the answers do not contradict each other")
		case said[i] || outcome != "" && outcome != string(a.Outcome):
			return 0, nil, mesh.Errorf(mesh.Denied, "evidence wants the same other answer, of different members")
		}
		said[i], outcome = true, string(a.Outcome)
	}
	if !said[liar] && !Believed(len(said), len(members)) {
		return 0, nil, mesh.Errorf(mesh.Denied, "%d of %d members contradict the answer: too few to be believed", len(said), len(members))
	}
	return liar, lie, nil
}
