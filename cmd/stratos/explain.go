package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
)

func newMetaExplainCommand(e *env) *cobra.Command {
	var bytes uint64
	cmd := &cobra.Command{
		Use:   "explain slice|cell|task|call [NODE]",
		Short: "Tell which nodes can get a slice, a cell of databases, a task or calls now, by what weight, or why not",
		Long: `Nodes are drawn by lot. First come filters, each of which may refuse a node: its kind, whether it is active, suspended, online, how much it has, its
room. Then scores multiply to its weight in the lots: how well it kept its word (score), what it has at stake (deposit, for cells), how many more tasks it can take (room), how many
GiB are free (free, for slices). A task is drawn among the nodes that hold what it reads nearly always (nearness). No two that are drawn for one thing
have an operator or a failure domain in common.`,
		Example: "  stratos meta explain task\n  stratos meta explain slice --bytes 1000000",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var all []client.Verdict
			err := e.withClient(cmd.Context(), func(c *client.Client) (err error) {
				all, err = c.Explain(cmd.Context(), args[0], bytes)
				return err
			})
			if err != nil {
				return err
			}
			if len(args) > 1 {
				kept := all[:0]
				for _, v := range all {
					if strings.HasPrefix(v.Node.String(), args[1]) {
						kept = append(kept, v)
					}
				}
				if all = kept; len(all) == 0 {
					return mesh.WithHint(mesh.Errorf(mesh.NotFound, "no node %q is registered", args[1]), "see: stratos node status")
				}
			}
			total := 0.0
			for _, v := range all {
				total += float64(v.Weight)
			}
			return e.print(all, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "NODE\tCHANCE\tWHY")
				for _, v := range all {
					why, chance := v.Refused, "none"
					if why == "" {
						chance = fmt.Sprintf("%.1f %%", 100*float64(v.Weight)/math.Max(total, 1))
						for _, p := range v.Parts {
							if p.Factor > 1 {
								why += fmt.Sprintf("%s %d  ", p.Name, p.Factor)
							}
						}
					}
					fmt.Fprintf(t, "%s\t%s\t%s\n", v.Node, chance, strings.TrimSpace(why))
				}
				t.Flush() // into memory
			})
		},
	}
	cmd.Flags().Uint64Var(&bytes, "bytes", 4<<20, "of the slice")
	return cmd
}
