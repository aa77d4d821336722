package database_test

import (
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestEvidence(t *testing.T) {
	var keys []mesh.PublicKey
	for i := range 4 {
		keys = append(keys, mesh.PublicKeyOf(member(i)))
	}
	answer := func(outcome byte, change func(*wirepb.Answer)) *wirepb.Answer {
		a := &wirepb.Answer{Cell: make([]byte, 16), Version: 1, Database: make([]byte, 16), Height: 7, Question: make([]byte, 32), Outcome: append(make([]byte, 31), outcome)}
		if change != nil {
			change(a)
		}
		return a
	}
	says := func(i int, outcome byte) *wirepb.Signed {
		return signed.Seal(domain, member(i), sign.Answer, answer(outcome, nil))
	}
	differs := func(i int, change func(*wirepb.Answer)) *wirepb.Signed {
		return signed.Seal(domain, member(i), sign.Answer, answer(1, change))
	}
	gone := database.OutcomeDigest(database.NotKept())
	notKept := func(i int) *wirepb.Signed { return differs(i, func(a *wirepb.Answer) { a.Outcome = gone[:] }) }
	altered := says(2, 2)
	altered.Body = says(2, 1).Body
	for _, c := range []struct {
		why  string
		ok   bool
		liar int
		e    *wirepb.Evidence
	}{
		{"two words of one", true, 2, &wirepb.Evidence{Answer: says(2, 1), Against: []*wirepb.Signed{says(2, 2)}}},
		{"two others", true, 3, &wirepb.Evidence{Answer: says(3, 1), Against: []*wirepb.Signed{says(0, 2), says(1, 2)}}},
		{"three others", true, 0, &wirepb.Evidence{Answer: says(0, 1), Against: []*wirepb.Signed{says(3, 2), says(1, 2), says(2, 2)}}},
		{"one other", false, 0, &wirepb.Evidence{Answer: says(3, 1), Against: []*wirepb.Signed{says(0, 2)}}},
		{"one other twice", false, 0, &wirepb.Evidence{Answer: says(3, 1), Against: []*wirepb.Signed{says(0, 2), says(0, 2)}}},
		{"two others who disagree", false, 0, &wirepb.Evidence{Answer: says(3, 1), Against: []*wirepb.Signed{says(0, 2), says(1, 3)}}},
		{"who says the same", false, 0, &wirepb.Evidence{Answer: says(2, 1), Against: []*wirepb.Signed{says(2, 1)}}},
		{"a stranger", false, 0, &wirepb.Evidence{Answer: says(3, 1), Against: []*wirepb.Signed{says(0, 2), says(9, 2)}}},
		{"a stranger lies", false, 0, &wirepb.Evidence{Answer: says(9, 1), Against: []*wirepb.Signed{says(0, 2), says(1, 2)}}},
		{"nobody else", false, 0, &wirepb.Evidence{Answer: says(3, 1)}},
		{"nothing", false, 0, new(wirepb.Evidence)},
		{"an altered answer", false, 0, &wirepb.Evidence{Answer: altered, Against: []*wirepb.Signed{says(2, 2)}}},
		{"another height", false, 0, &wirepb.Evidence{Answer: says(2, 2), Against: []*wirepb.Signed{differs(2, func(a *wirepb.Answer) { a.Height = 8 })}}},
		{"another question", false, 0, &wirepb.Evidence{Answer: says(2, 2), Against: []*wirepb.Signed{differs(2, func(a *wirepb.Answer) { a.Question[0]++ })}}},
		{"another database", false, 0, &wirepb.Evidence{Answer: says(2, 2), Against: []*wirepb.Signed{differs(2, func(a *wirepb.Answer) { a.Database[0]++ })}}},
		{"another version", false, 0, &wirepb.Evidence{Answer: says(2, 2), Against: []*wirepb.Signed{differs(2, func(a *wirepb.Answer) { a.Version++ })}}},
		{"another cell", false, 0, &wirepb.Evidence{Answer: says(2, 2), Against: []*wirepb.Signed{differs(2, func(a *wirepb.Answer) { a.Cell[0]++ })}}},
		{"what is not kept any more", false, 0, &wirepb.Evidence{Answer: says(2, 1), Against: []*wirepb.Signed{notKept(2)}}},
		{"what was kept before", false, 0, &wirepb.Evidence{Answer: notKept(2), Against: []*wirepb.Signed{says(2, 1)}}},
	} {
		liar, a, err := database.CheckEvidence(domain, c.e, keys)
		if (err == nil) != c.ok || c.ok && (liar != c.liar || a.Height != 7) {
			t.Errorf("%s: %d, %v, %v", c.why, liar, a, err)
		}
	}
}

// Two sessions that sign the same bytes ask two questions: else each honest replica would answer one twice, and be taken for a liar.
func TestQuestionsHaveAuthors(t *testing.T) {
	e := &wirepb.Envelope{Database: make([]byte, 16), Id: make([]byte, 16), GasLimit: 1, Statements: []*wirepb.Statement{{Sql: "SELECT random()"}}}
	if database.Question(signed.Seal(domain, member(0), sign.Envelope, e)) == database.Question(signed.Seal(domain, member(1), sign.Envelope, e)) {
		t.Error("the same question")
	}
}
