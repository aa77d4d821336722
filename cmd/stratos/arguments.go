package main

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stratosmesh/stratos/mesh"
)

// nameArguments makes a command, and those below it, say by name which argument is missing or too many. The names are those of Use.
// An unknown command below another is cobra's to tell.
func nameArguments(c *cobra.Command) {
	for _, sub := range c.Commands() {
		nameArguments(sub)
	}
	check, names := c.Args, argumentsOf(c.Use)
	if check == nil || len(names) == 0 && c.HasSubCommands() {
		return
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) == nil {
			return nil
		}
		takes := cmd.CommandPath() + " takes " + strings.Join(names, " ")
		if len(names) == 0 {
			takes = cmd.CommandPath() + " takes no argument"
		}
		var needed []string
		for _, n := range names {
			if !strings.HasPrefix(n, "[") {
				needed = append(needed, n)
			}
		}
		if len(args) == 0 && len(needed) > 0 {
			return fmt.Errorf("%s needs %s", cmd.CommandPath(), strings.Join(needed, " "))
		}
		if len(args) < len(needed) {
			return fmt.Errorf("%s: %s", takes, isAre(needed[len(args):], "missing"))
		}
		var rest []string
		for _, a := range args[len(names):] {
			rest = append(rest, strconv.Quote(a))
		}
		return fmt.Errorf("%s: %s", takes, isAre(rest, "too many"))
	}
}

func isAre(names []string, what string) string {
	if len(names) == 1 {
		return names[0] + " is " + what
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " are " + what
}

// argumentsOf cuts the names of arguments out of a command's Use; what stands in brackets is one.
func argumentsOf(use string) (names []string) {
	depth := 0
	for i, word := range strings.Fields(use) {
		switch {
		case i == 0: // the command
			continue
		case depth > 0:
			names[len(names)-1] += " " + word
		default:
			names = append(names, word)
		}
		depth += strings.Count(word, "[") - strings.Count(word, "]")
	}
	return names
}

// A span is a length of time as people give it to a flag: as Go writes it, and in days.
type span time.Duration

func spanVar(f *pflag.FlagSet, p *time.Duration, name string, value time.Duration, usage string) {
	*p = value
	f.Var((*span)(p), name, usage)
}

const day = 24 * time.Hour

var inDays = regexp.MustCompile(`^(\d+)d(.*)$`)

func (s *span) Set(text string) error {
	rest, days := text, time.Duration(0)
	if m := inDays.FindStringSubmatch(text); m != nil {
		n, err := strconv.ParseInt(m[1], 10, 32)
		if err != nil || time.Duration(n) > math.MaxInt64/day/2 {
			return fmt.Errorf("%s is longer than can be counted", text)
		}
		if days, rest = time.Duration(n)*day, m[2]; rest == "" {
			*s = span(days)
			return nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || days > 0 && (d < 0 || d > math.MaxInt64/2) {
		return fmt.Errorf("write a number with its unit, like 45s, 90m, 72h, 5d or 1d12h")
	}
	*s = span(days + d)
	return nil
}

func (s *span) String() string {
	switch d := time.Duration(*s); {
	case d == 0:
		return "0"
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	default:
		return d.String()
	}
}

func (*span) Type() string { return "duration" }

// exitMeaning says for people what the exit codes of mesh.Kind mean, by kind.
var exitMeaning = map[mesh.Kind]string{
	mesh.Internal:    "a fault of ours, or of this machine: please report it",
	mesh.NotFound:    "what was named is not there",
	mesh.Denied:      "the account, key or grant may not do this",
	mesh.Invalid:     "the request cannot be as it is: mend it",
	mesh.Conflict:    "something else is there already, or it changed meanwhile",
	mesh.Unavailable: "somebody does not answer: it may succeed later, unchanged",
	mesh.Corrupt:     "bytes are not what their checksum or signature says",
	mesh.Exhausted:   "out of ozone, space or budget, or past a limit",
}

func newExitCodesCommand() *cobra.Command {
	var b strings.Builder
	row := func(code int, kind, meaning string) { fmt.Fprintf(&b, "  %3d  %-12s %s\n", code, kind, meaning) }
	row(0, "", "done")
	for k := mesh.Internal; k <= mesh.Exhausted; k++ {
		if k == mesh.NotFound {
			row(exitUsage, usageKind, "the command line makes no sense")
		}
		row(k.ExitCode(), k.String(), exitMeaning[k])
	}
	row(exitInterrupted, interruptedKind, "stopped by Ctrl-C or a signal")
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: "With these codes a command ends. With --json an error is an object on standard error: its \"code\" is the number, its \"kind\"\n" +
			"the word. Nothing else tells programs what happened: texts change.\n\n" + strings.TrimSuffix(b.String(), "\n"),
	}
}
