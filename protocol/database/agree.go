package database

import (
	"bytes"
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Agree returns the answer that so many of a cell's members give that at least one of them is honest, and who says otherwise of the
// same height, by key: their answers prove it. Without such an answer it returns nil. All answers are to one question.
func Agree(answers map[mesh.PublicKey]*wirepb.Answer, members int) (agreed *wirepb.Answer, liars []mesh.PublicKey) {
	var keys []mesh.PublicKey
	for k := range answers {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b mesh.PublicKey) int { return bytes.Compare(a[:], b[:]) })
	for _, k := range keys {
		a, same := answers[k], 0
		for _, b := range answers {
			if a.Height == b.Height && string(a.Outcome) == string(b.Outcome) {
				same++
			}
		}
		if Believed(same, members) && (agreed == nil || a.Height > agreed.Height) {
			agreed = a
		}
	}
	for _, k := range keys {
		if agreed != nil && Contradict(answers[k], agreed) {
			liars = append(liars, k)
		}
	}
	return agreed, liars
}
