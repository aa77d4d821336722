package state

import (
	"crypto/sha256"
	"testing"

	"github.com/stratosmesh/stratos/protocol/report"
)

func hashOf(b []byte) []byte { h := sha256.Sum256(b); return h[:] }

func decodeHeader(t *testing.T, b []byte) *report.Header {
	t.Helper()
	h, err := report.DecodeHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
