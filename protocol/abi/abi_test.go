package abi

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// Selectors are what deployed contracts and wallets have in their code: testdata/selectors.txt changes only by
// additions.
func TestSelectors(t *testing.T) {
	f, err := os.Open("testdata/selectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var want []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		want = append(want, lines.Text())
	}
	var got []string
	for _, c := range All() {
		for _, name := range slices.Sorted(maps.Keys(c.Methods)) {
			m := c.Methods[name]
			got = append(got, fmt.Sprintf("%s %x %s %s", c.Address.Hex(), m.ID, m.StateMutability, m.Sig))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}
