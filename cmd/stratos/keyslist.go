package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func newKeysListCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the keys and shares that were made in this home",
		Args:  cobra.NoArgs,
		Long: `Lists the keys and shares that were made in this home. What was spent of a budget is what the network says; it holds what
is set aside for traffic under way too.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := e.home()
			if err != nil {
				return err
			}
			all, err := readGrants(h)
			if err != nil {
				return err
			}
			if all == nil {
				all = []*grantRecord{}
			}
			if err := askSpent(cmd.Context(), h, all); err != nil {
				e.say("note: what was spent is not known: %v", err)
			}
			return e.print(map[string]any{"keys": all}, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				if len(all) > 0 {
					fmt.Fprintln(t, "NAME\tCOVERS\tALLOWS\tBUDGET\tACCESS KEY\tSTATE")
				}
				for _, r := range all {
					budget, id := "-", "-"
					if r.Budget > 0 {
						budget = r.Budget.String()
					}
					if r.Spent != nil {
						budget = r.Spent.String() + " of " + budget
					}
					if r.AccessKey != "" {
						id = r.AccessKey
					}
					state := "until " + r.Expires.Format(time.RFC3339)
					switch {
					case r.Revoked:
						state = "revoked"
					case r.Expires.Before(time.Now()):
						state = "expired"
					}
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, mesh.Scheme+r.Prefix, r.Operations, budget, id, state)
				}
				t.Flush() // into memory
			})
		},
	}
}

// spentTime bounds how long a list of keys waits for what was spent under them.
const spentTime = 5 * time.Second

// askSpent asks the network what was spent of the budgets of grants that are good.
func askSpent(ctx context.Context, h home.Home, all []*grantRecord) error {
	byAccount := map[mesh.Account][]*grantRecord{}
	for _, r := range all {
		if r.Budget > 0 && !r.Revoked && r.Expires.After(time.Now()) {
			byAccount[r.Account] = append(byAccount[r.Account], r)
		}
	}
	if len(byAccount) == 0 {
		return nil
	}
	p, err := h.Profile()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, spentTime)
	defer cancel()
	return withGroup(p, func(g *group.Group) error {
		for account, records := range byAccount {
			for few := range slices.Chunk(records, 1000) {
				if err := askSpentOf(ctx, g, account, few); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func askSpentOf(ctx context.Context, g *group.Group, account mesh.Account, records []*grantRecord) error {
	q := &wirepb.SpentOf{Account: account[:]}
	for _, r := range records {
		id, err := r.link()
		if err != nil {
			return err
		}
		q.Links = append(q.Links, id[:])
	}
	answers, _, err := g.Ask(ctx, group.Strong, &wirepb.Question{Question: &wirepb.Question_Spent{Spent: q}})
	if err != nil {
		return err
	}
	m := new(wirepb.SpentAnswer)
	if _, err := group.Decode(answers[0], m); err != nil {
		return err
	}
	if len(m.Noz) != len(records) {
		return mesh.Errorf(mesh.Corrupt, "%d figures for %d keys", len(m.Noz), len(records))
	}
	for i, r := range records {
		r.Spent = new(mesh.Noz(m.Noz[i]))
	}
	return nil
}
