package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
)

// Each kind of error has its line among the exit codes, with what it means.
func TestExitCodes(t *testing.T) {
	text := newExitCodesCommand().Long
	kinds := 0
	for k := mesh.Internal; k == mesh.Internal || k.String() != mesh.Internal.String(); k++ { // beyond the last kind all are called internal
		kinds++
		if line := fmt.Sprintf("%5d  %-12s %s", k.ExitCode(), k, exitMeaning[k]); exitMeaning[k] == "" || !strings.Contains(text, line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	if kinds != len(exitMeaning) {
		t.Errorf("%d kinds, %d meanings", kinds, len(exitMeaning))
	}
	for code, word := range map[int]string{0: "done", exitUsage: usageKind, exitInterrupted: interruptedKind} {
		if !slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
			return strings.HasPrefix(strings.TrimSpace(line), fmt.Sprint(code)) && strings.Contains(line, word)
		}) {
			t.Errorf("no line for %d, %s, in\n%s", code, word, text)
		}
	}
}

func TestSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{"5d": 5 * day, "1d12h": 36 * time.Hour, "0d1s": time.Second, "90m": 90 * time.Minute, "3650d": 3650 * day, "-1h": -time.Hour} {
		var s span
		if err := s.Set(text); err != nil || time.Duration(s) != want {
			t.Errorf("%s is %v, %v", text, time.Duration(s), err)
		}
		var again span
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%s is shown as %s", text, s.String())
		}
	}
	for _, text := range []string{"", "5", "d", "5x", "1d-1h", "1d2d", "5.5d", "-5d", "99999999d", "1d2562047h"} {
		if err := new(span).Set(text); err == nil {
			t.Errorf("%q is a length of time", text)
		}
	}
}

// A command's arguments are those that its first line names.
func TestArgumentsOf(t *testing.T) {
	for use, want := range map[string]string{
		"up": "", "cp SOURCE DESTINATION": "SOURCE|DESTINATION", "stop NAME...": "NAME...", "ls [stratos://BUCKET[/PREFIX]]": "[stratos://BUCKET[/PREFIX]]",
		"balance [NAME | st1... | 0x...]...": "[NAME | st1... | 0x...]...",
	} {
		if got := strings.Join(argumentsOf(use), "|"); got != want {
			t.Errorf("%s: %s", use, got)
		}
	}
}
