package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
)

// anchorTime is how long the authorities may take to sign an anchor.
const anchorTime = time.Minute

func newDatabaseAnchorCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "anchor NAME",
		Short: "Put on the chain what a database held when it was settled last",
		Long: `Has the authorities sign what 2f+1 replicas have certified of the database: a digest of its content and one of all that was done to it,
at a height of its cell's log. The account sends that to the value layer, where contracts and auditors can read it (anchorOf of the
contract "sdd"). The chain keeps the newest of each database.`,
		Example: "  stratos db anchor ledger",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var a *client.Anchor
			err := e.withClient(cmd.Context(), func(c *client.Client) (err error) {
				ctx, cancel := context.WithTimeout(cmd.Context(), anchorTime)
				defer cancel()
				a, err = c.AnchorDatabase(ctx, args[0])
				return err
			})
			if err != nil {
				return err
			}
			return e.withChain(cmd.Context(), func(c *chain.Client, store wallet.Store, entry wallet.Entry) error {
				k, err := e.key(cmd.Context(), store, entry)
				if err != nil {
					return err
				}
				ids, sigs := signedBy(a.Signers, a.Signatures)
				r, err := c.Transact(cmd.Context(), k, abi.SDD(), mesh.Wei{}, "anchor", a.Body, ids, sigs)
				if err != nil {
					return err
				}
				v := struct {
					Name        string          `json:"name"`
					Database    mesh.DatabaseID `json:"database"`
					LogHeight   int64           `json:"log_height"`
					Time        string          `json:"time"`
					Digest      string          `json:"digest"`
					Content     string          `json:"content"`
					Transaction string          `json:"transaction"`
				}{args[0], a.Database, a.LogHeight, a.Time.UTC().Format(time.RFC3339), hex.EncodeToString(a.Digest[:]), hex.EncodeToString(a.Content[:]), r.Hash.Hex()}
				return e.print(v, func(w io.Writer) {
					fmt.Fprintf(w, "anchored %s as it was at %s\ncontent  %s\n", v.Name, v.Time, v.Content)
				})
			})
		},
	}
}
