package main

import (
	"time"

	"github.com/spf13/cobra"
)

func newDatabaseGrantCommand(e *env) *cobra.Command {
	g := grantTerms{}
	cmd := &cobra.Command{
		Use:   "grant DATABASE NAME",
		Short: "Give somebody, or a program, a key for a database",
		Long: `Makes a key by which another person, or a program, uses the database as its owner, or, with --role, in a role with the rights that GRANT
and row policies give to that. NAME is what "stratos keys list" and "stratos keys revoke" call it. It is "stratos keys create" for a
database; see there.

In a database of dialect postgres its owner makes roles and says what they may:

  CREATE ROLE customer;
  GRANT SELECT, INSERT ON orders TO customer;
  ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
  CREATE POLICY own ON orders TO customer USING (buyer = current_setting('stratos.caller'));

A key for --role customer --caller carol@example.org then shows carol's orders only. Replicas see to that, and not a gateway.`,
		Example: `  psql "$(stratos db grant shop carol --role customer --caller carol@example.org --format url)"
  stratos db grant shop report --read-only`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			g.database = args[0]
			return e.createKey(cmd, args[1], g)
		},
	}
	g.roleFlags(cmd)
	cmd.Flags().BoolVar(&g.readOnly, "read-only", false, "only reading")
	cmd.Flags().StringVar(&g.format, "format", "grant", "grant, or an access key for gateways as url, env, json")
	cmd.Flags().StringSliceVar(&g.gateways, "gateway", nil, "gateways of the profile that may use it; default all")
	g.flags(cmd, 30*24*time.Hour)
	return cmd
}
